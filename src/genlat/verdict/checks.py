"""Tests that a right run passes: each a probability, judged as families.

A run asks dozens of questions, so that one of them is answered badly by chance. A
family of N tests is doubted where the least probability times N (Bonferroni) is below
`DOUBTED`, and refused below `REFUSED`: a right run is refused by a family once in a
thousand times, however many tests it has, and a wrong one is as visible as it can be.
With 48 pulls of Gaussian numbers that is 3.7 and 4.3 errors.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from scipy import stats

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


def of_pull(pull: float, freedom: float) -> float:
    """Two-sided probability of a pull, by Student's t. NaN is as far as can be."""
    if math.isnan(pull):
        return 0.0
    law = stats.norm if math.isinf(freedom) else stats.t(freedom)
    return float(2 * law.sf(abs(pull)))


def bound(n_tests: int, level: float) -> float:
    """The pull beyond which one of `n_tests` Gaussian ones is seen with `level`."""
    return float(stats.norm.isf(level / (2 * max(n_tests, 1))))


def pooled_freedom(*parts: tuple[float, float]) -> float:
    """Of a sum of (error, degrees of freedom), by Satterthwaite."""
    total = sum(error**2 for error, _ in parts)
    if total == 0:
        return math.inf
    inverse = sum((error**2 / total) ** 2 / freedom for error, freedom in parts)
    return 1 / inverse if inverse else math.inf


def family(checks: Sequence[Mapping[str, Any]], kind: Kind) -> list[Json]:
    """The tests of one kind, the least probable first, with `p_family` times N."""
    chosen = [dict(check) for check in checks if check["kind"] == kind]
    for check in chosen:
        check["p_family"] = min(1.0, check["p_value"] * len(chosen))
    return sorted(chosen, key=lambda check: check["p_value"])
