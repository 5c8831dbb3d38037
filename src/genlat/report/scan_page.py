"""The page of a scan: curves, consistency, and a link to every point's own report."""

import html
import itertools
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from genlat.report import house, ledger, notation, page, scan_drawings, tables
from genlat.runs import records
from genlat.runs.file import catalogue
from genlat.runs.records import ScanRecord

Json = Mapping[str, Any]

COUNTED = {
    "yes": "can be trusted",
    "unknown": "undecided",
    "no": "must not be trusted",
}
EQUATION = {
    "pressure": "p",
    "energy_density": "ε",
    "entropy_density": "s",
    "trace_anomaly": "ε − (d−1) p",
}


def write(directory: Path) -> Path:
    """Draw the page of a scan, finished or not, and every figure; returns its path.

    **Raises:** `OSError` if `directory` is no scan directory.
    """
    record = records.read_scan(directory)
    (directory / "figures").mkdir(exist_ok=True)
    drawings = scan_drawings.draw(record.results)
    figures = {drawing.name: page.drawn(drawing, directory) for drawing in drawings}
    path = directory / "report.html"
    house.write(path, _page(record, figures))
    return path


def _page(record: ScanRecord, figures: dict[str, str]) -> str:
    results = record.results
    cost = figures.pop("cost", "")
    scan = tables.facts(_facts(record)) + run_file(record.request["base"])
    sections = (
        ("Points", "points", _points(results)),
        ("Curves", "figures", "".join(figures.values())),
        ("Derivative of ln Z", "consistency", _consistency(results)),
        ("Equation of state", "state", _equation_of_state(results)),
        ("Cost", "cost", cost + tables.facts(_costs(results))),
        ("Scan", "run", scan),
    )
    verdict = _verdict(record)
    return page.document(_title(record), _subtitle(record), verdict, sections)


def field_symbol(field: str) -> str:
    """The scanned field as text."""
    if field == notation.SIZES:
        return "lattice"
    section, name, *entry = field.split(".")
    if entry:
        return f"L{entry[0].translate(str.maketrans('0123456789', '₀₁₂₃₄₅₆₇₈₉'))}"
    return notation.COUPLINGS.get(name, name) if section == "theory" else field


def _title(record: ScanRecord) -> str:
    theory, symbol = (
        record.request["base"]["theory"],
        field_symbol(record.request["field"]),
    )
    extents = [str(extent) for extent in theory["shape"]]
    field = record.request["field"]
    name = catalogue.titled(theory["name"])
    if field == notation.SIZES:
        return f"{name}, scan of lattices"
    if field.startswith("theory.shape."):
        extents[int(field.rpartition(".")[2])] = symbol
    return f"{name}, {' × '.join(extents)} lattice, scan of {symbol}"


def _subtitle(record: ScanRecord) -> str:
    request = record.request
    theory, values = request["base"]["theory"], request["values"]
    ends = f"{notation.scanned(values[0])} to {notation.scanned(values[-1])}"
    scanned = f"{field_symbol(request['field'])} from {ends}"
    seed = f"seed {request['base']['seed']}"
    others = couplings(theory, request["field"])
    return ", ".join([scanned, f"{len(values)} points", *others, seed])


def couplings(theory: Json, scanned: str) -> list[str]:
    """Those that stay as they are, `λ = 0.022`."""
    return [
        f"{notation.COUPLINGS.get(name, name)} = {value}"
        for name, value in theory.items()
        if name not in ("name", "shape") and f"theory.{name}" != scanned
    ]


def counted(trusts: Sequence[str]) -> str:
    """How many verdicts there are of which kind, in words."""
    counts = {what: trusts.count(trust) for trust, what in COUNTED.items()}
    return ", ".join(f"{n} {what}" for what, n in counts.items() if n)


def _verdict(record: ScanRecord) -> str:
    """How many points can be trusted, and why the others cannot."""
    asked, results = record.request["values"], record.results
    verdicts, symbol = (
        results.get("verdicts", []),
        field_symbol(record.request["field"]),
    )
    trusts = [verdict["trust"] for verdict in verdicts]
    text = counted(trusts)
    if len(verdicts) < len(asked):
        text = f"This scan has not finished. Of {len(asked)} points: {text or 'none'}."
    else:
        text = f"Of {len(asked)} points: {text}."
    grouped: dict[str, list[str]] = {}
    for value, verdict in zip(results.get("values", []), verdicts, strict=True):
        for reason in verdict["reasons"] if verdict["trust"] != "yes" else []:
            grouped.setdefault(str(reason), []).append(notation.scanned(value))
    reasons = []
    for reason, values in grouped.items():
        is_general = len(values) == len(asked)
        where = "every point" if is_general else f"{symbol} = {', '.join(values)}"
        reasons.append(f"{where}: {reason}")
    far = [row for row in results.get("consistency", []) if _is_far(row["pull"])]
    for row in far:
        reasons.append(
            f"{symbol} from {row['start']!r} to {row['stop']!r}: "
            f"{row['check']} is {row['pull']:+.1f} errors"
        )
    kind = "no" if "no" in trusts else "yes" if set(trusts) == {"yes"} else "unknown"
    items = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
    return (
        f'<div class="verdict {kind}"><strong>{html.escape(text)}</strong>'
        f"<ul>{items}</ul></div>"
    )


def _is_far(pull: float | None) -> bool:
    return pull is not None and abs(pull) > notation.FAR


def _points(results: Json) -> str:
    """ln Z by all methods with the largest pull; each value leads to its report."""
    if not results:
        return ""
    log_z = catalogue.as_shown(results["estimates"].get("log_z", {}))
    heads = [field_symbol(results["over"]), *(f"ln Z, {method}" for method in log_z)]
    heads += ["largest pull", "ESS", "mode weight", "trust"]
    rows = []
    for k, value in enumerate(results["values"]):
        address = urllib.parse.quote(f"{results['points'][k]}/report.html")
        here = {
            method: at(curve, k)
            for method, curve in log_z.items()
            if curve["value"][k] is not None or curve["unusable"][k]
        }
        rows.append(
            [
                f'<a href="{address}">{notation.scanned(value)}</a>',
                *(html.escape(notation.number(here.get(method))) for method in log_z),
                _largest(here),
                _short(results["diagnostics"]["ess"][k]),
                _short(results["diagnostics"]["mode_weight"][k]),
                html.escape(results["verdicts"][k]["trust"]),
            ]
        )
    return tables.table(heads, rows)


def at(curve: Json, k: int) -> Json:
    """One point of a curve as an estimate, with the reason if it cannot be used."""
    found = {"value": curve["value"][k], "error": curve["error"][k]}
    reason = curve["unusable"][k]
    return found | {notation.UNUSABLE: reason} if reason else found


def _short(estimate: Json | None) -> str:
    """Three digits: whether it is near 1 is all that counts here."""
    if estimate is not None and notation.UNUSABLE in estimate:
        return notation.UNUSABLE
    if estimate is None or estimate["value"] is None:
        return notation.ABSENT
    return f"{estimate['value']:.3f}"


def _largest(by_method: Json) -> str:
    """The largest pull between any two methods, known values included."""
    every = [
        (pull, first, second)
        for first, second in itertools.combinations(by_method, 2)
        if (pull := notation.pull(by_method[first], by_method[second])) is not None
    ]
    if not every:
        return notation.ABSENT
    pull, first, second = max(every, key=lambda entry: abs(entry[0]))
    return f"{tables.sigma(pull)} <small>{html.escape(f'{first} − {second}')}</small>"


def _consistency(results: Json) -> str:
    rows = results.get("consistency", [])
    if not rows:
        reason = html.escape(results.get("no_consistency", ""))
        return f'<p class="note">No rows: {reason}.</p>' if reason else ""
    heads = ["from", "to", "change of ln Z", "integral", "rule misses about", "pull"]
    table = tables.table(
        heads,
        [
            [
                f"{row['start']!r}",
                f"{row['stop']!r}",
                html.escape(notation.number(row["difference"])),
                html.escape(notation.number(row["integral"])),
                f"{row['rule_error']:.1g}",
                tables.sigma(row["pull"]),
            ]
            for row in rows
        ],
    )
    note = (
        f"{rows[0]['check']}. The two come from different draws. Rows that share a "
        "point are anti-correlated; the last goes from end to end."
    )
    return f'{table}<p class="note">{html.escape(note)}</p>'


def _equation_of_state(results: Json) -> str:
    blocks = []
    for method, state in scan_drawings.equations_of_state(results).items():
        rows = []
        for k, extent in enumerate(state["extents"]):
            cells = [f"{extent:g}", f"{state['temperature'][k]:.4g}"]
            for name in EQUATION:
                column = state[name]
                entry = {"value": column["value"][k], "error": column["error"][k]}
                missed = column["rule_error"][k]
                rule = f" <small>rule {missed:.1g}</small>" if missed else ""
                cells.append(html.escape(notation.number(entry)) + rule)
            rows.append(cells)
        table = tables.table(["L₀", "T", *EQUATION.values()], rows)
        vacuum = f"coldest lattice: L₀ = {state['vacuum_extent']:g}"
        blocks.append(f"<h3>{html.escape(method)}, {vacuum}</h3>{table}")
    note = (
        "In lattice units. Errors are statistical; “rule” is about what the discrete "
        "derivative misses. Rows share the coldest lattice: scan.json has covariances."
    )
    left_out = results.get("thermodynamics", {}).get("left_out", [])
    gaps = "".join(f'<p class="note">{html.escape(line)}.</p>' for line in left_out)
    return "".join(blocks) + f'<p class="note">{note}</p>' * bool(blocks) + gaps


def _costs(results: Json) -> list[tuple[str, str]]:
    entries = []
    for key, name in {**ledger.STAGES, "total": "All together"}.items():
        seconds = [x for x in results.get("cost", {}).get(f"{key}_seconds", []) if x]
        if seconds:
            entries.append((name, f"{sum(seconds):,.1f} s at {len(seconds)} points"))
    return entries


def _facts(record: ScanRecord) -> list[tuple[str, str]]:
    request = record.request
    warm = request.get("warm_steps")
    steps = "as in the run file" if warm is None else str(warm)
    return [
        ("over", request["field"]),
        ("values", ", ".join(map(notation.scanned, request["values"]))),
        ("steps of warm starts", steps),
        ("seeds", f"{request['base']['seed']} for the first point, then made from it"),
    ]


def run_file(base: Json) -> str:
    """The run file of the first point, folded away."""
    return (
        "<details><summary>Resolved run file of the first point</summary>"
        f"<pre>{html.escape(tomli_w.dumps(base))}</pre></details>"
    )
