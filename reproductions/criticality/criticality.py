"""Sampling across the phase transition: which training drops a mode, and who notices.

φ⁴ with λ = 0.022 from κ = 0.20 to 0.30, as in Nicoli et al., Phys. Rev. D 108, 114501
(2023), arXiv:2302.14082. One coupling flow without Z₂ symmetry is trained three ways:

- reverse KL: it falls into one of two wells once there are two;
- forward KL on samples of a cluster chain, from the best Gaussian, which has ±v where
  there are two: it keeps both;
- reverse KL of its exact mixture over ±φ.

Each is judged by its own ESS, by the forward ESS and the mode weight on samples of p
that visit both wells, and by F/V against chains along κ.

    python reproductions/criticality/criticality.py --out DIR [--lattice 16 8] [--quick]

Every run is an ordinary run directory under DIR. What is finished is not run again, so
that a killed study continues with the same command. Writes DIR/results.json,
DIR/table.md and DIR/criticality.svg.
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

LAM = 0.022
KAPPAS = (0.20, 0.24, 0.26, 0.27, 0.28, 0.30)
FEW = (0.20, 0.25, 0.27, 0.30)
SPACING = 0.01  # of the chains along κ; every value above is a multiple

# what differs from the flow below
FLOWS: dict[str, dict[str, dict[str, Any]]] = {
    "reverse KL": {"train": {"objective": "reverse_kl", "gradient": "path"}},
    # local layers do not make two wells of independent sites: mass stays on a bridge
    # between them, where no sample of p goes
    "forward KL": {
        "model": {"prior": "gaussian"},
        "train": {"objective": "forward_kl", "gradient": "path"},
    },
    "symmetrised": {
        "model": {"symmetrize": ["sign"]},
        "train": {"objective": "reverse_kl", "gradient": "path"},
    },
}
MODEL = {
    "name": "realnvp",
    "prior": "normal",
    "layers": 8,
    "hidden": [12, 12],
    "fourier": True,
}
COLOURS = {
    "reverse KL": house.VERMILION,
    "forward KL": house.BLUE,
    "symmetrised": house.GREEN,
}
MARKERS = {"reverse KL": "o", "forward KL": "s", "symmetrised": "D"}

Json = dict[str, Any]


def main() -> None:
    arguments = parse()
    root, shape = arguments.out, arguments.lattice
    (root / "runs").mkdir(parents=True, exist_ok=True)
    steps, draws = (300, 20_000) if arguments.quick else (1000, 100_000)
    screen, found = Screen(quiet=False), []
    kappas = arguments.kappas or (FEW if arguments.quick else KAPPAS)
    free_energy = along_kappa(root, shape, KAPPAS[-1], screen)
    for kappa in kappas:
        chain = carry_out(
            root / "runs" / f"kappa={kappa:.2f} chain",
            {**theory(shape, kappa), "mcmc": {"keep": 32_768}},
            screen,
        )
        for flow, changes in FLOWS.items():
            run = root / "runs" / f"kappa={kappa:.2f} {flow.replace(' ', '-')}"
            request = flow_request(shape, kappa, changes, chain, steps, draws)
            results = files.read_json(carry_out(run, request, screen) / "results.json")
            found.append(row(flow, kappa, results, free_energy))
            print(line(found[-1]), flush=True)
    content = {"lattice": shape, "lam": LAM, "steps": steps, "draws": draws}
    files.write_json(root / "results.json", {**content, "rows": found})
    (root / "table.md").write_text(table(found), encoding="utf-8")
    house.write(root / "criticality.svg", house.svg(figure(found, math.prod(shape))))
    print(table(found))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="which training drops a mode")
    parser.add_argument(
        "--out", type=Path, required=True, help="directory of the study"
    )
    parser.add_argument("--lattice", type=int, nargs="+", default=[64, 8])
    parser.add_argument("--kappas", type=float, nargs="+", help="multiples of 0.01")
    parser.add_argument("--quick", action="store_true", help="few κ, short training")
    return parser.parse_args()


def theory(shape: list[int], kappa: float) -> Json:
    coupling = {"name": "phi4", "shape": shape, "kappa": kappa, "lam": LAM}
    return {"seed": 1, "theory": coupling}


def flow_request(
    shape: list[int],
    kappa: float,
    changes: dict[str, Json],
    chain: Path,
    steps: int,
    draws: int,
) -> Json:
    """The run file of one flow; all share the chain's samples, some held out."""
    train = {"steps": steps, "batch": 64, "learning_rate": 3e-3, "data": str(chain)}
    if changes["train"]["objective"] == "reverse_kl":
        del train["data"]
    return {
        **theory(shape, kappa),
        "model": {**MODEL, **changes.get("model", {})},
        "train": {**train, **changes["train"]},
        "estimate": {"samples": draws, "p_samples": str(chain)},
    }


def carry_out(run: Path, request: Json, screen: Screen) -> Path:
    """Start a run, or go on where it stopped; its directory."""
    screen.say(run.name)
    if (run / "config.toml").exists():
        pipeline.resume(run, screen)
    else:
        pipeline.start(config.check(request, run.name), run, screen)
    if not (run / "report.html").exists():
        page.write(run)
    return run


def along_kappa(
    root: Path, shape: list[int], last: float, screen: Screen
) -> dict[float, tuple[float, float]]:
    """-ln Z/V and its error at every multiple of `SPACING`, by chains alone."""
    request = {
        **theory(shape, last),
        "mcmc": {},
        "estimate": {"methods": ["hmc_integration"]},
        "integration": {
            "couplings": round(last / SPACING) + 1,
            "samples": 500,
            "target_error": 0.05,
        },
    }
    run = carry_out(root / "runs" / "along kappa", request, screen)
    path = files.read_json(run / "results.json")["diagnostics"]["integration"]
    volume = math.prod(shape)
    return {
        round(kappa, 6): (-log_z / volume, error / volume)
        for kappa, log_z, error in zip(
            path["couplings"], path["log_z"], path["error"], strict=True
        )
    }


def row(
    flow: str,
    kappa: float,
    results: Json,
    free_energy: dict[float, tuple[float, float]],
) -> Json:
    """What the study asks of one run."""
    diagnostics, estimates = results["diagnostics"], results["estimates"]
    chain, chain_error = free_energy[round(kappa, 6)]
    by_flow = estimates["free_energy_density"]["nis"]
    return {
        "flow": flow,
        "kappa": kappa,
        "ess": pair(diagnostics.get("ess")),
        "ess_forward": pair(diagnostics.get("ess_forward")),
        "log_ess_forward": diagnostics.get("log_ess_forward"),
        "mode_weight": pair(diagnostics.get("mode_weight")),
        "free_energy_density": pair(by_flow),
        "along_kappa": [chain, chain_error],
        "excess": [by_flow["value"] - chain, math.hypot(by_flow["error"], chain_error)],
        "verdict": results["verdict"],
        "train_seconds": results["cost"]["train_seconds"],
    }


def pair(estimate: Json | None) -> list[float | None]:
    if estimate is None or "unusable" in estimate:
        return [None, None]
    return [estimate["value"], estimate["error"]]


def line(entry: Json) -> str:
    return " | ".join(cells(entry))


def cells(entry: Json) -> list[str]:
    excess, error = entry["excess"]
    return [
        f"{entry['kappa']:.2f}",
        entry["flow"],
        shown(entry["ess"]),
        forward(entry),
        shown(entry["mode_weight"]),
        f"{1e5 * excess:.1f} ± {1e5 * error:.1f}",
        entry["verdict"]["trust"],
    ]


def forward(entry: Json) -> str:
    """The forward ESS, by its logarithm where it is not a number to print."""
    if entry["ess_forward"][0] is not None and entry["ess_forward"][0] > 1e-4:
        return shown(entry["ess_forward"])
    logarithm = entry["log_ess_forward"]
    return "0" if logarithm is None else f"e^({logarithm:.0f})"


def shown(found: list[float | None]) -> str:
    value, error = found
    if value is None:
        return "unusable"
    return f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}"


def table(found: list[Json]) -> str:
    head = ["κ", "flow", "ESS", "forward ESS", "mode weight", "10⁵ ΔF/V", "trust"]
    rows = [head, ["---"] * len(head), *map(cells, found)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


@house.styled
def figure(found: list[Json], volume: int) -> Figure:
    """ESS and mode weight, and F/V against the chains along κ."""
    canvas = Figure(figsize=(house.WIDTH, 7.2))
    panels = canvas.subplots(3, 1, sharex=True)
    for index, flow in enumerate(FLOWS):
        rows = [entry for entry in found if entry["flow"] == flow]
        kappas = np.array([entry["kappa"] for entry in rows]) + 8e-4 * (index - 1)
        style = {
            "color": COLOURS[flow],
            "marker": MARKERS[flow],
            "markersize": 4,
            "linewidth": 1.0,
            "capsize": 2,
        }
        for panel, name in zip(panels, ("ess", "mode_weight", "excess"), strict=True):
            values, errors = np.array(
                [[math.nan if x is None else x for x in entry[name]] for entry in rows]
            ).T
            scale = 1e3 if name == "excess" else 1.0
            # an unknown error would hide the point: no bar, and the table says so
            errors = np.where(np.isnan(errors), 0, errors)
            panel.errorbar(kappas, scale * values, scale * errors, label=flow, **style)
    panels[0].set_ylabel("ESS, draws of q")
    panels[0].set_ylim(0, 1.05)
    panels[1].set_ylabel(r"mode weight $\hat w$")
    panels[1].axhline(1, color=house.INK, linewidth=0.7)
    panels[1].axhline(0.5, color=house.MUTED, linewidth=0.7, linestyle=":")
    panels[2].set_ylabel(r"$10^3\,\Delta F/V$")
    panels[2].axhline(0, color=house.INK, linewidth=0.7)
    panels[2].axhline(
        1e3 * math.log(2) / volume, color=house.MUTED, linewidth=0.7, linestyle=":"
    )
    panels[2].set_xlabel(r"$\kappa$")
    house.key(panels[0])
    return canvas


if __name__ == "__main__":
    main()
