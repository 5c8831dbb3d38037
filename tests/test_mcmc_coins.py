"""No random number decides twice: one step of exact draws leaves exact draws.

Chains that start in equilibrium need no length: where a step is decided by a number
that made its proposal, averages are off after the first one, odd ones among them.
"""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat.actions.phi4 import Phi4
from genlat.mcmc.hmc import HMC

N = 60_000


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_what_moves_a_field_does_not_accept_it(dtype):
    """Of two free sites ⟨φ⟩ = ⟨φ³⟩ = 0, ⟨φ²⟩ = 1/2 and ⟨φ⁴⟩ = 3/4, one step on."""
    kernel = HMC(Phi4((2,), 0.0, 0.0), 1.1, 2)
    start = (jr.normal(jr.key(1), (N, 2)) / math.sqrt(2)).astype(dtype)

    @jax.jit
    @jax.vmap
    def step(key, phi):
        state, info = kernel.step(key, kernel.init(phi))
        return state.phi, info.acceptance

    phi, acceptance = step(jr.split(jr.key(2), N), start)
    assert 0.3 < np.mean(acceptance) < 0.9  # coins that matter
    for power, exact in ((1, 0.0), (2, 0.5), (3, 0.0), (4, 0.75)):
        values = np.asarray(phi, np.float64) ** power
        error = np.std(values, axis=0) / math.sqrt(N)
        assert np.all(np.abs(np.mean(values, axis=0) - exact) < 4.5 * error), power
