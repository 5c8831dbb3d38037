"""Synthetic runs in the broken phase, to draw reports from."""

import html
import re
from pathlib import Path

import jax.random as jr
import numpy as np
from matplotlib.axes import Axes

from genlat.estimators import autocorrelation, nmcmc, tails, two_sided, weights
from genlat.runs.disk import files, metrics, store

CONFIG = """seed = 1

[theory]
name = "phi4"
shape = {shape}
kappa = 0.3
lam = 0.022

[mcmc]
kernel = ["hmc", "cluster"]

[model]
name = "cnf"
init = "</pre><script>alert(1)</script> & co"
"""
CHAIN = "hmc+cluster"
METHODS = ("nis", "nmcmc", CHAIN, "p_estimator", "bar", "hmc_integration", "exact")
FIGURES = {
    *("training", "log_weights", "magnetisation", "two_point", "log_z"),
    *("integration", "autocorrelation", "samples", "cost", "seconds_to_error"),
}
LOG_Z = 134.943
UNUSABLE = "one draw carries <half> of the mean"


def write_run(
    directory: Path,
    shape: tuple[int, ...] = (16, 8),
    n: int = 6000,
    *,
    covers_both_modes: bool = True,
    is_old: bool = False,
) -> Path:
    """What a finished run with a chain and a model leaves behind.

    A model that covers one mode has half of Z, and a better ESS than one of both. An
    old run has neither samples of p nor an integration.
    """
    random = np.random.default_rng(7)
    (directory / "ensembles").mkdir(parents=True)
    (directory / "config.toml").write_text(CONFIG.format(shape=list(shape)))
    chain = _chain(random, shape)
    if is_old:
        chain["phi"] = chain["phi"][:, 0]
    width, log_z = (0.2, LOG_Z) if covers_both_modes else (0.06, LOG_Z - np.log(2))
    log_w = log_z + random.normal(-(width**2) / 2, width, n)
    phis = _fields(random, shape, n), _fields(random, shape, 9)
    if not covers_both_modes:
        phis = tuple(_in_one_mode(phi) for phi in phis)
    flow = _measured(phis[0], 1) | {"phi": phis[1]}
    flow["action"] = flow["observables/action_density"] * np.prod(shape)
    flow["log_q"] = -flow["action"] - log_w
    neural = nmcmc.run(jr.key(3), log_w.reshape(20, -1))
    ensembles = {
        "chain": chain,
        "flow": flow,
        "nmcmc": {"index": neural.index, "accepted": neural.accepted},
    }
    log_w_p = log_z + random.normal(width**2 / 2, width, (16, 256))
    if not covers_both_modes:
        is_lost = random.random(log_w_p.shape) < 0.5
        log_w_p += np.where(is_lost, random.normal(25, 3, log_w_p.shape), 0)
    if not is_old:
        action = random.normal(-19, 8, log_w_p.shape)
        ensembles["target"] = {"log_q": -action - log_w_p, "action": action}
    for name, arrays in ensembles.items():
        store.write(store.path(directory, name, 0), store.Block(arrays, {}))
    _write_metrics(directory, random)
    results = _results(chain, flow, log_w, neural)
    if not is_old:
        _add_both_sides(results, log_w, log_w_p, int(np.prod(shape)))
        _add_costs(results)
    files.write_json(directory / "results.json", results)
    return directory


def spoil(directory: Path) -> None:
    """Make some estimates of a finished run unusable, and its kernel no evidence."""
    results = files.read_json(directory / "results.json")
    found, diagnostics = results["estimates"], results["diagnostics"]
    for name, method in (
        ("log_z", "p_estimator"),
        ("free_energy_density", "p_estimator"),
        ("phi2", CHAIN),
        ("two_point", CHAIN),
    ):
        found[name][method] |= {"error": None, "unusable": UNUSABLE}
    stuck = {"error": None, "unusable": "the series never changes"}
    found["mag"][CHAIN] |= stuck
    diagnostics["ess_forward"] |= {"error": None, "unusable": UNUSABLE}
    diagnostics["mode_weight"]["is_evidence"] = False
    diagnostics["p_samples"] |= {"kernel": "hmc", "visits_every_mode": False}
    files.write_json(directory / "results.json", results)


def _in_one_mode(phi):
    """φ or -φ, whichever lies in the upper well."""
    axes = tuple(range(1, phi.ndim))
    return phi * np.sign(phi.mean(axes, keepdims=True))


def _write_metrics(directory, random):
    steps = np.arange(700)
    loss = -134.99 + np.exp(-steps / 60) + 0.05 * random.normal(size=steps.size)
    ess = 0.97 - 0.4 * np.exp(-steps / 90) + 0.01 * random.normal(size=steps.size)
    metrics.append(
        directory,
        [
            {"step": int(k), "seconds": 0.1 * k, "loss": loss[k], "ess": ess[k]}
            for k in steps
        ],
    )


def _fields(random, shape, *batch, memory=0.0, flip=0.5):
    """±2.1 and smooth noise; along the last axis of the batch AR(1) with sign flips."""
    noise = random.normal(size=(*batch, *shape))
    signs = np.where(random.random(batch) < flip, -1.0, 1.0).cumprod(axis=-1)
    time = len(batch) - 1
    for t in range(1, batch[-1]) if memory else ():
        now, before = ((slice(None),) * time + (k,) for k in (t, t - 1))
        noise[now] = memory * noise[before] + np.sqrt(1 - memory**2) * noise[now]
    for axis in range(-len(shape), 0):
        noise = 0.6 * noise + 0.4 * np.roll(noise, 1, axis)
    return 2.1 * signs.reshape(*batch, *(1 for _ in shape)) + noise


def _chain(random, shape):
    fields = _fields(random, shape, 8, 300, memory=0.9, flip=0.1)
    accepted = np.full((8, 300), 0.9)
    phi = fields[:, ::100]
    return _measured(fields, 2) | {"phi": phi, "acceptance": accepted}


def _measured(phi, batch_axes):
    batch = phi.shape[:batch_axes]
    mag = phi.reshape(*batch, -1).mean(-1)
    phi2 = (phi**2).reshape(*batch, -1).mean(-1)
    slices = phi.reshape(*batch, phi.shape[batch_axes], -1).mean(-1)
    lags = range(slices.shape[-1] // 2 + 1)
    two_point = [np.mean(slices * np.roll(slices, t, -1), axis=-1) for t in lags]
    found = {
        "mag": mag,
        "abs_mag": np.abs(mag),
        "phi2": phi2,
        "two_point": np.stack(two_point, -1),
    }
    found["action_density"] = 0.05 * phi2 - 0.4
    return {f"observables/{name}": values for name, values in found.items()}


def _results(chain, flow, log_w, neural):
    names = [name for name in flow if name.startswith("observables/")]
    estimates = {
        "log_z": {
            "nis": weights.log_z(log_w).to_json(),
            "exact": {"value": LOG_Z, "error": 0.002, "source": "a <b>table</b>"},
        }
    }
    tau_int = {}
    for name in names:
        key = name.removeprefix("observables/")
        followed = flow[name][neural.index]
        estimates[key] = {
            "nis": weights.reweighted_mean(log_w, flow[name]).to_json(),
            "nmcmc": autocorrelation.mean(followed).to_json(),
            CHAIN: autocorrelation.mean(chain[name]).to_json(),
        }
        if chain[name].ndim == 2:
            tau_int[key] = {
                "nmcmc": autocorrelation.tau_int(followed).to_json(),
                CHAIN: autocorrelation.tau_int(chain[name]).to_json(),
            }
    estimates["mag"]["exact"] = {"value": 0.0, "error": 0.0, "source": "symmetry"}
    return {
        "schema": "genlat.results/1",
        "config": {},
        "provenance": {"genlat": "0.1.0", "started": "2026-01-01T00:00:00+00:00"},
        "estimates": estimates,
        "diagnostics": {
            "acceptance": {CHAIN: {"value": 0.9, "error": 0.001, "n": 2400}},
            "tau_int": tau_int,
            "ess": weights.ess_estimate(log_w).to_json(),
            "kl_per_site": weights.kl_reverse(log_w, 128).to_json(),
            "pareto_k": tails.pareto_k(log_w),
            "non_finite": 0,
            "weights": {"largest_share": weights.largest_share(log_w)},
            "prior": {"ess": {"value": 0.41, "error": 0.01, "n": 20000}},
            "integrator": {
                "steps": 12,
                "shift_log_z": 1e-5,
                "shift_error": 2e-6,
                "statistical_error": 3e-4,
            },
        },
        "verdict": {"trust": "unknown", "reasons": ["nothing fails <yet>"]},
        "cost": {
            "train_seconds": 70.0,
            "sample_seconds": 6.7,
            "mcmc_seconds": 21.3,
            "steps_seconds": 3.5,
            "other_seconds": 0.75,
            "total_seconds": 102.25,
            "compile_seconds": {"train": 11.5, "sample": 1.5, "mcmc": 4.25},
            "parameters": 1234,
            "peak_memory_bytes": 700 * 2**20,
            "ess_per_second": {"nis": 870.0, "nmcmc": 512.0, CHAIN: 95.0},
        },
    }


def _add_both_sides(results, log_w_q, log_w_p, volume):
    """What samples of p and chains along the couplings add."""
    found, diagnostics = results["estimates"], results["diagnostics"]
    ratio = two_sided.bar(log_w_q, log_w_p)
    integrated = {"value": LOG_Z + 0.011, "error": 0.016, "method": "hmc_integration"}
    found["log_z"] |= {
        "p_estimator": two_sided.log_z_p(log_w_p).estimate("p_estimator").to_json(),
        "bar": ratio.log_z.estimate("bar").to_json(),
        "hmc_integration": integrated,
    }
    bounds = {
        "upper": ("nis", two_sided.lower_log_z(log_w_q)),
        "lower": ("p_estimator", two_sided.upper_log_z(log_w_p)),
    }
    for side, (method, bound) in bounds.items():
        estimate = (bound / -volume).estimate(method)
        found[f"free_energy_density_{side}"] = {method: estimate.to_json()}
    found["free_energy_density"] = {
        method: x | {"value": -x["value"] / volume, "error": x["error"] / volume}
        for method, x in found["log_z"].items()
    }
    found["entropy_density"] = {
        method: x | {"value": -0.15 + x["value"] / volume, "error": 2e-4}
        for method, x in found["log_z"].items()
        if method != "exact"
    }
    weight = two_sided.mode_weight(log_w_q, log_w_p).estimate("mode_weight").to_json()
    log_z = float(two_sided.log_z_p(log_w_p).value)
    uncovered = (
        (level, two_sided.uncovered(log_w_p, log_z, level).estimate(""))
        for level in (0.1, 0.01)
    )
    forward = two_sided.kl_forward(log_w_p, volume).estimate("")
    lost = weight["value"] < 0.9
    diagnostics |= {
        "ess_forward": two_sided.ess_forward(log_w_p).estimate("").to_json(),
        "kl_forward_per_site": forward.to_json(),
        "mode_weight": weight | {"is_evidence": True},
        "overlap": ratio.overlap,
        "p_samples": {
            "kernel": CHAIN,
            "n": log_w_p.size,
            "source": "chain",
            "visits_every_mode": True,
        },
        "uncovered": [
            {"threshold": level, "value": float(x.value), "error": float(x.error)}
            for level, x in uncovered
        ],
        "integration": _path(integrated),
        "consistency": [
            {
                "name": "ln Z: integral of 2⟨H⟩ dκ against Bennett's ratios",
                "left": {"value": LOG_Z + 0.013, "error": 0.017},
                "right": integrated,
                "pull": 0.4,
            },
            {
                "name": "Schwinger-Dyson, nis: ⟨Σ φ ∂S/∂φ⟩/V = 1",
                "left": {"value": 1.0004, "error": 0.0003},
                "right": 1.0,
                "pull": 1.3,
            },
        ],
        "cross_checks": {
            "log_z": {
                "nis": {"delta": 0.0026, "jackknife": 0.0025, "bootstrap": 0.0027},
                "p_estimator": {"delta": 0.003, "jackknife": 0.0061},
            }
        },
    }
    reasons = {
        "yes": ["mode weight 1.002 ± 0.0045, from samples of p: no mode is missing"],
        "no": ["the model covers 50% of p & misses the rest", "the methods disagree"],
    }
    trust = "no" if lost else "yes"
    results["verdict"] = {"trust": trust, "reasons": reasons[trust]}


def _path(end):
    couplings = np.linspace(0, 0.3, 16) ** 0.8 * 0.3**0.2
    log_z = 77 + (end["value"] - 77) * (couplings / 0.3) ** 3
    around = 0.7 - 0.5 * np.exp(-(((couplings[1:] - 0.268) / 0.02) ** 2))
    return {
        "coupling_name": "kappa",
        "couplings": couplings.tolist(),
        "log_z": log_z.tolist(),
        "error": np.linspace(0, end["error"], 16).tolist(),
        "overlaps": around.tolist(),
        "samples": [2000] * 16,
        "rounds": 5,
        "target_error": 0.02,
        "reweighting": {"value": end["value"] - 0.05, "error": 0.02, "n": 32000},
        "thermodynamic": {"value": end["value"] + 0.002, "error": 0.017, "n": 32000},
    }


def _add_costs(results):
    cost = results["cost"]
    cost |= {"p_seconds": 1.4, "integration_seconds": 90.0}
    spent = {"nis": 6.7, "nmcmc": 6.7, CHAIN: 21.3, "p_estimator": 22.7, "bar": 29.4}
    spent["hmc_integration"] = 90.0
    whole, trained = {}, {}
    for name, by_method in results["estimates"].items():
        for method, seconds in spent.items():
            error = by_method.get(method, {}).get("error")
            if not isinstance(error, float):
                continue
            training = 0.0 if method in (CHAIN, "hmc_integration") else 70.0
            trained.setdefault(name, {})[method] = seconds * error**2
            whole.setdefault(name, {})[method] = (seconds + training) * error**2
    cost["seconds_at_unit_error"] = whole
    cost["seconds_at_unit_error_trained"] = trained


def rows_of(page: str) -> list[dict[str, str]]:
    """What the rows of all tables of a page say, by the heads of their columns."""
    cell = re.compile(r'<td data-label="([^"]*)"[^>]*><span>(.*?)</span></td>')
    return [
        {_text(head): _text(content) for head, content in cell.findall(row)}
        for row in re.findall(r"<tr>(<td .*?)</tr>", page)
    ]


def bars_of(axes: Axes) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """x, y and errors of what is drawn with error bars, by its label."""
    found = {}
    for container in axes.containers:
        line, _, (bars,) = container.lines
        ends = np.array([ends[:, 1] for ends in bars.get_segments()])
        half = np.ptp(ends, axis=1) / 2
        found[container.get_label()] = line.get_xdata(), line.get_ydata(), half
    return found


def _text(content: str) -> str:
    return html.unescape(re.sub("<[^>]*>", "", content)).strip()
