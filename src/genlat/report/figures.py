"""The figures of ensembles and training: arrays in, a Matplotlib figure out."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from genlat.report import house

POINTS = 1500  # the most a line needs: more only makes the page heavier
IMAGES = 6


class Decay(NamedTuple):
    """ρ(t) for t = 0 ... with its error, the window and τ_int of the Γ-method."""

    observable: str
    rho: Float[np.ndarray, " lags"]
    error: Float[np.ndarray, " lags"]
    window: int
    tau_int: str
    unit: str


LOSSES = {"reverse_kl": r"$E_q[\ln q + S]$", "forward_kl": r"$-E_p[\ln q]$"}


@house.styled
def training(
    seconds: Float[np.ndarray, " steps"],
    loss: Float[np.ndarray, " steps"],
    ess: Float[np.ndarray, " steps"],
    *,
    objective: str,
    log_z: float | None,
    prior_ess: float | None,
) -> Figure:
    """Loss and ESS of the training batches against wall time, and where they lead.

    Only the reverse KL leads to -ln Z.
    """
    figure = Figure(figsize=(house.WIDTH, 4.4))
    top, bottom = figure.subplots(2, 1, sharex=True)
    _noisy(top, seconds, loss, house.BLUE)
    if log_z is not None and objective == "reverse_kl":
        _level(top, -log_z, r"$-\ln Z$")
    top.set_ylabel(f"loss  {LOSSES.get(objective, '')}".strip())
    _noisy(bottom, seconds, ess, house.VERMILION)
    if prior_ess is not None:
        _level(bottom, prior_ess, "best Gaussian, untrained")
    bottom.set(ylabel="ESS of the batch", xlabel="training time (s)", ylim=(0, 1.03))
    figure.align_ylabels()
    return figure


def _noisy(
    axes: Axes,
    x: Float[np.ndarray, " steps"],
    y: Float[np.ndarray, " steps"],
    colour: str,
) -> None:
    """The values in pale, their average over 2 % of the steps on top."""
    n = y.size
    thin = slice(None, None, math.ceil(n / POINTS))
    axes.plot(x[thin], y[thin], color=colour, alpha=0.3, linewidth=0.6)
    half = n // 100
    middle = np.unique(np.linspace(0, n - 1, 300).astype(int))
    average = [np.mean(y[max(0, k - half) : k + half + 1]) for k in middle]
    axes.plot(x[middle], average, color=colour)
    shown = y[np.isfinite(y)][half:]
    if shown.size:
        low, high = np.percentile(shown, [0.2, 99.8])
        margin = 0.08 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)


def _level(axes: Axes, y: float, label: str) -> None:
    """A dashed line with its name on it, inside the range shown."""
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, y - 0.1 * (high - low)), max(high, y + 0.1 * (high - low)))
    axes.axhline(y, color=house.INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.text(
        1, y, label, transform=axes.get_yaxis_transform(), ha="right", va="bottom"
    )


@house.styled
def magnetisation(
    chain: tuple[str, Float[np.ndarray, " samples"]] | None,
    flow: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]] | None,
) -> Figure:
    """Densities of m: the chain (name, values) and the model (values, log-weights)."""
    figure = Figure(figsize=(house.WIDTH, 3.3))
    axes = figure.subplots()
    values = [*([chain[1]] if chain else []), *([flow[0]] if flow else [])]
    bins = house.bins(max(x.size for x in values))
    edges = np.histogram_bin_edges(np.concatenate(values), bins)
    if chain is not None:
        density, _ = np.histogram(chain[1], edges, density=True)
        area = {"fill": True, "alpha": 0.3, "linewidth": 0}
        axes.stairs(density, edges, color=house.BLUE, **area)
        axes.stairs(density, edges, color=house.BLUE, linewidth=1, label=chain[0])
    if flow is not None:
        mag, log_w = flow
        raw, _ = np.histogram(mag, edges, density=True)
        w = np.exp(log_w - np.max(log_w))
        reweighted, _ = np.histogram(mag, edges, density=True, weights=w)
        dashes = {"color": house.PURPLE, "linestyle": (0, (2, 1.5))}
        axes.stairs(raw, edges, **dashes, linewidth=1.3, label="model, raw")
        line = {"color": house.VERMILION, "linewidth": 1.3}
        axes.stairs(reweighted, edges, **line, label="model, reweighted")
    axes.set(xlabel="magnetisation $m$", ylabel="density", ylim=0)
    house.key(axes)
    return figure


@house.styled
def two_point(
    found: Mapping[str, tuple[Float[np.ndarray, " lags"], Float[np.ndarray, " lags"]]],
    reference: str | None,
) -> Figure:
    """G(t) and its error by every method; below, pulls against the reference."""
    figure = Figure(figsize=(house.WIDTH, 4.4 if reference else 3.3))
    heights = [5, 2] if reference else [1]
    rows = figure.subplots(
        len(heights), 1, sharex=True, squeeze=False, height_ratios=heights
    )[:, 0]
    offsets = 0.15 * (np.arange(len(found)) - (len(found) - 1) / 2)
    largest = 3.0
    for method, offset, marker in zip(found, offsets, "osD^v<>", strict=False):
        value, error = found[method]
        lags = np.arange(value.size) + offset
        look = {"color": house.colour(method), "marker": marker, "markersize": 3.5}
        look |= {"linestyle": "none", "label": method}
        rows[0].errorbar(lags, value, error, elinewidth=1.1, **look)
        if reference not in (None, method):
            both = np.hypot(error, found[reference][1])
            known = both > 0
            pull = (value - found[reference][0])[known] / both[known]
            rows[1].plot(lags[known], pull, **look)
            largest = max([largest, *np.abs(pull)])
    values = np.concatenate([value for value, _ in found.values()])
    is_steep = np.min(values) > 0 and np.max(values) > 5 * np.min(values)
    rows[0].set(ylabel="$G(t)$", yscale="log" if is_steep else "linear")
    house.key(rows[0])
    if reference:
        rows[1].axhspan(-1, 1, color=house.MUTED, alpha=0.18, linewidth=0)
        rows[1].axhline(0, color=house.colour(reference), linewidth=1)
        limits = (-1.15 * largest, 1.15 * largest)
        rows[1].set(ylabel=f"pull against\n{reference}", ylim=limits)
    rows[-1].set_xlabel("time separation $t$ (lattice units)")
    rows[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.align_ylabels()
    return figure


@house.styled
def autocorrelation(decays: Mapping[str, Decay]) -> Figure:
    """ρ(t) of each method, its error and the window of the sum."""
    figure = Figure(figsize=(house.WIDTH, 0.3 + 2.05 * len(decays)))
    rows = figure.subplots(len(decays), 1, squeeze=False)[:, 0]
    for axes, (method, decay) in zip(rows, decays.items(), strict=True):
        colour, lags = house.colour(method), np.arange(decay.rho.size)
        low, high = decay.rho - decay.error, decay.rho + decay.error
        axes.axhline(0, color=house.MUTED, linewidth=0.8)
        axes.fill_between(lags, low, high, color=colour, alpha=0.3, linewidth=0)
        axes.plot(lags, decay.rho, color=colour, marker="o", markersize=2.6)
        axes.axvline(decay.window, color=house.INK, linewidth=1, linestyle=(0, (4, 3)))
        window = f" window {decay.window}"
        axes.text(
            decay.window, 1, window, transform=axes.get_xaxis_transform(), va="top"
        )
        name = (
            f"{method}, {decay.observable}:  $\\tau_\\mathrm{{int}}$ = {decay.tau_int}"
        )
        axes.set_title(name, color=colour, loc="left")
        axes.set(ylabel=r"$\rho(t)$", xlabel=f"$t$ ({decay.unit})")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@house.styled
def samples(rows: Mapping[str, Float[np.ndarray, "n *lattice"]]) -> Figure:
    """Configurations of each sampler on one symmetrical colour scale.

    One dimension is drawn as paths, more than two as the slice at the origin of the
    other axes. Euclidean time runs to the right.
    """
    chosen = {name: _spread(phis) for name, phis in rows.items()}
    largest = max(float(np.max(np.abs(phis))) for phis in chosen.values())
    if min(phis.ndim for phis in chosen.values()) == 2:
        return _paths(chosen, largest)
    planes = {
        name: phis[(..., *(0,) * (phis.ndim - 3))].swapaxes(1, 2)
        for name, phis in chosen.items()
    }
    _, space, time = next(iter(planes.values())).shape
    shape = time / space
    lines, columns = (1, 4) if shape < 1.5 else (2, 3) if shape < 4 else (3, 1)
    height = len(planes) * (0.35 + lines * house.WIDTH / columns / shape)
    figure = Figure(figsize=(house.WIDTH, min(8.0, 0.7 + height)))
    grid = figure.subplots(len(planes) * lines, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for band, (name, phis) in enumerate(planes.items()):
        panels = grid[band * lines : (band + 1) * lines]
        for axes, phi in zip(panels.flat, phis, strict=False):
            axes.imshow(phi, vmin=-largest, vmax=largest)
        panels[0, 0].set_title(name, color=house.colour(name), loc="left")
    bar = {"location": "bottom", "shrink": 0.6, "aspect": 40}
    figure.colorbar(grid[0, 0].images[0], ax=grid, label=r"$\varphi_x$", **bar)
    return figure


def _paths(rows: Mapping[str, Float[np.ndarray, "n time"]], largest: float) -> Figure:
    figure = Figure(figsize=(house.WIDTH, 0.4 + 1.7 * len(rows)))
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, phis) in zip(panels, rows.items(), strict=True):
        axes.plot(phis.T, color=house.colour(name), linewidth=0.9, alpha=0.7)
        axes.set_title(name, color=house.colour(name), loc="left")
        axes.set(ylabel=r"$\varphi_t$", ylim=(-1.05 * largest, 1.05 * largest))
    panels[-1].set_xlabel("time $t$ (lattice units)")
    return figure


def _spread(
    phis: Float[np.ndarray, "n *lattice"],
) -> Float[np.ndarray, "k *lattice"]:
    """A few configurations, as far apart in the order of their making as can be."""
    chosen = np.linspace(0, len(phis) - 1, min(IMAGES, len(phis))).astype(int)
    return phis[chosen]
