"""The page of a scan on several lattices: their curves together, links to each."""

import html
import math
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlat.report import house, notation, page, scan_page, study_drawings, tables
from genlat.runs import records
from genlat.runs.file import catalogue
from genlat.runs.records import StudyRecord

Json = Mapping[str, Any]


def write(directory: Path) -> Path:
    """Draw the page of a study, finished or not, and every figure; returns its path.

    **Raises:** `OSError` if it is none; `DamagedError` or `RequestError` if a file is
    not what was written.
    """
    record = records.read_study(directory)
    (directory / "figures").mkdir(exist_ok=True)
    figures = [page.drawn(x, directory) for x in study_drawings.draw(record)]
    request = record.request
    scan = tables.facts(_facts(record)) + scan_page.run_file(request["base"])
    sections = (
        ("Lattices", "points", _lattices(record)),
        ("Crossings", "crossings", _crossings(record)),
        ("Curves", "figures", "".join(figures)),
        ("Binder cumulant", "values", _values(record)),
        ("Scan", "run", scan),
    )
    symbol, values = scan_page.field_symbol(request["field"]), request["values"]
    theory = request["base"]["theory"]
    name = catalogue.titled(theory["name"])
    couplings = scan_page.couplings(theory, request["field"])
    ends = f"{symbol} from {values[0]!r} to {values[-1]!r}, {len(values)} points"
    path = directory / "report.html"
    text = page.document(
        f"{name} on {', '.join(_sizes(record))}: scan of {symbol}",
        ", ".join([ends, *couplings, f"seed {request['base']['seed']}"]),
        _verdict(record),
        sections,
    )
    house.write(path, text)
    return path


def _sizes(record: StudyRecord) -> list[str]:
    return [notation.scanned(size) for size in record.request["sizes"]]


def _trusts(record: StudyRecord) -> list[list[str]]:
    """The verdict of every point that is finished, lattice by lattice."""
    return [
        [verdict["trust"] for verdict in scan.results.get("verdicts", [])]
        for scan in record.scans
    ]


def _verdict(record: StudyRecord) -> str:
    trusts = [trust for found in _trusts(record) for trust in found]
    asked = len(record.request["values"]) * len(record.scans)
    text = scan_page.counted(trusts)
    if len(trusts) < asked:
        text = f"This scan has not finished. Of {asked} points: {text or 'none'}."
    else:
        text = f"Of {asked} points: {text}. Why is said lattice by lattice."
    kind = "no" if "no" in trusts else "yes" if set(trusts) == {"yes"} else "unknown"
    return f'<div class="verdict {kind}"><strong>{html.escape(text)}</strong></div>'


def _lattices(record: StudyRecord) -> str:
    rows = []
    names = record.request["scans"]
    for name, size, scan, trusts in zip(
        names, _sizes(record), record.scans, _trusts(record), strict=True
    ):
        address = urllib.parse.quote(f"scans/{name}/report.html")
        pulls = [row["pull"] for row in scan.results.get("consistency", [])]
        cost = scan.results.get("cost", {})
        # the whole of a point stands beside its stages, whose sum it is
        stages = (cost[key] for key in cost if key != "total_seconds")
        rows.append(
            [
                f'<a href="{address}">{size}</a>' if trusts else size,
                f"{len(trusts)}",
                *(f"{trusts.count(trust)}" for trust in scan_page.COUNTED),
                tables.sigma(max(filter(None, pulls), key=abs, default=None)),
                f"{sum(x for stage in stages for x in stage if x):,.0f} s",
            ]
        )
    heads = ["lattice", "points", "trust: yes", "unknown", "no"]
    return tables.table([*heads, "ln Z against its derivative", "time"], rows)


def _crossings(record: StudyRecord) -> str:
    found = record.results.get("crossings", [])
    if not found:
        return ""
    symbol = scan_page.field_symbol(record.request["field"])
    heads = ["lattices", "method", f"{symbol} of the crossing", "between"]
    rows = [
        [
            " and ".join(map(notation.scanned, row["sizes"])),
            html.escape(row["method"]),
            html.escape(notation.number(_with_rule(row))),
            f"{row['start']:g} and {row['stop']:g}",
        ]
        for row in found
    ]
    note = (
        "Of the Binder cumulants of neighbouring sizes. The curves differ beyond three "
        "errors at the points named last, with opposite signs: they cross between them "
        "in any case. The number is the root of a cubic; its error contains how far "
        "that of a straight line is off. It moves to the transition as lattices grow."
    )
    return f'{tables.table(heads, rows)}<p class="note">{note}</p>'


def _with_rule(row: Json) -> dict[str, float]:
    error = math.hypot(row["error"], row["rule_error"])
    return {"value": row["value"], "error": error}


def _values(record: StudyRecord) -> str:
    """The Binder cumulant of every lattice, point by point."""
    method = study_drawings.method(record.scans, study_drawings.FIRST)
    if method is None:
        return ""
    heads = [scan_page.field_symbol(record.request["field"]), *_sizes(record)]
    rows = [
        [
            f"{value!r}",
            *(html.escape(_value(scan.results, method, k)) for scan in record.scans),
        ]
        for k, value in enumerate(record.request["values"])
    ]
    return f'{tables.table(heads, rows)}<p class="note">By {html.escape(method)}.</p>'


def _value(results: Json, method: str, k: int) -> str:
    curve = results.get("estimates", {}).get(study_drawings.FIRST, {}).get(method)
    if curve is None or k >= len(curve["value"]):
        return notation.ABSENT
    return notation.number(scan_page.at(curve, k))


def _facts(record: StudyRecord) -> list[tuple[str, str]]:
    request = record.request
    seed = request["base"]["seed"]
    return [
        ("over", f"{notation.SIZES}, {request['field']}"),
        ("lattices", ", ".join(_sizes(record))),
        ("values", ", ".join(f"{value!r}" for value in request["values"])),
        (
            "seeds",
            f"{seed} for the very first point, then made from it",
        ),
    ]
