"""The figure of a scaling study: four quantities against L."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import scaling_measures as measures
from genlat.report import house

Json = dict[str, Any]

LABELS = {"cnf": "continuous flow", "realnvp": "coupling flow"}
COLOURS = {"cnf": house.VERMILION, "realnvp": house.BLUE}
MARKERS = {"cnf": "o", "realnvp": "s"}
NAMES = {"-ln ess": r"$-\ln$ ESS", "1 - acceptance": "rejected"}


@house.styled
def draw(rows: list[Json], fitted: list[Json]) -> Figure:
    """Four panels against L: ESS, acceptance, KL per site, cost; fits as lines."""
    figure = Figure(figsize=(1.6 * house.WIDTH, 1.15 * house.WIDTH))
    (ess, kl), (acceptance, cost) = figure.subplots(2, 2, sharex=True)
    to_target = f"seconds to ESS {list(rows[0]['cost'])[-1]}"
    curves(ess, rows, fitted, ("ess", "-ln ess"), lambda y: np.exp(-y))
    curves(acceptance, rows, fitted, ("acceptance", "1 - acceptance"), lambda y: 1 - y)
    curves(kl, rows, fitted, ("kl_per_site", "kl_per_site"), lambda y: y)
    curves(cost, rows, fitted, (to_target, to_target), lambda y: y)
    for axes, label in ((ess, "ESS"), (acceptance, "acceptance")):
        lowest = axes.dataLim.y0
        axes.set(ylabel=label, ylim=(max(0, math.floor(10 * lowest - 0.5) / 10), 1.005))
    for axes, label in ((kl, "KL per site"), (cost, f"CPU {to_target}")):
        axes.set(ylabel=label, yscale="log")
        if axes.dataLim.y1 < 30 * axes.dataLim.y0:  # else powers of ten are enough
            axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_locator(ticker.NullLocator())
    sizes = sorted({row["size"] for row in rows})
    for axes in (acceptance, cost):
        axes.set_xscale("log")
        axes.set_xticks(sizes, list(map(str, sizes)))
        axes.minorticks_off()
        axes.set_xlabel(r"$L$")
    house.key(ess)
    figure.align_ylabels()
    return figure


def curves(
    axes: Axes,
    rows: list[Json],
    fitted: list[Json],
    names: tuple[str, str],
    shown: Callable[[np.ndarray], np.ndarray],
) -> None:
    """What is measured, and the power law of what is fitted, as it is `shown`."""
    name, of_fit = names
    families = list(dict.fromkeys(row["family"] for row in rows))
    for place, family in enumerate(families):
        own = [row for row in rows if row["family"] == family]
        pairs = [measures.quantities(row).get(name) or row.get(name) for row in own]
        seen = [
            (row["size"], pair[0], pair[1] or 0.0)
            for row, pair in zip(own, pairs, strict=True)
            if pair
        ]
        x, y, error = np.reshape(seen, (-1, 3)).T
        axes.errorbar(
            x,
            y,
            error,
            color=COLOURS[family],
            marker=MARKERS[family],
            linestyle="none",
            markersize=4.5,
            elinewidth=1.1,
            label=LABELS[family],
        )
        for fit in fitted:
            if (fit["family"], fit["quantity"]) == (family, of_fit):
                line(axes, x, fit, shown, (place, len(families)))


def line(
    axes: Axes,
    sizes: np.ndarray,
    fit: Json,
    shown: Callable[[np.ndarray], np.ndarray],
    place: tuple[int, int],
) -> None:
    """A fit over its sizes, its exponent below falling curves or above a rising one.

    **Arguments:** `place` is the number of the family and how many there are.
    """
    if "exponent" not in fit:
        return
    colour = COLOURS[fit["family"]]
    x = np.geomspace(min(sizes), max(sizes), 50)
    y = shown(fit["at_centre"] * (x / fit["centre"]) ** fit["exponent"])
    axes.plot(x, y, color=colour, linewidth=1.2, zorder=1)
    text = rf"{NAMES.get(fit['quantity'], '')} $\propto L^{{{fit['text']}}}$".strip()
    if y[-1] < y[0]:
        index, count = place
        corner = (0.04, 0.06 + 0.1 * (count - 1 - index))
        axes.annotate(text, corner, xycoords="axes fraction", color=colour)
    else:
        middle = (float(x[25]), float(y[25]))
        axes.annotate(
            text,
            middle,
            xytext=(-4.0, 9.0),
            textcoords="offset points",
            ha="right",
            color=colour,
        )
