"""The contract of autoregressive models of spins, on lattices that can be enumerated.

Compiling is all the cost: batches are of 512 everywhere, the configurations on 3x3.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import stats

from genlat.models.autoregressive.hierarchical import HAN
from genlat.models.autoregressive.made import MADE
from genlat.models.autoregressive.pixel_cnn import PixelCNN
from genlat.models.symmetrized import SymmetrizedSpins
from genlat.symmetry import group as symmetry_group
from spins_for_tests import all_spins, generic

N = 512
KEYS = jr.split(jr.key(1), N)

draw = eqx.filter_jit(lambda model, keys: model.sample_batch(keys))
log_prob = eqx.filter_jit(lambda model, spins: model.log_prob_batch(spins))


def pixel_cnn(block):
    options = {"half_kernel": 1, "depth": 3, "width": 3}
    return PixelCNN((3, 3), jr.key(0), **options, block=block)


MODELS = {
    "residual": lambda: pixel_cnn("residual"),
    "gated": lambda: pixel_cnn("gated"),
    "made": lambda: MADE((3, 1, 3), jr.key(0), depth=3, width=2),
    "han": lambda: HAN((4, 4), jr.key(0), beta=0.3, depth=2, width=2),
}


def log_q_of_all(model):
    """log q of every configuration, in batches of N."""
    spins = all_spins(model.lattice_shape)
    batches = jnp.split(spins, max(1, len(spins) // N))
    return np.concatenate([log_prob(model, batch) for batch in batches])


def check_normalised(model, atol):
    log_q = log_q_of_all(model)
    assert log_q.dtype == np.float64
    assert np.sum(np.exp(log_q)) == pytest.approx(1, abs=atol)
    assert np.std(log_q) > 0.1


def check_drawn(model, atol):
    """Draws have the log q that they are given."""
    spins, log_q = draw(model, KEYS)
    assert spins.dtype == jnp.int8
    assert log_q.dtype == jnp.float64
    np.testing.assert_allclose(log_prob(model, spins), log_q, rtol=0, atol=atol)
    return spins, log_q


@pytest.fixture(params=MODELS)
def model(request):
    """The gated one in single precision, as models are, the others in double."""
    model = generic(MODELS[request.param])
    if request.param == "gated":
        return jax.tree.map(lambda x: x.astype(jnp.float32), model)
    return model


def test_normalised_and_the_same_in_drawing_which_the_key_determines(model):
    is_single = jax.tree.leaves(model)[0].dtype == jnp.float32
    check_normalised(model, atol=1e-6 if is_single else 1e-12)
    spins, log_q = check_drawn(model, atol=1e-4 if is_single else 1e-10)
    others = jr.split(jr.key(2), N).at[7].set(KEYS[3]).at[9].set(KEYS[400])
    again, log_q_again = draw(model, others)
    for place, was in [(7, 3), (9, 400)]:
        np.testing.assert_array_equal(again[place], spins[was])
        np.testing.assert_allclose(log_q_again[place], log_q[was], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "symmetries"),
    [("residual", ("sign", "point_group")), ("han", ("sign",))],
)
def test_symmetrised(name, symmetries):
    """Normalised, invariant, and drawn with the log q of the mixture."""
    model = generic(MODELS[name])
    group = symmetry_group(model.lattice_shape, symmetries)
    mixture = SymmetrizedSpins(model, group)
    check_normalised(mixture, atol=1e-12)
    if name == "residual":
        check_drawn(mixture, atol=1e-10)
    spins = all_spins(model.lattice_shape)[:N]
    log_q = log_prob(mixture, spins)
    for element in group[1::5]:
        image = jax.vmap(element.apply)(spins)
        np.testing.assert_allclose(log_prob(mixture, image), log_q, atol=1e-10)
        # negative control: the model alone is not invariant
        change = log_prob(model, image) - log_prob(model, spins)
        assert jnp.max(jnp.abs(change)) > 0.1


def chi2_p_value(spins, q):
    """Of the counts of configurations, those of expectation under 5 taken together."""
    flat = np.asarray(spins, int).reshape(len(spins), -1)
    index = (flat[:, :9] + 1) // 2 @ (1 << np.arange(9)[::-1])
    counts = np.bincount(index, minlength=len(q)).astype(float)
    expected = len(index) * np.asarray(q)
    rare = expected < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    return stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue


def test_draws_follow_q(model):
    """χ² of the frequencies of the first nine spins; p = 6·10⁻⁷ is five sigma."""
    q = np.exp(log_q_of_all(model)).reshape(512, -1).sum(1)
    q = q / np.sum(q)  # to rounding, which SciPy insists on
    batches = [draw(model, jr.split(key, N))[0] for key in jr.split(jr.key(3), 40)]
    spins = jnp.concatenate(batches)
    assert chi2_p_value(spins, q) > 6e-7
    # negative control: a distribution that is a little sharper
    sharper = q**1.1 / jnp.sum(q**1.1)
    assert chi2_p_value(spins, sharper) < 6e-7


def n_unused(model) -> int:
    """Entries of matrices that nothing reaches: masked, or of the site itself."""
    if isinstance(model, PixelCNN):
        return 2 * model.spin_kernel.shape[-1]
    return sum(int(np.sum(~mask)) for mask in model.net.masks())


@pytest.mark.parametrize("name", ["residual", "gated", "made"])
def test_gradient_is_that_of_differences_and_reaches_every_parameter(name):
    model = generic(MODELS[name])
    spins = all_spins(model.lattice_shape)
    weight = jr.normal(jr.key(5), (N,))

    @eqx.filter_jit
    def value_and_grad(model):
        def loss(model):
            return jnp.sum(weight * model.log_prob_batch(spins))

        return eqx.filter_value_and_grad(loss)(model)

    leaves, tree = jax.tree.flatten(model)
    random = np.random.default_rng(6)
    gradient = jax.tree.leaves(value_and_grad(model)[1])
    assert all(jnp.any(leaf != 0) for leaf in gradient)
    matrices = [leaf for leaf in gradient if leaf.ndim > 1]
    assert sum(int(jnp.sum(leaf == 0)) for leaf in matrices) == n_unused(model)
    direction = [random.standard_normal(x.shape) for x in leaves]
    ahead, behind = (
        value_and_grad(
            jax.tree.unflatten(
                tree, [x + e * d for x, d in zip(leaves, direction, strict=True)]
            )
        )[0]
        for e in (1e-5, -1e-5)
    )
    slope = sum(jnp.vdot(g, d) for g, d in zip(gradient, direction, strict=True))
    assert (ahead - behind) / 2e-5 == pytest.approx(float(slope), rel=1e-5)


@pytest.mark.parametrize("name", ["residual", "gated", "made"])
def test_logits_look_back_only(name):
    """No derivative by a spin that is not before; some by the one just before."""
    model = generic(MODELS[name])
    spins = jr.normal(jr.key(0), (1, *model.lattice_shape))
    jacobian = eqx.filter_jit(jax.jacobian(lambda s: model.logits(s)))(spins)
    n_sites = math.prod(model.lattice_shape)
    jacobian = np.asarray(jacobian).reshape(n_sites, n_sites)
    assert not np.any(np.triu(jacobian))
    assert np.all(np.diag(jacobian, -1) != 0)


@pytest.mark.parametrize("name", MODELS)
def test_bad_spins_are_refused(name):
    model = generic(MODELS[name])
    spins = all_spins(model.lattice_shape)[:5]
    with pytest.raises(ValueError, match="spins must be 1 or -1, got 0"):
        model.log_prob_batch(spins.at[1].set(0))
    with pytest.raises(ValueError, match=r"\(n, \*lattice\) of configurations on \("):
        model.log_prob_batch(jnp.moveaxis(spins, 0, 1))
