"""`report.html`: one self-contained page, drawn from a run directory's files alone."""

import html
import importlib.resources
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genlat.report import diagnostics, drawings, house, ledger, tables
from genlat.report.notation import COUPLINGS
from genlat.runs import records
from genlat.runs.file import catalogue
from genlat.runs.records import Record

VERDICTS = {
    "yes": "These numbers can be trusted: every check that this run can make has "
    "passed.",
    "no": "Do not trust these numbers.",
    "unknown": "Whether to trust these numbers cannot be told yet.",
}


def write(directory: Path) -> Path:
    """Draw the page, and every figure as `figures/NAME.svg`; return the page's path.

    Sections without records are left out. The same records give the same bytes.

    **Raises:** `OSError` if `directory` is no run directory; `DamagedError` if one of
    its files is not what was written.
    """
    record = records.read(directory)
    (directory / "figures").mkdir(exist_ok=True)
    figures = {x.name: drawn(x, directory) for x in drawings.draw(record)}
    path = directory / "report.html"
    house.write(path, _page(record, figures))
    return path


def drawn(drawing: drawings.Drawing, directory: Path) -> str:
    """Write a figure to `figures/NAME.svg`; returns it as a part of the page."""
    svg = house.svg(drawing.figure)
    house.write(directory / "figures" / f"{drawing.name}.svg", svg)
    inlined = house.inlined(svg, drawing.name, drawing.title)
    title, caption = html.escape(drawing.title), html.escape(drawing.caption)
    return (
        f"<figure><h3>{title}</h3>{inlined}<figcaption>{caption}</figcaption></figure>"
    )


def document(
    title: str, subtitle: str, verdict: str, sections: Sequence[tuple[str, str, str]]
) -> str:
    """A page from its parts, HTML but for title and subtitle.

    **Arguments:** `sections` are (name, CSS class, content); empty ones are left out.
    """
    template = importlib.resources.files("genlat.report").joinpath("page.html")
    return string.Template(template.read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        subtitle=html.escape(subtitle),
        verdict=verdict,
        body="".join(
            f'<section class="{kind}"><h2>{name}</h2><div>{content}</div></section>\n'
            for name, kind, content in sections
            if content
        ),
        light=house.variables(0),
        dark=house.variables(1),
    )


def _page(record: Record, figures: dict[str, str]) -> str:
    results = record.results
    costs = figures.pop("cost", "") + figures.pop("seconds_to_error", "")
    spent = results.get("cost", {})
    cost = costs + ledger.table(spent) + tables.facts(_costs(spent))
    run = tables.facts(_facts(record)) + _config(record)
    sections = (
        ("Estimates", "estimates", tables.estimates(results.get("estimates", {}))),
        (
            "Diagnostics",
            "diagnostics",
            diagnostics.diagnostics(results.get("diagnostics", {})),
        ),
        ("Figures", "figures", "".join(figures.values())),
        ("Cost", "cost", cost),
        ("Run", "run", run),
    )
    verdict = _verdict(results.get("verdict"))
    return document(_title(record), _subtitle(record), verdict, sections)


def _title(record: Record) -> str:
    theory = record.config.get("theory", {})
    name = str(theory.get("name", "genlat run"))
    shape = " × ".join(str(extent) for extent in theory.get("shape", []))
    return f"{catalogue.titled(name)}, {shape} lattice"


def _subtitle(record: Record) -> str:
    theory = record.config.get("theory", {})
    couplings = [
        f"{COUPLINGS.get(name, name)} = {value}"
        for name, value in theory.items()
        if name not in ("name", "shape")
    ]
    return ", ".join([*couplings, f"seed {record.config.get('seed')}"])


def _verdict(verdict: dict[str, Any] | None) -> str:
    if verdict is None:
        return (
            '<div class="verdict"><strong>This run has not finished: there is no '
            "verdict, and there are no estimates.</strong></div>"
        )
    trust = str(verdict["trust"])
    reasons = "".join(f"<li>{html.escape(str(x))}</li>" for x in verdict["reasons"])
    return (
        f'<div class="verdict {html.escape(trust)}">'
        f"<strong>{html.escape(VERDICTS.get(trust, trust))}</strong>"
        f"{f'<ul>{reasons}</ul>' * bool(reasons)}</div>"
    )


def _costs(cost: dict[str, Any]) -> list[tuple[str, str]]:
    entries = []
    for method, rate in cost.get("ess_per_second", {}).items():
        if rate is not None:
            entries.append(
                (f"Samples, {method}", f"{rate:,.0f} independent per second")
            )
    if parameters := cost.get("parameters"):
        entries.append(("Parameters", f"{parameters:,}"))
    if peak := cost.get("peak_memory_bytes"):
        entries.append(("Peak memory", f"{peak / 2**20:,.0f} MiB"))
    return entries


def _facts(record: Record) -> list[tuple[str, str]]:
    """The resolved run file section by section, and where and when it ran."""
    config, results = record.config, record.results
    entries = [
        (
            name,
            ", ".join(f"{field} = {_plain(value)}" for field, value in section.items()),
        )
        for name, section in config.items()
        if isinstance(section, dict)
    ]
    entries.append(("seed", str(config.get("seed"))))
    entries += [
        (name, str(value))
        for name, value in results.get("provenance", {}).items()
        if name != "seed"
    ]
    return entries


def _plain(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _config(record: Record) -> str:
    text = (record.directory / "config.toml").read_text(encoding="utf-8")
    return (
        "<details><summary>Resolved run file</summary>"
        f"<pre>{html.escape(text)}</pre></details>"
    )
