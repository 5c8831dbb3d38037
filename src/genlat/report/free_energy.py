"""The figures of ln Z: from every side, from both ensembles, along the couplings."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genlat.estimators import weights
from genlat.report import house

FAR = 3.0  # extents of the estimates: a bound beyond is off the scale


class Side(NamedTuple):
    """One way to ln Z. `text` is its number as the tables have it.

    - `towards`: for a bound, +1 if ln Z lies above it, -1 below; 0 for an estimate.
    - `value`: None where it is unusable.
    """

    name: str
    text: str
    value: float | None
    error: float
    towards: int


@house.styled
def log_z(sides: Sequence[Side], reference: Side) -> Figure:
    """Values less that of the reference, with errors; bounds as arrows.

    The scale is that of the estimates; a bound far away is named at the edge.
    """
    origin = reference.value or 0.0
    figure = Figure(figsize=(house.WIDTH, 0.9 + 0.33 * len(sides)))
    axes = figure.subplots()
    low, high = _extent(sides, origin)
    axes.axvspan(
        -reference.error, reference.error, color=house.MUTED, alpha=0.2, linewidth=0
    )
    axes.axvline(0, color=house.colour(reference.name), linewidth=1)
    for y, side in enumerate(sides):
        colour = house.MUTED if side.towards else house.colour(side.name)
        _number(axes, y, side.text, colour)
        if side.value is None:
            continue
        x = side.value - origin
        if side.towards:
            _bound(axes, x, y, side, (low, high))
        else:
            axes.errorbar(x, y, xerr=side.error, color=colour, marker="o", markersize=4)
    axes.set_yticks(range(len(sides)), [side.name for side in sides])
    axes.set(xlim=(low, high), ylim=(len(sides) - 0.4, -0.6))
    axes.set_xlabel(rf"$\ln Z$ relative to {reference.name}")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


def _extent(sides: Sequence[Side], origin: float) -> tuple[float, float]:
    """Room for every estimate and its error, and for bounds that are not far off."""
    estimates = [x for x in sides if x.value is not None and not x.towards]
    ends = [
        x.value - origin + sign * 2 * x.error
        for x in estimates
        if x.value is not None
        for sign in (-1, 1)
    ]
    width = max(ends) - min(ends) or max(1e-6, 1e-6 * abs(origin))
    near = [
        x.value - origin
        for x in sides
        if x.value is not None and x.towards and abs(x.value - origin) < FAR * width
    ]
    low, high = min([*ends, *near]), max([*ends, *near])
    margin = 0.06 * (high - low) or width
    return low - margin, high + margin


def _bound(
    axes: Axes, x: float, y: int, side: Side, limits: tuple[float, float]
) -> None:
    """A mark at the bound and an arrow to where ln Z must be."""
    low, high = limits
    if not low <= x <= high:
        at_left = x < low
        shown = f"{x:+.2g} off the scale".replace("-", "−")
        text = rf"$\leftarrow$ {shown}" if at_left else rf"{shown} $\rightarrow$"
        axes.text(
            0.01 if at_left else 0.99,
            y,
            text,
            transform=axes.get_yaxis_transform(),
            ha="left" if at_left else "right",
            va="center",
            color=house.MUTED,
            bbox={"facecolor": house.PAPER, "edgecolor": "none", "pad": 1},
        )
        return
    look = {"color": house.MUTED, "marker": "|", "markersize": 9}
    axes.errorbar(x, y, xerr=side.error, markeredgewidth=1.4, **look)
    tip = x + side.towards * 0.13 * (high - low)
    arrow = {"arrowstyle": "-|>", "color": house.MUTED, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (tip, y), (x, y), arrowprops=arrow, annotation_clip=False)


def _number(axes: Axes, y: int, text: str, colour: str) -> None:
    """At the right of its row."""
    frame = axes.get_yaxis_transform()
    axes.text(1.02, y, text, transform=frame, va="center", color=colour)


@house.styled
def log_weights(
    log_w_q: Float[np.ndarray, " n"], log_w_p: Float[np.ndarray, " m"] | None
) -> Figure:
    """Histograms of ln w̃ - ln Ẑ on samples of q, finite, and of p, +inf allowed.

    The ratio of the two is e^(ln w̃ - ln Z), so they cross at ln Z where q covers p.
    What lies too far out is counted at the edge: on the right samples of p that no
    draw of q comes near, on the left negligible weights.
    """
    log_z = float(weights.log_z(log_w_q).value)
    q = log_w_q - log_z
    p = np.empty(0) if log_w_p is None else log_w_p - log_z
    low, end = _reach(q)
    both = np.concatenate([q, p])
    figure = Figure(figsize=(house.WIDTH, 3.3))
    axes = figure.subplots()
    inside = both[(both >= low) & (both <= end)]
    edges = np.histogram_bin_edges(inside, house.bins(q.size))
    axes.axvline(0, color=house.MUTED, linewidth=1, linestyle=(0, (4, 3)))
    look = (house.VERMILION, "samples of q")
    tops = [_histogram(axes, q, edges, *look, is_filled=True)]
    if p.size:
        look = (house.BLUE, "samples of p")
        tops.append(_histogram(axes, p, edges, *look, is_filled=False))
    _gaussian(axes, q, edges)
    is_cut = inside.size < both.size
    smallest = min(1 / n for n in (q.size, p.size) if n)
    axes.set(
        yscale="log",
        ylim=(0.6 * smallest, (60 if is_cut else 2) * max(tops)),
        xlabel=r"$\ln \tilde w - \ln \hat Z_q$",
        ylabel="fraction per bin",
    )
    _beyond(axes, p, p > end)
    _below(axes, both, both < low)
    house.key(axes)
    return figure


def _reach(q: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """From twelve widths below the middle to as far again as q itself reaches."""
    left, middle, right = np.percentile(q, [16, 50, 84])
    low = max(float(np.min(q)), float(middle - 6 * (right - left)))
    high = float(np.max(q))
    return low, high + (high - low)


def _histogram(
    axes: Axes,
    values: Float[np.ndarray, " n"],
    edges: Float[np.ndarray, " bins"],
    colour: str,
    label: str,
    *,
    is_filled: bool,
) -> float:
    """Fractions of all values, those beyond the edges included; the largest."""
    counts, _ = np.histogram(values, edges)
    fractions = counts / values.size
    if is_filled:
        axes.stairs(fractions, edges, fill=True, color=colour, alpha=0.3, linewidth=0)
    axes.stairs(fractions, edges, color=colour, label=label, linewidth=1.3)
    return float(np.max(fractions))


def _gaussian(
    axes: Axes, q: Float[np.ndarray, " n"], edges: Float[np.ndarray, " bins"]
) -> None:
    mean, std = float(np.mean(q)), float(np.std(q))
    if std == 0:
        return
    x = np.linspace(edges[0], edges[-1], 300)
    height = (edges[1] - edges[0]) / (std * math.sqrt(2 * math.pi))
    y = height * np.exp(-0.5 * ((x - mean) / std) ** 2)
    axes.plot(x, y, color=house.INK, linewidth=1.1, label="Gaussian")


def _beyond(
    axes: Axes, values: Float[np.ndarray, " m"], is_out: Bool[np.ndarray, " m"]
) -> None:
    """Say how many lie further right."""
    if not np.any(is_out):
        return
    largest = float(np.max(values))
    reach = f"up to {largest:+.3g}" if math.isfinite(largest) else "where q = 0"
    text = (
        f"{np.sum(is_out):,} of {values.size:,} samples of p\n"
        rf"lie further right, {reach} $\rightarrow$"
    )
    look: dict[str, Any] = {"ha": "right", "va": "top", "color": house.BLUE}
    axes.text(0.99, 0.97, text, transform=axes.transAxes, **look)


def _below(
    axes: Axes, values: Float[np.ndarray, " m"], is_out: Bool[np.ndarray, " m"]
) -> None:
    """Say how many lie further left."""
    if not np.any(is_out):
        return
    smallest = f"{np.min(values):.3g}".replace("-", "−")
    text = rf"$\leftarrow$ {np.sum(is_out):,} further left, down to {smallest}"
    look: dict[str, Any] = {"ha": "left", "va": "top", "color": house.MUTED}
    axes.text(0.01, 0.78, text, transform=axes.transAxes, **look)


@house.styled
def integration(
    couplings: Float[np.ndarray, " grid"],
    log_z: Float[np.ndarray, " grid"],
    error: Float[np.ndarray, " grid"],
    overlaps: Float[np.ndarray, " steps"],
    symbol: str,
) -> Figure:
    """ln Z from the start of the path, its error, and the overlap of neighbours."""
    figure = Figure(figsize=(house.WIDTH, 5.2))
    rows = figure.subplots(3, 1, sharex=True, height_ratios=[3, 2, 2])
    look = {"color": house.BLUE, "marker": "o", "markersize": 3}
    rows[0].plot(couplings, log_z, **look)
    rows[0].set_ylabel(r"$\ln Z$")
    rows[1].plot(couplings, error, **look)
    rows[1].set(ylabel="its error", ylim=0)
    rows[2].stairs(overlaps, couplings, color=house.BLUE, fill=True, alpha=0.3)
    rows[2].stairs(overlaps, couplings, color=house.BLUE)
    rows[2].vlines(couplings, 0, 0.07, color=house.INK, linewidth=0.8)
    rows[2].set(ylabel="overlap", ylim=(0, 1.03), xlabel=symbol)
    figure.align_ylabels()
    return figure
