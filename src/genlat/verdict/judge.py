"""The verdict: a pure function of the diagnostics. No JAX here.

*No* names what fails. *Yes* needs everything checked: samples of p whose kernel visits
every mode, weights that they have no more to say of, an integrator that does not show,
and tests none of which fails. What is missing for it makes the verdict *unknown*. The
rules are derived in docs/verdict.md.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeGuard

from genlat.verdict import agreement, checks

SMALLEST_N_EFF = checks.RESOLVED_N_EFF
SMALLEST_N = 100_000  # an ESS of fewer draws is a progress bar
LARGEST_SHIFT = 1 / 3  # of ln Z by a finer integrator, in its errors
LARGEST_UNCERTAINTY = 0.1  # of ln Z from both sides: beyond, nothing is excluded
PLENTY = 1000.0  # samples of p, some of which must lie where the model does
COVERED = 0.01  # q < COVERED · p is not covered
MOST_TESTS = 3  # of a family in words
_LN_Z = ("log_z", "free_energy_density")  # the same number

Json = Mapping[str, Any]


class Verdict(NamedTuple):
    """`trust` and the sentences behind it."""

    trust: Literal["yes", "no", "unknown"]
    reasons: list[str]


def judge(diagnostics: Json) -> Verdict:
    """Weigh the `diagnostics` of `results.json`; null stands for what is not finite."""
    refused, doubted = _tests(diagnostics)
    if faults := [*_faults(diagnostics), *_integrator_faults(diagnostics), *refused]:
        return Verdict("no", faults)
    if doubts := [*_doubts(diagnostics), *doubted]:
        return Verdict("unknown", doubts)
    return Verdict("yes", list(_grounds(diagnostics)))


def _faults(diagnostics: Json) -> Iterator[str]:
    if bad := diagnostics.get("non_finite", 0):
        yield f"{bad} log-weights are not finite"
    if bad := diagnostics.get("non_finite_p", 0):
        yield f"{bad} log-weights of samples of p are not finite"
    if bad := diagnostics.get("excluded", 0):
        yield f"the model excludes {bad} samples of p: its density is zero there"
    is_drawn = "non_finite" in diagnostics and not diagnostics["non_finite"]
    if is_drawn and diagnostics.get("ess") is None:
        yield (
            "all weights are zero: no draw of the model lies where p has any mass, so "
            "its draws say nothing of p"
        )
    if _are_apart(diagnostics):
        yield (
            f"model and samples of p overlap by {diagnostics['overlap']:.1g}: the "
            "model says nothing of p"
        )
    for method, acceptance in diagnostics.get("acceptance", {}).items():
        if acceptance["value"] == 0:
            yield f"{method}: every proposal was rejected, its chains never moved"


def _are_apart(diagnostics: Json) -> bool:
    """Fewer than ten of many samples of p lie where the model does."""
    samples = diagnostics.get("p_samples", {})
    n_eff = (samples.get("slowest") or {}).get("n_eff") or 0.0
    overlap = diagnostics.get("overlap")
    if overlap is None or n_eff < PLENTY:
        return False
    return overlap * n_eff < 10


def _integrator_faults(diagnostics: Json) -> Iterator[str]:
    """The shift with two errors, against the statistical error or that of rounding."""
    integrator = diagnostics.get("integrator")
    if integrator is None:
        return
    shift, shift_error, expected = _shift(integrator)
    found = diagnostics.get("log_z", {}).get("nis", {}).get("error")
    error = expected if found is None else found
    if not is_shift_hidden(integrator, error, diagnostics.get("floor")):
        yield (
            f"halving the integration step moves ln Z by {shift:.2g} ± "
            f"{shift_error:.1g}, which may be more than a third of its error "
            f"{error:.2g}: raise estimate.n_steps"
        )


def is_shift_hidden(integrator: Json, error: float, floor: float | None) -> bool:
    """Whether a finer integrator moves ln Z by less than what its error allows.

    **Arguments:** `error`: of ln Z; `floor`: what rounding leaves of it.
    """
    shift, shift_error, _ = _shift(integrator)
    allowed = max(LARGEST_SHIFT * error, floor or 0.0)
    return bool(abs(shift) + 2 * shift_error <= allowed)


def _shift(integrator: Json) -> tuple[float, float, float]:
    """Of ln Z at twice the steps, its error, and that which ln Z was to have."""
    shift, shift_error, expected = (
        math.nan if integrator[name] is None else integrator[name]
        for name in ("shift_log_z", "shift_error", "statistical_error")
    )
    return shift, shift_error, expected


def _tests(diagnostics: Json) -> tuple[list[str], list[str]]:
    """What families of tests refuse, and what they doubt, in words."""
    refused, doubted = [], []
    for kind in checks.KINDS:
        tests = checks.family(diagnostics.get("checks", []), kind)
        failed = [x for x in tests if x["p_run"] < checks.DOUBTED]
        bad = [x for x in failed if x["p_run"] < checks.REFUSED and x["is_firm"]]
        for found, sentences in ((bad, refused), (failed, doubted)):
            sentences += [_said(x, diagnostics) for x in found[:MOST_TESTS]]
            if (more := len(found) - MOST_TESTS) > 0:
                sentences.append(f"{more} more of {len(tests)} tests of {kind} fail")
    return refused, doubted


def _said(check: Json, diagnostics: Json) -> str:
    """A failed test, what the chance of it was, and what it means of the model."""
    chance = f"p = {check['p_run']:.0e} of a right run"
    if check["kind"] != "coverage":
        return f"{check['says']} ({chance})"
    if check["pull"] > 0:
        meaning = "samples of p and draws of q contradict each other"
    else:
        lacking = [
            x["value"]
            for x in diagnostics.get("uncovered", [])
            if x["threshold"] == COVERED
        ]
        off = 1 - math.exp(min(check["log_ratio"], 0.0))
        if lacking and lacking[0] < off / 2:
            meaning = "q has mass where samples of p do not go, or its weights a tail"
        else:
            meaning = (
                f"the model covers {1 - off:.0%} of p and misses the rest; its own ESS "
                "cannot see that"
            )
    return f"{check['says']}, not 1: {meaning} ({chance})"


def _doubts(diagnostics: Json) -> Iterator[str]:
    if "ess" not in diagnostics:
        has_chain = bool(diagnostics.get("acceptance"))
        yield (
            "chain only: no model to hold it against"
            if has_chain
            else "neither a chain nor a model to hold against each other"
        )
        return
    ess = diagnostics["ess"]
    if ess["n"] < SMALLEST_N:
        yield (
            f"{ess['n']:,} draws: an ESS is quoted from {SMALLEST_N:,} or more, since "
            "fewer miss the rare large weights"
        )
    for name, where in diagnostics.get("outside", {}).items():
        yield (
            f"{name} = {where['value']:g} lies outside of {where['first']:g} to "
            f"{where['last']:g}, where the model was trained: it is that of the "
            "nearest end"
        )
    yield from _evidence_doubts(diagnostics)
    log_z = diagnostics.get("log_z", {})
    if log_z and not any(x["is_relied_upon"] for x in log_z.values()):
        yield "no estimate of ln Z has an error to rely upon"


def _evidence_doubts(diagnostics: Json) -> Iterator[str]:
    samples, covered = diagnostics.get("p_samples"), diagnostics.get("covered")
    if samples is None or covered is None:
        yield (
            "no samples of p to hold the model against: whether it misses a mode "
            "cannot be told from its own draws"
        )
        return
    if not samples["visits_every_mode"]:
        yield (
            f"the samples of p are by {samples['kernel']}, which does not provably "
            "visit every mode, so they are no evidence that none is missing: add "
            "cluster or reflection to the kernel, for spins swendsen_wang or wolff; "
            "where bonds disagree with each other or with a field none does provably"
        )
    slowest = samples["slowest"]
    if not slowest["is_resolved"]:
        yield (
            "the autocorrelation of the samples of p is not resolved, so that they "
            "may be fewer than they seem: longer chains are needed"
        )
    elif slowest["n_eff"] < SMALLEST_N_EFF:
        yield (
            f"the samples of p are worth {slowest['n_eff']:.0f} independent ones by "
            f"{slowest['observable']}, fewer than {SMALLEST_N_EFF:.0f}: a mode can be "
            "missing by chance"
        )
    if not is_usable(covered):
        reason = covered.get("unusable", "its error is not known")
        yield f"ln Z from both sides cannot be compared: {reason}"
        return
    if covered["error"] > LARGEST_UNCERTAINTY:
        yield (
            f"ln Z from both sides differs by {covered['value']:.2g} ± "
            f"{covered['error']:.2g}: too uncertain to exclude a missing mode, more "
            "samples of p are needed"
        )
    yield from _missed(diagnostics)


def _missed(diagnostics: Json) -> Iterator[str]:
    """Where samples of p lie, and draws of q should have come and may not have.

    Beyond an error it is a mark of what is made of draws; so far beyond it that a
    number could be wrong, it is a doubt about the model.
    """
    missed, log_z = diagnostics.get("missed"), diagnostics.get("log_z", {}).get("nis")
    if missed is None or log_z is None or log_z["error"] is None:
        return
    found = missed["nis"]
    if found["shift"] > agreement.LIE * log_z["error"]:
        yield (
            f"{found['mass']:.2g} of p lies where {found['expected']:.1g} draws of q "
            f"are to be expected: ln Z may be low by as much, its error is "
            f"{log_z['error']:.1g}"
        )


def _claimed(diagnostics: Json) -> float:
    """Mass from which on a part that samples have seen is not missing from the draws.

    A part of mass x escapes m samples with probability e^(-xm), and one that fewer than
    three draws are expected to meet may be missing. With 95 %, one digit, rounded up.
    """
    missed = diagnostics["missed"]["nis"]
    n_eff = diagnostics["p_samples"]["slowest"]["n_eff_least"]
    seen = missed["mass"] if missed["expected"] < 3 else 0.0
    largest = max(3 / n_eff, seen + 2 * math.sqrt(seen / n_eff))
    digit = 10.0 ** math.floor(math.log10(largest))
    return math.ceil(largest / digit) * digit


def _grounds(diagnostics: Json) -> Iterator[str]:
    """What speaks for the numbers, once nothing speaks against them."""
    samples, covered = diagnostics["p_samples"], diagnostics["covered"]
    slowest = samples["slowest"]
    by = "" if slowest["observable"] is None else f" by {slowest['observable']}"
    yield (
        f"no part of p that its samples have seen, of more than "
        f"{_claimed(diagnostics):.1g}, is missing: {samples['n']:,} by "
        f"{samples['kernel']}, which changes the sign of φ by construction, worth "
        f"{slowest['n_eff_least']:,.0f}{by} at least; a mode that neither they nor the "
        "model reach would not be seen"
    )
    off = f"{covered['value']:+.1g} ± {covered['error']:.1g}"
    yield f"ln Z from draws of q, less that of both sides: {off}"
    ess, forward = diagnostics["ess"], diagnostics["ess_forward"]
    shown = "not known" if forward["value"] is None else f"{forward['value']:.3g}"
    yield (
        f"ESS {ess['value']:.3g} on draws of q, {shown} on samples of p; Pareto k "
        f"{diagnostics['pareto_k']:.2f}"
    )
    every = diagnostics.get("checks", [])
    tests = checks.family(every, "agreement")
    n_tests = len(tests) * checks.n_kinds(every)
    bound = checks.bound(n_tests, checks.DOUBTED)
    pulls = [abs(x["pull"]) for x in tests if x["pull"] is not None]
    if pulls:
        yield (
            f"all methods agree: the largest of {len(pulls)} differences is "
            f"{max(pulls):.1f} errors, and {bound:.1f} are reached by chance in one "
            "run of a hundred"
        )
    yield from _rests_on(diagnostics, n_tests)


def _rests_on(diagnostics: Json, n_tests: int) -> Iterator[str]:
    """By what ln Z is known, and how well that was checked."""
    log_z = diagnostics.get("log_z", {})
    relied = [name for name, x in log_z.items() if x["is_relied_upon"]]
    marked = [name for name in log_z if name not in relied]
    if relied:
        rest = f"; {', '.join(marked)} marked, nothing rests on it" if marked else ""
        yield f"ln Z rests on {', '.join(relied)}{rest}"
    loose = [
        f"{name} to {log_z[name]['checked_to']:.1g} (error {log_z[name]['error']:.1g})"
        for name in relied
        if log_z[name]["checked_to"] is not None
        and not agreement.is_checked(log_z[name], n_tests)
    ]
    if loose:
        yield f"ln Z is not checked to its error: {', '.join(loose)}"
    others = [
        x for x in diagnostics.get("unchecked", []) if x["observable"] not in _LN_Z
    ]
    if ratios := [x["errors"] for x in others if x["errors"] is not None]:
        yield (
            f"{len(ratios)} other numbers are checked to {min(ratios):.2g} to "
            f"{max(ratios):.2g} of their errors, and known to that: see the tables"
        )
    alone = [f"{x['observable']} by {x['method']}" for x in others if not x["errors"]]
    if alone:
        more = f" and {len(alone) - MOST_TESTS} more" * (len(alone) > MOST_TESTS)
        yield f"nothing has checked {', '.join(alone[:MOST_TESTS])}{more}"


def is_usable(estimate: Json | None) -> TypeGuard[Json]:
    """Whether there are a value and an error."""
    if estimate is None or "unusable" in estimate:
        return False
    return estimate.get("value") is not None and estimate.get("error") is not None
