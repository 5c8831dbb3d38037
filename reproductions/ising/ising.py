"""The Ising model by an autoregressive network: as it is, reweighted, and as proposal.

Energy, |m|, specific heat, free energy and entropy across the transition, as in Nicoli
et al., Phys. Rev. E 101, 023304, arXiv:1910.13496: averages over the network's own
draws are biased, those reweighted (NIS) or taken from the neural Markov chain (NMCMC)
are not. Beside them Wolff's chain, and Kaufman's exact answers.

    python reproductions/ising/ising.py --out DIR [--sizes 16 24] [--quick]

Every run is an ordinary run directory under DIR. What is finished is not run again, so
that a killed study continues with the same command. Writes DIR/results.json,
DIR/table.md and DIR/ising.svg.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from genlat.report import house, page
from genlat.runs import pipeline
from genlat.runs.disk import files
from genlat.runs.file import config
from genlat.runs.stages.screen import Screen

BETAS = (0.36, 0.40, 0.43, 0.4407, 0.46)
METHODS = {
    "variational": "network as it is",
    "nis": "NIS",
    "nmcmc": "NMCMC",
    "wolff": "Wolff",
}
SHOWN = {
    "energy_density": "energy per site",
    "abs_mag": r"$\langle |m| \rangle$",
    "specific_heat": "specific heat",
    "free_energy_density": r"$-\ln Z / V$",
    "entropy_density": "entropy per site",
}
Json = dict[str, Any]


def main() -> None:
    arguments = parse()
    root: Path = arguments.out
    (root / "runs").mkdir(parents=True, exist_ok=True)
    steps, draws = (150, 10_000) if arguments.quick else (600, 100_000)
    screen, rows = Screen(quiet=False), []
    for size in arguments.sizes:
        for beta in arguments.betas:
            run = root / "runs" / f"L={size} beta={beta:g}"
            carry_out(run, request(size, beta, steps, draws), screen)
            rows.append(row(size, beta, files.read_json(run / "results.json")))
    files.write_json(root / "results.json", {"steps": steps, "rows": rows})
    (root / "table.md").write_text(table(rows), encoding="utf-8")
    house.write(root / "ising.svg", house.svg(figure(rows)))
    print(table(rows))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="a network of spins, and its bias")
    add = parser.add_argument
    add("--out", type=Path, required=True, help="directory of the study")
    add("--sizes", type=int, nargs="+", default=[16, 24])
    add("--betas", type=float, nargs="+", default=list(BETAS))
    add("--quick", action="store_true", help="short training, few draws")
    return parser.parse_args()


def request(size: int, beta: float, steps: int, draws: int) -> Json:
    """A PixelCNN trained by REINFORCE while β rises from 0.2, and Wolff's chain."""
    return {
        "seed": 1,
        "theory": {"name": "ising", "shape": [size, size], "beta": beta},
        "mcmc": {"kernel": ["wolff"], "thin": 2, "keep": 16_384},
        "model": {"name": "pixelcnn", "width": 16, "symmetrize": ["sign"]},
        "train": {
            "objective": "reverse_kl",
            "gradient": "reinforce",
            "anneal": {"beta": 0.2},
            "steps": steps,
            "batch": 128,
            "learning_rate": 5e-3,
        },
        "estimate": {
            "samples": draws,
            "keep": 0,
            "methods": ["default", "variational"],
        },
    }


def carry_out(run: Path, request: Json, screen: Screen) -> None:
    """Start a run, or go on where it stopped."""
    screen.say(run.name)
    if (run / "config.toml").exists():
        pipeline.resume(run, screen)
    else:
        pipeline.start(config.check(request, run.name), run, screen)
    if not (run / "report.html").exists():
        page.write(run)


def row(size: int, beta: float, results: Json) -> Json:
    """What the study asks of one run."""
    found, diagnostics = results["estimates"], results["diagnostics"]
    keys = (*METHODS, "exact")
    return {
        "size": size,
        "beta": beta,
        "ess": diagnostics["ess"]["value"],
        "kl_per_site": diagnostics["kl_per_site"]["value"],
        "trust": results["verdict"]["trust"],
        "train_seconds": results["cost"]["train_seconds"],
        "estimates": {
            name: {
                key: [found[name][key]["value"], found[name][key]["error"]]
                for key in keys
                if key in found[name] and "unusable" not in found[name][key]
            }
            for name in SHOWN
        },
    }


def reference(by_method: Json) -> list[float] | None:
    """The exact value; Wolff's where there is none."""
    return by_method.get("exact") or by_method.get("wolff")


def pull(by_method: Json, method: str) -> str:
    """Distance from the reference in errors."""
    known = reference(by_method)
    if method not in by_method or known is None or by_method[method] is known:
        return ""
    (value, error), (truth, uncertainty) = by_method[method], known
    return f"{(value - truth) / math.hypot(error, uncertainty):+.1f}"


def table(rows: list[Json]) -> str:
    """Pulls against the exact value, or Wolff's |m|, by method."""
    head = ["L", "β", "ESS", "trust", "observable", *METHODS.values()]
    lines = [head, ["---"] * len(head)]
    for entry in rows:
        about = [str(entry["size"]), f"{entry['beta']:g}", f"{entry['ess']:.3f}"]
        for name, by_method in entry["estimates"].items():
            pulls = [pull(by_method, method) for method in METHODS]
            lines.append([*about, entry["trust"], f"`{name}`", *pulls])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


@house.styled
def figure(rows: list[Json]) -> Figure:
    """For every observable and size the difference from the exact value against β."""
    sizes = sorted({entry["size"] for entry in rows})
    canvas = Figure(figsize=(1.6 * house.WIDTH, 8), layout="constrained")
    panels = canvas.subplots(len(SHOWN), len(sizes), sharex=True, squeeze=False)
    for (name, label), line in zip(SHOWN.items(), panels, strict=True):
        for size, axes in zip(sizes, line, strict=True):
            own = [entry for entry in rows if entry["size"] == size]
            for place, method in enumerate(METHODS):
                points = [
                    (entry["beta"], *entry["estimates"][name][method], truth[0])
                    for entry in own
                    if method in entry["estimates"][name]
                    if (truth := reference(entry["estimates"][name]))
                ]
                if points:
                    beta, value, error, truth = np.array(points).T
                    axes.errorbar(
                        beta + 0.0008 * (place - 1.5),
                        value - truth,
                        error,
                        color=house.colour(method),
                        marker="os^D"[place],
                        markersize=4,
                        linestyle="none",
                        capsize=2,
                        label=METHODS[method],
                    )
            axes.axhline(0, color=house.INK, linewidth=0.7)
            if name == next(iter(SHOWN)):
                axes.set_title(f"{size} x {size}", loc="right", pad=3)
        line[0].set_ylabel(f"Δ {label}")
    for axes in panels[-1]:
        axes.set_xlabel(r"$\beta$")
    handles, labels = panels[0][0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside upper left", ncols=len(METHODS))
    return canvas


if __name__ == "__main__":
    main()
