"""From the records of a scan to the figures they allow, with captions."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from genlat.report import notation, scan_figures
from genlat.report.drawings import Drawing
from genlat.report.scan_figures import Curve
from genlat.runs.file import catalogue

Json = Mapping[str, Any]

MAIN = "free_energy_density"
PULLS = (
    "Where error bars hide behind the symbols, the pulls below say whether the methods "
    "agree. Methods that share their draws agree too well."
)
# observable -> title, axis, how to read it
CURVES = {
    MAIN: (
        "Free energy",
        r"$-\ln Z / V$",
        "",
    ),
    "abs_mag": (
        "Magnetisation",
        r"$\langle |m| \rangle$",
        "Small in the symmetric phase, of order one in the broken one.",
    ),
    "susceptibility": (
        "Susceptibility",
        r"$V(\langle m^2\rangle - \langle |m|\rangle^2)$",
        "Its peak moves to the transition as the lattice grows.",
    ),
    "binder": (
        "Binder cumulant",
        r"$1 - \langle m^4\rangle / 3\langle m^2\rangle^2$",
        (
            "From 0 for a Gaussian magnetisation, 2(N − 1)/3N if it has N components, "
            "to 2/3 for one of sharp modulus; curves of different volumes cross at the "
            "transition."
        ),
    ),
    "action_density": (
        "Action",
        r"$\langle S\rangle / V$",
        "Minus the derivative of ln Z / V with respect to a factor of the action.",
    ),
    "entropy_density": (
        "Entropy",
        r"$(\langle S\rangle + \ln Z) / V$",
        "How spread out the distribution of fields is, per site.",
    ),
    "specific_heat": (
        "Specific heat",
        r"$\mathrm{Var}(S) / V$",
        "Fluctuations of the action.",
    ),
    "correlation_length": (
        "Correlation length",
        r"$\xi$ (lattice units)",
        "Second moment, not connected: no correlation length in the broken phase.",
    ),
}
FRACTIONS = {
    "ess": "ESS",
    "ess_forward": "forward ESS",
    "mode_weight": "mode weight",
}
STAGES = {
    "train": "training",
    "sample": "sampling",
    "mcmc": "Markov chain",
    "p": "log q on p",
    "integration": "integration",
}


def draw(results: Json) -> list[Drawing]:
    """Every figure that `scan.json` has the data for."""
    if len(results.get("values", [])) < 2:
        return []
    x, label = _positions(results)
    every = (
        *(_curve(results, name, x, label) for name in CURVES),
        _derivative(results, x, label),
        _equation_of_state(results),
        _fractions(results, x, label),
        _cost(results, x, label),
    )
    return [drawing for drawing in every if drawing is not None]


def _positions(results: Json) -> tuple[Float[np.ndarray, " n"], str]:
    """Where the points are, and what the axis is called: κ, L₀, ... or a field's name.

    Lattices have the edge of a cube of their volume.
    """
    values = results["values"]
    if results["over"] != notation.SIZES:
        return np.array(values, np.float64), axis(results["over"])
    edges = [math.prod(size) ** (1 / len(size)) for size in values]
    are_cubes = all(len(set(size)) == 1 for size in values)
    return np.array(edges), "extent $L$" if are_cubes else "$V^{1/d}$"


def axis(field: str) -> str:
    """What a scanned field of numbers is called on an axis."""
    section, name, *entry = field.split(".")
    if name == "shape":
        return f"extent $L_{entry[0]}$"
    return notation.COUPLINGS.get(name, name) if section == "theory" else field


def array(values: list[float | None]) -> Float[np.ndarray, " n"]:
    return np.array([math.nan if x is None else x for x in values], np.float64)


def curves_of(by_method: Mapping[str, Json]) -> dict[str, Curve]:
    """Every method's curve, but those without a single value and error."""
    found = {}
    for method, curve in catalogue.as_shown(by_method).items():
        value, error = array(curve["value"]), array(curve["error"])
        value = np.where(np.isnan(error), np.nan, value)  # it cannot be used
        if not np.all(np.isnan(value)):
            found[method] = Curve(value, error)
    return found


def _curve(
    results: Json, name: str, x: Float[np.ndarray, " n"], label: str
) -> Drawing | None:
    found = curves_of(results["estimates"].get(name, {}))
    title, quantity, caption = CURVES[name]
    if set(found) <= {*catalogue.KNOWN}:
        return None
    reference = _reference(found)
    is_joined = not results["over"].startswith(notation.SIZES)
    figure = scan_figures.curves(x, found, (label, quantity), reference, is_joined)
    if reference and name == MAIN:
        caption = PULLS
    return Drawing(name, title, caption, figure)


def _reference(found: Mapping[str, Curve]) -> str | None:
    """What pulls are against: what is known everywhere, or else a complete method.

    A single method is held against what is known, be it of some points alone. None
    where there would be no pull.
    """
    known = [method for method in found if method in catalogue.KNOWN]
    others = [method for method in found if method not in known]
    complete = [m for m, curve in found.items() if not np.isnan(curve.value).any()]
    if len(others) > 1:
        chains = [m for m in complete if m not in (*known, "nis", "nmcmc")]
        known = [m for m in (*known, *chains, "nis") if m in complete]
    best = next(iter(known), None)
    if best is None:
        return None
    at = ~np.isnan(found[best].value)
    compared = (found[m].value[at] for m in others if m != best)
    return best if any(not np.isnan(values).all() for values in compared) else None


def _derivative(
    results: Json, x: Float[np.ndarray, " n"], label: str
) -> Drawing | None:
    derivative = results["thermodynamics"].get("derivative")
    if derivative is None:
        return None
    rows = results["consistency"][:-1]  # the last goes from end to end
    start, stop = (np.array([row[key] for row in rows]) for key in ("start", "stop"))
    change, error = (
        np.array([row["difference"][key] for row in rows]) for key in ("value", "error")
    )
    pulls = array([row["pull"] for row in rows])
    per_site = derivative["factor"] / math.prod(results["config"]["theory"]["shape"])
    measured = catalogue.slope_named(per_site, derivative["observable"])
    return Drawing(
        "derivative",
        "Derivative of ln Z",
        "Measured by the chain, and from differences of ln Z by reweighting, which "
        "are independent of it; the pulls compare them after integration.",
        scan_figures.slopes(
            x,
            (
                f"{measured}, {derivative['method']}",
                Curve(array(derivative["value"]), array(derivative["error"])),
            ),
            (start + stop) / 2,
            Curve(change / (stop - start), error / (stop - start)),
            pulls,
            (label, rf"$\partial \ln Z/\partial${label}"),
        ),
    )


def equations_of_state(results: Json) -> dict[str, Json]:
    """By the names of a figure, which are those of the ln Z that they follow from."""
    states = results.get("thermodynamics", {}).get("equation_of_state", {})
    log_z = results.get("estimates", {}).get("log_z", {})
    known = catalogue.all_known_as({"log_z": log_z})
    return {known if m == "exact" else m: state for m, state in states.items()}


def _equation_of_state(results: Json) -> Drawing | None:
    states = equations_of_state(results)
    if not states:
        return None
    d = len(results["config"]["theory"]["shape"])
    panels: dict[str, dict[str, Curve]] = {}
    for method, state in states.items():
        extents = np.array(state["extents"])
        for name, label, power in (
            ("pressure", "p", d),
            ("energy_density", r"\epsilon", d),
            ("entropy_density", "s", d - 1),
        ):
            column = state[name]
            error = np.hypot(array(column["error"]), array(column["rule_error"]))
            curve = Curve(
                array(column["value"]) * extents**power, error * extents**power
            )
            axis_label = f"${label}/T^{power}$" if power > 1 else f"${label}/T$"
            if power == 0:
                axis_label = f"${label}$"
            panels.setdefault(axis_label, {})[method] = curve
    temperature = {m: np.array(state["temperature"]) for m, state in states.items()}
    return Drawing(
        "equation_of_state",
        "Equation of state",
        "Above the coldest lattice. Error bars, those of a known ln Z too, contain "
        "what the discrete derivative may miss.",
        scan_figures.equation_of_state(temperature, panels),
    )


def _fractions(results: Json, x: Float[np.ndarray, " n"], label: str) -> Drawing | None:
    found = {}
    for key, name in FRACTIONS.items():
        entries = results["diagnostics"].get(key, [])
        value, error = (
            array([entry[part] if entry else None for entry in entries])
            for part in ("value", "error")
        )
        if not np.all(np.isnan(value)):
            found[name] = Curve(value, error)
    if not found:
        return None
    return Drawing(
        "quality",
        "What the models are worth",
        "Parts of one. The ESS cannot see a mode that a model misses; the forward ESS "
        "and the mode weight, from samples of p, can.",
        scan_figures.fractions(x, found, label),
    )


def _cost(results: Json, x: Float[np.ndarray, " n"], label: str) -> Drawing | None:
    seconds = {}
    for key, name in STAGES.items():
        values = array(results["cost"].get(f"{key}_seconds", []))
        if not np.all(np.isnan(values)):
            # a point without this stage spent nothing on it
            seconds[name] = np.nan_to_num(values)
    if not seconds:
        return None
    whole = array(results["cost"].get("total_seconds", []))
    if not np.all(np.isnan(whole)):
        # of a point whose whole is not known yet, neither is the rest
        seconds["all else"] = np.nan_to_num(whole - sum(seconds.values()))
    return Drawing(
        "cost",
        "Time",
        "Wall time of every point, compilation included.",
        scan_figures.cost(x, seconds, label),
    )
