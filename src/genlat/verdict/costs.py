"""What an error costs: seconds times error squared, by observable and method."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def at_unit_error(
    found: Mapping[str, Mapping[str, Mapping[str, Any]]],
    cost: Mapping[str, Any],
    *,
    chain: str | None,
) -> Json:
    """Seconds that an error of one would take: it falls like one over their root.

    `seconds_at_unit_error` counts all that a method needs, training included;
    `seconds_at_unit_error_trained` what it needs once the model is trained. Divide by
    the square of the error wanted.

    **Arguments:** `found` as `estimates` in `results.json`, `cost` its seconds by
    stage, `chain` the name of the baseline.
    """
    spent = _seconds(cost, chain)
    training = cost.get("train_seconds", 0.0)
    with_model = {"nis", "nmcmc", "p_estimator", "bar"}
    trained: Json = {}
    whole: Json = {}
    for name, by_method in found.items():
        for method, estimate in by_method.items():
            error = estimate["error"]
            if method not in spent or not isinstance(error, float) or not error > 0:
                continue
            seconds = spent[method]
            if name == "entropy_density" and method == "hmc_integration":
                seconds += cost.get("mcmc_seconds", 0.0)  # ⟨S⟩ is the chain's
            trained.setdefault(name, {})[method] = seconds * error**2
            seconds += training if method in with_model else 0.0
            whole.setdefault(name, {})[method] = seconds * error**2
    return {
        "seconds_at_unit_error": whole,
        "seconds_at_unit_error_trained": trained,
    }


def _seconds(cost: Mapping[str, Any], chain: str | None) -> dict[str, float]:
    """Wall time of every method but for training."""
    draws, on_p = cost.get("sample_seconds"), cost.get("p_seconds")
    spent = {}
    if chain is not None:
        spent[chain] = cost.get("mcmc_seconds", 0.0)
    if draws is not None:
        spent |= {"nis": draws, "nmcmc": draws}
    if draws is not None and on_p is not None:
        on_p += cost.get("p_source_seconds", 0.0)
        spent |= {"p_estimator": on_p, "bar": draws + on_p}
    if "integration_seconds" in cost:
        spent["hmc_integration"] = cost["integration_seconds"]
    return spent
