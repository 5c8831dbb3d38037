"""The figures of a scan on several lattices: a curve for each, in one panel."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genlat.report import house, scan_figures
from genlat.report.scan_figures import MARKERS, Curve

COLOURS = (house.BLUE, house.VERMILION, house.GREEN, house.PURPLE, house.OCHRE)


class OnLattice(NamedTuple):
    """One quantity along the scan of one lattice; NaN where there is none.

    - `is_trusted`: whether the verdict of the point is yes.
    - `chain`: the same by the Markov chain, if the curve is not its.
    - `known`: what is known, exact or published.
    """

    name: str
    x: Float[np.ndarray, " n"]
    curve: Curve
    is_trusted: Bool[np.ndarray, " n"]
    chain: Curve | None = None
    known: Curve | None = None


@house.styled
def curves(
    lattices: Sequence[OnLattice],
    labels: tuple[str, str],
    region: tuple[float, float] | None = None,
    window: tuple[float, float] | None = None,
) -> Figure:
    """All lattices together; below, the window around the region where they cross."""
    figure = Figure(figsize=(house.WIDTH, 6.2 if window else 3.4))
    rows = figure.subplots(2 if window else 1, 1, squeeze=False)[:, 0]
    for axes in rows:
        for rank, lattice in enumerate(lattices):
            _draw(axes, lattice, rank)
        axes.set_ylabel(labels[1])
        if region:
            axes.axvspan(*region, color=house.MUTED, alpha=0.18, linewidth=0)
    if window:
        _close_up(rows[1], lattices, *window)
    rows[-1].set_xlabel(labels[0])
    house.key(rows[0])
    figure.align_ylabels()
    return figure


def _draw(axes: Axes, lattice: OnLattice, rank: int) -> None:
    colour = COLOURS[rank % len(COLOURS)]
    order = np.argsort(lattice.x)
    x = lattice.x[order]
    if lattice.known is not None:
        scan_figures.known(axes, lattice.x, lattice.known, house.INK, is_joined=False)
    if lattice.chain is not None:
        value, error = (part[order] for part in lattice.chain)
        band = {"color": colour, "alpha": 0.22, "linewidth": 0}
        axes.fill_between(x, value - error, value + error, **band)
    value, error = (part[order] for part in lattice.curve)
    look = {"color": colour, "marker": MARKERS[rank % len(MARKERS)], "markersize": 4}
    line = {"elinewidth": 1.1, "linewidth": 0.8, "markerfacecolor": "none"}
    axes.errorbar(x, value, error, label=lattice.name, **look, **line)
    is_trusted = lattice.is_trusted[order]
    axes.plot(x[is_trusted], value[is_trusted], linestyle="none", **look)


def window_of(
    lattices: Sequence[OnLattice], region: tuple[float, float]
) -> tuple[float, float] | None:
    """What to enlarge: a region with the points around it; None of nearly everything.

    Without the points around it where that would be nearly everything.
    """
    every = np.unique(np.concatenate([lattice.x for lattice in lattices]))
    before, after = every[every < region[0]], every[every > region[1]]
    low = float(before[-1]) if before.size else region[0]
    high = float(after[0]) if after.size else region[1]
    for start, stop in ((low, high), region):
        if stop - start < 0.7 * np.ptp(every):
            return start, stop
    return None


def _close_up(
    axes: Axes, lattices: Sequence[OnLattice], low: float, high: float
) -> None:
    seen = []
    for lattice in lattices:
        is_inside = (lattice.x >= low) & (lattice.x <= high)
        value, error = (part[is_inside] for part in lattice.curve)
        seen += [value - error, value + error]
    y = np.concatenate(seen)
    axes.set_xlim(low - 0.03 * (high - low), high + 0.03 * (high - low))
    if np.isfinite(y).any():
        bottom, top = np.nanmin(y), np.nanmax(y)
        pad = 0.06 * float(top - bottom) or 1.0
        axes.set_ylim(bottom - pad, top + pad)
