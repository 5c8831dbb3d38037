"""The verdict: a pure function of the diagnostics. No JAX here.

*No* names what fails. *Yes* needs everything checked: weights, integrator, agreement of
all methods, and a mode weight from samples of p that provably visit every mode. What is
missing for it makes the verdict *unknown*. The thresholds are conventions, not fits.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeGuard

from genlat.estimators.autocorrelation import STUCK

WORST_PARETO_K = 0.7  # Vehtari et al.: beyond it no error can be believed
SMALLEST_N_EFF = 100
SMALLEST_N = 100_000  # an ESS of fewer draws is a progress bar
LARGEST_SHIFT = 1 / 3  # of ln Z by a finer integrator, in its errors
LARGEST_PULL = 5.0  # between methods: a run has dozens of pulls
MOST_PULLS = 3  # of them in words
SIGNIFICANT = 3.0  # errors, for a single question
SMALLEST_DEFICIT = 0.02  # of p: less is missed by any flow that is not exact
LARGEST_WEIGHT_ERROR = 0.1  # a mode weight worse than this excludes nothing
ESS_RATIO = 0.5  # forward over reverse
LARGEST_KL_GAP = 1.0  # nats between KL(p‖q) and KL(q‖p)
SMALLEST_P = 1e-6  # of replicas that agree; short chains make it smaller than it is
UNRESOLVED = "not resolved"  # in the method of an estimate
COVERED = 0.01  # q < COVERED · p is not covered

Json = Mapping[str, Any]


class Verdict(NamedTuple):
    """`trust` and the sentences behind it."""

    trust: Literal["yes", "no", "unknown"]
    reasons: list[str]


def judge(diagnostics: Json) -> Verdict:
    """Weigh the `diagnostics` of `results.json`; null stands for what is not finite."""
    faults = [
        *_weight_faults(diagnostics),
        *_integrator_faults(diagnostics),
        *_coverage_faults(diagnostics),
        *_disagreements(diagnostics),
        *_chain_faults(diagnostics),
    ]
    if faults:
        return Verdict("no", faults)
    if doubts := list(_doubts(diagnostics)):
        return Verdict("unknown", doubts)
    return Verdict("yes", list(_grounds(diagnostics)))


def _weight_faults(diagnostics: Json) -> Iterator[str]:
    if bad := diagnostics.get("non_finite", 0):
        yield f"{bad} log-weights are not finite"
    if bad := diagnostics.get("non_finite_p", 0):
        yield f"{bad} log-weights of samples of p are not finite"
    if bad := diagnostics.get("excluded", 0):
        yield f"the model excludes {bad} samples of p: its density is zero there"
    pareto_k = diagnostics.get("pareto_k", 0.0)
    if pareto_k is None or pareto_k > WORST_PARETO_K:
        shown = "inf" if pareto_k is None else f"{pareto_k:.2f}"
        yield (
            f"pareto_k = {shown} > {WORST_PARETO_K}: the weights have so heavy a tail "
            "that their errors cannot be believed"
        )
    ess = diagnostics.get("ess")
    if "non_finite" in diagnostics and ess is None and not diagnostics["non_finite"]:
        yield (
            "all weights are zero: no draw of the model lies where p has any mass, so "
            "its draws say nothing of p"
        )
    if ess is not None and ess["n_eff"] < SMALLEST_N_EFF:
        yield (
            f"the samples are worth {ess['n_eff']:.0f} independent ones, fewer than "
            f"{SMALLEST_N_EFF}"
        )


def _integrator_faults(diagnostics: Json) -> Iterator[str]:
    integrator = diagnostics.get("integrator")
    if integrator is None:
        return
    shift, error = (
        math.nan if integrator[name] is None else integrator[name]
        for name in ("shift_log_z", "statistical_error")
    )
    # a model that is exact to rounding has no statistical error to compare with
    noise = 5 * (integrator["shift_error"] or 0.0)
    if not abs(shift) <= max(LARGEST_SHIFT * error, noise):
        yield (
            f"halving the integration step moves ln Z by {shift:.2g}, more than a "
            f"third of its error {error:.2g}: raise estimate.n_steps"
        )


def _coverage_faults(diagnostics: Json) -> Iterator[str]:
    weight, uncovered = diagnostics.get("mode_weight"), diagnostics.get("uncovered", [])
    if _is_usable(weight) and _exceeds(1 - weight["value"], weight, SMALLEST_DEFICIT):
        yield _deficit(weight, uncovered)
    yield from _forward_ess(diagnostics)
    yield from _kl_gap(diagnostics)
    for entry in uncovered:
        is_level = entry["threshold"] == COVERED
        if is_level and _exceeds(entry["value"], entry, SMALLEST_DEFICIT):
            yield (
                f"{entry['value']:.0%} of the samples of p lie where q < "
                f"{COVERED:g} p: outside of what q effectively covers"
            )


def _deficit(weight: Json, uncovered: Sequence[Json]) -> str:
    """A mode weight below 1, from a part of p that q lacks or the other way round.

    Where q has mass and p has none, no sample of p sees 1/w, which is large there.
    """
    lacking = [x["value"] for x in uncovered if x["threshold"] == COVERED]
    if lacking and lacking[0] < (1 - weight["value"]) / 2:
        return (
            f"mode weight {_shown(weight)}, although p lies where q does: q has mass "
            "where samples of p do not go, and p_estimator is too large"
        )
    return (
        f"mode weight {_shown(weight)}: the model covers {weight['value']:.0%} of "
        "p and misses the rest; its own ESS cannot see that"
    )


def _forward_ess(diagnostics: Json) -> Iterator[str]:
    forward, reverse = diagnostics.get("ess_forward"), diagnostics.get("ess")
    if forward is None or not _is_usable(reverse):
        return
    half = ESS_RATIO * reverse["value"]
    log_forward = diagnostics.get("log_ess_forward")
    if _is_usable(forward):
        if _exceeds(half - forward["value"], forward, 0.0):
            yield (
                f"forward ESS {forward['value']:.2g} is less than half of the reverse "
                f"{reverse['value']:.2g}: q has too little of p's mass somewhere"
            )
    elif log_forward is not None and log_forward < math.log(half):
        # one sample carries it: it can only be smaller still
        yield (
            f"forward ESS at most e^({log_forward:.0f}), reverse "
            f"{reverse['value']:.2g}: q has next to nothing of p's mass somewhere"
        )


def _kl_gap(diagnostics: Json) -> Iterator[str]:
    forward = diagnostics.get("kl_forward_per_site")
    reverse, volume = diagnostics.get("kl_per_site"), diagnostics.get("volume")
    if not (_is_usable(forward) and _is_usable(reverse) and volume):
        return
    gap = forward["value"] - reverse["value"]
    error = {"error": math.hypot(forward["error"], reverse["error"])}
    if _exceeds(gap, error, LARGEST_KL_GAP / volume):
        yield (
            f"KL(p‖q) is {forward['value']:.2g} per site, KL(q‖p) only "
            f"{reverse['value']:.2g}: q misses or thins out a part of p"
        )


def _disagreements(diagnostics: Json) -> Iterator[str]:
    bounds = diagnostics.get("bounds") or {}
    upper, lower = bounds.get("upper"), bounds.get("lower")
    if _is_usable(upper) and _is_usable(lower):
        error = {"error": math.hypot(upper["error"], lower["error"])}
        if _exceeds(lower["value"] - upper["value"], error, 0.0):
            yield (
                "the lower bound of the free energy, from p, lies above the upper one, "
                "from q: the samples of p are not of this theory"
            )
    yield from _far_apart(diagnostics.get("pulls", {}))
    for row in diagnostics.get("consistency", []):
        if row["pull"] is not None and abs(row["pull"]) > LARGEST_PULL:
            yield f"{row['name']}: off by {row['pull']:+.1f} errors"


def _far_apart(pulls: Json) -> Iterator[str]:
    """The largest differences between methods, and how many more there are."""
    found = []
    for observable, by_pair in pulls.items():
        if observable == "free_energy_density" and "log_z" in pulls:
            continue  # the same again
        for pair, pull in by_pair.items():
            size = math.inf if pull is None or math.isnan(pull) else abs(pull)
            shown = "nan" if math.isinf(size) else f"{pull:+.1f}"
            if size > LARGEST_PULL:
                found.append((size, f"{observable}: {pair} differ by {shown} errors"))
    found.sort(key=lambda entry: -entry[0])
    yield from (sentence for _, sentence in found[:MOST_PULLS])
    if more := found[MOST_PULLS:]:
        yield f"{len(more)} more differences exceed {LARGEST_PULL:g} errors"


def _chain_faults(diagnostics: Json) -> Iterator[str]:
    for method, acceptance in diagnostics.get("acceptance", {}).items():
        if acceptance["value"] == 0:
            yield f"{method}: every proposal was rejected, its chains never moved"


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
    path = diagnostics.get("integration")
    if path is not None and not path["is_converged"]:
        yield (
            "the integration along the couplings stopped before its target error, or "
            "with neighbours that hardly overlap: raise integration.rounds"
        )
    if path is not None and UNRESOLVED in path["method"]:
        yield "the chains of the integration are too short for their autocorrelation"
    for method in _unresolved(diagnostics):
        yield (
            f"{method}: the autocorrelation time is not resolved by the run, so its "
            "errors are lower bounds: run it longer"
        )
    for method, replicas in diagnostics.get("replicas", {}).items():
        if replicas and replicas["p_value"] < SMALLEST_P:
            yield (
                f"{method}: its chains disagree about {replicas['observable']} (p = "
                f"{replicas['p_value']:.0e}): stuck in different places, or too short"
            )


def _evidence_doubts(diagnostics: Json) -> Iterator[str]:
    weight, samples = diagnostics.get("mode_weight"), diagnostics.get("p_samples")
    if weight is None or samples is None:
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
    if not _is_usable(weight):
        reason = weight.get("unusable", "its error is not known")
        yield f"the mode weight cannot be used: {reason}"
        return
    if UNRESOLVED in weight["method"]:
        yield (
            "the autocorrelation of the samples of p is not resolved, so the error of "
            "the mode weight is a lower bound: longer chains are needed"
        )
    if weight["n_eff"] < SMALLEST_N_EFF:
        yield (
            f"the samples of p are worth {weight['n_eff']:.0f} independent ones, fewer "
            f"than {SMALLEST_N_EFF}: a mode can be missing by chance"
        )
    if weight["error"] > LARGEST_WEIGHT_ERROR:
        yield (
            f"mode weight {_shown(weight)}: too uncertain to exclude a missing mode, "
            "more samples of p are needed"
        )
    elif _exceeds(abs(weight["value"] - 1), weight, SMALLEST_DEFICIT):
        yield f"mode weight {_shown(weight)} is not 1: samples of p and q differ"
    tail = diagnostics.get("pareto_k_forward", 0.0)
    if tail is None or tail > WORST_PARETO_K:
        yield (
            "the inverse weights of the samples of p have too heavy a tail for the "
            "p-estimator and the mode weight"
        )


def _unresolved(diagnostics: Json) -> list[str]:
    """The chains of which some observable's autocorrelation time is not resolved."""
    found: dict[str, None] = {}
    for by_method in diagnostics.get("tau_int", {}).values():
        for method, tau in by_method.items():
            # a constant has none to resolve
            if UNRESOLVED in tau["method"] and tau.get("unusable") != STUCK:
                found[method] = None
    return list(found)


def _grounds(diagnostics: Json) -> Iterator[str]:
    """What speaks for the numbers, once nothing speaks against them."""
    weight, samples = diagnostics["mode_weight"], diagnostics["p_samples"]
    yield (
        f"mode weight {_shown(weight)}, from {samples['n']:,} samples of p by "
        f"{samples['kernel']}: no mode of more than {3 / weight['n_eff']:.1g} of p is "
        "missing"
    )
    ess, forward = diagnostics["ess"], diagnostics["ess_forward"]
    yield (
        f"ESS {ess['value']:.3g} on draws of q, {forward['value']:.3g} on samples of "
        f"p; Pareto k {diagnostics['pareto_k']:.2f}"
    )
    pulls = [
        abs(pull)
        for by_pair in diagnostics.get("pulls", {}).values()
        for pull in by_pair.values()
    ]
    if pulls:
        yield (
            f"all methods agree: the largest of {len(pulls)} differences is "
            f"{max(pulls):.1f} errors"
        )


def _is_usable(estimate: Json | None) -> TypeGuard[Json]:
    if estimate is None or "unusable" in estimate:
        return False
    return estimate["value"] is not None and estimate.get("error") is not None


def _exceeds(excess: float, estimate: Json, margin: float) -> bool:
    """More than three errors above zero, and more than `margin`."""
    return excess > max(SIGNIFICANT * estimate["error"], margin)


def _shown(estimate: Json) -> str:
    return f"{estimate['value']:.3f} ± {estimate['error']:.2g}"
