"""The figures of a scan: curves with error bars in, a Matplotlib figure out."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genlat.report import house
from genlat.runs.file import catalogue

MARKERS = "osD^v<>P"
KNOWN_LINE = (0, (3, 2.5))


class Curve(NamedTuple):
    """Values and errors along a scan; NaN where there are none."""

    value: Float[np.ndarray, " n"]
    error: Float[np.ndarray, " n"]


@house.styled
def curves(
    x: Float[np.ndarray, " n"],
    found: Mapping[str, Curve],
    labels: tuple[str, str],
    reference: str | None,
    is_joined: bool = True,
) -> Figure:
    """One quantity by every method; below, pulls against the reference.

    What is known is joined where there is something between the points of the scan.
    """
    figure = Figure(figsize=(house.WIDTH, 4.4 if reference else 3.1))
    heights = [5, 2] if reference else [1]
    rows = figure.subplots(
        len(heights), 1, sharex=True, squeeze=False, height_ratios=heights
    )[:, 0]
    _curves(rows[0], x, found, is_joined)
    rows[0].set_ylabel(labels[1])
    house.key(rows[0])
    if reference:
        _pulls(rows[1], x, found, reference)
    rows[-1].set_xlabel(labels[0])
    figure.align_ylabels()
    return figure


@house.styled
def slopes(
    x: Float[np.ndarray, " n"],
    measured: tuple[str, Curve],
    middle: Float[np.ndarray, " intervals"],
    differences: Curve,
    pulls: Float[np.ndarray, " intervals"],
    labels: tuple[str, str],
) -> Figure:
    """A derivative: measured at the points, and from ln Z over the intervals."""
    figure = Figure(figsize=(house.WIDTH, 4.4))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[5, 2])
    name, curve = measured
    _curves(top, x, {name: curve})
    line = {"color": house.VERMILION, "marker": "s", "markersize": 3.5}
    line |= {"linestyle": "none", "label": "from ln Z by nis"}
    top.errorbar(middle, *differences, elinewidth=1.1, **line)
    top.set_ylabel(labels[1])
    house.key(top)
    _band(bottom)
    bottom.plot(middle, pulls, **line)
    _centre(bottom, pulls)
    bottom.set(ylabel="pull of an\ninterval", xlabel=labels[0])
    figure.align_ylabels()
    return figure


@house.styled
def fractions(
    x: Float[np.ndarray, " n"], found: Mapping[str, Curve], label: str
) -> Figure:
    """Numbers that should be near 1: effective sample sizes, the mode weight."""
    figure = Figure(figsize=(house.WIDTH, 3.1))
    axes = figure.subplots()
    colours = (house.VERMILION, house.GREEN, house.PURPLE)
    for (name, curve), colour, marker in zip(
        found.items(), colours, MARKERS, strict=False
    ):
        look = {"color": colour, "marker": marker, "markersize": 3.5, "label": name}
        axes.errorbar(x, *curve, elinewidth=1.1, linewidth=0.9, **look)
    axes.axhline(1, color=house.INK, linewidth=1, linestyle=(0, (4, 3)))
    highest = max(np.nanmax(curve.value) for curve in found.values())
    axes.set(xlabel=label, ylim=(0, max(1.05, 1.05 * float(highest))))
    house.key(axes)
    return figure


@house.styled
def cost(
    x: Float[np.ndarray, " n"],
    seconds: Mapping[str, Float[np.ndarray, " n"]],
    label: str,
) -> Figure:
    """Wall time of every point, stage upon stage."""
    figure = Figure(figsize=(house.WIDTH, 2.6))
    axes = figure.subplots()
    width = 0.7 * float(np.min(np.diff(np.unique(x)), initial=np.ptp(x) or 1.0))
    base = np.zeros(x.size)
    named = (house.PURPLE, house.VERMILION, house.BLUE, house.GREEN, house.OCHRE)
    colours = (*named[: len(seconds) - 1], house.MUTED)
    for (stage, values), colour in zip(seconds.items(), colours, strict=True):
        axes.bar(x, values, width, base, color=colour, label=stage)
        base = base + values
    axes.set(xlabel=label, ylabel="seconds")
    axes.grid(visible=False, axis="x")
    house.key(axes)
    return figure


@house.styled
def equation_of_state(
    temperature: Mapping[str, Float[np.ndarray, " n"]],
    panels: Mapping[str, Mapping[str, Curve]],
) -> Figure:
    """Thermal quantities against T, one panel each, by every method."""
    figure = Figure(figsize=(house.WIDTH, 0.4 + 2.0 * len(panels)))
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (label, found) in zip(rows, panels.items(), strict=True):
        axes.axhline(0, color=house.MUTED, linewidth=0.8)
        _curves(axes, next(iter(temperature.values())), found, is_joined=False)
        axes.set_ylabel(label)
    house.key(rows[0])
    rows[-1].set_xlabel("temperature $T = 1/L_0$ (lattice units)")
    figure.align_ylabels()
    return figure


def known(
    axes: Axes,
    x: Float[np.ndarray, " n"],
    curve: Curve,
    colour: str,
    *,
    label: str = "",
    is_joined: bool = True,
) -> None:
    """A level with its error at every point where something is known.

    Dashes between neighbours lead the eye, where there is something between them at
    all: not between sizes, nor across a point at which nothing is known.
    """
    order = np.argsort(x)
    look = {"color": colour, "marker": "_", "markersize": 10, "markeredgewidth": 1.3}
    line = {"linestyle": KNOWN_LINE if is_joined else "none", "linewidth": 0.9}
    parts = (x[order], curve.value[order], curve.error[order])
    axes.errorbar(*parts, elinewidth=1.1, label=label, **look, **line)


def _curves(
    axes: Axes,
    x: Float[np.ndarray, " n"],
    found: Mapping[str, Curve],
    is_joined: bool = True,
) -> None:
    for (method, curve), _, marker in _placed(x, found):
        colour = house.colour(method)
        if method in catalogue.KNOWN:
            known(axes, x, curve, colour, label=method, is_joined=is_joined)
            continue
        # where they are, one over the other: moved aside they would be off the curve
        look = {"color": colour, "marker": marker, "markersize": 3.5, "label": method}
        look |= {"markerfacecolor": "none", "elinewidth": 1.1, "linestyle": "none"}
        axes.errorbar(x, *curve, **look)


def _pulls(
    axes: Axes,
    x: Float[np.ndarray, " n"],
    found: Mapping[str, Curve],
    reference: str,
) -> None:
    base, every = found[reference], []
    _band(axes)
    for (method, curve), at, marker in _placed(x, found):
        if method in (reference, *catalogue.KNOWN):
            continue
        both = np.hypot(curve.error, base.error)
        pull = np.divide(
            curve.value - base.value, both, out=np.full(x.size, np.nan), where=both > 0
        )
        every.append(pull)
        look = {"color": house.colour(method), "marker": marker, "markersize": 3.5}
        axes.plot(at, pull, linestyle="none", **look)
    _centre(axes, np.concatenate([np.zeros(1), *every]))
    axes.set_ylabel(f"pull against\n{reference}")


def _placed(
    x: Float[np.ndarray, " n"], found: Mapping[str, Curve]
) -> list[tuple[tuple[str, Curve], Float[np.ndarray, " n"], str]]:
    """Every method with its marker, and moved aside a little for panels of pulls."""
    gap = float(np.min(np.diff(np.unique(x)), initial=np.ptp(x)))
    shown = [method for method in found if method not in catalogue.KNOWN]
    placed = []
    for method, curve in found.items():
        rank = shown.index(method) if method in shown else 0
        offset = 0.12 * gap * (rank - (len(shown) - 1) / 2)
        placed.append(((method, curve), x + offset, MARKERS[rank % len(MARKERS)]))
    return placed


def _band(axes: Axes) -> None:
    axes.axhspan(-1, 1, color=house.MUTED, alpha=0.18, linewidth=0)
    axes.axhline(0, color=house.INK, linewidth=1)


def _centre(axes: Axes, pulls: Float[np.ndarray, " any"]) -> None:
    largest = 1.15 * max(3.0, float(np.nanmax(np.abs(pulls))))
    axes.set_ylim(-largest, largest)
