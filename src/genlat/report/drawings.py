"""From the records of a run to the figures they allow, with captions."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from genlat.estimators import autocorrelation
from genlat.report import figures
from genlat.runs.records import Record

MEASURED = "observables/"


class Drawing(NamedTuple):
    """A figure; `name` is its file's, `caption` says in a sentence how to read it."""

    name: str
    title: str
    caption: str
    figure: Figure


def draw(record: Record) -> list[Drawing]:
    """Every figure that the records of a run, finished or not, have the data for."""
    every = (
        _magnetisation(record),
        _two_point(record),
        _log_weights(record),
        _training(record),
        _autocorrelation(record),
        _samples(record),
        _cost(record),
    )
    return [drawing for drawing in every if drawing is not None]


def _magnetisation(record: Record) -> Drawing | None:
    chain = flow = None
    if "mag" in (series := _series(record.chain)):
        chain = (_chain_name(record), series["mag"].ravel())
    if "mag" in (series := _series(record.flow)) and _are_usable(_log_w(record)):
        flow = (series["mag"], _log_w(record))
    if chain is None and flow is None:
        return None
    return Drawing(
        "magnetisation",
        "Magnetisation",
        "Where the chain and the reweighted flow have different shapes or different "
        "peaks, one of them misses a part of the field space.",
        figures.magnetisation(chain, flow),
    )


def _two_point(record: Record) -> Drawing | None:
    found = {
        method: (np.array(x["value"], float), np.array(x["error"], float))
        for method, x in _estimates(record).get("two_point", {}).items()
    }
    if not found:
        return None
    others = [method for method in found if method not in ("exact", "nis", "nmcmc")]
    best = ["exact"] if "exact" in found else others[:1]
    reference = best[0] if best and len(found) > 1 else None
    pulls = "; pulls of neighbouring separations are correlated" if reference else ""
    return Drawing(
        "two_point",
        "Two-point function of time slices",
        "A decay, straight on a logarithmic scale, bends up towards half the extent by "
        f"the periodic image, and ends on a plateau in the broken phase{pulls}.",
        figures.two_point(found, reference),
    )


def _log_weights(record: Record) -> Drawing | None:
    if "log_q" not in record.flow:
        return None
    log_w = _log_w(record)
    finite = log_w[np.isfinite(log_w)]
    if finite.size < 2:
        return None
    left_out = log_w.size - finite.size
    warning = f" ({left_out} that are not finite are left out)" if left_out else ""
    return Drawing(
        "log_weights",
        "Log-weights of the flow",
        "The narrower the better; a right tail that leaves the Gaussian upwards means "
        f"that few draws carry the estimates{warning}.",
        figures.log_weights(finite),
    )


def _training(record: Record) -> Drawing | None:
    if not {"seconds", "loss", "ess"} <= set(record.metrics):
        return None
    log_z = _estimates(record).get("log_z", {})
    best = log_z.get("exact") or log_z.get("nis") or {}
    prior = record.results.get("diagnostics", {}).get("prior", {}).get("ess", {})
    return Drawing(
        "training",
        "Training",
        "A progress bar, not a result: single batches in pale and their running mean, "
        "with the coarse integration steps of training, which may push the loss below "
        "−ln Z; what the model is worth is the ESS of the final samples.",
        figures.training(
            *(record.metrics[name] for name in ("seconds", "loss", "ess")),
            log_z=best.get("value"),
            prior_ess=prior.get("value"),
        ),
    )


def _autocorrelation(record: Record) -> Drawing | None:
    decays = {}
    if chain := _series(record.chain):
        decays[_chain_name(record)] = _slowest(chain, "kept samples")
    if "index" in record.nmcmc and (flow := _series(record.flow)):
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
    arrays: Mapping[str, Float[np.ndarray, "..."]],
) -> dict[str, Float[np.ndarray, "..."]]:
    """The observables worth following, where they are measured and finite."""
    names = [
        name
        for name in ("mag", "abs_mag", "action_density")
        if np.all(np.isfinite(arrays.get(f"{MEASURED}{name}", np.nan)))
    ]
    return {name: arrays[f"{MEASURED}{name}"] for name in names}


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
    rows = {
        _chain_name(record): record.chain.get("phi"),
        "flow": record.flow.get("phi"),
    }
    shown = {name: phi for name, phi in rows.items() if phi is not None and len(phi)}
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
    stages = {"train": "training", "sample": "sampling", "mcmc": _chain_name(record)}
    seconds = {
        label: cost[f"{stage}_seconds"]
        for stage, label in stages.items()
        if cost.get(f"{stage}_seconds")
    }
    rates = {name: x for name, x in cost.get("ess_per_second", {}).items() if x}
    if not seconds and not rates:
        return None
    return Drawing(
        "cost",
        "Time, and what it buys",
        "Training is paid once; from then on the samples per second decide, which are "
        "those of each method's slowest observable.",
        figures.cost(seconds, rates),
    )


def _chain_name(record: Record) -> str:
    """The chain's estimates go by its kernels: `hmc`, `hmc+cluster`, ..."""
    kernel = record.config.get("mcmc", {}).get("kernel", "chain")
    return kernel if isinstance(kernel, str) else "+".join(kernel)


def _estimates(record: Record) -> dict:
    return record.results.get("estimates", {})


def _log_w(record: Record) -> Float[np.ndarray, " n"]:
    return -record.flow["action"] - record.flow["log_q"]


def _are_usable(log_w: Float[np.ndarray, " n"]) -> bool:
    return bool(np.all(log_w < np.inf) and np.any(np.isfinite(log_w)))
