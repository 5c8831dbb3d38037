"""Findings put together: estimates by observable, diagnostics, and the verdict."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from genlat.estimators.brief import brief
from genlat.verdict import agreement, checks, estimates, judge, limits
from genlat.verdict.checks import Check
from genlat.verdict.data import Foreseen
from genlat.verdict.diagnostics import Diagnostics, number
from genlat.verdict.findings import Findings

Json = dict[str, Any]


class Results(NamedTuple):
    """`estimates`, `diagnostics`, `cost` and `verdict` of `results.json`."""

    estimates: Json
    diagnostics: Json
    cost: Json
    verdict: judge.Verdict

    __repr__ = brief


def assemble(
    parts: Sequence[Findings],
    exact: Mapping[str, Any],
    diagnostics: Mapping[str, Any],
    *,
    correct_bias: bool = False,
) -> Results:
    """All that was found, compared, and judged.

    **Arguments:** `exact`: known values, `{observable: {"exact": ...}}`; `diagnostics`:
    what else the verdict must know, as the shift by a finer integrator.
    """
    every: Json = {"acceptance": {}, "tau_int": {}, "consistency": [], **diagnostics}
    cost: Json = {"ess_per_second": {}}
    by_method: dict[str, estimates.Found] = {}
    foreseen: dict[str, Mapping[str, Foreseen]] = {}
    witnesses: dict[str, estimates.Found] = {}
    tests: list[Check] = []
    for part in parts:
        rows = [*every["consistency"], *part.diagnostics.get("consistency", [])]
        merge(every, part.diagnostics)
        every["consistency"] = rows
        merge(cost, part.cost)
        by_method |= part.by_method
        foreseen |= part.foreseen
        witnesses |= part.witnesses
        tests.extend(part.checks)
    if correct_bias:
        by_method = {name: estimates.corrected(x) for name, x in by_method.items()}
    every["consistency"] += identities(by_method)
    # samples of p foresee what is quoted, not the errors that they are tested with
    own = _by_observable(by_method)
    found = _by_observable(
        {key: _widened(x, foreseen.get(key, {})) for key, x in by_method.items()}
    )
    known, volume = Diagnostics.of(every), every["volume"]
    for one in (own, found):
        merge(one, exact)
        _mark(one, known)
        _mark_integrated(one, known, volume)
    _call(witnesses, own)
    _check(own, known, volume)
    _copy_checks(own, found)
    every["pulls"] = {name: agreement.pulls(own[name]) for name in own}
    every["bounds"] = _bounds(own)
    tests += agreement.tests(own, 0.0 if known.missed is None else known.missed.mass)
    tests += _of_rows(every["consistency"])
    tests += _of_bounds(every["bounds"])
    every["checks"] = [test.to_json() for test in tests]
    every["unchecked"] = _unchecked(found, tests)
    every["log_z"] = _log_z(found)
    plain = without_nan({"estimates": found, "diagnostics": every, "cost": cost})
    verdict = judge.judge(Diagnostics.of(plain["diagnostics"]))
    return Results(plain["estimates"], plain["diagnostics"], plain["cost"], verdict)


def identities(by_method: Mapping[str, estimates.Found]) -> list[Json]:
    """Rows for ⟨(1/V) Σ φ ∂S/∂φ⟩ = 1, the Schwinger-Dyson equation, by every method."""
    rows = []
    for method, found in by_method.items():
        estimate = found.get("schwinger_dyson")
        if estimate is None or estimate.flaw or not estimate.error:
            continue
        pull = (float(estimate.value) - 1) / float(estimate.error)
        name = f"Schwinger-Dyson, {method}: ⟨Σ φ ∂S/∂φ⟩/V = 1"
        rows.append(
            {
                "name": name,
                "left": estimate.to_json(),
                "right": 1.0,
                "pull": pull,
                "p_value": checks.of_pull(pull, checks.side(estimate.to_json())),
                "is_relied_upon": not estimate.caution,
            }
        )
    return rows


def merge(target: Json, addition: Mapping[str, Any]) -> None:
    """Add `addition` to `target`, entering dictionaries that both have.

    An estimate takes the place of another as a whole.
    """
    for name, value in addition.items():
        is_entered = isinstance(value, Mapping) and "value" not in value
        if is_entered and isinstance(target.get(name), dict):
            merge(target[name], value)
        else:
            target[name] = value


def without_nan(content: Any) -> Any:
    """JSON has neither NaN nor infinity: null."""
    if isinstance(content, Mapping):
        return {name: without_nan(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    return (
        None if isinstance(content, float) and not math.isfinite(content) else content
    )


def _by_observable(by_method: Mapping[str, estimates.Found]) -> Json:
    by_observable: Json = {}
    for method, found in by_method.items():
        for name, estimate in found.items():
            merge(by_observable, {name: {method: estimate.to_json()}})
    return by_observable


def _widened(
    found: estimates.Found, foreseen: Mapping[str, Foreseen]
) -> estimates.Found:
    """With the errors that samples of p foresee, where these are larger."""
    return {
        name: limits.foreseen(x, foreseen[name]) if name in foreseen else x
        for name, x in found.items()
    }


def _mark(found: Json, known: Diagnostics) -> None:
    """Draws of q that may have missed more of p than their error says are marked."""
    missed = known.missed
    error = found.get("log_z", {}).get("nis", {}).get("error")
    if missed is None or error is None or not missed.shift > error:
        return
    reason = (
        f"{missed.mass:.1g} of p lies where {missed.expected:.1g} draws of q are to be "
        "expected: they may have missed it"
    )
    for by_method in found.values():
        for method in agreement.ON_DRAWS & by_method.keys():
            by_method[method].setdefault("caution", reason)


def _mark_integrated(found: Json, known: Diagnostics, volume: int) -> None:
    """What a finer integrator would move by more than a third of its error.

    Draws and samples are integrated alike, so that no comparison of them sees it.
    ln Z by importance sampling is left to the verdict, which refuses the run.
    """
    if known.integrator is None:
        return
    for name in agreement.TOTALS & found.keys():
        share = 1.0 if name == "log_z" else 1 / volume
        judged = {"nis"} if name != "entropy_density" else set()
        for method in (agreement.FROM_P - judged) & found[name].keys():
            estimate = found[name][method]
            if not isinstance(estimate["error"], float):
                continue
            error = estimate["error"] / share
            if not judge.is_shift_hidden(known.integrator, error, known.floor):
                estimate.setdefault(
                    "caution",
                    "a finer integrator may move it by more than a third of its error: "
                    "raise estimate.n_steps",
                )


def _call(witnesses: Mapping[str, estimates.Found], own: Json) -> None:
    """Averages over samples of p, where no other method is there to check draws."""
    for method, found in witnesses.items():
        for name, estimate in found.items():
            others = own.get(name, {}).keys() - agreement.ON_DRAWS
            if name in own and not others - {"exact", *agreement.BIASED}:
                own[name][method] = estimate.to_json()


def _unchecked(found: Json, tests: Sequence[Check]) -> list[Json]:
    """Numbers that nothing has checked to their errors; noted with them, too.

    Nothing is said of a chain alone.
    """
    of_models = agreement.ON_DRAWS | agreement.FROM_P
    if not any(of_models & by_method.keys() for by_method in found.values()):
        return []
    n_tests = len(checks.family(tests, "agreement")) * checks.n_kinds(tests)
    entries = []
    for observable, method, ratio in agreement.unchecked(found, n_tests):
        found[observable][method]["is_checked"] = False
        entries.append({"observable": observable, "method": method, "errors": ratio})
    return entries


def _check(found: Json, known: Diagnostics, volume: int) -> None:
    """Note with every number how sharply others have checked it.

    ln Z on the same draws and samples is checked by the two sides against each other,
    with the error of both and what samples of p may have missed of q. They do not see
    what is not among the samples: a part of mass x escapes them with probability
    e^(-x n_eff), so that they check nothing below 1/n_eff.
    """
    for by_method in found.values():
        for method, error in agreement.checked_to(by_method).items():
            by_method[method]["checked_to"] = error
    if known.samples is None:
        return
    lost = math.inf if known.missed_of_q is None else known.missed_of_q.shift
    unseen = 1 / known.samples.slowest.n_eff_least
    for name, factor in {"log_z": 1.0, "free_energy_density": 1 / volume}.items():
        by_method = found.get(name, {})
        sides = [by_method.get(method, {}) for method in ("nis", "p_estimator")]
        if not all(number(side).is_usable for side in sides):
            continue
        own = math.hypot(
            *(side["error"] for side in sides),
            factor * lost,
            factor * unseen,
        )
        outside = {
            key: x for key, x in by_method.items() if key not in agreement.FROM_P
        }
        for method in agreement.FROM_P & by_method.keys():
            alone = agreement.checked_to({**outside, method: by_method[method]})
            by_method[method]["checked_to"] = min(own, alone.get(method, math.inf))


def _copy_checks(own: Json, found: Json) -> None:
    """What a number was checked to was so with its own error."""
    for name, by_method in own.items():
        for method, estimate in by_method.items():
            if "checked_to" in estimate and method in found[name]:
                found[name][method]["checked_to"] = estimate["checked_to"]


def _log_z(found: Json) -> Json:
    """By which methods ln Z is known, and which of them are marked."""
    by_method = found.get("log_z", {})
    return {
        name: {
            "is_relied_upon": "caution" not in x and isinstance(x["error"], float),
            "error": x["error"],
            "checked_to": x.get("checked_to"),
        }
        for name, x in by_method.items()
        if name not in ("exact", *agreement.BIASED)
    }


def _bounds(found: Json) -> Json:
    """The bounds on -ln Z/V from q and from p, where there are both."""
    keys = {
        "upper": ("free_energy_density_upper", "nis"),
        "lower": ("free_energy_density_lower", "p_estimator"),
    }
    sides = {side: found.get(key, {}).get(by) for side, (key, by) in keys.items()}
    return sides if all(sides.values()) else {}


def _of_rows(rows: Sequence[Json]) -> Iterator[Check]:
    for row in rows:
        if not row.get("is_relied_upon", True):
            continue
        pull = row["pull"]
        says = f"{row['name']}: off by {pull:+.1f} errors"
        p_value = row.get("p_value", checks.of_pull(pull))
        yield Check("agreement", row["name"], says, p_value, pull=pull)


def _of_bounds(bounds: Json) -> Iterator[Check]:
    """The lower bound of the free energy may not lie above the upper one."""
    lower, upper = bounds.get("lower", {}), bounds.get("upper", {})
    if not all(number(side).is_usable for side in (lower, upper)):
        return
    error = math.hypot(lower["error"], upper["error"])
    excess = lower["value"] - upper["value"]
    if error > 0 and math.isfinite(excess):
        yield Check(
            "agreement",
            "bounds",
            "the lower bound of the free energy, from p, lies above the upper one, "
            "from q: the samples of p are not of this theory",
            checks.of_pull(max(excess / error, 0.0)),
        )
