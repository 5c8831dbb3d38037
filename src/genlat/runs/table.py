"""The end of a run on the terminal: estimates by method against exact values."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from genlat.estimators.estimate import Estimate
from genlat.runs.file import catalogue

WIDTH = 120  # of output that no terminal limits

FAR = 3.0  # errors: pulls beyond are named
NAMED = 5  # of them, the largest
FREE_ENERGY = ("log_z", "free_energy_density", "entropy_density")
BOUNDS = {
    "free_energy_density_lower": "lower bound",
    "free_energy_density_upper": "upper bound",
}
MINOR = ("mag4", "action_density2")  # in the report only

Json = Mapping[str, Any]
Cells = Sequence[Sequence[str]]  # the first row are heads


def show(results: Json) -> None:
    """Print the tables and the verdict. Vector observables are left to the report."""
    scalars = {
        name: by_method
        for name, by_method in results["estimates"].items()
        if not any(isinstance(x["value"], list) for x in by_method.values())
    }
    diagnostics, verdict = results["diagnostics"], results["verdict"]
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    for cells in (_free_energy(scalars), _expectations(scalars)):
        for table in _tables(cells, console.width):
            console.print(table)
    for line in (
        *_reasons(results["estimates"]),
        *_loose(results["diagnostics"].get("unchecked", [])),
        *_pulls(diagnostics.get("pulls", {})),
        *_diagnostics(diagnostics),
    ):
        console.print(line, markup=False)
    lines = (f"trust: {verdict['trust']}", *verdict["reasons"])
    console.print(*lines, sep="\n  ", markup=False)


def _free_energy(scalars: Json) -> Cells:
    """Methods x quantities, the bounds of the free energy around its estimates."""
    columns = [name for name in FREE_ENERGY if name in scalars]
    methods = _methods(scalars[name] for name in columns)
    lower, upper = (
        [label, *(_bound(scalars, bound, name) for name in columns)]
        for bound, label in BOUNDS.items()
    )
    estimates = [
        [method, *(_cell(scalars[name], method) for name in columns)]
        for method in methods
    ]
    rows = [row for row in (lower, *estimates, upper) if any(row[1:])]
    for row in rows:
        if row[0] == "exact":
            row[0] = catalogue.all_known_as(scalars)
    return [["method", *columns], *rows]


def _expectations(scalars: Json) -> Cells:
    """Observables x methods."""
    left_out = (*FREE_ENERGY, *BOUNDS, *MINOR)
    names = [name for name in scalars if name not in left_out]
    methods = _methods(scalars[name] for name in names)
    rows = [
        [name, *(_cell(scalars[name], method) for method in methods)] for name in names
    ]
    known = catalogue.all_known_as(scalars)
    heads = [known if x == "exact" else x for x in methods]
    return [["observable", *heads], *rows]


def _methods(found: Iterable[Json]) -> list[str]:
    methods = dict.fromkeys(method for by_method in found for method in by_method)
    return sorted(methods, key=lambda method: method == "exact")  # it comes last


def _tables(cells: Cells, width: int) -> Iterator[Table]:
    """As many tables as the columns need, each with the first column.

    Cells break at spaces where there is little room, numbers never.
    """
    columns = list(zip(*cells, strict=True))
    narrow = [max(map(len, " ".join(column).split())) for column in columns]
    wide = [max(map(len, column)) for column in columns]
    start = 1
    while start < len(columns):
        stop = start + 1
        while stop < len(columns) and _total(narrow, start, stop + 1) <= width:
            stop += 1
        widths = wide if _total(wide, start, stop) <= width else narrow
        table, chosen = Table(), [0, *range(start, stop)]
        for k in chosen:
            table.add_column(columns[k][0], width=widths[k])
        for row in cells[1:]:
            table.add_row(*(row[k] for k in chosen))
        yield table
        start = stop


def _total(widths: Sequence[int], start: int, stop: int) -> int:
    """Width of a table: each column has a line and two spaces, the last a line more."""
    chosen = [widths[0], *widths[start:stop]]
    return sum(chosen) + 3 * len(chosen) + 1


def _bound(scalars: Json, bound: str, name: str) -> str:
    if name != "free_energy_density":
        return ""
    return " ".join(brief(x) for x in scalars.get(bound, {}).values())


def _cell(by_method: Json, method: str) -> str:
    """`85.7467(5)`, and the pull against the exact value where there is one."""
    estimate, exact = by_method.get(method), by_method.get("exact")
    if estimate is None:
        return ""
    text = brief(estimate)
    if method == "exact" or exact is None or not _is_usable(estimate):
        return text
    error = math.hypot(estimate["error"], exact["error"])
    if error == 0:
        return text
    return f"{text} {(estimate['value'] - exact['value']) / error:+.1f}σ"


def brief(estimate: Json) -> str:
    """`85.7467(5)`, ten digits where there is no error to speak of, or why not."""
    value, error = estimate["value"], estimate["error"]
    if "unusable" in estimate:
        return "unusable"
    if value is None:
        return "not finite"
    if error is None:
        return f"{value:.4g}(?)"
    if error <= 1e-9 * abs(value):
        return f"{value:.10g}"
    note = "?" if "caution" in estimate else ""
    return str(Estimate(value, error, 0.0, n=1, n_eff=1.0, method="")) + note


def _is_usable(estimate: Json) -> bool:
    numbers = (estimate["value"], estimate["error"])
    return "unusable" not in estimate and None not in numbers


def _reasons(found: Json) -> list[str]:
    """Why numbers are unusable, or marked, each reason once with all it concerns."""
    concerned: dict[str, list[str]] = {}
    for name, by_method in found.items():
        for method, estimate in by_method.items():
            for key, label in (("unusable", "unusable"), ("caution", "? at")):
                if key in estimate:
                    reason = f"{label}: {estimate[key]}"
                    concerned.setdefault(reason, []).append(f"{name} {method}")
                    break
    lines = []
    for reason, where in concerned.items():
        label, _, text = reason.partition(": ")
        lines.append(f"{label}: {', '.join(where)}: {text}")
    return lines


def _loose(unchecked: list[Json]) -> list[str]:
    """By method: how many of its numbers no other method has checked as sharply."""
    ratios: dict[str, list[float | None]] = {}
    for entry in unchecked:
        ratios.setdefault(entry["method"], []).append(entry["errors"])
    lines = []
    for method, every in ratios.items():
        if loose := [ratio for ratio in every if ratio is not None]:
            lines.append(
                f"{method}: {len(loose)} numbers are checked by others to "
                f"{min(loose):.2g} to {max(loose):.2g} of their errors only"
            )
        if n_alone := every.count(None):
            lines.append(f"{method}: {n_alone} numbers are checked by nothing")
    return lines


def _pulls(found: Json) -> list[str]:
    """The largest pull between two methods, or those that are far."""
    every = [
        (pull, name, pair)
        for name, pulls in found.items()
        for pair, pull in pulls.items()
        if pull is not None
    ]
    if not every:
        return []
    every.sort(key=lambda entry: -abs(entry[0]))
    far = [entry for entry in every if abs(entry[0]) > FAR] or every[:1]
    lines = [
        f"{'far apart' if abs(pull) > FAR else 'largest pull'}: "
        f"{name}, {pair}: {pull:+.1f}σ"
        for pull, name, pair in far[:NAMED]
    ]
    n_more = len(far) - NAMED
    return [*lines, *[f"and {n_more} more pulls beyond {FAR:g}σ"] * (n_more > 0)]


def _diagnostics(found: Json) -> list[str]:
    lines = []
    if ess := found.get("ess"):
        lines.append(f"ESS {brief(ess)} reverse, of {ess['n']:,} draws of q")
    if (forward := found.get("ess_forward")) and (samples := found.get("p_samples")):
        source = f"{samples['n']:,} samples of p by {samples['kernel']}"
        lines.append(f"ESS {brief(forward)} forward, of {source}")
    if data := found.get("training_data"):
        worth = f"worth {data['independent']:.0f} independent ones"
        if "chains" in data:
            source = f"{data['n']:,} samples of p from {data['chains']} chains"
            rest = f"{data['held_out_chains']} chains held out"
        else:
            source = f"{data['n']:,} draws of its own by weight"
            rest = f"in the end weights to the power {data['exponent']:.2g}"
        lines.append(f"trained on {source}, {worth}; {rest}")
    if weight := found.get("mode_weight"):
        is_evidence = weight.get("is_evidence", False)
        note = "" if is_evidence else ", no evidence: the kernel may miss modes too"
        lines.append(f"mode weight {brief(weight)}{note}")
    if entries := found.get("uncovered"):
        parts = (f"{brief(x)} where q < {x['threshold']:g} p" for x in entries)
        lines.append(f"of the samples of p: {', '.join(parts)}")
    if path := found.get("integration"):
        lines.append(
            f"integration: {len(path['couplings'])} couplings in {path['rounds']} "
            f"rounds, smallest overlap {min(path['overlaps'], default=1.0):.2f}"
        )
    if integrator := found.get("integrator"):
        lines.append(
            f"integrator: {integrator['steps']} steps; twice as many move ln Z by "
            f"{integrator['shift_log_z'] or 0.0:.1g}"
        )
    return lines
