"""How far methods are from each other, and how sharply each was checked."""

import math
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from genlat.estimators import methods
from genlat.verdict import checks
from genlat.verdict.checks import Check

Json = Mapping[str, Any]

BIASED = methods.BIASED  # averages over q as they are: no estimate of p
ON_DRAWS = methods.ON_DRAWS
SHARING = (ON_DRAWS, frozenset(methods.ON_SAMPLES))
"""Methods that share all their draws, or all samples: no check of each other."""
TOTALS = frozenset({"log_z", "free_energy_density", "entropy_density"})
"""No averages: they are held against each other by the coverage tests."""
SAME = {"free_energy_density": "log_z"}  # the same number again
ONE_SIDED = frozenset({"free_energy_density_upper", "free_energy_density_lower"})
"""Bounds, which one method gives: they are held against each other."""
FROM_P = methods.OF_LOG_Z
"""Methods whose ln Z is compared on the same samples of p."""
FLOAT64 = 2.0**-50  # rounding of a value that was computed in a few steps
LIE = 5.0
"""Errors off, beyond which a number is wrong and not unlucky: what must be seen."""


def pulls(by_method: Mapping[str, Json]) -> dict[str, float]:
    """(a - b) / √(error_a² + error_b²) for every pair of methods of one observable.

    Of several components the largest. Methods that share their draws are closer than
    this says: a large pull counts, a small one proves nothing. Methods without a finite
    error or, as averages over q itself, with a bias are left out.
    """
    return {
        f"{first} - {second}": max(
            (_pull(a, b) for a, b in _components(by_method[first], by_method[second])),
            key=_size,
        )
        for first, second in _pairs(by_method)
    }


def tests(
    estimates: Mapping[str, Mapping[str, Json]], lacking: float
) -> Iterator[Check]:
    """Every pull between two numbers whose errors are relied upon, once.

    Of several components the least probable, times their number. Marked averages over
    draws are held against others with all the error that they can have: leaving out a
    part δ of p moves an average by no more than its standard deviation times
    √(δ/(1 - δ)), by Schwarz's inequality, and an error that rests on few draws has few
    degrees of freedom. No mark hides that two numbers are of two densities.

    **Arguments:** `lacking`: δ, the mass that draws may have missed.
    """
    for observable, by_method in estimates.items():
        if SAME.get(observable) in estimates:
            continue
        for first, second in _pairs(by_method):
            is_marked = "caution" in by_method[first] or "caution" in by_method[second]
            if is_marked and (
                observable in TOTALS or not _is_bounded(first, second, by_method)
            ):
                continue
            pairs = _components(by_method[first], by_method[second])
            found = [_compared(a, b, lacking if is_marked else 0.0) for a, b in pairs]
            worst = min(range(len(found)), key=lambda k: found[k][1])
            pull, p_value = found[worst]
            says = "errors"
            if is_marked:
                says = "of the largest errors that marked numbers can have"
            is_one = not isinstance(by_method[first]["value"], list)
            place = pairs[worst][0]["place"]
            what = observable if is_one else f"{observable}[{place}]"
            pair = f"{first} - {second}"
            yield Check(
                "agreement",
                f"{what}: {pair}",
                f"{what}: {pair} differ by {pull:+.1f} {says}",
                min(1.0, len(found) * p_value),
                all(_is_resolved(x) for x in pairs[worst]),
                None if math.isnan(pull) else pull,
            )


def checked_to(by_method: Mapping[str, Json]) -> dict[str, float | list[float]]:
    """By method: error of its sharpest comparison with a method of other samples.

    A number is known to be right to a few of these, whatever its own error. Of several
    components a list.
    """
    found: dict[str, list[float]] = {}
    for first, second in _pairs(by_method):
        if any({first, second} <= sharing for sharing in SHARING):
            continue
        pairs = _components(by_method[first], by_method[second])
        errors = [math.inf] * len(_flat(by_method[first]["value"]))
        for a, b in pairs:
            errors[a["place"]] = _error(a, b)
        for method, other in ((first, second), (second, first)):
            if "caution" not in by_method[other]:
                before = found.get(method, [math.inf] * len(errors))
                found[method] = list(map(min, before, errors))
    found.pop("exact", None)
    return {
        name: errors if isinstance(by_method[name]["value"], list) else errors[0]
        for name, errors in found.items()
    }


def is_checked(estimate: Json, n_tests: int) -> bool:
    """Whether `LIE` errors of the estimate are as far off as methods may be apart.

    More would rather be seen as a disagreement than not. Of several components, of all.

    **Arguments:** `n_tests`: of the run, one of which methods may fail by chance.
    """
    errors, checked = (_flat(estimate.get(key)) for key in ("error", "checked_to"))
    if not errors or len(errors) != len(checked) or None in [*errors, *checked]:
        return False
    bound = checks.bound(n_tests * len(errors), checks.DOUBTED)
    pairs = zip(errors, checked, strict=True)
    return all(bound * b <= LIE * a for a, b in pairs if a)


def unchecked(
    estimates: Mapping[str, Mapping[str, Json]], n_tests: int
) -> Iterator[tuple[str, str, float | None]]:
    """Numbers that are relied upon and not checked to their error.

    **Yields:** observable, method, and the errors that it is checked to, the most of
    its components; None if nothing has checked it.

    **Arguments:** as `is_checked`.
    """
    for observable, by_method in estimates.items():
        if observable in ONE_SIDED:
            continue
        for method, estimate in by_method.items():
            errors = _flat(estimate.get("error"))
            is_quoted = method not in ("exact", *BIASED) and "caution" not in estimate
            if not (is_quoted and any(errors)) or is_checked(estimate, n_tests):
                continue
            checked = _flat(estimate.get("checked_to"))
            checked = checked if len(checked) == len(errors) else [None] * len(errors)
            pairs = [(a, b) for a, b in zip(errors, checked, strict=True) if a]
            ratios = [None if b is None else b / a for a, b in pairs]
            known = [ratio for ratio in ratios if ratio is not None]
            is_alone = len(known) < len(ratios) or math.inf in known
            yield observable, method, None if is_alone else max(known)


def _pairs(by_method: Mapping[str, Json]) -> list[tuple[str, str]]:
    methods = [
        name
        for name, estimate in by_method.items()
        if name not in BIASED and any(map(_is_finite, _alone(estimate)))
    ]
    return [
        (first, second)
        for first, second in combinations(methods, 2)
        if _components(by_method[first], by_method[second])
    ]


def _is_finite(estimate: Json) -> bool:
    """Whether a single number has a value and an error."""
    numbers = estimate["value"], estimate["error"]
    return all(isinstance(x, float | int) and math.isfinite(x) for x in numbers)


def _flat(numbers: Any) -> list:
    """A number as the list of one, null as none."""
    if isinstance(numbers, list):
        return numbers
    return [] if numbers is None else [numbers]


def _components(a: Json, b: Json) -> list[tuple[Json, Json]]:
    """Two estimates of one length, where both have components that are numbers."""
    ours, theirs = _alone(a), _alone(b)
    if len(ours) != len(theirs):
        return []
    pairs = zip(ours, theirs, strict=True)
    return [pair for pair in pairs if all(map(_is_finite, pair))]


def _alone(estimate: Json) -> list[Json]:
    values = _flat(estimate["value"])
    columns = {"value": values}
    for key in ("error", "n_eff"):
        entries = _flat(estimate.get(key)) or [None]
        columns[key] = entries if len(entries) == len(values) else entries * len(values)
    return [
        {**estimate, **{key: column[k] for key, column in columns.items()}, "place": k}
        for k in range(len(values))
    ]


def _compared(a: Json, b: Json, lacking: float) -> tuple[float, float]:
    """The pull between two numbers, and its probability."""
    sides = [checks.side(a), checks.side(b)]
    if 0 < lacking < 1:
        most = max(map(_deviation, (a, b)))
        sides.append(checks.Side(math.sqrt(lacking / (1 - lacking)) * most))
    pull = _pull(a, b, *sides[2:])
    return pull, checks.of_pull(pull, *sides)


def _size(pull: float) -> float:
    return math.inf if math.isnan(pull) else abs(pull)


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
