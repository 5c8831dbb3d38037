"""The tables of a report, as HTML."""

import html
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genlat.estimators.estimate import Estimate

Json = Mapping[str, Any]
ABSENT = "—"
FAR = 3.0  # a pull beyond this is highlighted

SYMBOLS = {
    "log_z": "ln Z",
    "free_energy_density": "−ln Z / V",
    "entropy_density": "(⟨S⟩ + ln Z) / V",
    "action_density": "⟨S⟩ / V",
    "mag": "⟨m⟩",
    "abs_mag": "⟨|m|⟩",
    "mag2": "⟨m²⟩",
    "mag4": "⟨m⁴⟩",
    "phi2": "⟨φ²⟩",
    "susceptibility": "V (⟨m²⟩ − ⟨|m|⟩²)",
    "binder": "1 − ⟨m⁴⟩ / 3⟨m²⟩²",
    "correlation_length": "ξ (second moment)",
    "two_point": "G(t)",
    "energy_gap": "E₁ − E₀",
    "x2": "⟨x²⟩",
}
# diagnostic -> label, and how to read it
DIAGNOSTICS = {
    "ess": ("ESS", "part of the draws that counts; blind to modes the model misses"),
    "ess_forward": ("Forward ESS", "the same on samples of p: sees missing modes"),
    "mode_weight": ("Mode weight", "part of Z that the model covers; below 1: missing"),
    "prior": ("ESS of the Gaussian", "the best Gaussian untrained: what training adds"),
    "kl_per_site": ("KL(q‖p) per site", "distance to the theory, whatever the volume"),
    "pareto_k": ("Pareto k", "tail of the weights; above 0.7 no error can be believed"),
    "largest_share": ("Largest share", "part of each estimate that hangs on one draw"),
    "non_finite": ("Non-finite weights", "anything but 0 is a fault"),
}


def number(estimate: Json | None) -> str:
    """`85.7467(5)`; all known digits where there is no error to speak of."""
    if estimate is None or estimate.get("value") is None:
        return ABSENT
    value, error = estimate["value"], estimate.get("error")
    if not error or abs(error) < 1e-11 * abs(value):
        text = f"{value:.10g}"
    else:
        text = str(Estimate(value, error, 0.0, 1, 1.0, ""))
    return text.replace("-", "−")


def pull(one: Json | None, other: Json | None) -> float | None:
    """(one - other) / √(both errors²); None where that means nothing."""
    if one is None or other is None:
        return None
    values = [x[key] for x in (one, other) for key in ("value", "error")]
    if any(x is None or isinstance(x, list) for x in values):
        return None
    error = math.hypot(values[1], values[3])
    return (values[0] - values[2]) / error if error > 0 else None


def estimates(found: Json) -> str:
    """Observables x methods, with pulls against exact values and between methods."""
    scalars = {k: v for k, v in found.items() if not _is_vector(v)}
    names = dict.fromkeys(m for by_method in found.values() for m in by_method)
    methods = [m for m in names if m != "exact"]
    pairs = list(itertools.combinations(methods, 2))
    exact = ["exact"] * ("exact" in names)
    heads = ["observable", *exact, *methods, *(f"{a} − {b}" for a, b in pairs)]
    rows = []
    for name, by_method in scalars.items():
        known = by_method.get("exact")
        cells = [_observable(name), *([html.escape(number(known))] if exact else [])]
        for method in methods:
            against = pull(by_method.get(method), known)
            shown = "" if against is None else f" <small>{_sigma(against)}</small>"
            cells.append(html.escape(number(by_method.get(method))) + shown)
        for a, b in pairs:
            cells.append(_sigma(pull(by_method.get(a), by_method.get(b))))
        rows.append(cells)
    vectors = [_vector(k, v) for k, v in found.items() if _is_vector(v)]
    return _table(heads, rows) + _sources(found) + "".join(vectors)


def diagnostics(found: Json) -> str:
    """What says how far the estimates can be trusted."""
    flat = {**found, **found.get("weights", {})}
    rows = []
    for key, (label, meaning) in DIAGNOSTICS.items():
        if flat.get(key) is not None:
            value = flat[key]["ess"] if key == "prior" else flat[key]
            rows.append([label, _plain(value), meaning])
    for method, value in found.get("acceptance", {}).items():
        label = f"Acceptance, {method}"
        rows.append([label, _plain(value), "accepted part of the proposals"])
    slowest: dict[str, tuple[float, str]] = {}
    for name, by_method in found.get("tau_int", {}).items():
        for method, tau in by_method.items():
            if tau["value"] is not None:
                entry = (tau["value"], name)
                slowest[method] = max(slowest.get(method, entry), entry)
    for method, (_, name) in slowest.items():
        value = number(found["tau_int"][name][method])
        meaning = f"slowest observable, {name}; ½ is no memory at all"
        rows.append([f"τ_int, {method}", value, meaning])
    if step := found.get("integrator"):
        shift = {"value": step["shift_log_z"], "error": step["shift_error"]}
        error = _plain(step["statistical_error"])
        meaning = f"shift of ln Z with twice as many; its statistical error is {error}"
        rows.append([f"Integrator, {step['steps']} steps", number(shift), meaning])
    return _table(
        ["diagnostic", "value", "how to read it"],
        [[html.escape(text) for text in row] for row in rows],
    )


def facts(entries: Sequence[tuple[str, str]]) -> str:
    """A list of names and values."""
    items = (
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd></div>"
        for name, text in entries
    )
    return f"<dl>{''.join(items)}</dl>" if entries else ""


def _observable(name: str) -> str:
    symbol = html.escape(SYMBOLS.get(name, ""))
    return f"{symbol} <code>{html.escape(name)}</code>"


def _plain(value: Any) -> str:
    """An estimate, a count or a number."""
    if isinstance(value, Mapping):
        draws = f", N = {value['n']:,}" if "n" in value else ""
        return f"{number(value)}{draws}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _sigma(pull: float | None) -> str:
    if pull is None:
        return ABSENT
    text = f"{pull:+z.1f} σ".replace("-", "−")
    return f'<strong class="far">{text} !</strong>' if abs(pull) > FAR else text


def _is_vector(by_method: Json) -> bool:
    return any(isinstance(x["value"], list) for x in by_method.values())


def _vector(name: str, by_method: Json) -> str:
    """Component by component, folded away."""
    columns = {
        method: [
            {"value": value, "error": error}
            for value, error in zip(
                *(np.ravel(x[key]).tolist() for key in ("value", "error")), strict=True
            )
        ]
        for method, x in by_method.items()
    }
    length = max(len(column) for column in columns.values())
    rows = [
        [str(k), *(html.escape(number(column[k])) for column in columns.values())]
        for k in range(length)
    ]
    table = _table(["component", *columns], rows)
    return f"<details><summary>{_observable(name)}</summary>{table}</details>"


def _sources(found: Json) -> str:
    """Where the exact values come from."""
    by_source: dict[str, list[str]] = {}
    for name, by_method in found.items():
        if source := by_method.get("exact", {}).get("source"):
            by_source.setdefault(source, []).append(SYMBOLS.get(name, name))
    lines = (f"{', '.join(names)}: {source}" for source, names in by_source.items())
    text = html.escape("; ".join(lines))
    return f'<p class="note">Exact values. {text}.</p>' if text else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
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
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{table}</div>'
