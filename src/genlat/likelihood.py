"""What a model knows of its own density. No JAX here."""

from typing import Literal, NamedTuple


class Likelihood(NamedTuple):
    """What a model's log q is, and whether q is a probability.

    - `kind`: `exact`, to rounding; `path`, of the whole path from the prior to a
      configuration, forward over backward, so that weights are of paths; `approximate`:
      a bound, or noisy, or truncated; `none`.
    - `normalized`: whether the factor between q and a probability is known.
    """

    kind: Literal["exact", "path", "approximate", "none"]
    normalized: bool

    def __str__(self) -> str:
        if self.kind == "none":
            return "none"
        norm = "normalised" if self.normalized else "not normalised"
        return f"{self.kind}, {norm}"


EXACT = Likelihood("exact", normalized=True)
EVERY = (
    EXACT,
    Likelihood("exact", normalized=False),
    Likelihood("path", normalized=True),
    Likelihood("path", normalized=False),
    Likelihood("approximate", normalized=True),
    Likelihood("approximate", normalized=False),
    Likelihood("none", normalized=False),
)
"""All that a model can have."""
