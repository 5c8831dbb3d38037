"""The verdict: a pure function of the diagnostics. No JAX here.

*No* names what fails. *Yes* needs everything checked: samples of p whose kernel visits
every mode, weights that they have no more to say of, an integrator that does not show,
and tests none of which fails. What is missing for it makes the verdict *unknown*. The
rules are derived in docs/verdict.md.
"""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

from genlat.estimators.support import Missed
from genlat.verdict import agreement, checks
from genlat.verdict.diagnostics import Diagnostics, OfP
from genlat.verdict.integrator import Choice

SMALLEST_N_EFF = checks.RESOLVED_N_EFF
SMALLEST_N = 100_000  # an ESS of fewer draws is a progress bar
LARGEST_SHIFT = 1 / 3  # of ln Z by a finer integrator, in its errors
LARGEST_UNCERTAINTY = 0.1  # of ln Z from both sides: beyond, nothing is excluded
PLENTY = 1000.0  # samples of p, some of which must lie where the model does
MOST_TESTS = 3  # of a family in words
_LN_Z = ("log_z", "free_energy_density")  # the same number


class Verdict(NamedTuple):
    """`trust` and the sentences behind it."""

    trust: Literal["yes", "no", "unknown"]
    reasons: list[str]


def judge(known: Diagnostics) -> Verdict:
    """Weigh what was found."""
    refused, doubted = _tests(known)
    if faults := [*_faults(known), *_integrator_faults(known), *refused]:
        return Verdict("no", faults)
    if doubts := [*_doubts(known), *doubted]:
        return Verdict("unknown", doubts)
    return Verdict("yes", list(_grounds(known)))


def _faults(known: Diagnostics) -> Iterator[str]:
    if known.non_finite:
        yield f"{known.non_finite} log-weights are not finite"
    if known.non_finite_p:
        yield f"{known.non_finite_p} log-weights of samples of p are not finite"
    if bad := known.excluded:
        yield f"the model excludes {bad} samples of p: its density is zero there"
    if known.non_finite == 0 and known.ess is None:
        yield (
            "all weights are zero: no draw of the model lies where p has any mass, so "
            "its draws say nothing of p"
        )
    if _are_apart(known):
        yield (
            f"model and samples of p overlap by {known.overlap:.1g}: the model says "
            "nothing of p"
        )
    for method, acceptance in known.acceptance.items():
        if acceptance == 0:
            yield f"{method}: every proposal was rejected, its chains never moved"


def _are_apart(known: Diagnostics) -> bool:
    """Fewer than ten of many samples of p lie where the model does."""
    if known.overlap is None or known.samples is None:
        return False
    n_eff = known.samples.slowest.n_eff
    return n_eff >= PLENTY and known.overlap * n_eff < 10


def _integrator_faults(known: Diagnostics) -> Iterator[str]:
    """The shift with two errors, against the statistical error or that of rounding."""
    integrator, nis = known.integrator, known.log_z.get("nis")
    if integrator is None:
        return
    error = math.nan if nis is None else nis.error
    error = integrator.statistical_error if math.isnan(error) else error
    if not is_shift_hidden(integrator, error, known.floor):
        yield (
            f"halving the integration step moves ln Z by {integrator.shift_log_z:.2g} "
            f"± {integrator.shift_error:.1g}, which may be more than a third of its "
            f"error {error:.2g}: raise estimate.n_steps"
        )


def is_shift_hidden(integrator: Choice, error: float, floor: float | None) -> bool:
    """Whether a finer integrator moves ln Z by less than what its error allows.

    **Arguments:** `error`: of ln Z; `floor`: what rounding leaves of it.
    """
    allowed = max(LARGEST_SHIFT * error, floor or 0.0)
    shift = abs(integrator.shift_log_z) + 2 * integrator.shift_error
    return bool(shift <= allowed)


def _tests(known: Diagnostics) -> tuple[list[str], list[str]]:
    """What families of tests refuse, and what they doubt, in words."""
    refused, doubted = [], []
    for kind in checks.KINDS:
        tests = checks.family(known.checks, kind)
        failed = [x for x in tests if x.p_run < checks.DOUBTED]
        bad = [x for x in failed if x.p_run < checks.REFUSED and x.check.is_firm]
        for found, sentences in ((bad, refused), (failed, doubted)):
            sentences += [_said(x, known) for x in found[:MOST_TESTS]]
            if (more := len(found) - MOST_TESTS) > 0:
                sentences.append(f"{more} more of {len(tests)} tests of {kind} fail")
    return refused, doubted


def _said(one: checks.OfFamily, known: Diagnostics) -> str:
    """A failed test, what the chance of it was, and what it means of the model."""
    check, chance = one.check, f"p = {one.p_run:.0e} of a right run"
    if check.kind != "coverage" or check.pull is None or check.log_ratio is None:
        return f"{check.says} ({chance})"
    if check.pull > 0:
        meaning = "samples of p and draws of q contradict each other"
    else:
        off = 1 - math.exp(min(check.log_ratio, 0.0))
        if known.uncovered is not None and known.uncovered < off / 2:
            meaning = "q has mass where samples of p do not go, or its weights a tail"
        else:
            meaning = (
                f"the model covers {1 - off:.0%} of p and misses the rest; its own ESS "
                "cannot see that"
            )
    return f"{check.says}, not 1: {meaning} ({chance})"


def _doubts(known: Diagnostics) -> Iterator[str]:
    if known.ess is None:
        yield (
            "chain only: no model to hold it against"
            if known.acceptance or known.given is not None
            else "neither a chain nor a model to hold against each other"
        )
        return
    if known.ess.n < SMALLEST_N:
        yield (
            f"{known.ess.n:,} draws: an ESS is quoted from {SMALLEST_N:,} or more, "
            "since fewer miss the rare large weights"
        )
    for name, where in known.outside.items():
        yield (
            f"{name} = {where['value']:g} lies outside of {where['first']:g} to "
            f"{where['last']:g}, where the model was trained: it is that of the "
            "nearest end"
        )
    yield from _evidence_doubts(known)
    is_wanted = known.log_z or known.covered
    if is_wanted and not any(x.is_relied_upon for x in known.log_z.values()):
        yield "no estimate of ln Z has an error to rely upon"


def _evidence_doubts(known: Diagnostics) -> Iterator[str]:
    samples, covered = known.samples, known.covered
    if samples is None or covered is None:
        yield _nothing_to_hold_against(known)
        return
    if not samples.visits_every_mode:
        yield _no_evidence(known, samples)
    slowest = samples.slowest
    if not slowest.is_resolved:
        yield (
            "the autocorrelation of the samples of p is not resolved, so that they "
            "may be fewer than they seem: longer chains are needed"
        )
    elif slowest.n_eff < SMALLEST_N_EFF:
        yield (
            f"the samples of p are worth {slowest.n_eff:.0f} independent ones by "
            f"{slowest.observable}, fewer than {SMALLEST_N_EFF:.0f}: a mode can be "
            "missing by chance"
        )
    if not covered.is_usable:
        reason = covered.unusable or "its error is not known"
        yield f"ln Z from both sides cannot be compared: {reason}"
        return
    if covered.error > LARGEST_UNCERTAINTY:
        yield (
            f"ln Z from both sides differs by {covered.value:.2g} ± "
            f"{covered.error:.2g}: too uncertain to exclude a missing mode, more "
            "samples of p are needed"
        )
    yield from _unknown(known)
    yield from _missed(known)


def _nothing_to_hold_against(known: Diagnostics) -> str:
    unseen = "whether it misses a mode cannot be told from its own draws"
    if known.given is None or known.samples is not None:
        return f"no samples of p to hold the model against: {unseen}"
    if known.given.has_samples and known.given.has_log_q:
        return f"no estimate asked for holds the model against samples of p: {unseen}"
    return (
        "the model's log_q on samples of p is not given, so that ln Z from both sides "
        f"and the mode weight are not known: {unseen}"
    )


def _no_evidence(known: Diagnostics, samples: OfP) -> str:
    if known.given is not None and known.given.is_vouched_for:
        said = (
            "are said not to" if known.given.is_said else "are not said by anybody to"
        )
        return (
            f"the samples of p {said} visit every mode, so they are no evidence that "
            "none is missing: if their chain does by construction, say so with "
            "[samples] visits_every_mode = true"
        )
    return (
        f"the samples of p are by {samples.kernel}, which does not provably "
        "visit every mode, so they are no evidence that none is missing: cluster "
        "and reflection do, for spins swendsen_wang and wolff, unless bonds "
        "disagree with each other or with a field; an action of one's own has to "
        "name its modes"
    )


def _unknown(known: Diagnostics) -> Iterator[str]:
    """What would be good news if it were there: nobody looked, so that it is none."""
    needed = (
        (known.non_finite, "whether all log-weights are finite"),
        (known.non_finite_p, "whether those of samples of p are"),
        (known.excluded, "whether the model excludes samples of p"),
        (known.overlap, "how far model and samples of p overlap"),
        (known.missed, "what draws of q may have missed"),
        (known.unchecked, "what the numbers were checked to"),
    )
    yield from (f"it is not known {says}" for found, says in needed if found is None)
    made = {check.kind for check in known.checks}
    for kind in checks.KINDS:
        if kind not in made:
            yield f"no test of {kind} could be made: nothing can have failed it"


def _missed(known: Diagnostics) -> Iterator[str]:
    """Where samples of p lie, and draws of q should have come and may not have.

    Beyond an error it is a mark of what is made of draws; so far beyond it that a
    number could be wrong, it is a doubt about the model.
    """
    found, log_z = known.missed, known.log_z.get("nis")
    if found is None or log_z is None:
        return
    if found.shift > agreement.LIE * log_z.error:
        yield (
            f"{found.mass:.2g} of p lies where {found.expected:.1g} draws of q are to "
            f"be expected: ln Z may be low by as much, its error is {log_z.error:.1g}"
        )


def _claimed(missed: Missed, n_eff: float) -> float:
    """Mass from which on a part that samples have seen is not missing from the draws.

    A part of mass x escapes m samples with probability e^(-xm), and one that fewer than
    three draws are expected to meet may be missing. With 95 %, one digit, rounded up.
    """
    seen = missed.mass if missed.expected < 3 else 0.0
    largest = max(3 / n_eff, seen + 2 * math.sqrt(seen / n_eff))
    digit = 10.0 ** math.floor(math.log10(largest))
    return math.ceil(largest / digit) * digit


def _grounds(known: Diagnostics) -> Iterator[str]:
    """What speaks for the numbers, once nothing speaks against them."""
    samples, covered, ess = known.samples, known.covered, known.ess
    missed = known.missed
    assert samples is not None  # without any of these it is unknown
    assert covered is not None
    assert ess is not None
    assert missed is not None
    slowest = samples.slowest
    by = "" if slowest.observable is None else f" by {slowest.observable}"
    yield (
        f"no part of p that its samples have seen, of more than "
        f"{_claimed(missed, slowest.n_eff_least):.1g}, is missing: "
        f"{samples.n:,} by {samples.kernel}, which "
        f"{_why_everywhere(known)}, worth {slowest.n_eff_least:,.0f}{by} at least; a "
        "mode that neither they nor the model reach would not be seen"
    )
    off = f"{covered.value:+.1g} ± {covered.error:.1g}"
    yield f"ln Z from draws of q, less that of both sides: {off}"
    forward = None if known.ess_forward is None else known.ess_forward.value
    yield (
        f"ESS {_shown(ess.value, '.3g')} on draws of q, {_shown(forward, '.3g')} on "
        f"samples of p; Pareto k {_shown(known.pareto_k, '.2f')}"
    )
    tests = checks.family(known.checks, "agreement")
    n_tests = len(tests) * checks.n_kinds(known.checks)
    bound = checks.bound(n_tests, checks.DOUBTED)
    pulls = [abs(x.check.pull) for x in tests if x.check.pull is not None]
    if pulls:
        yield (
            f"all methods agree: the largest of {len(pulls)} differences is "
            f"{max(pulls):.1f} errors, and {bound:.1f} are reached by chance in one "
            "run of a hundred"
        )
    yield from _rests_on(known, n_tests)


def _why_everywhere(known: Diagnostics) -> str:
    if known.given is not None and known.given.is_vouched_for:
        return "visits every mode on the user's word"
    return "visits every mode that the theory names, by construction"


def _shown(number: float | None, form: str) -> str:
    return "not known" if number is None or math.isnan(number) else f"{number:{form}}"


def _rests_on(known: Diagnostics, n_tests: int) -> Iterator[str]:
    """By what ln Z is known, and how well that was checked."""
    relied = {name: x for name, x in known.log_z.items() if x.is_relied_upon}
    marked = [name for name in known.log_z if name not in relied]
    rest = f"; {', '.join(marked)} marked, nothing rests on it" if marked else ""
    yield f"ln Z rests on {', '.join(relied)}{rest}"
    loose = [
        f"{name} to {x.checked_to:.1g} (error {x.error:.1g})"
        for name, x in relied.items()
        if x.checked_to is not None and not agreement.is_checked(x._asdict(), n_tests)
    ]
    if loose:
        yield f"ln Z is not checked to its error: {', '.join(loose)}"
    others = [x for x in known.unchecked or () if x["observable"] not in _LN_Z]
    if ratios := [x["errors"] for x in others if x["errors"] is not None]:
        yield (
            f"{len(ratios)} other numbers are checked to {min(ratios):.2g} to "
            f"{max(ratios):.2g} of their errors, and known to that: see the tables"
        )
    alone = [f"ln Z by {name}" for name, x in relied.items() if x.checked_to is None]
    alone += [f"{x['observable']} by {x['method']}" for x in others if not x["errors"]]
    if alone:
        more = f" and {len(alone) - MOST_TESTS} more" * (len(alone) > MOST_TESTS)
        yield f"nothing has checked {', '.join(alone[:MOST_TESTS])}{more}"
