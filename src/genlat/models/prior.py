"""What a flow starts from: a density that is known mode by mode."""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
from jax import lax
from jaxtyping import Array, Float, Key

from genlat.models import fourier
from genlat.models.base import AbstractFlow

Pad = Callable[[Float[Array, " orbits"]], Float[Array, " orbits_there"]]
"""A function of the orbits of momenta, as one of those of another lattice."""


class AbstractPrior(AbstractFlow):
    """A density of the real Fourier modes, in a layout of their own (`fourier`)."""

    @abstractmethod
    def sample_modes(
        self, keys: Key[Array, " n"]
    ) -> tuple[Float[Array, "time n *space"], Float[Array, " n"]]:
        """A batch in Fourier space, batch on axis 1, one key each, and its log q."""

    @abstractmethod
    def log_prob_modes(
        self, modes: Float[Array, "time n *space"]
    ) -> Float[Array, " n"]:
        """log q of a batch in Fourier space, float64."""

    @abstractmethod
    def score_modes(
        self, modes: Float[Array, "time n *space"]
    ) -> Float[Array, "time n *space"]:
        """∂ log q/∂modes, in closed form."""

    @abstractmethod
    def log_choice(self, keys: Key[Array, " n"]) -> Float[Array, " n"]:
        """0, float64, with the derivative of ln P of the discrete choices of a draw."""

    @abstractmethod
    def as_pair(self) -> "AbstractPrior":
        """The same density with parameters of one form in both phases."""

    @abstractmethod
    def on(self, lattice_shape: tuple[int, ...], pad: Pad) -> "AbstractPrior":
        """Of another lattice: `pad` takes the logarithm of its spectrum there."""

    def sample_batch(
        self, keys: Key[Array, " n"]
    ) -> tuple[Float[Array, "n *lattice"], Float[Array, " n"]]:
        modes, log_q = self.sample_modes(keys)
        return self._leave(modes), log_q

    def sample_batch_with_score(
        self, keys: Key[Array, " n"]
    ) -> tuple[
        Float[Array, "n *lattice"],
        Float[Array, " n"],
        Float[Array, "n *lattice"],
    ]:
        modes, log_q = self.sample_modes(keys)
        still, frozen = lax.stop_gradient((modes, self))
        score = self._leave(frozen.score_modes(still))
        log_q = lax.stop_gradient(log_q) + self.log_choice(keys)
        return self._leave(modes), log_q, score

    def log_prob_batch(self, phis: Float[Array, "n *lattice"]) -> Float[Array, " n"]:
        return self.log_prob_modes(fourier.enter(phis, len(self.components)))

    def _leave(self, modes: Float[Array, "time *batch_and_space"]) -> Array:
        return fourier.leave(modes, len(self.components))


class AbstractPriorFlow(AbstractFlow):
    """A flow that carries draws of a prior to those of its own."""

    prior: eqx.AbstractVar[AbstractPrior]
