"""Mixtures over groups of symmetries: the groups, and the densities made of them."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat import symmetry
from genlat.actions.base import AbstractContinuousAction
from genlat.likelihood import EXACT, Likelihood
from genlat.models.base import AbstractFlow
from genlat.models.gaussian import GaussianPair
from genlat.models.symmetrized import Symmetrized
from genlat.symmetry import Symmetry
from genlat.symmetry import group as symmetry_group
from genlat.training.objectives import PathReverseKL, ReverseKL
from models_for_tests import a_model, a_spectrum

SHAPES = [(5,), (4, 6), (4, 4), (2, 1, 4)]
ALL = ("sign", "translations", "point_group")
NAMES = [("sign",), ("translations",), ("sign", "point_group"), ALL]


def to_numpy(function):
    """Compiled whole, and no operation on what comes out compiled for itself."""
    compiled = eqx.filter_jit(function)
    return lambda *arguments: jax.device_get(compiled(*arguments))


sample = to_numpy(lambda model, keys: model.sample_batch(keys))
score = to_numpy(lambda model, keys: model.sample_batch_with_score(keys))
log_prob = to_numpy(lambda model, phis: model.log_prob_batch(phis))


class Skew(AbstractFlow):
    """Independent Gaussians, each with a mean and width of its own: no symmetry."""

    mean: jax.Array
    log_std: jax.Array
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    likelihood = EXACT

    def sample_batch(self, keys):
        z = jax.vmap(lambda key: jr.normal(key, self.lattice_shape))(keys)
        phis = self.mean[None] + jnp.exp(self.log_std)[None] * z
        return phis, self.log_prob_batch(phis)

    def sample_batch_with_score(self, keys):
        phis, log_q = self.sample_batch(keys)
        z = (phis - self.mean[None]) * jnp.exp(-self.log_std)[None]
        score = -z * jnp.exp(-self.log_std)[None]
        return phis, *jax.lax.stop_gradient((log_q, score))

    def log_prob_batch(self, phis):
        z = (phis - self.mean[None]) * jnp.exp(-self.log_std)[None]
        log_norm = jnp.sum(self.log_std) + 0.5 * self.mean.size * math.log(2 * math.pi)
        return -0.5 * jnp.sum(z**2, axis=range(1, z.ndim)) - log_norm


def skew(shape) -> Skew:
    rng = np.random.default_rng(1)
    log_std, mean = -0.4 + 0.2 * rng.normal(size=shape), 0.4 * rng.normal(size=shape)
    return Skew(jnp.asarray(mean), jnp.asarray(log_std), shape)


def wide(model):
    return jax.tree.map(lambda x: x.astype(jnp.float64), model)


def a_field(shape):
    return np.random.default_rng(0).normal(size=shape)


def moved(element: Symmetry, phis):
    flat = phis.reshape(len(phis), -1)
    return (element.sign * flat[:, element.sites()]).reshape(phis.shape)


# groups


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("names", NAMES, ids="-".join)
def test_groups_are_groups(shape, names):
    """Closed, with inverses, the identity first, and every element another map."""
    group = symmetry_group(shape, names)
    symmetry.check_group(group)
    phi = a_field(shape)
    assert np.array_equal(group[0].apply(jnp.asarray(phi)), phi)
    assert all(g @ g.inverse() == group[0] == g.inverse() @ g for g in group)
    images = {(g.sign * phi.ravel()[g.sites()]).tobytes() for g in group}
    assert len(images) == len(group)


@pytest.mark.parametrize(
    ("shape", "names", "size"),
    [
        ((4, 6), ("sign",), 2),
        ((4, 6), ("translations",), 24),
        ((6, 6), ("point_group",), 8),
        ((4, 6), ("point_group",), 4),
        ((2, 1, 4), ("point_group",), 2),
        ((3, 3, 3), ("point_group",), 48),
        ((4, 6), ALL, 2 * 24 * 4),
        ((4, 6), (), 1),
    ],
    ids=str,
)
def test_sizes_of_groups(shape, names, size):
    assert len(symmetry_group(shape, names)) == size


def test_products_and_inverses_act_as_they_should():
    """(g h) φ = g (h φ) and g⁻¹ (g φ) = φ, on fields, for unrelated elements."""
    group = symmetry_group((4, 4), ALL)
    phi = jnp.asarray(a_field((4, 4)))
    for g, h in itertools.pairwise(group[3::17]):
        assert np.array_equal((g @ h).apply(phi), g.apply(h.apply(phi)))
        assert np.array_equal(g.inverse().apply(g.apply(phi)), phi)
    g, h = group[37], group[150]
    assert not np.array_equal((h @ g).apply(phi), g.apply(h.apply(phi)))


def test_an_element_is_what_it_says():
    """Against rolls, flips and a transposition written by hand."""
    phi = a_field((3, 3))
    element = Symmetry((3, 3), -1, (1, 2), (1, 0), (True, False))
    by_hand = np.roll(np.flip(phi.T, 0), 1, 0)
    by_hand = -np.roll(by_hand, (1, 2), (0, 1))
    assert np.array_equal(element.apply(jnp.asarray(phi)), by_hand)
    same = Symmetry((3, 3), -1, (4, -1), (1, 0), (True, False))
    assert element == same
    assert len({element, same}) == 1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (((4, 6), 0, (0, 0), (0, 1), (False, False)), "sign must be 1 or -1, got 0"),
        (((4, 6), 1, (0,), (0, 1), (False, False)), "shift needs 2 entries"),
        (((4, 6), 1, (0, 0), (0, 1), (False,)), "flips needs 2 entries"),
        (((4, 6), 1, (0, 0), (1, 0), (False, False)), "axes of equal extent"),
        (((4, 4), 1, (0, 0), (1, 1), (False, False)), "axes of equal extent"),
    ],
)
def test_invalid_elements_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        Symmetry(*arguments)


def test_invalid_groups_are_refused():
    group = symmetry_group((4, 6), ALL)
    with pytest.raises(
        ValueError, match=r"sign, translations, point_group, permutations; got \['Z2'"
    ):
        symmetry_group((4, 6), ("sign", "Z2"))
    with pytest.raises(ValueError, match="may be named once"):
        symmetry_group((4, 6), ("sign", "sign"))
    with pytest.raises(ValueError, match="not a group: the product"):
        symmetry.check_group(group[:-1])
    with pytest.raises(ValueError, match="not a group: the product"):
        symmetry.check_group(group[1:2])
    with pytest.raises(ValueError, match="each element once"):
        symmetry.check_group((*group, group[5]))
    with pytest.raises(ValueError, match="each element once"):
        symmetry.check_group(())
    with pytest.raises(ValueError, match=r"symmetries of \(4, 6\) and of \(5,\)"):
        group[1] @ symmetry_group((5,), ("sign",))[1]
    with pytest.raises(ValueError, match=r"symmetry of \(4, 6\), field on \(6, 4\)"):
        group[1].apply(jnp.zeros((6, 4)))


# densities


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("names", NAMES, ids="-".join)
def test_density_is_the_mean_over_images(shape, names):
    """By enumeration, with elements applied one by one; and it is invariant."""
    model, group = skew(shape), symmetry_group(shape, names)
    mixture, phis = Symmetrized(model, group), a_field((3, *shape))
    images = np.concatenate([moved(g.inverse(), phis) for g in group])
    q = np.exp(log_prob(model, images)).reshape(len(group), -1)
    log_q = log_prob(mixture, phis)
    np.testing.assert_allclose(log_q, np.log(np.mean(q, axis=0)), rtol=1e-12)
    for g in group[1 :: max(1, len(group) // 5)]:
        image = moved(g, phis)
        np.testing.assert_allclose(log_prob(mixture, image), log_q, atol=1e-11)
        # negative control: the model alone is not invariant
        change = log_prob(model, image) - log_prob(model, phis)
        assert np.max(np.abs(change)) > 1e-3


def test_one_well_symmetrised_is_the_pair():
    """The Z₂ mixture of one well is the two-well prior, whose formula is another's."""
    pair = wide(GaussianPair(a_spectrum((4, 6)), 0.7))
    one = pair.in_wells("one")
    mixture = Symmetrized(one, symmetry_group((4, 6), ("sign",)))
    keys = jr.split(jr.key(0), 7)
    phis, log_q, from_score = score(mixture, keys)
    np.testing.assert_allclose(
        log_prob(mixture, phis), log_prob(pair, phis), rtol=1e-13
    )
    np.testing.assert_allclose(log_q, log_prob(pair, phis), rtol=1e-13)
    slope = to_numpy(jax.grad(lambda x: jnp.sum(pair.log_prob_batch(x))))
    expected = slope(jnp.asarray(phis))
    np.testing.assert_allclose(from_score, expected, rtol=1e-10, atol=1e-11)
    # negative control: one well is not the pair
    assert np.max(np.abs(log_prob(one, phis) - log_q)) > 0.1
    assert {-1.0, 1.0} == set(np.sign(phis.mean(axis=(1, 2))).tolist())


def test_a_symmetric_model_is_left_as_it_is():
    """A continuous flow, which is odd: same log q, and its own gradient as score."""
    model = a_model((4,), n_steps=2)
    mixture = Symmetrized(model, symmetry_group((4,), ("sign",)))
    phis, log_q, from_score = score(mixture, jr.split(jr.key(0), 5))
    np.testing.assert_allclose(log_q, log_prob(model, phis), rtol=1e-11)
    direction = a_field(phis.shape)
    step = 1e-4
    ahead, behind = (log_prob(model, phis + e * direction) for e in (step, -step))
    np.testing.assert_allclose(
        np.sum(from_score * direction, axis=1),
        (ahead - behind) / (2 * step),
        atol=1e-2,
    )


def test_density_is_normalised():
    """By quadrature on two sites."""
    mixture = Symmetrized(skew((2,)), symmetry_group((2,), ("sign", "translations")))
    x = np.linspace(-8, 8, 201)
    grid = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)
    q = np.exp(log_prob(mixture, grid))
    assert np.sum(q) * (x[1] - x[0]) ** 2 == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("names", [("sign",), ALL], ids="-".join)
def test_sampling_and_score_agree_with_the_density(names):
    """log q of a draw is that of log_prob; the score is its gradient by autodiff."""
    mixture = Symmetrized(skew((4, 6)), symmetry_group((4, 6), names))

    @eqx.filter_jit
    def draw(keys):
        phis, log_q = mixture.sample_batch(keys)
        log_prob, pull = jax.vjp(mixture.log_prob_batch, phis)
        gradient = pull(jnp.ones_like(log_prob))[0]
        with_score = mixture.sample_batch_with_score(keys)
        return (phis, log_q, gradient), (phis, log_prob, gradient), with_score

    keys = jr.split(jr.key(4), 5)
    (phis, log_q, gradient), *others = draw(keys)
    for other in others:
        np.testing.assert_array_equal(other[0], phis)
        np.testing.assert_allclose(other[1], log_q, rtol=1e-12)
        np.testing.assert_allclose(other[2], gradient, rtol=1e-9, atol=1e-11)
    # a draw depends on its key alone, not on its place or the rest of the batch
    elsewhere, log_q_elsewhere, _ = draw(
        jnp.concatenate([keys[4:], jr.split(jr.key(5), 4)])
    )[0]
    np.testing.assert_allclose(elsewhere[0], phis[4], rtol=1e-13)
    np.testing.assert_allclose(log_q_elsewhere[0], log_q[4], rtol=1e-13)


def test_draws_follow_the_density():
    """Means of smooth functions against quadrature of q_s, not of a smaller mixture."""
    one = skew((2,))
    signs, both = (
        Symmetrized(one, symmetry_group((2,), names))
        for names in [("sign",), ("sign", "translations")]
    )
    phis, log_q = sample(both, jr.split(jr.key(6), 40_000))
    x = np.linspace(-8, 8, 161)
    grid = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)

    def largest_pull(model):
        q = np.exp(log_prob(model, grid)) * (x[1] - x[0]) ** 2
        pulls = []
        for f in (
            lambda y: np.tanh(3 * y[:, 0] - 0.2),
            lambda y: 1 / (1 + np.exp(-4 * (y[:, 0] - y[:, 1]))),
            lambda y: y[:, 0] ** 2 * np.exp(-(y[:, 1] ** 2)),
            lambda y: y[:, 0] ** 2 - y[:, 1] ** 2,
        ):
            value = f(phis)
            error = np.std(value) / math.sqrt(len(log_q))
            assert error < 0.01
            pulls.append(abs(np.mean(value) - np.sum(f(grid) * q)) / error)
        return max(pulls)

    assert largest_pull(both) < 5
    assert largest_pull(signs) > 10


class Mixed(AbstractContinuousAction):
    """-log q of a given model: the theory for which it is the optimum."""

    model: AbstractFlow
    lattice_shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, phi):
        return -self.model.log_prob(phi)

    def force(self, phi):
        return -jax.grad(self)(phi)


@eqx.filter_jit
def gradients(model, optimum, keys):
    """Path and total gradient of the reverse KL, one row each."""
    action = Mixed(optimum, optimum.lattice_shape)
    rows = []
    for objective in (PathReverseKL(), ReverseKL()):
        gradient = eqx.filter_grad(lambda m, o=objective: o(m, action, keys)[0])(model)
        leaves = jax.tree.leaves(gradient)
        rows.append(jnp.concatenate([leaf.ravel() for leaf in leaves]))
    return jnp.stack(rows)


def test_gradients_of_the_mixture():
    """The path gradient vanishes at the optimum, batch by batch; means agree off it.

    The total gradient is noise at the optimum: the negative control.
    """
    mixture = Symmetrized(skew((3,)), symmetry_group((3,), ("sign", "translations")))
    path, total = np.asarray(gradients(mixture, mixture, jr.split(jr.key(7), 64)))
    assert np.max(np.abs(path)) < 1e-11
    assert np.max(np.abs(total)) > 1e-2
    other = jax.tree.map(lambda x: 1.5 * x + 0.2, mixture)
    batches = jr.split(jr.key(8), (200, 64))
    rows = np.stack([gradients(other, mixture, keys) for keys in batches])
    difference = rows[:, 0] - rows[:, 1]
    mean, error = np.mean(difference, axis=0), np.std(difference, axis=0)
    error = error / math.sqrt(len(rows))
    assert np.max(np.abs(mean / error)) < 5
    assert np.max(error) < 0.1 * np.max(np.abs(np.mean(rows[:, 1], axis=0)))


def test_invalid_mixtures_are_refused():
    model, group = skew((4, 6)), symmetry_group((4, 6), ALL)
    with pytest.raises(ValueError, match="not a group"):
        Symmetrized(model, group[:5])
    with pytest.raises(ValueError, match="more than the identity"):
        Symmetrized(model, symmetry_group((4, 6), ()))
    with pytest.raises(ValueError, match=r"group on \(5,\), model on \(4, 6\)"):
        Symmetrized(model, symmetry_group((5,), ("sign",)))

    class Approximate(Skew):
        likelihood = Likelihood("approximate", normalized=True)

    approximate = Approximate(model.mean, model.log_std, (4, 6))
    with pytest.raises(ValueError, match="got Approximate: approximate, normalised"):
        Symmetrized(approximate, group)
