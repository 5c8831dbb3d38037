"""The figures of cost: where the time went, and what an error costs."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from genlat.report import house

MARKERS = "osD^v<>P"


class Price(NamedTuple):
    """Seconds by method to an error of `error`: with training, and once trained."""

    observable: str
    error: float
    whole: Mapping[str, float]
    trained: Mapping[str, float]


@house.styled
def cost(seconds: Mapping[str, float], ess_per_second: Mapping[str, float]) -> Figure:
    """Wall time by stage, and what a second buys once the model is trained."""
    panels = {"seconds": seconds, "independent samples per second": ess_per_second}
    panels = {label: values for label, values in panels.items() if values}
    heights = [len(values) for values in panels.values()]
    figure = Figure(figsize=(house.WIDTH, 0.5 * len(panels) + 0.34 * sum(heights)))
    rows = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (label, values) in zip(rows, panels.items(), strict=True):
        colours = [house.colour(name) for name in values]
        bars = axes.barh(list(values), list(values.values()), 0.6, color=colours)
        # the numbers stand at the bars: no axis is needed
        numbers = [f"{x:,.0f}" if x >= 100 else f"{x:.3g}" for x in values.values()]
        axes.bar_label(bars, numbers, padding=4)
        axes.set_title(label, loc="left")
        axes.margins(x=0.14)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", bottom=False, labelbottom=False)
        axes.spines["bottom"].set_visible(False)
    return figure


@house.styled
def seconds_to_error(prices: Sequence[Price]) -> Figure:
    """A row per observable: filled once trained, hollow with the training included."""
    methods = list(dict.fromkeys(name for price in prices for name in price.trained))
    most = max(len(price.trained) for price in prices)
    inches = 0.9 + len(prices) * max(0.36, 0.14 * most)
    figure = Figure(figsize=(house.WIDTH, inches))
    axes = figure.subplots()
    for row, price in enumerate(prices):
        if row % 2:
            shade = {"color": house.MUTED, "alpha": 0.1, "linewidth": 0}
            axes.axhspan(row - 0.5, row + 0.5, **shade)
        offsets = (np.arange(len(price.trained)) - (len(price.trained) - 1) / 2) / most
        for (method, after), offset in zip(price.trained.items(), offsets, strict=True):
            y = row + 0.85 * offset
            mark = MARKERS[methods.index(method) % len(MARKERS)]
            look = {"color": house.colour(method), "marker": mark, "ms": 4.5}
            before = price.whole.get(method, after)
            if before > after:
                axes.plot([after, before], [y, y], color=look["color"], linewidth=0.9)
                axes.plot(before, y, **look, markerfacecolor=house.PAPER)
            axes.plot(after, y, **look, linestyle="none")
    names = [f"{price.observable} to {price.error:.1g}" for price in prices]
    axes.set_yticks(np.arange(len(prices)), names)
    axes.set(xscale="log", ylim=(len(prices) - 0.5, -0.5), xlabel="seconds")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    handles = [
        Line2D([], [], color=house.colour(name), marker=mark, ms=4.5, ls="none")
        for name, mark in zip(methods, itertools.cycle(MARKERS), strict=False)
    ]
    figure.legend(handles, methods, loc="outside upper left", ncols=3)
    return figure
