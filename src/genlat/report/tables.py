"""The tables of estimates, and how any table of a report becomes HTML."""

import html
from collections.abc import Mapping, Sequence

import numpy as np

from genlat.report import notation
from genlat.report.notation import ABSENT, CAUTION, SYMBOLS, UNUSABLE, Json
from genlat.runs.file import catalogue


def estimates(found: Json) -> str:
    """Observables x methods: ln Z and its relatives, the rest, then vectors.

    Under each number its pull against the exact value; in the last column the largest
    pull between two methods. Reasons why a number is unusable follow as footnotes.
    """
    scalars = {name: x for name, x in found.items() if not _is_vector(x)}
    free_energy = [name for name in notation.FREE_ENERGY if name in scalars]
    others = [name for name in scalars if name not in free_energy]
    reasons = _reasons(found)
    return "".join(
        (
            _methods(scalars),
            _group({name: scalars[name] for name in free_energy}, reasons),
            _group({name: scalars[name] for name in others}, reasons),
            _footnotes(found, reasons),
            *(_vector(k, v, reasons) for k, v in found.items() if _is_vector(v)),
        )
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML, heads are text; narrow pages show the heads beside the cells."""
    if not rows:
        return ""
    head = "".join(f"<th scope=col>{html.escape(text)}</th>" for text in heads)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-label="{html.escape(name)}"{" class=absent" * (cell == ABSENT)}>'
            f"<span>{cell}</span></td>"
            for name, cell in zip(heads, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{body}</div>'


def facts(entries: Sequence[tuple[str, str]]) -> str:
    """A list of names and values."""
    items = (
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd></div>"
        for name, text in entries
    )
    return f"<dl>{''.join(items)}</dl>" if entries else ""


def sigma(pull: float | None) -> str:
    """A pull as HTML; one that is far stands out."""
    if pull is None:
        return ABSENT
    text = f"{pull:+z.1f} σ".replace("-", "−")
    is_far = abs(pull) > notation.FAR
    return f'<strong class="far">{text} !</strong>' if is_far else text


def _group(scalars: Mapping[str, Json], reasons: Sequence[str]) -> str:
    names = dict.fromkeys(m for by_method in scalars.values() for m in by_method)
    methods = [method for method in names if method != "exact"]
    exact = [catalogue.all_known_as(scalars)] * ("exact" in names)
    is_compared = any(notation.largest_pull(x) for x in scalars.values())
    heads = ["observable", *exact, *methods, *["largest pull"] * is_compared]
    rows = []
    for name, by_method in scalars.items():
        known = by_method.get("exact")
        cells = [_observable(name)]
        cells += [_known(known)] * len(exact)
        for method in methods:
            against = notation.pull(by_method.get(method), known)
            shown = "" if against is None else f" <small>{sigma(against)}</small>"
            cells.append(_cell(by_method.get(method), reasons) + shown)
        rows.append([*cells, *[_largest(by_method)] * is_compared])
    return table(heads, rows)


def _methods(scalars: Mapping[str, Json]) -> str:
    """A line per method, before the first column that is headed by it."""
    names = dict.fromkeys(m for by_method in scalars.values() for m in by_method)
    lines = [
        f"<code>{html.escape(name)}</code>: {html.escape(text)}"
        for name in names
        if (text := catalogue.explained(name))
    ]
    return f'<p class="note">{"<br>".join(lines)}</p>' if lines else ""


def _known(known: Json | None) -> str:
    """An exact value; one that somebody measured says so where it stands."""
    text = html.escape(notation.number(known))
    is_measured = known is not None and catalogue.is_tabulated(known)
    return f"{text} <small>measured</small>" if is_measured else text


def _cell(estimate: Json | None, reasons: Sequence[str]) -> str:
    text = html.escape(notation.number(estimate))
    if estimate is None:
        return text
    reason = _reason(estimate)
    if reason is None:
        return text + _checked(estimate)
    mark = f"<sup>{reasons.index(reason) + 1}</sup>"
    if UNUSABLE not in estimate:
        return f'<span title="{html.escape(reason)}">{text}?{mark}</span>'
    return f'<em class=unusable title="{html.escape(reason)}">{text}{mark}</em>'


def _checked(estimate: Json) -> str:
    """Where no other method was as sharp: to how many of its errors it is checked."""
    if estimate.get("is_checked", True):
        return ""
    error, checked = estimate.get("error"), estimate.get("checked_to")
    if not (isinstance(error, float) and isinstance(checked, float) and error > 0):
        return " <small>not checked</small>"
    return f" <small>checked to {checked / error:.2g} errors</small>"


def _reason(estimate: Json) -> str | None:
    """Why a number is not to be used, or its error not relied upon."""
    reason = estimate.get(UNUSABLE, estimate.get(CAUTION))
    return None if reason is None else str(reason)


def _largest(by_method: Json) -> str:
    found = notation.largest_pull(by_method)
    if found is None:
        return ABSENT
    pair = html.escape(f"{found.first} − {found.second}")
    return f"{sigma(found.value)} <small class=pair>{pair}</small>"


def _observable(name: str) -> str:
    symbol = html.escape(SYMBOLS.get(name, ""))
    if unit := notation.UNITS.get(name):
        symbol = f'<span title="in units of {html.escape(unit)}">{symbol}</span>'
    return f"{symbol} <code>{html.escape(name)}</code>"


def _is_vector(by_method: Json) -> bool:
    return any(isinstance(x["value"], list) for x in by_method.values())


def _vector(name: str, by_method: Json, reasons: Sequence[str]) -> str:
    """Component by component, folded away."""
    columns = {
        method: _components(estimate, reasons) for method, estimate in by_method.items()
    }
    length = max(len(column) for column in columns.values())
    rows = [
        [
            str(k),
            *(column[k] if k < len(column) else ABSENT for column in columns.values()),
        ]
        for k in range(length)
    ]
    inside = table(["component", *columns], rows)
    return f"<details><summary>{_observable(name)}</summary>{inside}</details>"


def _components(estimate: Json, reasons: Sequence[str]) -> list[str]:
    values = np.ravel(estimate["value"]).tolist()
    errors = np.ravel(estimate["error"]).tolist()
    if len(errors) < len(values):  # one null for all
        errors = errors * len(values)
    checked = np.ravel(estimate.get("checked_to", [None])).tolist()
    if len(checked) < len(values):
        checked = [None] * len(values)
    return [
        _cell({**estimate, "value": v, "error": e, "checked_to": c}, reasons)
        for v, e, c in zip(values, errors, checked, strict=True)
    ]


def _reasons(found: Json) -> list[str]:
    """Each reason once; its place is its number."""
    every = (
        _reason(estimate)
        for by_method in found.values()
        for estimate in by_method.values()
    )
    return list(dict.fromkeys(reason for reason in every if reason is not None))


def _footnotes(found: Json, reasons: Sequence[str]) -> str:
    """Why numbers are unusable, what pulls leave out, where known values come from."""
    unusable = {
        str(estimate[UNUSABLE])
        for by_method in found.values()
        for estimate in by_method.values()
        if UNUSABLE in estimate
    }
    notes = [
        f'<p class="note"><sup>{k}</sup> '
        f"{'Unusable' if reason in unusable else 'Nothing rests on the error'}: "
        f"{html.escape(reason)}.</p>"
        for k, reason in enumerate(reasons, start=1)
    ]
    if any(notation.largest_pull(by_method) for by_method in found.values()):
        notes.append(
            '<p class="note">Largest pull: between any two methods, as if independent. '
            "Methods that share samples are closer than that: a large pull counts, a "
            "small one proves nothing.</p>"
        )
    by_source: dict[str, dict[str, list[str]]] = {x: {} for x in catalogue.KNOWN}
    for name, by_method in found.items():
        if source := (known := by_method.get("exact", {})).get("source"):
            of_kind = by_source[catalogue.known_as(known)]
            of_kind.setdefault(source, []).append(SYMBOLS.get(name, name))
    for kind, names in by_source.items():
        text = "; ".join(f"{', '.join(names[source])}: {source}" for source in names)
        if text:
            head = f"{kind.capitalize()} values"
            notes.append(f'<p class="note">{head}. {html.escape(text)}.</p>')
    return "".join(notes)
