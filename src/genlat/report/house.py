"""The house style of every figure, and how a figure becomes SVG."""

import contextlib
import html
import io
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Name -> colour on a light and on a dark page. The page holds them as CSS variables, so
# that an inlined figure follows the reader's colour scheme; an SVG file is light. The
# colours of data are those of Okabe and Ito, which colour-blind eyes tell apart, with
# a contrast of at least 3 to their background.
THEME = {
    "ink": ("#1d1f24", "#e4e5e8"),
    "muted": ("#646973", "#a0a5af"),
    "rule": ("#d9dbe0", "#3a3d45"),
    "paper": ("#ffffff", "#17181c"),
    "blue": ("#0072b2", "#56b4e9"),
    "vermilion": ("#cf5200", "#ff8c42"),
    "green": ("#00805d", "#2bc398"),
    "purple": ("#a64d86", "#dd8fbd"),
    "ochre": ("#8a7400", "#f0e442"),
}
INK, MUTED, RULE, PAPER, BLUE, VERMILION, GREEN, PURPLE, OCHRE = (
    light for light, _ in THEME.values()
)
WIDTH = 4.8  # inches: one column of the page, legible on a phone too

STYLE: dict[Any, Any] = {  # Matplotlib types its keys as literals
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.formatter.limits": (-4, 5),
    "axes.formatter.use_mathtext": True,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 11.5,
    "axes.linewidth": 0.7,
    "axes.titlesize": 11,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.facecolor": PAPER,
    "font.family": "STIXGeneral",  # comes with Matplotlib: the same on every machine
    "font.size": 11,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "image.cmap": "RdBu_r",
    "image.interpolation": "none",  # sites are squares
    "image.origin": "lower",
    "legend.borderaxespad": 0.2,
    "legend.columnspacing": 1.4,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "legend.handlelength": 1.3,
    "legend.handletextpad": 0.5,
    "legend.labelcolor": "linecolor",
    "lines.linewidth": 1.6,
    "mathtext.fontset": "stix",
    "svg.fonttype": "path",
    "svg.hashsalt": "genlat",  # the same figure is the same file
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}
styled = mpl.rc_context(STYLE)
"""Decorator: what a function draws, it draws in the house style."""


def colour(method: str) -> str:
    """Of a method or stage, the same in every figure; what is left is the chain's."""
    return {
        "bar": OCHRE,
        "exact": INK,
        "published": INK,
        "flow": VERMILION,
        "nis": VERMILION,
        "nmcmc": GREEN,
        "p_estimator": PURPLE,
        "log q on samples of p": PURPLE,
        "Sampling": VERMILION,
        "Training": PURPLE,
        "variational": MUTED,
    }.get(method, BLUE)


def bins(n: int) -> int:
    """As many as n values fill, and a column can show."""
    return min(120, max(10, round(3 * n ** (1 / 3))))


def key(axes: Axes) -> None:
    """The names of the lines in their colours, above the panel, clear of the data."""
    names = axes.get_legend_handles_labels()[1]
    longest = max(map(len, names), default=1)
    columns = max(1, min(len(names), LETTERS // (longest + 3)))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns)


LETTERS = 56
"""Of names side by side above a panel; more would leave the figure."""


@styled
def svg(figure: Figure) -> str:
    """The figure as an SVG file, text as outlines, without a date."""
    out = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    FigureCanvasSVG(figure).print_svg(out, metadata=nothing)
    return out.getvalue()


def inlined(svg: str, name: str, label: str) -> str:
    """The same for inside a page: own ids, the page's colours, no width of its own.

    **Arguments:** `name` sets this figure's ids apart from the others'; `label` is what
    a screen reader says.
    """
    box = re.search(r'viewBox="([^"]*)"', svg)
    body = svg[svg.index("<defs>") :]
    # its only rule is for everything, and the page has it
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", body)
    body = body.replace("xlink:href", "href")
    colours = {light: f"var(--{key})" for key, (light, _) in THEME.items()}
    body = re.sub("#[0-9a-f]{6}", lambda hit: colours.get(hit[0], hit[0]), body)
    view = box[1] if box else ""
    return f'<svg viewBox="{view}" role="img" aria-label="{html.escape(label)}">{body}'


def variables(column: int) -> str:
    """The theme as CSS declarations; column 0 is light, 1 dark."""
    return "; ".join(f"--{name}: {both[column]}" for name, both in THEME.items())


def write(path: Path, text: str) -> None:
    """A file of the report, whole or not at all.

    **Raises:** `OSError`, with the name of the file.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)  # it may be what fills the disk
        raise OSError(error.errno, error.strerror, str(path)) from error
