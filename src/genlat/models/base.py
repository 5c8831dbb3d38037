"""The interface of a model: a normalised density that can be sampled."""

from abc import abstractmethod
from typing import ClassVar, Literal

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray


class AbstractModel(eqx.Module):
    """A density q(φ) over configurations of `lattice_shape`. Knows no action.

    `likelihood` says what `log_q` is: exact, a biased or noisy approximation, or
    absent; `normalized` whether q integrates to 1. Estimators ask for what they need.
    """

    lattice_shape: eqx.AbstractVar[tuple[int, ...]]
    likelihood: ClassVar[Literal["exact", "approximate", "none"]]
    normalized: ClassVar[bool]

    @abstractmethod
    def sample_and_log_prob(
        self, key: PRNGKeyArray
    ) -> tuple[Float[Array, "*lattice"], Float[Array, ""]]:
        """One configuration and its log q, float64."""

    @abstractmethod
    def log_prob(self, phi: Float[Array, "*lattice"]) -> Float[Array, ""]:
        """log q of a given configuration, float64."""
