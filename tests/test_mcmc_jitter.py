"""Trajectories of random length: what those of one length remember for ever."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat.actions.phi4 import Phi4
from genlat.estimators import autocorrelation
from genlat.mcmc import runner
from genlat.mcmc.hmc import HMC

ACTION = Phi4((1,), 0.1, 0.0)  # one site that meets itself: S = 0.8 φ²
N_LEAPFROG = 8
# of which the leapfrog turns the phase of this mode by π: φ comes out as -φ
STEP = 2 * math.sin(math.pi / N_LEAPFROG / 2) / math.sqrt(1.6)


def history(jitter):
    kernel = HMC(ACTION, STEP, N_LEAPFROG, jitter=jitter)
    phis = jr.normal(jr.key(1), (32, 1))
    states = jax.vmap(kernel.init)(phis)
    _, found = runner.run_chunk(
        kernel,
        states,
        jr.key(2),
        0,
        n_samples=400,
        thin=1,
        measure=lambda phi: {"phi2": jnp.sum(phi**2)},
    )
    return {name: np.asarray(x) for name, x in found.items()}


def test_a_trajectory_of_the_wrong_length_remembers_the_modulus():
    phi2 = history(jitter=0.0)["phi2"]
    np.testing.assert_allclose(phi2, np.broadcast_to(phi2[:, :1], phi2.shape))


def test_random_lengths_forget_it_and_leave_the_density_as_it_is():
    found = history(jitter=0.2)
    phi2 = autocorrelation.mean(found["phi2"])
    assert phi2.error < 0.05
    assert abs(phi2.value - 1 / 1.6) < 5 * phi2.error
    balance = autocorrelation.mean(np.exp(-found["delta_h"]))
    assert balance.error < 0.02
    assert abs(balance.value - 1) < 5 * balance.error


@pytest.mark.parametrize("jitter", [-0.1, 1.0])
def test_a_step_stays_positive(jitter):
    with pytest.raises(ValueError, match="jitter must be in"):
        HMC(ACTION, jitter=jitter)


def test_steps_lie_around_the_one_that_was_tuned():
    kernel = HMC(ACTION, STEP, N_LEAPFROG, jitter=0.2)
    keys = jr.split(jr.key(3), 4000)
    steps = np.asarray(jax.vmap(lambda key: kernel._jittered(key).step_size)(keys))
    assert 0.8 * STEP <= steps.min() < 0.81 * STEP
    assert 1.19 * STEP < steps.max() <= 1.2 * STEP
    error = 0.2 * STEP / math.sqrt(3 * len(keys))
    assert abs(steps.mean() - STEP) < 5 * error
