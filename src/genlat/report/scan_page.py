"""The page of a scan: curves, consistency, and a link to every point's own report."""

import html
import importlib.resources
import itertools
import string
import urllib.parse
from pathlib import Path
from typing import Any

import tomli_w

from genlat.report import house, ledger, notation, page, scan_drawings, tables
from genlat.report.drawings import Drawing
from genlat.runs import records
from genlat.runs.records import ScanRecord

Json = dict[str, Any]

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
    figures = {}
    for drawing in scan_drawings.draw(record.results):
        svg = house.svg(drawing.figure)
        house.write(directory / "figures" / f"{drawing.name}.svg", svg)
        figures[drawing.name] = _figure(drawing, svg)
    path = directory / "report.html"
    house.write(path, _page(record, figures))
    return path


def _page(record: ScanRecord, figures: dict[str, str]) -> str:
    results = record.results
    cost = figures.pop("cost", "")
    sections = (
        ("Points", "points", _points(results)),
        ("Curves", "figures", "".join(figures.values())),
        ("Derivative of ln Z", "consistency", _consistency(results)),
        ("Equation of state", "state", _equation_of_state(results)),
        ("Cost", "cost", cost + tables.facts(_costs(results))),
        ("Scan", "run", tables.facts(_facts(record)) + _request(record)),
    )
    template = importlib.resources.files("genlat.report").joinpath("page.html")
    return string.Template(template.read_text(encoding="utf-8")).substitute(
        title=html.escape(_title(record)),
        subtitle=html.escape(_subtitle(record)),
        verdict=_verdict(record),
        body="".join(
            f'<section class="{kind}"><h2>{name}</h2><div>{content}</div></section>\n'
            for name, kind, content in sections
            if content
        ),
        light=house.variables(0),
        dark=house.variables(1),
    )


def _figure(drawing: Drawing, svg: str) -> str:
    inlined = house.inlined(svg, drawing.name, drawing.title)
    title, caption = html.escape(drawing.title), html.escape(drawing.caption)
    return (
        f"<figure><h3>{title}</h3>{inlined}<figcaption>{caption}</figcaption></figure>"
    )


def _symbol(field: str) -> str:
    """The scanned field as text."""
    section, name, *entry = field.split(".")
    if entry:
        return f"L{entry[0].translate(str.maketrans('0123456789', '₀₁₂₃₄₅₆₇₈₉'))}"
    return notation.COUPLINGS.get(name, name) if section == "theory" else field


def _title(record: ScanRecord) -> str:
    theory, symbol = record.request["base"]["theory"], _symbol(record.request["field"])
    extents = [str(extent) for extent in theory["shape"]]
    field = record.request["field"]
    if field.startswith("theory.shape."):
        extents[int(field.rpartition(".")[2])] = symbol
    name = page.THEORIES.get(theory["name"], theory["name"])
    return f"{name}, {' × '.join(extents)} lattice, scan of {symbol}"


def _subtitle(record: ScanRecord) -> str:
    request = record.request
    theory, values = request["base"]["theory"], request["values"]
    couplings = [
        f"{notation.COUPLINGS.get(name, name)} = {value}"
        for name, value in theory.items()
        if name not in ("name", "shape") and f"theory.{name}" != request["field"]
    ]
    scanned = f"{_symbol(request['field'])} from {values[0]!r} to {values[-1]!r}"
    seed = f"seed {request['base']['seed']}"
    return ", ".join([scanned, f"{len(values)} points", *couplings, seed])


def _verdict(record: ScanRecord) -> str:
    """How many points can be trusted, and why the others cannot."""
    asked, results = record.request["values"], record.results
    verdicts, symbol = results.get("verdicts", []), _symbol(record.request["field"])
    trusts = [verdict["trust"] for verdict in verdicts]
    counts = {
        "can be trusted": trusts.count("yes"),
        "undecided": trusts.count("unknown"),
        "must not be trusted": trusts.count("no"),
    }
    text = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
    if len(verdicts) < len(asked):
        text = f"This scan has not finished. Of {len(asked)} points: {text or 'none'}."
    else:
        text = f"Of {len(asked)} points: {text}."
    grouped: dict[str, list[str]] = {}
    for value, verdict in zip(results.get("values", []), verdicts, strict=True):
        for reason in verdict["reasons"] if verdict["trust"] != "yes" else []:
            grouped.setdefault(str(reason), []).append(f"{value!r}")
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
    log_z = results["estimates"].get("log_z", {})
    heads = [_symbol(results["over"]), *(f"ln Z, {method}" for method in log_z)]
    heads += ["largest pull", "ESS", "mode weight", "trust"]
    rows = []
    for k, value in enumerate(results["values"]):
        address = urllib.parse.quote(f"{results['points'][k]}/report.html")
        here = {
            method: _at(curve, k)
            for method, curve in log_z.items()
            if curve["value"][k] is not None or curve["unusable"][k]
        }
        rows.append(
            [
                f'<a href="{address}">{value!r}</a>',
                *(html.escape(notation.number(here.get(method))) for method in log_z),
                _largest(here),
                _short(results["diagnostics"]["ess"][k]),
                _short(results["diagnostics"]["mode_weight"][k]),
                html.escape(results["verdicts"][k]["trust"]),
            ]
        )
    return tables.table(heads, rows)


def _at(curve: Json, k: int) -> Json:
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
    """The largest pull between any two methods, exact values included."""
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
    states = results.get("thermodynamics", {}).get("equation_of_state", {})
    blocks = []
    for method, state in states.items():
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
        ("values", ", ".join(f"{value!r}" for value in request["values"])),
        ("steps of warm starts", steps),
        ("seeds", f"{request['base']['seed']} for the first point, then made from it"),
    ]


def _request(record: ScanRecord) -> str:
    text = tomli_w.dumps(record.request["base"])
    return (
        "<details><summary>Resolved run file of the first point</summary>"
        f"<pre>{html.escape(text)}</pre></details>"
    )
