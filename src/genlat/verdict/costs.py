"""What an error costs: seconds times error squared, by observable and method."""

from collections.abc import Mapping
from typing import Any

from genlat.estimators import methods

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
    the square of the error wanted. Neither counts compilation, which is paid once.

    **Arguments:** `found` as `estimates` in `results.json`, `cost` its seconds by
    stage, with `compile_seconds` the part of each in which something was compiled;
    `chain` the name of the baseline.
    """
    running = _running(cost)
    spent = _seconds(running, chain)
    if "p_source_seconds" in cost and cost["p_source_seconds"] is None:
        for method in ("p_estimator", "bar"):  # of samples that took nobody knows what
            spent.pop(method, None)
    training = running.get("train", 0.0) + running.get("calibration", 0.0)
    with_model = {name for name, x in methods.METHODS.items() if x.is_of_a_model}
    trained: Json = {}
    whole: Json = {}
    for name, by_method in found.items():
        for method, estimate in by_method.items():
            error = estimate["error"]
            if method not in spent or not isinstance(error, float) or not error > 0:
                continue
            seconds = spent[method]
            if name == "entropy_density" and method == "hmc_integration":
                seconds += running.get("mcmc", 0.0)  # ⟨S⟩ is the chain's
            trained.setdefault(name, {})[method] = seconds * error**2
            seconds += training if method in with_model else 0.0
            whole.setdefault(name, {})[method] = seconds * error**2
    return {
        "seconds_at_unit_error": whole,
        "seconds_at_unit_error_trained": trained,
    }


def _running(cost: Mapping[str, Any]) -> dict[str, float]:
    """Wall time of every stage, without compilation."""
    end, compiling = "_seconds", cost.get("compile_seconds", {})
    return {
        stage: seconds - compiling.get(stage, 0.0)
        for key, seconds in cost.items()
        if key.endswith(end) and isinstance(seconds, float)
        for stage in [key.removesuffix(end)]
    }


def _seconds(running: Mapping[str, float], chain: str | None) -> dict[str, float]:
    """Time of every method but for training.

    The integrator's steps are chosen for every log q: of draws and of samples of p.
    """
    spent = {}
    if chain is not None:
        spent[chain] = running.get("mcmc", 0.0)
    draws, on_p = running.get("sample"), running.get("p")
    if draws is not None:
        steps = running.get("steps", 0.0)
        draws += steps
        spent |= {"nis": draws, "nmcmc": draws + running.get("nmcmc", 0.0)}
        if on_p is not None:
            on_p += running.get("p_source", 0.0)
            spent |= {"p_estimator": on_p + steps, "bar": draws + on_p}
    if "integration" in running:
        spent["hmc_integration"] = running["integration"]
    return spent
