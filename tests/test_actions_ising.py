"""The Ising action against loops over bonds, its derivatives, and what it refuses."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat.actions.ising import Ising

BETA, FIELD = 0.37, 0.21


def spins_on(shape):
    return np.random.default_rng(3).choice(np.array([-1, 1], np.int8), shape)


@pytest.mark.parametrize("shape", [(4, 6), (3, 2, 4), (1, 5), (2,), (2, 3, 2, 2)])
@pytest.mark.parametrize("dtype", [np.int8, np.float32, np.float64])
def test_against_a_loop_over_bonds(shape, dtype):
    spins = spins_on(shape)
    bonds = 0
    for x in itertools.product(*map(range, shape)):
        for axis, extent in enumerate(shape):
            ahead = tuple((c + 1) % extent if i == axis else c for i, c in enumerate(x))
            bonds += int(spins[x]) * int(spins[ahead])
    expected = -BETA * (bonds + FIELD * int(spins.sum(dtype=int)))
    action = Ising(shape, BETA, FIELD)
    found = jax.jit(lambda s: action(s))(spins.astype(dtype))
    assert found.dtype == np.float64
    assert float(found) == pytest.approx(expected, rel=1e-14)


def test_sums_are_exact_beyond_the_range_of_a_spin():
    """65536 aligned spins: int8 would wrap around."""
    action = Ising((256, 256), 1.0, 0.5)
    found = jax.jit(lambda s: action.energy(s))(jnp.ones((256, 256), jnp.int8))
    assert float(found) == -2.5 * 65536


def test_couplings_are_arrays():
    """One can differentiate in them, and map over them."""
    spins = jnp.asarray(spins_on((4, 6)))

    def action(beta, field):
        return Ising((4, 6), beta, field)(spins)

    by_beta, by_field = jax.grad(action, (0, 1))(BETA, FIELD)
    energy = Ising((4, 6), BETA, FIELD).energy(spins)
    assert float(by_beta) == pytest.approx(float(energy))
    total = int(np.asarray(spins).sum(dtype=int))
    assert float(by_field) == pytest.approx(-BETA * total)
    betas = jnp.array([0.1, 0.5])
    np.testing.assert_allclose(
        jax.vmap(lambda b: action(b, FIELD))(betas), betas * energy
    )


@pytest.mark.parametrize("value", [0, 2, -3, 0.5, math.nan])
def test_refuses_other_spins(value):
    spins = np.ones((2, 3))
    spins[1, 1] = value
    with pytest.raises(ValueError, match=r"spins must be \+1 or -1, got"):
        Ising((2, 3), BETA)(jnp.asarray(spins))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (((4, 0), 0.4), "every lattice extent must be >= 1"),
        (((4, 4), math.nan), "couplings must be finite, got beta = nan"),
        (((4, 4), 0.4, math.inf), "couplings must be finite, got field = inf"),
    ],
)
def test_refuses_impossible_arguments(arguments, expected):
    with pytest.raises(ValueError, match=expected):
        Ising(*arguments)
