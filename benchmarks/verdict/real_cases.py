"""The table of real runs: run files, honest or not by construction, and what is forged.

Models are as small as they can be, lattices few, so that most of a run is the drawing.
"""

import hashlib
import io
import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tomli_w

from genlat.runs.disk import directory, inventory, store

Json = dict[str, Any]
Change = Callable[[Path], None]


class Case(NamedTuple):
    """A run file; "@name" in it is the directory of a run in `SOURCES`.

    `is_honest`: as it was made. `tamper`: what is done to the finished run before it is
    judged again.
    """

    name: str
    request: Json
    is_honest: bool
    tamper: Change | None = None


# ---------------------------------------------------------------- run files, in pieces

CHAIN = {"kernel": ["hmc", "cluster"], "chains": 64, "samples": 150, "therm": 100,
         "n_leapfrog": 5, "keep": 9600}  # fmt: skip
REFLECTED, LOCAL = (CHAIN | {"kernel": k} for k in (["hmc", "reflection"], ["hmc"]))
COLD = {"chains": 2048, "samples": 90, "therm": 1}  # the rest by default
SPINS = {"kernel": ["swendsen_wang"], "chains": 64, "samples": 150, "therm": 50,
         "keep": 9600}  # fmt: skip
WOLFF, HEATBATH = (SPINS | {"kernel": [name]} for name in ("wolff", "heatbath"))
CNF = {"features": 2, "channels": 1, "kernel_terms": 1, "mixing_terms": 1, "n_steps": 2}
ONE, MIXED = (CNF | {"wells": wells} for wells in ("one", "mixed"))
LAYERS = {"layers": 4, "hidden": [8]}
REALNVP, NICE, SPLINE = ({"name": x} | LAYERS for x in ("realnvp", "nice", "spline"))
NARROW = REALNVP | {"prior": "normal"}  # falls into one of two wells
TO_FINE, MADE, HIERARCHICAL = (
    {"name": name, "width": 8} for name in ("coarse_to_fine", "made", "hierarchical")
)
PIXELS = {"name": "pixelcnn", "width": 4, "half_kernel": 1, "depth": 2}
BRIEF = {"steps": 60, "batch": 64}
UNTRAINED = {"steps": 0}
FORWARD = BRIEF | {"objective": "forward_kl", "gradient": "total"}
OWN = FORWARD | {"data": "own", "draws": 2000}
FITTED = {"steps": 200, "batch": 64, "learning_rate": 0.02}


def phi4(shape: str, kappa: float, lam: float = 0.022) -> Json:
    extents = [int(extent) for extent in shape.split("x")]
    return {"name": "phi4", "shape": extents, "kappa": kappa, "lam": lam}


def ising(shape: str, beta: float, field: float = 0.0) -> Json:
    extents = [int(extent) for extent in shape.split("x")]
    return {"name": "ising", "shape": extents, "beta": beta, "field": field}


WELL = {"name": "double_well", "shape": [8], "m0": 2.75, "mu2": -1.0, "lam": 1.0}
SYMMETRIC, NEAR, BROKEN = (phi4("4x4", kappa) for kappa in (0.25, 0.27, 0.30))
FREE = phi4("4x4", 0.2, 0.0)
SMALL = ising("4x4", 0.4)
FROM_COLD = CNF | {"init": "@at .2"}
CONDITIONAL = CNF | {"nodes": {"kappa": [0.2, 0.25]}}
CONDITIONAL_SPINS = MADE | {"nodes": {"beta": [0.3, 0.45]}}


def run_file(
    theory: Json,
    model: Json | None = None,
    train: Json = BRIEF,
    mcmc: Json | None = None,
    seed: int = 1,
    **estimate: Any,
) -> Json:
    """A run file; spins and fields have chains of their own by default."""
    chain = mcmc or (SPINS if theory["name"] == "ising" else CHAIN)
    content: Json = {"seed": seed, "theory": theory, "mcmc": chain}
    if model is None:
        return content
    drawn = {"samples": 100_000, "batch": 1000, "keep": 0}
    if model.get("name", "cnf") == "cnf":
        drawn["n_steps"] = 4
    return content | {"model": model, "train": train, "estimate": drawn | estimate}


def cases() -> list[Case]:
    """All of them, the honest ones first."""
    honest = [Case(name, request, True) for name, request in _honest()]
    lies = [Case(name, request, False) for name, request in _dishonest()]
    good = run_file(SYMMETRIC, CNF, seed=41)
    return [
        *honest,
        *lies,
        Case("log q of 1 % of draws too high", good, False, raised_log_q(0.01, 3.0)),
        Case("log q of half the draws off", good, False, raised_log_q(0.5, 0.05)),
        Case("1 % of the samples of p are zero", good, False, zeroed(0.01)),
    ]


def _honest() -> Iterator[tuple[str, Json]]:
    for seed in (1, 2):
        tail = f", seed {seed}"
        for steps in (0, 20, 60):
            train = BRIEF | {"steps": steps}
            yield (f"phi4 4x4 .25 cnf, {steps} steps{tail}",
                   run_file(SYMMETRIC, CNF, train, seed=seed))  # fmt: skip
        yield f"phi4 4x4 .30 cnf{tail}", run_file(BROKEN, CNF, seed=seed)
        yield f"phi4 6x4 .25 cnf{tail}", run_file(phi4("6x4", 0.25), CNF, seed=seed)
        yield f"free field{tail}", run_file(FREE, CNF, UNTRAINED, seed=seed)
        yield f"double well cnf{tail}", run_file(WELL, CNF, seed=seed)
        yield f"ising 4x4 made reinforce{tail}", run_file(SMALL, MADE, seed=seed)
        yield (f"ising 4x4 to fine, forward{tail}",
               run_file(SMALL, TO_FINE, FORWARD, seed=seed))  # fmt: skip
    yield "phi4 4x4 .25 cnf, fitted", run_file(SYMMETRIC, CNF, FITTED, seed=3)
    yield "phi4 4x4 .30 cnf, fitted", run_file(BROKEN, CNF, FITTED, seed=3)
    yield "phi4 4x4 .27 cnf", run_file(NEAR, CNF, seed=3)
    yield "phi4 4x4 .27 mixed wells", run_file(NEAR, MIXED, seed=3)
    yield "phi4 4x4 .30 mixed wells", run_file(BROKEN, MIXED, seed=3)
    yield "phi4 4x4 .30 reflection", run_file(BROKEN, CNF, mcmc=REFLECTED, seed=4)
    yield "phi4 6x4 .30 cnf", run_file(phi4("6x4", 0.30), CNF, seed=3)
    yield "phi4 8x4 .25 cnf", run_file(phi4("8x4", 0.25), CNF, seed=3)
    yield "phi4 4x4 .25 realnvp", run_file(SYMMETRIC, REALNVP, seed=3)
    yield "phi4 4x4 .30 realnvp, forward", run_file(BROKEN, REALNVP, FORWARD, seed=3)
    yield "phi4 4x4 .25 realnvp, own data", run_file(SYMMETRIC, REALNVP, OWN, seed=3)
    yield ("phi4 4x4 .30 realnvp symmetrised",
           run_file(BROKEN, NARROW | {"symmetrize": ["sign"]}, seed=3))  # fmt: skip
    yield "phi4 4x4 .25 nice", run_file(SYMMETRIC, NICE, seed=3)
    yield "phi4 4x4 .25 spline", run_file(SYMMETRIC, SPLINE, seed=3)
    yield "phi4 4x4 .22 between nodes", run_file(phi4("4x4", 0.22), CONDITIONAL, seed=3)
    yield ("phi4 4x4 .25 from 4x4 at .2",
           run_file(SYMMETRIC, FROM_COLD, seed=5))  # fmt: skip
    yield ("phi4 6x4 .25 from 4x4, as it is",
           run_file(phi4("6x4", 0.25), FROM_COLD, UNTRAINED))  # fmt: skip
    yield ("phi4 4x4 .25, samples of another run",
           run_file(SYMMETRIC, CNF, seed=6, p_samples="@chain .25"))  # fmt: skip
    yield "ising 4x4 to fine reinforce", run_file(SMALL, TO_FINE, seed=3)
    yield "ising 4x4 made forward", run_file(SMALL, MADE, FORWARD, seed=3)
    yield "ising 4x4 hierarchical", run_file(SMALL, HIERARCHICAL, FORWARD, seed=3)
    yield "ising 4x4 pixelcnn", run_file(SMALL, PIXELS, FORWARD, seed=3)
    yield "ising 4x4 to fine, own data", run_file(SMALL, TO_FINE, OWN, seed=3)
    yield "ising 4x4 wolff", run_file(SMALL, MADE, FORWARD, WOLFF, seed=4)
    yield ("ising 4x4 between nodes",
           run_file(SMALL, CONDITIONAL_SPINS, seed=3))  # fmt: skip
    yield "ising 6x6 .44 to fine", run_file(ising("6x6", 0.44), TO_FINE, FORWARD)
    yield "ising 5x5 .35 made", run_file(ising("5x5", 0.35), MADE, FORWARD)
    yield "ising 4x4 in a field", run_file(ising("4x4", 0.3, 0.2), MADE, FORWARD)
    yield "ising 4x4 antiferromagnet", run_file(ising("4x4", -0.4), MADE, FORWARD)


def _dishonest() -> Iterator[tuple[str, Json]]:
    for seed in (1, 2, 3, 4):
        yield (f"not thermalised 5x5, seed {seed}",
               run_file(phi4("5x5", 0.25), CNF, UNTRAINED, COLD, seed))  # fmt: skip
    for seed in (1, 2):
        tail = f", seed {seed}"
        yield f"one well 4x4{tail}", run_file(BROKEN, ONE, seed=seed)
        yield (f"not thermalised 4x4, trained{tail}",
               run_file(SYMMETRIC, CNF, mcmc=COLD, seed=seed))  # fmt: skip
        yield (f"large learning rate{tail}",
               run_file(SYMMETRIC, CNF, BRIEF | {"learning_rate": 1.0},
                        seed=seed))  # fmt: skip
    yield "one well 4x4, hmc alone", run_file(BROKEN, ONE, mcmc=LOCAL, seed=3)
    yield ("one well 4x4, no samples of p",
           run_file(BROKEN, ONE, seed=4, methods=["nis", "nmcmc"]))  # fmt: skip
    yield "one well 6x4", run_file(phi4("6x4", 0.30), ONE, seed=3)
    yield "double well, one well", run_file(WELL, ONE, seed=3)
    yield "hmc alone in the broken phase", run_file(BROKEN, CNF, mcmc=LOCAL, seed=3)
    yield "reverse KL drops a well", run_file(BROKEN, NARROW, FITTED, seed=3)
    yield ("own data of one well",
           run_file(BROKEN, REALNVP | {"wells": "one"}, OWN, seed=3))  # fmt: skip
    yield ("chain and flow stuck in one well",
           run_file(BROKEN, ONE, seed=8, p_samples="@stuck chain"))  # fmt: skip
    yield "outside of the nodes", run_file(NEAR, CONDITIONAL, seed=3)
    yield ("nodes on both sides of the transition",
           run_file(NEAR, CNF | {"nodes": {"kappa": [0.2, 0.34]}}, seed=3))  # fmt: skip
    for kappa in (0.28, 0.252):
        yield (f"samples of .25 that are of {kappa:g}",
               run_file(SYMMETRIC, CNF, seed=7, p_samples=f"@{kappa:g}"))  # fmt: skip
    yield ("ising samples that are of .36",
           run_file(SMALL, MADE, FORWARD, seed=7, p_samples="@.36"))  # fmt: skip
    for n_steps in (1, 2):  # 4 are enough
        init = CNF | {"init": "@disturbed much"}
        yield (f"{n_steps} integration steps of a strong flow",
               run_file(SYMMETRIC, init, UNTRAINED, n_steps=n_steps))  # fmt: skip
    for name in ("a bit", "much"):
        init = CNF | {"init": f"@disturbed {name}"}
        yield (f"parameters disturbed {name}",
               run_file(SYMMETRIC, init, UNTRAINED, seed=3))  # fmt: skip
    yield "flow of .2 at .27, as it is", run_file(NEAR, FROM_COLD, UNTRAINED, seed=3)
    yield "flow of .2 at .30, as it is", run_file(BROKEN, FROM_COLD, UNTRAINED, seed=3)
    hard = BRIEF | {"learning_rate": 0.1}
    yield (
        "ising 4x4 .9 made, ground states alone",
        run_file(ising("4x4", 0.9), MADE, hard, seed=3),
    )
    yield ("ising 4x4 .9, heat bath alone",
           run_file(ising("4x4", 0.9), MADE, hard, HEATBATH, 3))  # fmt: skip
    yield ("ising 4x4 .9 own data",
           run_file(ising("4x4", 0.9), MADE, OWN | {"learning_rate": 0.1},
                    seed=3))  # fmt: skip
    yield ("ising 5x5 frustrated, heat bath",
           run_file(ising("5x5", -0.8), MADE, FORWARD, HEATBATH, 3))  # fmt: skip
    yield ("ising 4x4 .9 in a weak field, heat bath",
           run_file(ising("4x4", 0.9, 0.02), MADE, hard, HEATBATH, 3))  # fmt: skip


# ---------------------------------------------------------------------- what is forged


def relabelled(section: Json) -> Change:
    """The chain of a run says that it is of another theory."""

    def change(run: Path) -> None:
        content = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
        content["theory"] = section
        text = tomli_w.dumps(content)
        (run / "config.toml").write_text(text, encoding="utf-8")
        directory.note(run, "config", hashlib.sha256(text.encode()).hexdigest())
        for path in store.paths(run, "chain"):
            block = store.read(path)
            label = {"theory": json.dumps(section)}
            store.write(path, block._replace(attributes=block.attributes | label))

    return change


def one_sided(run: Path) -> None:
    """Every configuration of a chain is moved to the well of positive sign."""
    for path in store.paths(run, "chain"):
        block = store.read(path)
        phi = block.arrays["phi"]
        signs = np.where(phi.mean(axis=(2, 3), keepdims=True) < 0, -1, 1)
        store.write(path, block._replace(arrays={**block.arrays, "phi": signs * phi}))


def disturbed(size: float) -> Change:
    """Every parameter of the newest checkpoint times e^(size · normal)."""

    def change(run: Path) -> None:
        path = max((run / "checkpoints").glob("step-*.checkpoint"))
        content = path.read_bytes().partition(b"\n")[2]
        with np.load(io.BytesIO(content)) as archive:
            arrays, rng = dict(archive), np.random.default_rng(5)
        for name, x in arrays.items():
            if name.startswith(".model.field") and np.issubdtype(x.dtype, np.floating):
                noise = np.exp(size * rng.normal(size=x.shape))
                arrays[name] = (x * noise).astype(x.dtype)
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        path.write_bytes(f"{digest}\n".encode() + buffer.getvalue())
        inventory.note(run, store.look_into)

    return change


def raised_log_q(fraction: float, by: float) -> Change:
    """log q of some draws is off; the neural chain is made again."""

    def change(run: Path) -> None:
        rng = np.random.default_rng(6)
        for path in store.paths(run, "flow"):
            block = store.read(path)
            log_q = block.arrays["log_q"]
            chosen = rng.random(log_q.shape) < fraction
            arrays = {**block.arrays, "log_q": log_q + by * chosen}
            store.write(path, block._replace(arrays=arrays))
        for path in store.paths(run, "nmcmc"):
            path.unlink()

    return change


def zeroed(fraction: float) -> Change:
    """Some stored samples of p are not what they were; log q on them is made again."""

    def change(run: Path) -> None:
        rng = np.random.default_rng(7)
        for path in store.paths(run, "chain"):
            block = store.read(path)
            phi = block.arrays["phi"]
            kept = rng.random(phi.shape[:2]) >= fraction
            arrays = {**block.arrays, "phi": phi * kept[:, :, None, None].astype("f4")}
            store.write(path, block._replace(arrays=arrays))
        for path in store.paths(run, "target"):
            path.unlink()

    return change


SOURCES: dict[str, tuple[Json, Change | None]] = {
    "at .2": (run_file(phi4("4x4", 0.2), CNF, seed=11, samples=1000), None),
    "chain .25": (run_file(SYMMETRIC, seed=12), None),
    "0.28": (run_file(phi4("4x4", 0.28), seed=13), relabelled(SYMMETRIC)),
    "0.252": (run_file(phi4("4x4", 0.252), seed=14), relabelled(SYMMETRIC)),
    ".36": (run_file(ising("4x4", 0.36), seed=15), relabelled(SMALL)),
    "stuck chain": (run_file(BROKEN, seed=17), one_sided),
    "disturbed a bit": (
        run_file(SYMMETRIC, CNF, seed=18, samples=1000),
        disturbed(0.1),
    ),
    "disturbed much": (run_file(SYMMETRIC, CNF, seed=19, samples=1000), disturbed(1.0)),
}
SAME_FILE = run_file(SYMMETRIC, CNF)
