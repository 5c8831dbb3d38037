"""The figures of `genlat fluctuations`, drawn from `fluctuations.json` alone."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genlat.report import house
from genlat.report.page import COUPLINGS
from genlat.runs import records
from genlat.runs.file import catalogue

Json = Mapping[str, Any]
Values = Float[np.ndarray, " sizes"]
HALF = 0.4  # of a column's width is filled
LEADING: dict[str, Any] = {"alpha": 0.3, "linewidth": 5}
NEXT: dict[str, Any] = {"linewidth": 1}


def write(directory: Path) -> list[Path]:
    """Draw `figures/NAME.svg` from `directory/fluctuations.json`; return the paths."""
    runs = records.read_fluctuations(directory)["runs"]
    (directory / "figures").mkdir(exist_ok=True)
    written = []
    for name, figure in (
        ("error_scaling", error_scaling(runs)),
        ("fluctuations", repetitions(runs)),
    ):
        written.append(directory / "figures" / f"{name}.svg")
        house.write(written[-1], house.svg(figure))
    return written


@house.styled
def error_scaling(runs: Sequence[Json]) -> Figure:
    """Standard deviation and modulus of the bias of ln Z against N, a panel per run.

    The broad line is the order 1/N, the thin one has 1/N² too, where that is small. A
    measured bias of the wrong sign is drawn hollow.
    """
    figure = Figure(figsize=(house.WIDTH, 0.9 + 2.3 * len(runs)))
    rows = figure.subplots(len(runs), 1, sharex=True, squeeze=False)[:, 0]
    for axes, run, name in zip(rows, runs, labels(runs), strict=True):
        _bias_and_std(axes, run["log_z"]["scaling"])
        axes.text(1, 1, name, transform=axes.transAxes, ha="right", va="top")
    rows[-1].set_xlabel("draws $N$")
    for order, style in (("$1/N$", LEADING), ("$1/N^2$", NEXT)):
        rows[0].plot([], [], color=house.INK, label=f"to {order}", **style)
    rows[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    return figure


def _bias_and_std(axes: Axes, found: Json) -> None:
    n = np.array(found["sizes"], float)
    variance, bias = (
        {field: np.array(values) for field, values in found[name].items()}
        for name in ("variance", "bias")
    )
    std = np.sqrt(variance["measured"])
    error = np.divide(variance["error"], 2 * std, where=std > 0, out=0 * std)
    look: dict[str, Any] = {"linestyle": "none", "markersize": 4, "elinewidth": 1.1}
    look |= {"marker": "o", "color": house.VERMILION}
    axes.errorbar(n, std, error, label=r"std of $\ln\hat Z$", **look)
    is_right = bias["measured"] * bias["leading"] > 0
    look |= {"marker": "s", "color": house.PURPLE}
    for shown, face in ((is_right, house.PURPLE), (~is_right, house.PAPER)):
        values, error = (np.abs(bias[x])[shown] for x in ("measured", "error"))
        label = r"$|\mathrm{bias}|$" if face == house.PURPLE else None
        line = look | {"markerfacecolor": face, "label": label}
        axes.errorbar(n[shown], values, error, **line)
    for fields, power, colour in (
        (variance, 0.5, house.VERMILION),
        (bias, 1.0, house.PURPLE),
    ):
        small = fields["is_converged"]
        leading, expected = (np.abs(fields[x]) for x in ("leading", "expected"))
        axes.plot(n, leading**power, color=colour, **LEADING)
        axes.plot(n[small], expected[small] ** power, color=colour, **NEXT)
    axes.set(xscale="log", yscale="log")
    _limits(axes, np.abs(np.concatenate([std, bias["measured"], bias["leading"]])))


def _limits(axes: Axes, values: Values) -> None:
    """Around what is not zero: error bars may end below it."""
    if np.any(positive := values > 0):
        axes.set_ylim(0.4 * np.min(values[positive]), 2.5 * np.max(values))


@house.styled
def repetitions(runs: Sequence[Json]) -> Figure:
    """F/V of disjoint repetitions, a column per run, and p of their agreement.

    They are drawn relative to the exact or published value where it is known, the black
    line with its error, and to that of all draws elsewhere; the band is all draws.
    """
    figure = Figure(figsize=(house.WIDTH + 1.1 * max(0, len(runs) - 4), 3.4))
    axes = figure.subplots()
    densities = [run["free_energy_density"] for run in runs]
    factor = 10.0 ** -_exponent(densities)
    found = [x["exact"] and catalogue.known_as(x["exact"]) for x in densities]
    known = " or ".join(sorted(name for name in {*found} if name))
    ticks = []
    for column, (density, label) in enumerate(
        zip(densities, labels(runs, "\n"), strict=True)
    ):
        parts, edges = density["repetitions"], column + HALF * np.array([-1, 1])
        pooled, reference = density["pooled"], _reference(density)
        middle = factor * (pooled["value"] - reference)
        _band(axes, edges, middle, factor * pooled["error"], house.VERMILION)
        if density["exact"] is not None:
            _band(axes, edges, 0.0, factor * density["exact"]["error"], house.INK)
            axes.plot(edges, [0, 0], color=house.INK, linewidth=1)
        values = factor * (np.array(parts["values"], float) - reference)
        x = column + np.linspace(-0.8 * HALF, 0.8 * HALF, values.size)
        axes.errorbar(
            x,
            values,
            factor * np.array(parts["errors"], float),
            color=house.VERMILION,
            marker="o",
            markersize=3.5,
            elinewidth=1.1,
            linestyle="none",
        )
        ticks.append(f"{label}\n$p$ = {parts['p_value']:.2g}")
    axes.set_xticks(range(len(runs)), ticks)
    axes.set_xlim(-0.6, len(runs) - 0.4)
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", length=0)
    wide = {"linewidth": 7, "alpha": 0.25}
    axes.plot([], [], color=house.VERMILION, label="all draws", **wide)
    if known:
        axes.plot([], [], color=house.INK, linewidth=1, label=known)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    name = " or ".join(filter(None, [known, "all draws" if None in found else ""]))
    power = f"10^{{{round(np.log10(factor))}}}"
    axes.set_ylabel(f"${power}$ × ($F/V$ − {name})")
    return figure


def _band(axes: Axes, edges: Values, middle: float, error: float, colour: str) -> None:
    low, high = middle - error, middle + error
    axes.fill_between(edges, low, high, color=colour, alpha=0.25, linewidth=0)


def _reference(density: Json) -> float:
    return (density["exact"] or density["pooled"])["value"]


def _exponent(densities: Sequence[Json]) -> int:
    """The power of ten of the largest deviation or error."""
    largest = max(
        max(abs(value - _reference(density)), error)
        for density in densities
        for value, error in zip(
            density["repetitions"]["values"],
            density["repetitions"]["errors"],
            strict=True,
        )
    )
    return math.floor(math.log10(largest)) if largest > 0 else 0


def labels(runs: Sequence[Json], between: str = ", ") -> list[str]:
    """The shape of each run, and those couplings in which the runs differ."""
    theories = [dict(run["theory"]) for run in runs]
    names = dict.fromkeys(name for theory in theories for name in theory)
    differ = [
        name
        for name in names
        if name != "shape" and len({str(x.get(name)) for x in theories}) > 1
    ]
    return [
        between.join(
            [
                " × ".join(map(str, theory["shape"])),
                *(
                    f"{COUPLINGS.get(name, name)} = {theory[name]}"
                    for name in differ
                    if name in theory
                ),
            ]
        )
        for theory in theories
    ]
