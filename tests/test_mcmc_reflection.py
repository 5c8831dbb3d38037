"""The global sign flip, and which chains count as evidence about modes."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat.actions.phi4 import Phi4
from genlat.mcmc.cluster import SignCluster
from genlat.mcmc.hmc import HMC
from genlat.mcmc.metropolis import Metropolis
from genlat.mcmc.reflection import Reflection
from genlat.mcmc.sequence import Sequence

ACTION = Phi4((4, 6), 0.31, 0.17)


def test_half_of_the_configurations_flip_and_nothing_else_changes():
    kernel, phi = Reflection(ACTION), jr.normal(jr.key(0), (4, 6)) + 0.3
    keys, state = jr.split(jr.key(1), 4000), kernel.init(phi)
    states, infos = jax.vmap(kernel.step, (0, None))(keys, state)
    signs = np.sign(np.asarray(states.phi)[:, 0, 0] * float(phi[0, 0]))
    np.testing.assert_array_equal(states.phi, signs[:, None, None] * np.asarray(phi))
    assert abs(signs.mean()) < 5 / np.sqrt(4000)
    assert np.all(states.action == state.action)
    assert np.all(infos.acceptance == 1)
    assert float(ACTION(-phi)) == pytest.approx(float(state.action), rel=1e-14)


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (HMC(ACTION), False),
        (Metropolis(ACTION), False),
        (SignCluster(ACTION), True),
        (Reflection(ACTION), True),
        (Sequence((HMC(ACTION), Metropolis(ACTION))), False),
        (Sequence((HMC(ACTION), SignCluster(ACTION))), True),
        (Sequence((Metropolis(ACTION), Sequence((Reflection(ACTION),)))), True),
    ],
)
def test_which_kernels_provably_visit_every_mode(kernel, expected):
    assert kernel.visits_every_mode is expected


def test_it_keeps_single_precision():
    kernel = Reflection(ACTION)
    state = kernel.init(jnp.ones((4, 6), jnp.float32))
    new, _ = kernel.step(jr.key(0), state)
    assert new.phi.dtype == jnp.float32
