"""The interface of a Markov transition."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray, Shaped


class ChainState(eqx.Module):
    """Current configuration and its action, kept so that no step computes it twice."""

    phi: Shaped[Array, "*lattice"]
    action: Float[Array, ""]


class ChainInfo(eqx.Module):
    """For diagnostics only: `acceptance` in [0, 1]; `delta_h`, 0 but for HMC."""

    acceptance: Float[Array, ""]
    delta_h: Float[Array, ""]


class AbstractKernel(eqx.Module):
    """A transition that leaves e^{-S} invariant, on one configuration.

    All kernels share one state, so any sequence of them is a kernel.
    """

    @property
    def visits_every_mode(self) -> bool:
        """Whether it carries φ to -φ by construction, whatever barrier is between.

        Of a theory that declares the symmetry, or has a heat bath for every cluster.
        Only chains of such kernels are evidence that a model misses no mode: others may
        sit in one well for ever, and look thermalised.
        """
        return False

    @abstractmethod
    def init(self, phi: Shaped[Array, "*lattice"]) -> ChainState:
        """State of a chain that starts at `phi`."""

    @abstractmethod
    def step(
        self, key: PRNGKeyArray, state: ChainState
    ) -> tuple[ChainState, ChainInfo]:
        """One transition; the kernel's docstring names its unit."""


class AbstractTunableKernel(AbstractKernel):
    """A kernel whose acceptance falls with its `step_size`.

    Thermalisation moves `step_size`, an array, until `target_acceptance` is met.
    """

    step_size: eqx.AbstractVar[Float[Array, ""]]
    target_acceptance: eqx.AbstractVar[float]
