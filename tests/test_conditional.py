"""One model for an interval of couplings: interpolation, training, exact values."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat import exact
from genlat.actions.gap import best_symmetric
from genlat.actions.phi4 import Phi4
from genlat.estimators import weights
from genlat.models import cnf
from genlat.models.conditional import Conditional
from genlat.models.gaussian import GaussianPair
from genlat.training import loop
from genlat.training.across import AcrossCouplings, with_coupling
from genlat.training.objectives import ForwardKL, PathReverseKL, ReverseKL
from models_for_tests import a_model, a_spectrum

NODES = (0.1, 0.2, 0.25, 0.25, 0.4)


def shifted(model, by):
    return jax.tree.map(lambda leaf: leaf + by, model)


@pytest.fixture
def family():
    model = a_model((4, 6))
    return Conditional([shifted(model, 0.1 * k) for k in range(5)], NODES)


def leaves_of(model):
    return jax.flatten_util.ravel_pytree(eqx.filter(model, eqx.is_inexact_array))[0]


def test_parameters_are_linear_between_nodes(family):
    first = leaves_of(a_model((4, 6)))
    for coupling, expected in [
        (0.1, 0.0), (0.2, 0.1), (0.13, 0.03), (0.225, 0.15), (0.31, 0.34), (0.4, 0.4),
    ]:  # fmt: skip
        np.testing.assert_allclose(
            leaves_of(family.at(coupling)) - first, expected, atol=1e-12
        )


def test_a_node_given_twice_is_a_jump(family):
    first = leaves_of(a_model((4, 6)))
    below, above = (leaves_of(family.at(0.25 + e)) - first for e in (-1e-13, 1e-13))
    np.testing.assert_allclose(below, 0.2, atol=1e-9)
    np.testing.assert_allclose(above, 0.3, atol=1e-9)


def test_at_a_node_given_twice_it_is_the_one_above(family):
    """Exactly there an interval ends and one of the same value begins: no 0/0."""
    first = leaves_of(a_model((4, 6)))
    np.testing.assert_allclose(leaves_of(family.at(0.25)) - first, 0.3, atol=1e-12)
    np.testing.assert_array_equal(family.weights(0.25), [0, 0, 0, 1, 0])


def test_outside_it_is_the_model_of_the_last_node(family):
    for outside, end in [(0.0, 0.1), (0.7, 0.4)]:
        np.testing.assert_array_equal(
            leaves_of(family.at(outside)), leaves_of(family.at(end))
        )


def test_positions_visit_intervals_equally(family):
    found = [float(family.coupling(x)) for x in np.linspace(0, 1, 7)]
    np.testing.assert_allclose(
        found, [0.1, 0.15, 0.2, 0.225, 0.25, 0.325, 0.4], rtol=1e-12
    )


def test_a_coupling_teaches_its_two_nodes_only(family):
    phis, _ = family.at(0.3).sample_batch(jr.split(jr.key(0), 3))

    def log_q(family):
        return jnp.sum(family.at(0.3).prior.log_prob_batch(phis))

    slope = eqx.filter_grad(log_q)(family).table.prior.log_std
    np.testing.assert_array_equal(np.any(slope != 0, axis=1), [0, 0, 0, 1, 1])


@pytest.mark.parametrize(
    "nodes",
    [
        (0.1,),
        (0.2, 0.1),
        (0.1, 0.1),
        (0.1, 0.2, 0.2, 0.2, 0.3),
        (0.1, 0.1, 0.2),
        (0.1, 0.2, 0.2),
    ],
)
def test_impossible_nodes_are_refused(nodes):
    with pytest.raises(ValueError, match="nodes must increase"):
        Conditional([a_model((5,))] * len(nodes), nodes)


def test_models_of_two_architectures_are_refused():
    with pytest.raises(ValueError, match="of one architecture, got 2 of 2"):
        Conditional([a_model((5,)), a_model((5,), mean=0.0)], (0.1, 0.2))


def test_as_pair_is_the_same_density():
    single = GaussianPair(a_spectrum((4, 6)))
    pair = single.as_pair()
    keys = jr.split(jr.key(3), 5)
    phis, log_q = single.sample_batch(keys)
    same, log_q_pair = pair.sample_batch(keys)
    np.testing.assert_array_equal(phis, same)
    np.testing.assert_allclose(log_q_pair, log_q, rtol=1e-12)
    np.testing.assert_allclose(pair.log_prob_batch(phis), log_q, rtol=1e-6)
    assert pair.mean == 0
    assert pair.as_pair() is pair


SHAPE, LAM = (4, 4), 0.3


@pytest.fixture(scope="module")
def trained():
    """A family for κ in [0.1, 0.3] on a lattice whose ln Z is known."""
    nodes = (0.1, 0.2, 0.3)
    models = []
    for kappa in nodes:
        best = best_symmetric(Phi4(SHAPE, kappa, LAM))
        models.append(cnf.build(best.variance, best.mean, jr.key(0), n_features=4))
    settings = loop.Settings(steps=240, batch=64)
    state = loop.init(Conditional(models, nodes), settings, jr.key(1))
    objective = AcrossCouplings(PathReverseKL(), ("kappa",))
    state, _ = loop.run_chunk(state, Phi4(SHAPE, 0.2, LAM), objective, settings, 240)
    return state.model


@eqx.filter_jit
def draws(family, kappa, keys):
    model, action = family.at(kappa).with_steps(16), Phi4(SHAPE, 0.2, LAM)
    action = with_coupling(action, "kappa", kappa)
    phis, log_q = model.sample_batch(keys)
    hopping = -jax.vmap(jax.grad(lambda k, phi: with_coupling(action, "kappa", k)(phi)),
                        in_axes=(None, 0))(kappa, phis)  # fmt: skip
    return -jax.vmap(action)(phis) - log_q, hopping


@pytest.mark.parametrize("kappa", [0.1, 0.13, 0.25, 0.3])
def test_ln_z_and_its_slope_are_exact_at_and_between_nodes(trained, kappa):
    """One training, and F and dF/dκ = -2⟨H⟩ anywhere inside."""
    log_w, slope = draws(trained, jnp.asarray(kappa), jr.split(jr.key(4), 20_000))
    log_w, slope = np.asarray(log_w), np.asarray(slope)
    assert weights.ess(log_w) > 0.95
    found, measured = weights.log_z(log_w), weights.reweighted_mean(log_w, slope)
    step = 1e-4
    known = [
        float(exact.known(Phi4(SHAPE, kappa + e, LAM))["log_z"].value)
        for e in (-step, 0, step)
    ]
    assert found.error < 3e-3
    assert abs(found.value - known[1]) < 5 * found.error
    derivative = (known[2] - known[0]) / (2 * step)
    assert measured.error < 0.02 * derivative
    assert abs(measured.value - derivative) < 5 * measured.error


def test_the_wrong_coupling_is_noticed(trained):
    """Negative control for the test above."""
    log_w, _ = draws(trained, jnp.asarray(0.26), jr.split(jr.key(4), 20_000))
    found = weights.log_z(np.asarray(log_w))
    known = exact.known(Phi4(SHAPE, 0.25, LAM))["log_z"].value
    assert abs(found.value - float(known)) > 5 * found.error


def test_two_couplings_by_nesting():
    """A table of tables: parameters are bilinear, and training reaches all corners."""
    model = a_model((4, 4), n_steps=3, dtype=jnp.float32)
    family = Conditional(
        [
            Conditional(
                [shifted(model, 0.1 * (2 * i + j)) for j in range(2)], (0.0, 0.5)
            )
            for i in range(2)
        ],
        (0.1, 0.3),
    )
    middle = leaves_of(family.at(0.2).at(0.125))
    np.testing.assert_allclose(middle - leaves_of(model), 0.125, atol=1e-5)
    objective = AcrossCouplings(PathReverseKL(), ("kappa", "lam"))
    assert objective.why_unfit(family) is None
    assert "is not conditional" in objective.why_unfit(family.at(0.2))
    settings = loop.Settings(steps=6, batch=4)
    state = loop.init(family, settings, jr.key(1))
    trained, _ = loop.run_chunk(state, Phi4((4, 4), 0.2, 0.2), objective, settings, 6)
    moved = trained.model.table.table.field.kernel != family.table.table.field.kernel
    assert np.all(np.any(moved, axis=(2, 3, 4)))


def test_slices_are_at_couplings_of_their_own_and_their_weights_comparable():
    """Of free fields and their exact priors: ESS 1 over slices of different ln Z."""
    nodes = (0.05, 0.15)
    models = [GaussianPair(best_symmetric(Phi4(SHAPE, k, 0.0)).variance) for k in nodes]
    family, action = Conditional(models, nodes), Phi4(SHAPE, 0.1, 0.0)
    objective = AcrossCouplings(ReverseKL(), ("kappa",))
    losses, weights_of = [], []
    for key in jr.split(jr.key(1), 3):
        loss, log_w = objective(family, action, jr.split(key, 8))
        losses.append(float(loss))
        weights_of.append(log_w)
    assert np.ptp(losses) > 1e-3  # ln Z of other couplings
    assert weights.ess(np.concatenate(weights_of)) > 0.99
    np.testing.assert_allclose(
        [np.mean(np.exp(log_w)) for log_w in weights_of], 1, rtol=1e-10
    )


def test_a_conditional_model_is_trained_across_its_couplings_only(family):
    settings = loop.Settings(steps=1, batch=2)
    state = loop.init(family, settings, jr.key(1))
    with pytest.raises(ValueError, match="is trained by AcrossCouplings alone"):
        loop.run_chunk(state, Phi4((4, 6), 0.2, 0.2), PathReverseKL(), settings, 1)
    with pytest.raises(ValueError, match="samples of p, which are of one coupling"):
        AcrossCouplings(ForwardKL(np.ones((3, 4, 6))), ("kappa",))
