"""The end of a scan on the terminal: ln Z, ESS and verdict point by point."""

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from genlat.estimators.estimate import Estimate
from genlat.runs.file import catalogue
from genlat.runs.scan import scan_values
from genlat.runs.table import WIDTH


def show(results: Mapping[str, Any]) -> None:
    """Print the table of a scan, and the worst of its consistency checks."""
    log_z = catalogue.as_shown(results["estimates"].get("log_z", {}))
    table = Table(results["over"], *(f"ln Z, {method}" for method in log_z))
    for name in ("ESS", "trust"):
        table.add_column(name)
    for k, value in enumerate(results["values"]):
        numbers = (
            _cell(*(curve[key][k] for key in ("value", "error", "unusable")))
            for curve in log_z.values()
        )
        ess = results["diagnostics"]["ess"][k]
        shown = "" if ess is None else "unusable" if "unusable" in ess else _short(ess)
        trust = results["verdicts"][k]["trust"]
        table.add_row(scan_values.show(value), *numbers, shown, trust)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    console.print(table)
    rows = [row for row in results["consistency"] if row["pull"] is not None]
    if rows:
        worst = max(rows, key=lambda row: abs(row["pull"]))
        console.print(
            f"{worst['check']}: at most {worst['pull']:+.1f}σ, "
            f"from {worst['start']!r} to {worst['stop']!r}",
            markup=False,
        )

    if reason := results["no_consistency"]:
        console.print(f"no consistency rows: {reason}", markup=False)


def show_study(results: Mapping[str, Any]) -> None:
    """Print how far each lattice of a study can be trusted, and where curves cross."""
    size, field = results["over"]
    table = Table(size, "points", "trust: yes", "unknown", "no")
    for value, counts in zip(results["sizes"], results["trust"], strict=True):
        numbers = map(str, (sum(counts.values()), *counts.values()))
        table.add_row(scan_values.show(value), *numbers)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    console.print(table)
    for row in results["crossings"]:
        small, large = map(scan_values.show, row["sizes"])
        error = math.hypot(row["error"], row["rule_error"])
        console.print(
            f"{row['observable']} by {row['method']}, {small} and {large}: cross at "
            f"{field} = {_cell(row['value'], error, None)}, "
            f"between {row['start']!r} and {row['stop']!r}",
            markup=False,
        )


def _short(ess: Mapping[str, Any]) -> str:
    return "" if ess["value"] is None else f"{ess['value']:.3f}"


def _cell(value: float | None, error: float | None, unusable: str | None) -> str:
    if unusable:
        return "unusable"
    if value is None:
        return ""
    if error is None:
        return f"{value:.4g}(?)"
    if error <= 1e-9 * abs(value):
        return f"{value:.10g}"
    return str(Estimate(value, error, 0.0, n=1, n_eff=1.0, method=""))
