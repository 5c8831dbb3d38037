"""From the results of a scan's points to `scan.json`. No JAX here."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genlat.errors import DamagedError
from genlat.estimators import thermodynamics
from genlat.estimators.thermodynamics import Column, EquationOfState, Points
from genlat.runs.disk import files
from genlat.runs.file import catalogue
from genlat.runs.scan import scan_values
from genlat.runs.scan.scan_request import Request
from genlat.runs.scan.scan_values import SIZES, Value
from genlat.theories.base import Slope

SCHEMA = "genlat.scan/1"
DIAGNOSTICS = ("ess", "ess_forward", "mode_weight", "kl_per_site", "pareto_k")
STAGES = (
    *("check", "mcmc", "prior", "calibration", "train", "steps", "sample", "nmcmc"),
    *("p", "integration", "estimate", "other", "total"),
)
TIME_EXTENT = "theory.shape.0"

Json = dict[str, Any]
Curves = dict[str, dict[str, Json]]


def write(path: Path, request: Request) -> Json:
    """Collect the finished points, write `scan.json` whole, and return it.

    **Raises:** as `collect`.
    """
    content = collect(path, request)
    files.write_json(path / "scan.json", content)
    return content


def collect(path: Path, request: Request) -> Json:
    """The content of `scan.json`, from the points that are finished.

    **Raises:** `DamagedError` for a point that is not the one asked for.
    """
    done: list[tuple[Value, str, Json]] = []
    for value, point in zip(request.values, request.points, strict=True):
        found = _of_point(path, f"points/{point}")
        if not found:
            break
        if _scanned(found["config"], request.field) != value:
            raise DamagedError(
                f"{path / 'points' / point}: not at {scan_values.show(value)}; put "
                f"the run back that was, or remove it, and `genlat resume {path}` "
                "makes it again"
            )
        done.append((value, f"points/{point}", found))
    values, points, results = zip(*done, strict=True)
    estimates = _curves(results)
    content = {
        "schema": SCHEMA,
        "is_complete": len(done) == len(request.points),
        "over": request.field,
        "values": list(values),
        "points": list(points),
        "digests": [_digest(found) for found in results],
        "config": request.base,
        "estimates": estimates,
        "diagnostics": {
            name: [_number(found["diagnostics"].get(name)) for found in results]
            for name in DIAGNOSTICS
        },
        "verdicts": [found["verdict"] for found in results],
        "thermodynamics": {},
        "consistency": [],
        "no_consistency": "",
        "cost": {
            f"{stage}_seconds": [
                found["cost"].get(f"{stage}_seconds") for found in results
            ]
            for stage in STAGES
        },
    }
    if len(done) >= thermodynamics.FEWEST and request.field != SIZES:
        x = np.array(values, np.float64)
        content |= _along_coupling(request, x, estimates)
        if request.field == TIME_EXTENT:
            log_z = estimates.get("log_z", {})
            shown = catalogue.as_shown(log_z)
            gaps = (_missing(x, f"ln Z by {key}", shown[key]) for key in shown)
            content["thermodynamics"] = {
                "equation_of_state": _equations(request, x, log_z),
                "left_out": list(filter(None, gaps)),
            }
    return json.loads(json.dumps(content))  # as it will be read


def refuse_other_points(path: Path, content: Mapping[str, Any]) -> None:
    """Curves are of the points beside them; not noted before 2026-11-28.

    **Raises:** `DamagedError` for a point that is gone, damaged or another.
    """
    points = content.get("points", [])
    for point, digest in zip(points, content.get("digests", []), strict=False):
        found = _of_point(path, point)
        if not found:
            raise DamagedError(
                f"{path / point}: has no results any more, and scan.json was made of "
                f"them; `genlat resume {path}` makes them again"
            )
        if _digest(found) != digest:
            raise DamagedError(
                f"{path / point}: not the run that scan.json was made of; "
                f"`genlat resume {path}` makes the curves anew"
            )


def is_of(content: Json, now: Json) -> bool:
    """Whether what was collected is what would be now; older ones have no digests."""
    kept = {name: x for name, x in now.items() if name != "digests" or name in content}
    return files.seal(content) == files.seal(kept)


def _digest(found: Json) -> str:
    """Of what a point found; not of times and places, which a kill may change."""
    return files.seal({x: found[x] for x in ("estimates", "diagnostics", "verdict")})


def _of_point(path: Path, point: str) -> Json:
    """The results of a point; empty if it has not finished.

    **Raises:** `DamagedError` if they are not what was written, or of another run.
    """
    try:
        return files.read_json(path / point / "results.json")
    except DamagedError as error:
        advice = str(error).replace("`genlat resume`", f"`genlat resume {path}`")
        raise DamagedError(advice) from error


def _scanned(config: Mapping[str, Any], field: str) -> Any:
    """What a point has; a coupling that is not written is 0."""
    section, name, *entry = field.split(".")
    value = config.get(section, {}).get(name, 0.0 if section == "theory" else None)
    return value[int(entry[0])] if entry else scan_values.plain(value)


def _curves(results: Sequence[Json]) -> Curves:
    """Value and error of every scalar observable by every method, point by point.

    Where a point has none, or no error, there is null; `unusable` has the reason, null
    where there is no fault; of known values `source` says where they are from.
    """
    curves: Curves = {}
    for k, found in enumerate(results):
        for name, by_method in found["estimates"].items():
            for method, estimate in by_method.items():
                if isinstance(estimate["value"], list):
                    continue
                keys = ("value", "error", "unusable")
                empty = {key: [None] * len(results) for key in keys}
                curve = curves.setdefault(name, {}).setdefault(method, empty)
                curve["value"][k] = estimate["value"]
                curve["error"][k] = estimate["error"]
                curve["unusable"][k] = estimate.get("unusable")
                if "source" in estimate:
                    nowhere = [None] * len(results)
                    curve.setdefault("source", nowhere)[k] = estimate["source"]
    return curves


def _number(found: Any) -> Any:
    """Value and error of an estimate, or why not; a plain number as it is."""
    if isinstance(found, Mapping):
        keys = ("value", "error", *["unusable"] * ("unusable" in found))
        return {key: found.get(key) for key in keys}
    return found


def _points(curve: Mapping[str, Sequence[float | None]] | None) -> Points | None:
    """A curve as arrays, if it has a value and an error at every point."""
    if curve is None or _gaps(curve):
        return None
    value, error = (np.array(curve[key], np.float64) for key in ("value", "error"))
    return Points(value, error)


def _gaps(curve: Mapping[str, Sequence[float | None]]) -> list[int]:
    """The points at which a curve has no value or no error."""
    pairs = zip(curve["value"], curve["error"], strict=True)
    return [k for k, pair in enumerate(pairs) if None in pair]


def _missing(
    x: np.ndarray, name: str, curve: Mapping[str, Sequence[Any]] | None
) -> str:
    """Why a curve has no rows, in words; empty if it is whole."""
    if curve is None:
        return f"no {name}"
    gaps = [
        f"{x[k]:g} ({curve['unusable'][k] or 'not finite, or absent'})"
        for k in _gaps(curve)
    ]
    return f"{name} cannot be used at {', '.join(gaps)}" if gaps else ""


def _slope(request: Request) -> Slope | None:
    """The observable and the factor that make ∂ ln Z/∂ of the scanned coupling."""
    section, _, coupling = request.field.partition(".")
    theory = request.base["theory"]
    known = catalogue.theory_of(request.base)
    if section != "theory" or known is None:
        return None
    return known.model_validate(theory).slope(coupling)


def _along_coupling(request: Request, x: np.ndarray, estimates: Curves) -> Json:
    """ln Z by reweighting against the integral of its derivative by the chain.

    The two come from different draws, so that their errors are independent.
    """
    slope, chain = _slope(request), request.base.get("mcmc")
    if slope is None or chain is None:
        return {}
    (observable, factor), method = slope, "+".join(chain["kernel"])
    curves = {
        "ln Z by nis": estimates.get("log_z", {}).get("nis"),
        f"{observable} by {method}": estimates.get(observable, {}).get(method),
    }
    log_z, measured = map(_points, curves.values())
    if log_z is None or measured is None:
        gaps = (_missing(x, name, curve) for name, curve in curves.items())
        return {"no_consistency": "; ".join(filter(None, gaps))}
    slopes = Points(factor * measured.value, abs(factor) * measured.error)
    per_site = factor / math.prod(request.base["theory"]["shape"])
    slope_text = catalogue.slope_named(per_site, observable)
    rows = [
        {
            "check": f"ln Z by nis - integral of {slope_text} by {method}",
            "start": row.start,
            "stop": row.stop,
            "difference": {"value": row.difference, "error": row.difference_error},
            "integral": {"value": row.integral, "error": row.integral_error},
            "rule_error": row.rule_error,
            "pull": row.pull if math.isfinite(row.pull) else None,
        }
        for row in thermodynamics.along_coupling(x, log_z, slopes)
    ]
    derivative = {
        "of": request.field,
        "observable": observable,
        "factor": factor,
        "method": method,
        "value": slopes.value.tolist(),
        "error": slopes.error.tolist(),
    }
    return {"thermodynamics": {"derivative": derivative}, "consistency": rows}


def _equations(request: Request, x: np.ndarray, log_z: Mapping[str, Json]) -> Json:
    """The equation of state by every method that knows ln Z at every point."""
    _, *space = request.base["theory"]["shape"]
    found = {}
    for method, curve in log_z.items():
        points = _points(curve)
        if points is not None:
            state = thermodynamics.equation_of_state(
                x, points, spatial_volume=math.prod(space), n_space=len(space)
            )
            found[method] = _state(state)
    return found


def _state(state: EquationOfState) -> Json:
    return {
        "extents": state.extents.tolist(),
        "vacuum_extent": state.vacuum_extent,
        "temperature": state.temperature.tolist(),
        "free_energy_density": _column(state.free_energy_density),
        "pressure": _column(state.pressure),
        "energy_density": _column(state.energy_density),
        "entropy_density": _column(state.entropy_density),
        "trace_anomaly": _column(state.trace_anomaly),
    }


def _column(column: Column) -> Json:
    return {
        "value": column.value.tolist(),
        "error": column.error.tolist(),
        "rule_error": column.rule_error.tolist(),
        "covariance": column.covariance.tolist(),
    }
