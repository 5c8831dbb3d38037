"""From the records of a run to the figures they allow, with captions."""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from genlat.estimators import autocorrelation
from genlat.report import costs, figures, free_energy, ledger, notation
from genlat.runs.file import catalogue
from genlat.runs.records import Record

MEASURED = "observables/"
# follow from another observable shown: nothing new to compare
SHOWN = 0.01  # of the time of a run: what stages took less stand in the table alone
REPEATED = ("mag4", "action_density2", "free_energy_density")


class Drawing(NamedTuple):
    """A figure; `name` is its file's, `caption` says in a sentence how to read it."""

    name: str
    title: str
    caption: str
    figure: Figure


def draw(record: Record) -> list[Drawing]:
    """Every figure that the records of a run, finished or not, have the data for."""
    every = (
        _log_z(record),
        _log_weights(record),
        _magnetisation(record),
        _two_point(record),
        _integration(record),
        _training(record),
        _autocorrelation(record),
        _samples(record),
        _cost(record),
        _seconds_to_error(record),
    )
    return [drawing for drawing in every if drawing is not None]


def _magnetisation(record: Record) -> Drawing | None:
    chain = flow = None
    if "mag" in (series := _series(record.chain, axes=2)):
        chain = (_chain_name(record), series["mag"].ravel())
    if "mag" in (series := _series(record.flow, axes=1)) and _are_usable(
        _log_w(record.flow)
    ):
        flow = (series["mag"], _log_w(record.flow))
    if chain is None and flow is None:
        return None
    return Drawing(
        "magnetisation",
        "Magnetisation",
        "Where the chain and the reweighted model have different shapes or different "
        "peaks, one of them misses a part of the field space.",
        figures.magnetisation(chain, flow),
    )


def _two_point(record: Record) -> Drawing | None:
    found = {
        method: (np.array(x["value"], float), np.array(x["error"], float))
        for method, x in catalogue.as_shown(
            _estimates(record).get("two_point", {})
        ).items()
        if notation.is_usable(x)
    }
    if not found:
        return None
    known = [method for method in catalogue.KNOWN if method in found]
    others = [m for m in found if m not in (*known, "nis", "nmcmc")]
    best = known or others[:1]
    reference = best[0] if best and len(found) > 1 else None
    pulls = "; pulls of neighbouring separations are correlated" if reference else ""
    return Drawing(
        "two_point",
        "Two-point function of time slices",
        "A decay, straight on a logarithmic scale, bends up towards half the extent by "
        f"the periodic image, and ends on a plateau in the broken phase{pulls}.",
        figures.two_point(found, reference),
    )


def _log_z(record: Record) -> Drawing | None:
    """Every way to ln Z, the bounds around them."""
    estimates = _estimates(record)
    volume = float(math.prod(record.config.get("theory", {}).get("shape", [])))
    lower = estimates.get("free_energy_density_upper", {}).get("nis")
    upper = estimates.get("free_energy_density_lower", {}).get("p_estimator")
    every = {
        name: _side(name, x, 0)
        for name, x in catalogue.as_shown(estimates.get("log_z", {})).items()
    }
    known = [side for name, side in every.items() if name in catalogue.KNOWN]
    methods = [side for side in every.values() if side not in known]
    below = [_side("lower bound (q)", _times(lower, -volume), 1)] if lower else []
    above = [_side("upper bound (p)", _times(upper, -volume), -1)] if upper else []
    sides = [*known, *below, *methods, *above]
    usable = [side for side in (*known, *methods) if side.value is not None]
    if not usable or len(sides) < 2:
        return None
    rank = {
        **dict.fromkeys(catalogue.KNOWN, 0),
        "bar": 1,
    }  # then the smallest error, right or wrong
    reference = min(usable, key=lambda side: (rank.get(side.name, 2), side.error))
    return Drawing(
        "log_z",
        "ln Z from every side",
        "All estimates must agree within their errors, between the bounds: from below "
        "by draws of q, from above by samples of p. An estimator from q that lies low "
        "has missed a part of p.",
        free_energy.log_z(sides, reference),
    )


def _side(
    name: str, estimate: Mapping[str, Any], towards: Literal[-1, 0, 1]
) -> free_energy.Side:
    text = notation.number(estimate)
    if not notation.is_usable(estimate):
        return free_energy.Side(name, text, None, 0.0, towards)
    value, error = estimate["value"], estimate["error"]
    return free_energy.Side(name, text, value, error, towards)


def _times(estimate: Mapping[str, Any], factor: float) -> dict[str, Any]:
    scaled = dict(estimate)
    if estimate["value"] is not None:
        scaled["value"] = factor * estimate["value"]
    if estimate["error"] is not None:
        scaled["error"] = abs(factor) * estimate["error"]
    return scaled


def _log_weights(record: Record) -> Drawing | None:
    if "log_q" not in record.flow:
        return None
    log_w = _log_w(record.flow)
    finite = log_w[np.isfinite(log_w)]
    if finite.size < 2:
        return None
    on_p = _log_w(record.target).ravel() if record.target else np.empty(0)
    sound = on_p[on_p > -np.inf]  # no NaN; +inf is a place that q excludes
    left_out = log_w.size - finite.size + on_p.size - sound.size
    warning = f" ({left_out} that are not finite are left out)" if left_out else ""
    both = (
        "; samples of p that lie where q has none are a part of p that q misses. "
        "Where q covers p, the two cross at ln Z, and p falls off to the left faster"
    )
    return Drawing(
        "log_weights",
        "Log-weights",
        "The narrower the better; a right tail that leaves the Gaussian upwards means "
        f"that few draws carry the estimates{both * bool(sound.size)}{warning}.",
        free_energy.log_weights(finite, sound if sound.size else None),
    )


def _integration(record: Record) -> Drawing | None:
    path = record.results.get("diagnostics", {}).get("integration")
    if path is None or len(path["couplings"]) < 2:
        return None
    name = str(path["coupling_name"])
    return Drawing(
        "integration",
        "Integration along the couplings",
        "Every mark is a coupling with chains of its own; where neighbours overlap "
        "little, the step between them carries the error.",
        free_energy.integration(
            np.array(path["couplings"], float),
            np.array(path["log_z"], float),
            np.array(path["error"], float),
            np.array(path["overlaps"], float),
            notation.COUPLINGS.get(name, name),
        ),
    )


def _training(record: Record) -> Drawing | None:
    if not {"seconds", "loss", "ess"} <= set(record.metrics):
        return None
    log_z = _estimates(record).get("log_z", {})
    best = [log_z[x] for x in ("exact", "nis") if notation.is_usable(log_z.get(x))]
    prior = record.results.get("diagnostics", {}).get("prior", {}).get("ess")
    train = record.results.get("config", {}).get("train", {})
    objective = train.get("objective", "reverse_kl")
    return Drawing(
        "training",
        "Training",
        "A progress bar, not a result: single batches in pale and their running mean, "
        "of a continuous flow with the coarse integration steps of training, which may "
        "push the loss below −ln Z; what the model is worth is the ESS of the final "
        "samples.",
        figures.training(
            *(record.metrics[name] for name in ("seconds", "loss", "ess")),
            objective=objective,
            log_z=best[0]["value"] if best else None,
            prior_ess=prior["value"] if notation.is_usable(prior) else None,
        ),
    )


def _autocorrelation(record: Record) -> Drawing | None:
    decays = {}
    if chain := _series(record.chain, axes=2):
        decays[_chain_name(record)] = _slowest(chain, "kept samples")
    if "index" in record.nmcmc and (flow := _series(record.flow, axes=1)):
        index = record.nmcmc["index"]
        followed = {name: values[index] for name, values in flow.items()}
        decays["nmcmc"] = _slowest(followed, "proposals")
    if not decays:
        return None
    return Drawing(
        "autocorrelation",
        "Autocorrelation",
        "Each chain's slowest observable: ρ must have died out, within its error band, "
        "where the sum for τ_int is cut at the dashed window.",
        figures.autocorrelation(decays),
    )


def _series(
    arrays: Mapping[str, Float[np.ndarray, "..."]], axes: int
) -> dict[str, Float[np.ndarray, "..."]]:
    """All observables that are one number a configuration, where they are finite."""
    scalars = {
        name.removeprefix(MEASURED): values
        for name, values in arrays.items()
        if name.startswith(MEASURED) and values.ndim == axes
    }
    return {name: x for name, x in scalars.items() if np.all(np.isfinite(x))}


def _slowest(
    series: Mapping[str, Float[np.ndarray, "chains n"]], unit: str
) -> figures.Decay:
    found = {name: autocorrelation.analyse(values) for name, values in series.items()}
    name = max(found, key=lambda key: float(found[key].tau_int.value))
    window, length = int(found[name].window), series[name].shape[1]
    lags = min(length - 1, max(10, 2 * window))
    rho, error = autocorrelation.autocorrelation_function(series[name], lags)
    tau_int = str(found[name].tau_int)
    return figures.Decay(name, rho, error, window, tau_int, unit)


def _samples(record: Record) -> Drawing | None:
    shape = tuple(record.config.get("theory", {}).get("shape", ()))
    rows = {_chain_name(record): record.chain, "model": record.flow}
    # of a field of components the first
    component = (..., 0) if "components" in record.config.get("theory", {}) else ...
    shown = {
        # chain after chain, so that a few spread out are of different chains
        name: arrays["phi"][component].reshape(-1, *shape).astype(np.float32)
        for name, arrays in rows.items()
        if "phi" in arrays and arrays["phi"].size
    }
    if not shown:
        return None
    return Drawing(
        "samples",
        "Configurations",
        "One colour scale for all, time running to the right: what the samplers draw "
        "should not be told apart by eye.",
        figures.samples(shown),
    )


def _cost(record: Record) -> Drawing | None:
    cost = record.results.get("cost", {})
    rows = ledger.rows(cost)
    whole = sum(row.seconds for row in rows)
    seconds = {row.name: row.running for row in rows if row.running > SHOWN * whole}
    if compiling := sum(row.compile_seconds for row in rows):
        seconds["Compiling"] = compiling
    rates = {name: x for name, x in cost.get("ess_per_second", {}).items() if x}
    if not seconds and not rates:
        return None
    return Drawing(
        "cost",
        "Time, and what it buys",
        "Stages without compilation, which is paid once, as training is; from then on "
        "the samples per second decide, which are those of each method's slowest "
        "observable.",
        costs.cost(seconds, rates),
    )


def _seconds_to_error(record: Record) -> Drawing | None:
    """The observables that two methods or more have, but for powers of others."""
    cost = record.results.get("cost", {})
    whole = cost.get("seconds_at_unit_error", {})
    prices = [
        price
        for name, trained in cost.get("seconds_at_unit_error_trained", {}).items()
        if name not in REPEATED
        and (
            price := _price(name, whole.get(name, {}), trained, _estimates(record))
        ).trained
    ]
    compared = [price for price in prices if len(price.trained) > 1]
    if not compared:
        return None
    return Drawing(
        "seconds_to_error",
        "What an error costs",
        "Time to the smallest error that any method has reached here, from what each "
        "has reached and its time; an error halves in four times the time. Filled: "
        "once the model is trained; hollow: training included. What shares samples "
        "shares their cost, and what is wrong can be cheap: the verdict comes first.",
        costs.seconds_to_error(compared),
    )


def _price(
    name: str,
    whole: Mapping[str, float | None],
    trained: Mapping[str, float | None],
    estimates: Mapping[str, Any],
) -> costs.Price:
    errors = [
        estimates[name][method]["error"]
        for method, unit in trained.items()
        if unit and notation.is_usable(estimates.get(name, {}).get(method))
    ]
    error = min(errors, default=0.0)

    def seconds(units: Mapping[str, float | None]) -> dict[str, float]:
        known = ((method, unit) for method, unit in units.items() if unit and error)
        return {method: unit / error**2 for method, unit in known}

    return costs.Price(name, error, seconds(whole), seconds(trained))


def _chain_name(record: Record) -> str:
    """The chain's estimates go by its kernels: `hmc`, `hmc+cluster`, ..."""
    samples = record.config.get("samples")
    if "mcmc" not in record.config and samples:  # made elsewhere, or in a program
        return "samples" if "phi" in samples else samples.get("kernel", "chain")
    kernel = record.config.get("mcmc", {}).get("kernel", "chain")
    return kernel if isinstance(kernel, str) else "+".join(kernel)


def _estimates(record: Record) -> dict:
    return record.results.get("estimates", {})


def _log_w(
    arrays: Mapping[str, Float[np.ndarray, "*draws"]],
) -> Float[np.ndarray, "*draws"]:
    return -arrays["action"] - arrays["log_q"]


def _are_usable(log_w: Float[np.ndarray, " n"]) -> bool:
    return bool(np.all(log_w < np.inf) and np.any(np.isfinite(log_w)))
