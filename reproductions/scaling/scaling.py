"""How samplers scale with the lattice: ESS, acceptance, KL and cost at ξ = L/4.

One `genlat run` per model family, size and seed, in the directory given; a finished one
is kept and an interrupted one continued, so the same command goes on where it stopped.
What it measures is in README.md beside it.

    python reproductions/scaling/scaling.py --out DIR
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import tomli_w

import scaling_figure as figure
import scaling_measures as measures
from genlat.report import house

# form B, m² = -4: λ at which the correlation length is a quarter of the lattice
COUPLINGS = {
    6: 6.975,
    8: 6.008,
    10: 5.55,
    12: 5.276,
    14: 5.113,
    20: 4.807,
    32: 4.572,
    64: 4.398,
}
MODELS: dict[str, dict[str, Any]] = {
    "cnf": {"name": "cnf"},
    "realnvp": {"name": "realnvp", "equivariant": True},
}
Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Request:
    """What makes two runs of one family, size and seed comparable."""

    start: str
    steps: int
    batch: int
    samples: int
    overrides: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Point:
    """One run: where it is, and how it is made."""

    family: str
    size: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.family}-L{self.size:02d}-seed{self.seed}"

    def run_file(self, request: Request, init: Path | None) -> Json:
        start = "scratch" if init is None else str(init)
        rate = 1e-2 if self.size < 20 else 7e-3 if self.size < 32 else 5e-3
        if self.family != "cnf":
            rate /= 4
        theory = {"name": "phi4", "shape": [self.size, self.size], "m2": -4.0}
        return {
            "seed": self.seed,
            "theory": theory | {"lam_b": COUPLINGS[self.size]},
            "model": MODELS[self.family] | {"init": start},
            "train": {
                "steps": request.steps,
                "batch": request.batch,
                "learning_rate": rate,
            },
            "estimate": {"samples": request.samples, "keep": 0},
        }


def main() -> None:
    arguments = parse()
    out: Path = arguments.out.absolute()
    request = Request(
        arguments.start,
        arguments.steps,
        arguments.batch,
        arguments.samples,
        tuple(arguments.set),
    )
    keep_request(out, request)
    rows = []
    for family in arguments.families:
        for seed in arguments.seeds:
            before: Point | None = None
            for size in sorted(arguments.sizes):
                point = Point(family, size, seed)
                make(out, point, before, request)
                spent = rows[-1]["train_seconds"] if before and rows else 0.0
                if request.start == "transfer":
                    before = point
                rows.append(read(out, point, arguments.targets, spent))
    fitted = [
        fit
        for family in arguments.families
        for fit in measures.fit_all([row for row in rows if row["family"] == family])
    ]
    content = {
        "schema": "genlat.scaling/1",
        "request": dataclasses.asdict(request),
        "window": measures.WINDOW,
        "runs": rows,
        "fits": fitted,
    }
    (out / "results.json").write_text(json.dumps(content, indent=1) + "\n")
    house.write(out / "scaling.svg", house.svg(figure.draw(rows, fitted)))
    show(rows, fitted)
    print(f"{out / 'results.json'}\n{out / 'scaling.svg'}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, required=True, help="directory, new or to go on with")
    add("--families", nargs="+", default=["cnf", "realnvp"], choices=sorted(MODELS))
    sizes = [6, 8, 10, 12, 14, 20]
    add("--sizes", nargs="+", type=int, default=sizes, choices=sorted(COUPLINGS))
    add("--seeds", nargs="+", type=int, default=[1, 2, 3])
    add("--steps", type=int, default=1000, help="of training, the same at every size")
    add("--batch", type=int, default=64, help="of training")
    add("--samples", type=int, default=100_000, help="drawn from the trained model")
    add("--targets", nargs="+", type=float, default=[0.5, 0.8], help="ESS to reach")
    add(
        "--start",
        choices=["scratch", "transfer"],
        default="scratch",
        help="transfer: every size starts from the trained model of the one before",
    )
    add("--set", nargs="*", default=[], metavar="section.field=value")
    return parser.parse_args()


def keep_request(out: Path, request: Request) -> None:
    """Refuse to mix runs of different settings in one directory."""
    path, wanted = out / "request.json", dataclasses.asdict(request)
    wanted["overrides"] = list(wanted["overrides"])
    if not path.exists():
        (out / "files").mkdir(parents=True, exist_ok=True)
        (out / "runs").mkdir(exist_ok=True)
        path.write_text(json.dumps(wanted, indent=1) + "\n")
    elif (found := json.loads(path.read_text())) != wanted:
        sys.exit(f"{out} holds runs of other settings: {found}; choose another --out")


def make(out: Path, point: Point, before: Point | None, request: Request) -> None:
    """Start, continue or skip the run of a point; notes the CPU time of training."""
    run, file = out / "runs" / point.name, out / "files" / f"{point.name}.toml"
    if (run / "results.json").exists():
        print(f"{point.name}: already finished", file=sys.stderr)
        return
    init = None if before is None else out / "runs" / before.name
    file.write_text(tomli_w.dumps(point.run_file(request, init)))
    program = [sys.executable, "-c", "from genlat.cli import main; main()"]
    if run.exists():
        command = ["resume", str(run), "--quiet"]
    else:
        overrides = [word for text in request.overrides for word in ("--set", text)]
        command = ["run", str(file), "--out", str(run), "--quiet", *overrides]
    print(f"{point.name}: genlat {' '.join(command)}", file=sys.stderr)
    process = subprocess.Popen([*program, *command])
    samples = watch(process, run / "metrics.jsonl")
    if process.wait():
        sys.exit(f"{point.name}: genlat {command[0]} failed, see above")
    clock_path(out, point).write_text(json.dumps(samples) + "\n")


def watch(process: subprocess.Popen, metrics: Path) -> list[list[float]]:
    """Steps of training that are done and CPU seconds spent, each time they change.

    The run's own clock would count what other processes do to this machine. Empty where
    the system does not tell: the run's clock is all there is then.
    """
    stat, tick = Path(f"/proc/{process.pid}/stat"), os.sysconf("SC_CLK_TCK")
    samples: list[list[float]] = []
    while process.poll() is None:
        time.sleep(measures.INTERVAL)
        try:
            steps = metrics.read_bytes().count(b"\n")
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # nothing trained yet, gone, or not Linux
        if steps and (not samples or steps > samples[-1][0]):
            samples.append([steps, (int(fields[11]) + int(fields[12])) / tick])
    return samples


def read(out: Path, point: Point, targets: list[float], spent: float) -> Json:
    """The row of a point in the tables."""
    run, clock = out / "runs" / point.name, clock_path(out, point)
    return {
        "family": point.family,
        "size": point.size,
        "seed": point.seed,
        **measures.read(run, clock, targets, spent),
    }


def clock_path(out: Path, point: Point) -> Path:
    return out / "files" / f"{point.name}.cpu.json"


def show(rows: list[Json], fitted: list[Json]) -> None:
    """Two tables: the runs, and the exponents."""
    targets = list(rows[0]["cost"])
    head = f"{'model':8} {'L':>3} {'seed':>4} {'ESS':>15} {'acceptance':>15}"
    head += f" {'KL/site':>19} {'s/step':>8}"
    print(head + "".join(f" {'s to ' + target:>12}" for target in targets))
    for row in rows:
        line = f"{row['family']:8} {row['size']:3d} {row['seed']:4d}"
        line += f" {pm(row['ess'], 4):>15} {pm(row['acceptance'], 4):>15}"
        line += f" {pm(row['kl_per_site'], 6):>19} {row['seconds_per_step'][0]:8.4f}"
        costs = [row["cost"][target] for target in targets]
        texts = ["never" if cost is None else pm(cost, 2) for cost in costs]
        print(line + "".join(f" {text:>12}" for text in texts))
    print(f"\n{'model':8} {'quantity ~ L^b':20} {'b':>12} {'points':>6} {'S':>5} p")
    for fit in fitted:
        line = f"{fit['family']:8} {fit['quantity']:20}"
        if "exponent" in fit:
            line += f" {fit['text']:>12} {fit['points']:6d} {fit['scale']:5.1f}"
            print(f"{line} {fit['p_value']:.2g}")
        else:
            print(f"{line} {'too few':>12} {fit['points']:6d}")


def pm(pair: list[float], digits: int) -> str:
    return f"{pair[0]:.{digits}f}±{pair[1]:.{digits}f}"


if __name__ == "__main__":
    main()
