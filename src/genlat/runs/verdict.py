"""The verdict so far: a pure function of the diagnostics. No JAX here."""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

WORST_PARETO_K = 0.7
SMALLEST_N_EFF = 100
LARGEST_SHIFT = 1 / 3
LARGEST_PULL = 5.0


class Verdict(NamedTuple):
    """`trust` and the sentences behind it."""

    trust: Literal["yes", "no", "unknown"]
    reasons: list[str]


def judge(diagnostics: Mapping[str, Any]) -> Verdict:
    """Say no where something definitely fails, and "unknown" otherwise.

    Never "yes" yet: whether q misses a mode of p can only be seen on samples of p, by
    the mode weight, which this version does not estimate.

    **Arguments:** `diagnostics` as in `results.json`.
    """
    faults = [*_weight_faults(diagnostics), *_other_faults(diagnostics)]
    if faults:
        return Verdict("no", faults)
    if "ess" not in diagnostics:
        reason = "chain only: no second method to hold it against"
        return Verdict("unknown", [reason])
    reason = (
        "nothing fails, but the mode weight, which sees a missing mode of p, comes "
    )
    return Verdict("unknown", [f"{reason}with a later version"])


def _weight_faults(diagnostics: Mapping[str, Any]) -> list[str]:
    faults = []
    if bad := diagnostics.get("non_finite", 0):
        faults.append(f"{bad} log-weights are not finite")
    pareto_k = diagnostics.get("pareto_k", 0.0)
    if pareto_k is None or pareto_k > WORST_PARETO_K:
        shown = "inf" if pareto_k is None else f"{pareto_k:.2f}"
        faults.append(
            f"pareto_k = {shown} > {WORST_PARETO_K}: the weights have so heavy a tail "
            "that their errors cannot be believed"
        )
    ess = diagnostics.get("ess")
    if ess is not None and ess["n_eff"] < SMALLEST_N_EFF:
        faults.append(
            f"the samples are worth {ess['n_eff']:.0f} independent ones, fewer than "
            f"{SMALLEST_N_EFF}"
        )
    return faults


def _other_faults(diagnostics: Mapping[str, Any]) -> list[str]:
    faults = []
    integrator = diagnostics.get("integrator")
    if integrator is not None:
        shift, error = integrator["shift_log_z"], integrator["statistical_error"]
        # a model that is exact to rounding has no statistical error to compare with
        noise = 5 * integrator["shift_error"]
        if not abs(shift) <= max(LARGEST_SHIFT * error, noise):
            faults.append(
                f"halving the integration step moves ln Z by {shift:.2g}, more than a "
                f"third of its error {error:.2g}: raise estimate.n_steps"
            )
    for observable, pulls in diagnostics.get("pulls", {}).items():
        for pair, pull in pulls.items():
            if not math.fabs(pull) <= LARGEST_PULL:
                faults.append(f"{observable}: {pair} differ by {pull:+.1f} errors")
    return faults
