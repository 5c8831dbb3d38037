"""The interfaces of a model: a normalised density, and one that is reparametrised.

Batches carry the batch on axis 0, `(n, *lattice)`.
"""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float, Key, Num, PRNGKeyArray

from genlat.likelihood import Likelihood


class AbstractModel(eqx.Module):
    """A density q(φ) over configurations of `lattice_shape`. Knows no action.

    Of spins ±1, which are integers, it is the probability.

    `likelihood` says what `log_q` is, and whether q integrates to 1. Estimators ask for
    what they need.
    """

    lattice_shape: eqx.AbstractVar[tuple[int, ...]]
    likelihood: eqx.AbstractClassVar[Likelihood]

    @property
    def components(self) -> tuple[int, ...]:
        """Axes of a value of the field, behind those of the lattice."""
        return ()

    @property
    def field_shape(self) -> tuple[int, ...]:
        """Of a configuration, as that of an action."""
        return (*self.lattice_shape, *self.components)

    @abstractmethod
    def sample_batch(
        self, keys: Key[Array, " n"]
    ) -> tuple[Num[Array, "n *lattice"], Float[Array, " n"]]:
        """One configuration per key, and log q, float64.

        A draw depends on its own key alone, not on its place or the batch.
        """

    @abstractmethod
    def log_prob_batch(self, phis: Num[Array, "n *lattice"]) -> Float[Array, " n"]:
        """log q of given configurations, float64."""

    def sample_and_log_prob(
        self, key: PRNGKeyArray
    ) -> tuple[Num[Array, "*lattice"], Float[Array, ""]]:
        """One configuration and its log q, float64."""
        phis, log_q = self.sample_batch(key[None])
        return phis[0], log_q[0]

    def log_prob(self, phi: Num[Array, "*lattice"]) -> Float[Array, ""]:
        """log q of a given configuration, float64."""
        return self.log_prob_batch(phi[None])[0]


class AbstractFlow(AbstractModel):
    """A model whose draws are differentiable functions of its parameters."""

    @abstractmethod
    def sample_batch_with_score(
        self, keys: Key[Array, " n"]
    ) -> tuple[
        Float[Array, "n *lattice"],
        Float[Array, " n"],
        Float[Array, "n *lattice"],
    ]:
        """`sample_batch` and the score ∂ log q/∂φ, as a path gradient wants them.

        The score is a constant. The derivative of log q is not its own but that of ln P
        of the discrete choices in drawing, of which most models make none.
        """


class AbstractIntegratedFlow(AbstractFlow):
    """A flow of which the number of integration steps is a part of its log q."""

    n_steps: eqx.AbstractVar[int]

    @abstractmethod
    def with_steps(self, n_steps: int) -> "AbstractIntegratedFlow":
        """The same flow, integrated with another number of steps."""
