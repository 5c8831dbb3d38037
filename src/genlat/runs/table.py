"""The end of a run on the terminal: estimates by method against exact values."""

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from genlat.estimators.estimate import Estimate

WIDTH = 120  # of output that no terminal limits


def show(results: Mapping[str, Any]) -> None:
    """Print the table and the verdict. Vector observables are left to the report."""
    estimates = {
        name: by_method
        for name, by_method in results["estimates"].items()
        if not any(isinstance(x["value"], list) for x in by_method.values())
    }
    methods = dict.fromkeys(method for x in estimates.values() for method in x)
    methods = sorted(methods, key=lambda method: method == "exact")  # it comes last
    table = Table("observable", *methods)
    for column in table.columns:
        column.no_wrap = True
    for name, by_method in estimates.items():
        exact = by_method.get("exact")
        table.add_row(name, *(_cell(by_method.get(m), m, exact) for m in methods))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    console.print(table)
    _show_diagnostics(console, results["diagnostics"])
    verdict = results["verdict"]
    console.print(f"trust: {verdict['trust']}", *verdict["reasons"], sep="\n  ")


def _cell(
    estimate: Mapping[str, Any] | None, method: str, exact: Mapping[str, Any] | None
) -> str:
    """`85.7467(5)`, and the pull against the exact value where there is one."""
    if estimate is None or estimate["value"] is None:
        return ""
    value, error = estimate["value"], estimate["error"]
    if method == "exact":
        return f"{value:.10g}" if error <= 1e-9 * abs(value) else _brief(estimate)
    text = _brief(estimate)
    if exact is None or not error:
        return text
    pull = (value - exact["value"]) / math.hypot(error, exact["error"])
    return f"{text} {pull:+.1f}σ"


def _brief(estimate: Mapping[str, Any]) -> str:
    value, error = estimate["value"], estimate["error"] or 0.0
    return str(Estimate(value, error, 0.0, n=1, n_eff=1.0, method=""))


def _show_diagnostics(console: Console, diagnostics: Mapping[str, Any]) -> None:
    if ess := diagnostics.get("ess"):
        console.print(f"ESS {ess['value']:.4f} of {ess['n']} samples")
    if integrator := diagnostics.get("integrator"):
        console.print(
            f"integrator: {integrator['steps']} steps; twice as many move ln Z by "
            f"{integrator['shift_log_z'] or 0.0:.1g}"
        )
