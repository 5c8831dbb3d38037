"""What the runs of a scaling study say, and power laws through it."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from genlat.estimators import fits

Json = dict[str, Any]

WINDOW = 20  # training steps whose batch ESS is averaged: one alone is noise
CHUNK = 50  # steps of the first compiled call, which compiles
INTERVAL = 0.1  # seconds between two looks at a training


def read(run: Path, clock: Path, targets: list[float], spent: float) -> Json:
    """One finished run in numbers; `spent` is what training cost before it began.

    Times are CPU seconds where `clock` has any, else the run's own.
    """
    results = json.loads((run / "results.json").read_text())
    text = (run / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    seconds, ess = (
        np.array([line[key] for line in lines]) for key in ("seconds", "ess")
    )
    watched = json.loads(clock.read_text()) if clock.exists() else []
    per_step, per_step_error = seconds_per_step(watched, seconds)
    found = results["diagnostics"]
    pairs = {
        "ess": found["ess"],
        "acceptance": found["acceptance"]["nmcmc"],
        "kl_per_site": found["kl_per_site"],
        "log_z": results["estimates"]["log_z"]["nis"],
    }
    return {
        "parameters": results["cost"]["parameters"],
        "trust": results["verdict"]["trust"],
        **{name: [pair["value"], pair["error"]] for name, pair in pairs.items()},
        "seconds_per_step": [per_step, per_step_error],
        "train_seconds": spent + per_step * len(lines),
        "cost": {
            f"{target:g}": cost_to_reach(ess, target, per_step, spent)
            for target in targets
        },
    }


def seconds_per_step(
    watched: list[list[float]], seconds: np.ndarray
) -> tuple[float, float]:
    """Time of a step and its error, without the first call, which compiles.

    **Arguments:** `watched` are (steps done, CPU seconds), of which two are needed,
    each up to `INTERVAL` late; `seconds` the run's clock at every step.
    """
    after = [sample for sample in watched if sample[0] >= CHUNK]
    if len(after) < 2:
        after = [[step + 1, seconds[step]] for step in (CHUNK - 1, len(seconds) - 1)]
    (first, begin), (last, end) = after[0], after[-1]
    value = (end - begin) / (last - first)
    return value, max(0.01 * value, INTERVAL / (last - first))


def cost_to_reach(
    ess: np.ndarray, target: float, per_step: float, spent: float
) -> list[float] | None:
    """Seconds until the mean of the last `WINDOW` batch ESS is the target; their error.

    The error is half of what it takes from target minus to target plus the standard
    error of such a mean, one step at least. None if the target is never reached.
    """
    windows = np.lib.stride_tricks.sliding_window_view(ess, min(WINDOW, len(ess)))
    means = windows.mean(axis=1)

    def first(level: float) -> int | None:
        reached = np.flatnonzero(means >= level)
        return int(reached[0]) + windows.shape[1] if reached.size else None

    step = first(target)
    if step is None:
        return None
    spread = windows[step - windows.shape[1]].std(ddof=1) / math.sqrt(windows.shape[1])
    early, late = first(target - spread), first(target + spread)
    width = (late or len(ess)) - (early or 0)
    return [spent + step * per_step, max(1.0, width / 2) * per_step]


def quantities(row: Json) -> dict[str, tuple[float, float] | None]:
    """What is fitted of a run: (value, error), both positive, by name."""
    ess, error = row["ess"]
    is_known = None not in (ess, error) and 0 < ess < 1
    accepted, accepted_error = row["acceptance"]
    found: dict[str, tuple[float, float] | None] = {
        "kl_per_site": tuple(row["kl_per_site"]),
        "-ln ess": (-math.log(ess), error / ess) if is_known else None,
        "1 - acceptance": (1 - accepted, accepted_error),
        "seconds per step": tuple(row["seconds_per_step"]),
    }
    for target, cost in row["cost"].items():
        found[f"seconds to ESS {target}"] = None if cost is None else tuple(cost)
    return found


def fit_all(rows: list[Json]) -> list[Json]:
    """Power laws in L of one family; seeds are points of their own.

    Left out, and counted, are runs that do not reach a target and values known to less
    than `fits.LARGEST`.
    """
    fitted = []
    for name in quantities(rows[0]):
        points = []
        for row in rows:
            pair = quantities(row)[name]
            if pair and None not in pair and 0 < pair[1] <= fits.LARGEST * pair[0]:
                points.append((row["size"], *pair))
        entry: Json = {
            "family": rows[0]["family"],
            "quantity": name,
            "points": len(points),
            "left_out": len(rows) - len(points),
        }
        if len({size for size, *_ in points}) >= 3:
            size, value, error = map(np.array, zip(*points, strict=True))
            entry |= as_json(fits.power_law(size, value, error))
        fitted.append(entry)
    return fitted


def as_json(fit: fits.PowerLaw) -> Json:
    """The fit, its errors as the data's say and times the scale factor."""
    scaled = fit.scaled()
    return {
        "exponent": fit.exponent.value,
        "error_of_data": fit.exponent.error,
        "error": scaled.exponent.error,
        "centre": fit.centre,
        "at_centre": fit.at_centre.value,
        "at_centre_error": scaled.at_centre.error,
        "chi2": fit.chi2,
        "p_value": fit.p_value,
        "scale": fit.scale,
        "text": str(scaled.exponent),
    }
