"""ln Z of a scan by default settings through the transition: right, or verdict no?

φ⁴ with λ = 0.022 (form A) on 16x8 at 21 couplings from κ = 0.20 to 0.30, a run file
with nothing but the theory, an empty [mcmc] and a cnf. ln Z by every method is held
against a reference in which no model enters and no draw is shared: long cluster
chains at every coupling from κ = 0, where ln Z is a one-dimensional integral, and the
integral of their 2V⟨H⟩; and against published values where there are any. On 64x8 the
chains may be spared: another model's values are in a file.

    python benchmarks/defaults_scan.py --out DIR
    python benchmarks/defaults_scan.py --out DIR --lattice 64x8 \
        --references benchmarks/defaults_scan_64x8.json
    python benchmarks/defaults_scan.py --out DIR --lattice 4x4 --points 3   # a trial

Both scans are ordinary scan directories, DIR/scan and DIR/chains; what is finished is
not run again. Prints a table and writes DIR/defaults_scan.json; exit status 1 if a
point is off by more than 3.5 of the errors of both and its verdict is not no.
"""

import argparse
import functools
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from genlat.estimators import thermodynamics
from genlat.estimators.thermodynamics import Points
from genlat.runs import reference
from genlat.runs.disk import files
from genlat.runs.file import config
from genlat.runs.scan import scan
from genlat.runs.scan import scan_request as requests
from genlat.runs.stages import environment
from genlat.runs.stages.screen import Screen

LAM, FIRST, LAST = 0.022, 0.20, 0.30
FAR = 3.5  # of 21 points, right ones are beyond once in a hundred times
CHAIN = {"chains": 64, "samples": 20_000, "therm": 1000, "keep": 0}
Json = dict[str, Any]
Known = Callable[[float], tuple[float, float]]


def carry_out(path: Path, content: Json, over: str) -> Json:
    """`scan.json` of a scan, begun, continued or finished before."""
    if not requests.is_scan(path):
        file = path.with_suffix(".toml")
        file.write_text(tomli_w.dumps(content))
        asked = requests.plan(file, over, [], None)
        return scan.start(asked, path, Screen(quiet=True), lambda _: None)
    return scan.resume(path, Screen(quiet=True), lambda _: None)


def run_file(shape: list[int], seed: int, **sections: Json) -> Json:
    named = {"name": "phi4", "shape": shape, "kappa": FIRST, "lam": LAM}
    return {"seed": seed, "theory": named, **sections}


def exact_log_z(shape: list[int], kappa: float) -> Json | None:
    """What is known of ln Z, published values included."""
    content = run_file(shape, 0, mcmc={})
    content["theory"]["kappa"] = kappa
    action = config.check(content, "exact").theory.theory().action
    return reference.exactly(action).get("log_z", {}).get("exact")


def integrated(chains: Json, shape: list[int], kappa: float) -> tuple[float, float]:
    """ln Z and its error: exact at κ = 0, then the integral of 2V⟨H⟩ by the chains."""
    (curve,) = chains["estimates"]["hopping"].values()
    n = 1 + int(np.argmin(np.abs(np.array(chains["values"]) - kappa)))
    factor = 2.0 * math.prod(shape)
    value, error = (
        factor * np.array(curve[key][:n], float) for key in ("value", "error")
    )
    # the hopping of independent sites is known: symmetric, so no mean
    value[0], error[0] = 0.0, 0.0
    nothing = Points(np.zeros(n), np.zeros(n))
    x = np.array(chains["values"][:n], float)
    row = thermodynamics.along_coupling(x, nothing, Points(value, error))[-1]
    start = exact_log_z(shape, 0.0)
    assert start is not None
    return start["value"] + row.integral, math.hypot(row.integral_error, row.rule_error)


def stored(file: Path) -> Known:
    """ln Z and its error, by coupling."""
    log_z = json.loads(file.read_text())["log_z"]
    return lambda kappa: tuple(log_z[f"{kappa:.6g}"])


def rows(found: Json, source: str, right: Known, shape: list[int]) -> list[Json]:
    """Every method at every point, with its pull against what is known of it."""
    every = []
    for k, kappa in enumerate(found["values"]):
        known = {source: right(kappa)}
        if (exact := exact_log_z(shape, kappa)) is not None:
            known["known"] = exact["value"], exact["error"]
        for method, curve in found["estimates"]["log_z"].items():
            value, error = curve["value"][k], curve["error"][k]
            if method == "exact" or value is None or error is None:
                continue
            for name, (known_value, its) in known.items():
                pull = (value - known_value) / math.hypot(error, its)
                trust = found["verdicts"][k]["trust"]
                row = {"kappa": kappa, "method": method, "value": value}
                row |= {"error": error, "against": name, "right": known_value}
                row |= {"right_error": its, "pull": pull, "trust": trust}
                every.append(row | {"is_fine": abs(pull) < FAR or trust == "no"})
    return every


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lattice", default="16x8")
    parser.add_argument("--points", type=int, default=21, help="from 0.20 to 0.30")
    parser.add_argument("--references", type=Path, help="values in place of chains")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chain-samples", type=int, default=CHAIN["samples"])
    args = parser.parse_args()
    shape = [int(extent) for extent in args.lattice.split("x")]
    step = (LAST - FIRST) / (args.points - 1)
    args.out.mkdir(parents=True, exist_ok=True)
    environment.prepare()
    chain = CHAIN | {"samples": args.chain_samples}
    asked = f"theory.kappa={FIRST}:{LAST}:{step:.6g}"
    plain = run_file(shape, args.seed, mcmc={}, model={"name": "cnf"})
    found = carry_out(args.out / "scan", plain, asked)
    if args.references:
        every = rows(found, "stored", stored(args.references), shape)
    else:
        # every point of the scan is one of the chains', and a few closer ones
        closer = step / max(1, round(step / 0.005))
        chains = carry_out(
            args.out / "chains",
            run_file(shape, args.seed + 1, mcmc=chain),
            f"theory.kappa=0.0:{LAST}:{closer:.6g}",
        )
        along = functools.partial(integrated, chains, shape)
        every = rows(found, "chains", along, shape)
    for row in every:
        print(
            f"{row['kappa']:.4f} {row['method']:12} {row['value']:11.5f} "
            f"± {row['error']:.5f}  {row['against']:7}{row['right']:11.5f} "
            f"± {row['right_error']:.5f}  {row['pull']:+5.1f}σ  {row['trust']:8}"
            f"{'' if row['is_fine'] else 'WRONG'}"
        )
    seconds = {name: sum(filter(None, x)) for name, x in found["cost"].items()}
    wrong = [row for row in every if not row["is_fine"]]
    content = {"rows": every, "cost": seconds, "n_wrong": len(wrong)}
    files.write_json(args.out / "defaults_scan.json", content)
    print(f"{len(every)} comparisons, {len(wrong)} wrong and not refused; {seconds}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
