r"""Tests that a right run passes: each a probability, judged as families.

A run asks dozens of questions, so that one of them is answered badly by chance. The
least probability of N tests times N (Bonferroni) is that of the family, and times the
number of families that of the run. Below `DOUBTED` it is a doubt, below `REFUSED` a
fault: a right run is doubted once in a hundred times and refused once in a thousand,
however many tests it has. With one family of 48 pulls of Gaussian numbers that is 3.7
and 4.3 errors.

A pull of few or skew draws is not Gaussian. Student's t has the degrees of freedom of
its error; the skewness g of its value is taken out by Hall's transformation
$T + g T^2/3 + g^2 T^3/27 + g/6$, which at T = -5 and g = 0.2 makes -3.5 of it.

**Source:** Hall, J. R. Stat. Soc. B 54, 221 (1992), for the transformation.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from scipy import special

DOUBTED, REFUSED = 1e-2, 1e-3
RESOLVED_N_EFF = 100.0
"""Independent samples behind both sides of a test that may refuse a run."""

Json = dict[str, Any]
Kind = Literal["agreement", "coverage", "equilibrium"]
KINDS: tuple[Kind, ...] = ("agreement", "coverage", "equilibrium")


class Check(NamedTuple):
    """One question to the data.

    - `kind`: its family. `about`: what is asked, `says`: the sentence if it fails.
    - `p_value`: of an outcome as far off or farther, if all is right.
    - `pull`: the difference in errors, where it is one; `log_ratio`: of what should be
      one, for `coverage`.
    - `is_firm`: whether it may refuse; otherwise it raises a doubt at most.
    """

    kind: Kind
    about: str
    says: str
    p_value: float
    is_firm: bool = True
    pull: float | None = None
    log_ratio: float | None = None

    def to_json(self) -> Json:
        return self._asdict()


class Side(NamedTuple):
    """What a difference is made of: error, degrees of freedom, skewness."""

    error: float
    freedom: float = math.inf
    skewness: float = 0.0


def side(estimate: Mapping[str, Any]) -> Side:
    """Of an estimate in JSON."""
    freedom = estimate.get("freedom", math.inf)
    return Side(estimate["error"], freedom, estimate.get("skewness", 0.0))


def of_pull(pull: float, *sides: Side) -> float:
    """Two-sided probability of a pull, that of the first side less those of others.

    NaN is as far as can be.
    """
    if math.isnan(pull):
        return 0.0
    total = sum(side.error**2 for side in sides)
    if total == 0:
        return _two_sided(pull, math.inf)
    shares = [side.error**2 / total for side in sides]
    inverse = sum(s**2 / x.freedom for s, x in zip(shares, sides, strict=True))
    signs = [1.0, *[-1.0] * (len(sides) - 1)]
    g = sum(
        sign * s**1.5 * x.skewness
        for sign, s, x in zip(signs, shares, sides, strict=True)
    )
    straight = pull + g * pull**2 / 3 + g**2 * pull**3 / 27 + g / 6
    return _two_sided(straight, 1 / inverse if inverse else math.inf)


def _two_sided(pull: float, freedom: float) -> float:
    if math.isinf(freedom):
        return math.erfc(abs(pull) / math.sqrt(2))
    return float(2 * special.stdtr(freedom, -abs(pull)))


def bound(n_tests: int, level: float) -> float:
    """The pull beyond which one of `n_tests` Gaussian ones is seen with `level`."""
    return float(-special.ndtri(level / (2 * max(n_tests, 1))))


class OfFamily(NamedTuple):
    """A test among those of its kind.

    `p_run` is the probability that some test of a right run is as bad: that of the test
    times the number of its kind, times the number of kinds.
    """

    check: Check
    p_run: float


def family(checks: Sequence[Check], kind: Kind) -> list[OfFamily]:
    """The tests of one kind, the least probable first."""
    chosen = [check for check in checks if check.kind == kind]
    n_tests = len(chosen) * n_kinds(checks)
    chosen.sort(key=lambda check: check.p_value)
    return [OfFamily(x, min(1.0, x.p_value * n_tests)) for x in chosen]


def n_kinds(checks: Sequence[Check]) -> int:
    """The number of families that a run has."""
    return len({check.kind for check in checks})
