"""A value known without sampling, and where it comes from."""

import dataclasses

import numpy as np
from jaxtyping import Float

Number = float | Float[np.ndarray, "*shape"]
EPS = float(np.finfo(float).eps)


@dataclasses.dataclass(frozen=True)
class Known:
    """`value`, a bound or one standard `error` on it, and the method or reference.

    Both numbers are floats, or arrays of one shape. An `error` that comes from a
    truncation is the change of the value between two resolutions; one of rounding knows
    how much has cancelled.
    """

    value: Number
    error: Number
    source: str

    @property
    def is_finite(self) -> bool:
        """Whether value and error are numbers."""
        return bool(np.all(np.isfinite(self.value)) and np.all(np.isfinite(self.error)))


class UnknownError(Exception):
    """Nothing is known; the message says why, for the person who asked."""


def compared(
    fine: Number,
    coarse: Number,
    *,
    rounding: float,
    source: str,
    size: float | None = None,
) -> Known:
    """`fine`, known as well as it agrees with `coarse`, never better than rounding.

    Rounding is relative to `size`, that of the terms where they can cancel in `fine`;
    to `fine` itself if it is not given. What is left of a truncation is less than three
    times the last change, if every change is three quarters of the one before or less.
    """
    of_rounding = rounding * (np.abs(fine) if size is None else size)
    error = 3 * np.abs(np.subtract(fine, coarse)) + of_rounding
    if np.ndim(fine) == 0:
        return Known(float(fine), float(error), source)
    return Known(np.asarray(fine), error, source)
