"""How far methods are from each other, and how sharply each was checked."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from genlat.verdict import checks
from genlat.verdict.checks import Check

Json = Mapping[str, Any]

BIASED = ("variational",)  # averages over q as they are: no estimate of p
ON_DRAWS = frozenset({"nis", "nmcmc"})
SHARING = (ON_DRAWS, frozenset({"p_estimator", "bar"}))
"""Methods that share all their draws, or all samples: no check of each other."""
TOTALS = frozenset({"log_z", "free_energy_density", "entropy_density"})
"""No averages: they are held against each other by the coverage tests."""
SAME = {"free_energy_density": "log_z"}  # the same number again
FROM_P = frozenset({"nis", "p_estimator", "bar"})
"""Methods whose ln Z is compared on the same samples of p."""
FLOAT64 = 2.0**-50  # rounding of a value that was computed in a few steps
LIE = 5.0
"""Errors off, beyond which a number is wrong and not unlucky: what must be seen."""


def pulls(by_method: Mapping[str, Json]) -> dict[str, float]:
    """(a - b) / √(error_a² + error_b²) for every pair of methods of one observable.

    Methods that share their draws are closer than this says: a large pull counts, a
    small one proves nothing. Observables with several components are left out, and
    methods without a finite error or, as averages over q itself, with a bias.
    """
    return {
        f"{first} - {second}": _pull(by_method[first], by_method[second])
        for first, second in _pairs(by_method)
    }


def tests(
    estimates: Mapping[str, Mapping[str, Json]], lacking: float
) -> Iterator[Check]:
    """Every pull between two numbers whose errors are relied upon, once.

    Marked averages over draws are held against others with all the error that they can
    have: leaving out a part δ of p moves an average by no more than its standard
    deviation times √δ, by Schwarz's inequality, and an error that rests on few draws
    has few degrees of freedom. No mark hides that two numbers are of two densities.

    **Arguments:** `lacking`: δ, the mass that draws may have missed.
    """
    for observable, by_method in estimates.items():
        if SAME.get(observable) in estimates:
            continue
        for first, second in _pairs(by_method):
            a, b = by_method[first], by_method[second]
            sides, says = [checks.side(a), checks.side(b)], "errors"
            if "caution" in a or "caution" in b:
                if observable in TOTALS or not _is_bounded(first, second, by_method):
                    continue
                more = math.sqrt(lacking) * max(map(_deviation, (a, b)))
                sides.append(checks.Side(more))
                says = "of the largest errors that marked numbers can have"
            pull, pair = _pull(a, b, *sides[2:]), f"{first} - {second}"
            yield Check(
                "agreement",
                f"{observable}: {pair}",
                f"{observable}: {pair} differ by {pull:+.1f} {says}",
                checks.of_pull(pull, *sides),
                all(_is_resolved(x) for x in (a, b)),
                None if math.isnan(pull) else pull,
            )


def checked_to(by_method: Mapping[str, Json]) -> dict[str, float]:
    """By method: error of its sharpest comparison with a method of other samples.

    A number is known to be right to a few of these, whatever its own error.
    """
    found: dict[str, float] = {}
    for first, second in _pairs(by_method):
        if any({first, second} <= sharing for sharing in SHARING):
            continue
        a, b = by_method[first], by_method[second]
        error = _error(a, b)
        if "caution" not in b:
            found[first] = min(found.get(first, math.inf), error)
        if "caution" not in a:
            found[second] = min(found.get(second, math.inf), error)
    found.pop("exact", None)
    return found


def is_checked(estimate: Json, bound: float) -> bool:
    """Whether `LIE` errors of the estimate would have been seen as a disagreement.

    **Arguments:** `bound`: the pull from which on methods disagree.
    """
    error, checked = estimate.get("error"), estimate.get("checked_to")
    if not isinstance(error, float) or not isinstance(checked, float):
        return False
    return bound * checked <= LIE * error


def _pairs(by_method: Mapping[str, Json]) -> list[tuple[str, str]]:
    methods = [
        name
        for name, estimate in by_method.items()
        if name not in BIASED
        # several components, or an error that is not finite
        and all(isinstance(estimate[key], float) for key in ("value", "error"))
    ]
    return [
        (first, second)
        for index, first in enumerate(methods)
        for second in methods[index + 1 :]
    ]


def _is_bounded(first: str, second: str, by_method: Mapping[str, Json]) -> bool:
    """Whether only the draws' side of a pair is marked."""
    others = {first, second} - ON_DRAWS
    return len(others) == 1 and all("caution" not in by_method[x] for x in others)


def _deviation(estimate: Json) -> float:
    """Of one configuration, as the error of so many independent ones tells."""
    return estimate["error"] * math.sqrt(estimate.get("n_eff") or 0.0)


def _pull(a: Json, b: Json, *more: checks.Side) -> float:
    difference = a["value"] - b["value"]
    error = math.hypot(_error(a, b), *(side.error for side in more))
    return difference / error if difference else 0.0


def _error(a: Json, b: Json) -> float:
    """Of a difference; that of rounding where neither number has another."""
    size = max(abs(a["value"]), abs(b["value"]))
    return math.hypot(a["error"], b["error"], FLOAT64 * size)


def _is_resolved(estimate: Json) -> bool:
    n_eff = estimate.get("n_eff", math.inf)
    return n_eff is None or n_eff >= checks.RESOLVED_N_EFF
