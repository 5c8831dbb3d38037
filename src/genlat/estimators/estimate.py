"""The one shape of a result: a value with its error."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from genlat.estimators.brief import brief

Number = float | Float[np.ndarray, "*shape"]
Json = dict[str, float | int | str | list | None]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """`value` with its one-sigma statistical `error`; numbers, or arrays of one shape.

    `error` already contains autocorrelation and reweighting; systematic effects
    never. `bias` is the leading-order bias left uncorrected in `value` (0 where there
    is none), `n` the number of draws, `n_eff` how many independent draws of p they are
    worth. Errors of the components of an array are those of each on its own: the
    components are correlated.

    `flaw`, where it is not empty, says why the numbers must not be used; `caution` why
    the error is a lower bound, or not known to be right: the value stands, nothing
    rests on it. `freedom`: degrees of freedom of the error, so that pulls follow
    Student's t; of several components the fewest. `skewness`: of a single value, in
    units of its error: pulls are skew the other way (`estimators.spread`).

    `is_resolved`: whether its autocorrelation time is; `is_biased`: whether it is of
    another density. The caution of either is one that no better error takes away.
    """

    value: Number
    error: Number
    bias: Number
    n: int
    n_eff: Number
    method: str
    flaw: str = ""
    caution: str = ""
    freedom: float = math.inf
    skewness: float = 0.0
    is_resolved: bool = True
    is_biased: bool = False

    __repr__ = brief

    def corrected(self) -> "Estimate":
        """With the leading-order bias taken off the value."""
        return dataclasses.replace(self, value=self.value - self.bias, bias=0.0)

    def __str__(self) -> str:
        """Two significant digits of error: `-12.3456(78)`; arrays in brackets."""
        values, errors = np.ravel(self.value), np.ravel(self.error)
        texts = [_brief(*pair) for pair in zip(values, errors, strict=True)]
        return texts[0] if np.ndim(self.value) == 0 else f"[{', '.join(texts)}]"

    def to_json(self) -> Json:
        """The fields as JSON: arrays as lists, NaN and ±inf, which JSON lacks, null.

        With a `flaw` there is no error to speak of: `error` is null, `unusable` says
        why. `caution`, `freedom` and `skewness` appear where they say something.
        """
        numbers = (self.value, self.error, self.bias, self.n_eff)
        value, error, bias, n_eff = (_jsonable(np.asarray(x).tolist()) for x in numbers)
        content: Json = {
            "value": value,
            "error": error,
            "bias": bias,
            "n": self.n,
            "n_eff": n_eff,
            "method": self.method,
        }
        if math.isfinite(self.freedom):
            content["freedom"] = self.freedom
        if self.skewness:
            content["skewness"] = self.skewness
        if self.caution:
            content["caution"] = self.caution
        if self.flaw:
            content |= {"error": None, "unusable": self.flaw}
        return content


def plain(array: Float[np.ndarray, "*shape"] | np.floating) -> Number:
    """A float where the array has no axes, the array otherwise."""
    return float(array) if np.ndim(array) == 0 else np.asarray(array)


def _brief(value: float, error: float) -> str:
    if not (math.isfinite(error) and error > 0):
        return f"{value:.6g}({error:.2g})"
    power = math.floor(math.log10(max(abs(value), error)))
    if not -8 < power < 12:
        scale = 10.0**power
        return f"{_brief(value / scale, error / scale)}e{power:+d}"
    error = float(f"{error:.1e}")
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f}({round(error * 10**digits)})"


def _jsonable(number: float | list) -> float | list | None:
    if isinstance(number, list):
        return [_jsonable(entry) for entry in number]
    return number if math.isfinite(number) else None
