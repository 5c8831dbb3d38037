"""Kernels simulated with their coupling: the joint distribution of κ and φ.

With p(κ, φ) ∝ e^{-S_κ(φ)} on an interval of κ, the marginal of κ is Z(κ), known without
a draw. Alternating exact draws of κ | φ with steps of a kernel must reproduce it, and
every moment of κ and φ: a wrong kernel at any κ pulls the two apart.

**Source:** Geweke, J. Am. Stat. Assoc. 99, 799 (2004).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from compiled_for_tests import RUNS_LONG
from genlat import lattice
from genlat.actions.phi4 import Phi4
from genlat.exact.known import known
from genlat.mcmc import metropolis
from genlat.mcmc.base import AbstractKernel, ChainInfo, ChainState
from genlat.mcmc.cluster import SignCluster
from genlat.mcmc.hmc import HMC
from genlat.mcmc.metropolis import Metropolis
from genlat.mcmc.noise import uniform
from genlat.mcmc.sequence import Sequence

STRIP, STRIP_LAM, STRIP_KAPPAS = (4, 2), 0.17, (0.05, 0.35)
FREE, FREE_LAM, FREE_KAPPAS = (4, 6), 0.0, (0.03, 0.19)
MOMENTS = ["kappa", "kappa2", "phi2", "kappa_phi2", "mag2", "action_density"]
N_CHAINS, N_THERM = 2048, 60
Make = Callable[[Phi4], AbstractKernel]


def exact_moments(shape, lam, interval):
    """By Gauss-Legendre quadrature over κ of exact averages, weighted with Z(κ)."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    kappas = np.interp(nodes, (-1, 1), interval)
    at = [known(Phi4(shape, kappa, lam)) for kappa in kappas]
    log_z, phi2, mag2, action_density = (
        np.array([values[key].value for values in at])
        for key in ("log_z", "phi2", "mag2", "action_density")
    )
    p = weights * np.exp(log_z - log_z.max())
    p /= p.sum()
    columns = (kappas, kappas**2, phi2, kappas * phi2, mag2, action_density)
    return {name: p @ column for name, column in zip(MOMENTS, columns, strict=True)}


def draw_kappa(key, phi, interval):
    """Exactly from p(κ | φ) ∝ e^{2κH}, H = Σ_x φ_x Σ_μ φ_{x+μ}, by its inverse CDF."""
    low, high = interval
    phi = phi.astype(jnp.float64)
    slope = 2 * jnp.sum(phi * lattice.forward_neighbour_sum(phi))
    u = jr.uniform(key, dtype=jnp.float64)
    return low + jnp.log1p(u * jnp.expm1(slope * (high - low))) / slope


def simulate(make: Make, shape, lam, interval, n_steps, n_each=2):
    """Chain means of the moments and of e^-ΔH, every chain on its own.

    `n_each` steps of the kernel between draws of κ, so that what it carries from one
    step to the next is tested as well.
    """

    def one_chain(key):
        def cycle(phi, t):
            key_kappa, key_steps = jr.split(jr.fold_in(key, t))
            kappa = draw_kappa(key_kappa, phi, interval)
            action = Phi4(shape, kappa, lam)
            kernel = make(action)
            state, info = jax.lax.scan(
                lambda state, key: kernel.step(key, state),
                kernel.init(phi),
                jr.split(key_steps, n_each),
            )
            phi = state.phi
            field = phi.astype(jnp.float64)
            phi2 = jnp.mean(field**2)
            measured = {
                "kappa": kappa,
                "kappa2": kappa**2,
                "phi2": phi2,
                "kappa_phi2": kappa * phi2,
                "mag2": jnp.mean(field) ** 2,
                "action_density": action(phi) / field.size,
                "exp_delta_h": jnp.mean(jnp.exp(-info.delta_h)),
                "acceptance": jnp.mean(info.acceptance),
            }
            return phi, measured

        start = 0.7 * jr.normal(jr.fold_in(key, 0), shape, jnp.float32)
        _, history = jax.lax.scan(cycle, start, 1 + jnp.arange(N_THERM + n_steps))
        return {name: jnp.mean(x[N_THERM:]) for name, x in history.items()}

    keys = jr.split(jr.key(17), N_CHAINS)
    run = jax.jit(jax.vmap(one_chain), compiler_options=RUNS_LONG)
    return jax.device_get(run(keys))


def pull(chain_means, exact):
    """(mean - exact) / error and the error, from the scatter of independent chains."""
    error = chain_means.std(ddof=1) / np.sqrt(chain_means.size)
    return (chain_means.mean() - exact) / error, error


KERNELS = {
    "hmc": lambda action: HMC(action, 0.37, 3),
    "minimum_norm": lambda action: HMC(action, 0.62, 2, "minimum_norm"),
    "metropolis": lambda action: Metropolis(action, 1.6),
    "sequence": lambda action: Sequence((HMC(action, 0.35, 2), SignCluster(action))),
}


@pytest.fixture(scope="module")
def exact():
    return {
        "strip": exact_moments(STRIP, STRIP_LAM, STRIP_KAPPAS),
        "free": exact_moments(FREE, FREE_LAM, FREE_KAPPAS),
    }


def pulls(means, exact):
    return {name: pull(means[name], exact[name])[0] for name in MOMENTS}


@pytest.mark.parametrize("name", KERNELS)
def test_joint_distribution_of_coupling_and_interacting_field(name, exact):
    means = simulate(KERNELS[name], STRIP, STRIP_LAM, STRIP_KAPPAS, n_steps=300)
    found = pulls(means, exact["strip"])
    assert max(map(abs, found.values())) < 5, found
    assert pull(means["kappa"], 0.0)[1] < 3e-4
    assert 0.4 < means["acceptance"].mean() < 0.95  # so that rejections matter
    _check_energy_identity(name, means)


@pytest.mark.parametrize("name", ["hmc", "minimum_norm"])
def test_joint_distribution_of_coupling_and_free_field(name, exact):
    means = simulate(KERNELS[name], FREE, FREE_LAM, FREE_KAPPAS, n_steps=150)
    found = pulls(means, exact["free"])
    assert max(map(abs, found.values())) < 5, found
    assert pull(means["kappa"], 0.0)[1] < 1.5e-4
    _check_energy_identity(name, means)


def _check_energy_identity(name, means):
    """⟨e^-ΔH⟩ = 1 at any κ, so in their mixture."""
    if name in ("hmc", "minimum_norm"):
        deviation, error = pull(means["exp_delta_h"], 1.0)
        assert abs(deviation) < 5
        assert 0 < error < 1e-3


class _Wrong(AbstractKernel):
    """HMC as one would write it by mistake: trajectory from `guide`, the rest apart."""

    guide: HMC
    action: Phi4
    accepts: bool = eqx.field(static=True)
    knows_momentum: bool = eqx.field(static=True)

    def init(self, phi):
        return ChainState(phi, self.action(phi))

    def step(self, key, state):
        key_momentum, key_accept = jr.split(key)
        pi = jr.normal(key_momentum, state.phi.shape, state.phi.dtype)
        phi, pi_new = self.guide.trajectory(state.phi, pi)
        kinetic = jnp.sum(pi_new**2 - pi**2).astype(state.action.dtype) / 2
        delta_h = self.action(phi) - state.action + self.knows_momentum * kinetic
        acceptance = jnp.exp(jnp.minimum(-delta_h, 0)) if self.accepts else 1.0
        is_accepted = uniform(key_accept, (), delta_h.dtype) < acceptance
        new = self.init(jnp.where(is_accepted, phi, state.phi))
        return new, ChainInfo(jnp.asarray(acceptance, delta_h.dtype), delta_h)


class _Simultaneous(AbstractKernel):
    """Metropolis without a checkerboard: every site sees its old neighbours."""

    action: Phi4

    def init(self, phi):
        return ChainState(phi, self.action(phi))

    def step(self, key, state):
        key_proposal, key_accept = jr.split(key)
        phi = state.phi
        proposal = phi + 1.6 * (2 * jr.uniform(key_proposal, phi.shape, phi.dtype) - 1)
        change = metropolis.local_change(self.action, phi, proposal)
        log_u = jnp.log(jr.uniform(key_accept, phi.shape, phi.dtype))
        new = self.init(jnp.where(log_u < -change, proposal, phi))
        return new, ChainInfo(jnp.ones_like(new.action), jnp.zeros_like(new.action))


def other(action, factor):
    return Phi4(action.lattice_shape, factor * action.kappa, action.lam)


WRONG = {
    "force of another coupling, always accepted": lambda a: _Wrong(
        HMC(other(a, 0.9), 0.1, 10), a, accepts=False, knows_momentum=True
    ),
    "acceptance without the kinetic energy": lambda a: _Wrong(
        HMC(a, 0.3, 4), a, accepts=True, knows_momentum=False
    ),
    "half the coupling of a bond": lambda a: Sequence(
        (HMC(a, 0.35, 2), SignCluster(other(a, 0.5)))
    ),
    "no checkerboard": _Simultaneous,
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_kernel_does_not_keep_the_joint_distribution(name, exact):
    means = simulate(WRONG[name], STRIP, STRIP_LAM, STRIP_KAPPAS, n_steps=100)
    found = pulls(means, exact["strip"])
    assert max(map(abs, found.values())) > 10, found


def test_a_wrong_force_costs_acceptance_and_nothing_else(exact):
    """The control of the controls: with the right acceptance it is a valid kernel."""

    def make(action):
        guide = HMC(other(action, 0.9), 0.3, 4)
        return _Wrong(guide, action, accepts=True, knows_momentum=True)

    means = simulate(make, STRIP, STRIP_LAM, STRIP_KAPPAS, n_steps=100)
    found = pulls(means, exact["strip"])
    assert max(map(abs, found.values())) < 5, found
