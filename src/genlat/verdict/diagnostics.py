"""What the verdict rests on, in types: of all `diagnostics`, those that judge.

An entry that is not there is None, and None is no good news: `judge` calls it unknown.
Inside of one that is there, a number that is missing or null is NaN, and what had to be
true is not. The verdict does without

- `acceptance`, which not every run has: what never moved has no error that counts;
- `integrator`, which is of models that are integrated, and what its error was to be;
- `given`, which words what is unknown anyway;
- `floor`: it excuses, and never accuses; `outside`, of models of many couplings;
- `missed_of_q`, in which numbers are marked, and what they are checked to, before;
- what is said with a yes and decides nothing: `ess` but for its number of draws,
  `ess_forward`, `pareto_k`, `uncovered`, `checked_to`, names and numbers of samples.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from genlat.estimators.support import Missed
from genlat.verdict.checks import Check
from genlat.verdict.integrator import Choice

COVERED = 0.01  # q < COVERED · p is not covered

Json = Mapping[str, Any]


class Number(NamedTuple):
    """An estimate: NaN is what is not known. `unusable`: why, where it is said."""

    value: float
    error: float
    n: int = 0
    unusable: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether there are a value and an error."""
        return not self.unusable and math.isfinite(self.value + self.error)


class Slowest(NamedTuple):
    """The observable that is worth the fewest independent samples, as in `evidence`."""

    observable: str | None
    n_eff: float
    n_eff_least: float
    is_resolved: bool


class OfP(NamedTuple):
    """The samples of p that the model is held against."""

    kernel: str
    n: int
    visits_every_mode: bool
    slowest: Slowest


class Given(NamedTuple):
    """Of draws or samples made elsewhere: what their maker says of the samples.

    `is_vouched_for`: that they visit every mode is the user's word, and no kernel's.
    """

    has_samples: bool
    has_log_q: bool
    is_said: bool
    is_vouched_for: bool


class LogZ(NamedTuple):
    """ln Z by one method: whether its error counts, and what it was checked to."""

    is_relied_upon: bool
    error: float
    checked_to: float | None


@dataclasses.dataclass(frozen=True)
class Diagnostics:
    """What was found; the names are those of `results.json`, but for `samples`.

    - `missed`: what draws of q may have missed of p; `missed_of_q`: samples, of q.
    - `uncovered`: the part of p where q is below `COVERED` of it.
    """

    non_finite: int | None
    non_finite_p: int | None
    excluded: int | None
    overlap: float | None
    ess: Number | None
    ess_forward: Number | None
    pareto_k: float | None
    covered: Number | None
    uncovered: float | None
    missed: Missed | None
    missed_of_q: Missed | None
    samples: OfP | None
    acceptance: Mapping[str, float]
    integrator: Choice | None
    floor: float | None
    outside: Mapping[str, Json]
    log_z: Mapping[str, LogZ]
    checks: tuple[Check, ...]
    unchecked: tuple[Json, ...] | None
    given: Given | None = None

    @classmethod
    def of(cls, found: Json) -> "Diagnostics":
        """From the `diagnostics` of `results.json`."""
        missed, unchecked = found.get("missed", {}), found.get("unchecked")
        uncovered = [
            x["value"] for x in found.get("uncovered", []) if x["threshold"] == COVERED
        ]
        return cls(
            non_finite=found.get("non_finite"),
            non_finite_p=found.get("non_finite_p"),
            excluded=found.get("excluded"),
            overlap=found.get("overlap"),
            ess=_number(found.get("ess")),
            ess_forward=_number(found.get("ess_forward")),
            pareto_k=found.get("pareto_k"),
            covered=_number(found.get("covered")),
            uncovered=uncovered[0] if uncovered else None,
            missed=_missed(missed.get("nis")),
            missed_of_q=_missed(missed.get("p_estimator")),
            samples=_of_p(found.get("p_samples")),
            acceptance={
                name: _float(x, "value")
                for name, x in found.get("acceptance", {}).items()
            },
            integrator=_choice(found.get("integrator")),
            floor=found.get("floor"),
            outside=found.get("outside", {}),
            log_z={name: _log_z(x) for name, x in found.get("log_z", {}).items()},
            checks=tuple(Check(**x) for x in found.get("checks", [])),
            unchecked=None if unchecked is None else tuple(unchecked),
            given=_given(found.get("given")),
        )


def _float(entry: Json, name: str) -> float:
    number = entry.get(name)
    return math.nan if number is None else float(number)


def number(entry: Json) -> Number:
    """Of an estimate in JSON; without entries it is not known."""
    value, error = (_float(entry, name) for name in ("value", "error"))
    return Number(value, error, entry.get("n") or 0, entry.get("unusable", ""))


def _number(entry: Json | None) -> Number | None:
    return None if entry is None else number(entry)


def _missed(entry: Json | None) -> Missed | None:
    """None also where one of its numbers is: none says anything by itself."""
    found = Missed(*(_float(entry or {}, name) for name in Missed._fields))
    return None if any(map(math.isnan, found)) else found


def _of_p(entry: Json | None) -> OfP | None:
    if entry is None:
        return None
    slowest = entry.get("slowest") or {}
    n_eff, least = (_float(slowest, name) for name in ("n_eff", "n_eff_least"))
    is_resolved = bool(slowest.get("is_resolved")) and math.isfinite(n_eff + least)
    return OfP(
        entry.get("kernel", "an unknown kernel"),
        entry.get("n") or 0,
        bool(entry.get("visits_every_mode")),
        Slowest(slowest.get("observable"), n_eff, least, is_resolved),
    )


def _given(entry: Json | None) -> Given | None:
    if entry is None:
        return None
    return Given(*(bool(entry.get(name)) for name in Given._fields))


def _choice(entry: Json | None) -> Choice | None:
    if entry is None:
        return None
    return Choice(
        entry.get("steps") or 0, *(_float(entry, name) for name in Choice._fields[1:])
    )


def _log_z(entry: Json) -> LogZ:
    error = _float(entry, "error")
    is_relied_upon = bool(entry.get("is_relied_upon")) and math.isfinite(error)
    return LogZ(is_relied_upon, error, entry.get("checked_to"))
