"""The one shape of a result: a value with its error."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Estimate:
    """`value` with its one-sigma statistical `error`.

    `error` already contains autocorrelation and reweighting; systematic effects
    never. `bias` is the leading-order bias left uncorrected in `value` (0 where there
    is none), `n` the number of draws, `n_eff` how many independent draws of p they are
    worth.
    """

    value: float
    error: float
    bias: float
    n: int
    n_eff: float
    method: str

    def __str__(self) -> str:
        """Two significant digits of error: `-12.3456(78)`."""
        if not (math.isfinite(self.error) and self.error > 0):
            return f"{self.value:.6g}({self.error:.2g})"
        error = float(f"{self.error:.1e}")
        digits = max(0, 1 - math.floor(math.log10(error)))
        in_brackets = f"{error:.1f}" if digits == 0 and error < 10 else None
        return f"{self.value:.{digits}f}({in_brackets or round(error * 10**digits)})"
