"""Tiny run files of every kind, drawn at random: many of them are refused."""

import itertools
import random

from genlat.errors import RequestError
from genlat.runs.file import catalogue, config

SHAPES = ([1], [2], [4], [5], [1, 4], [2, 2], [4, 4], [3, 6], [4, 2, 3], [2, 2, 2, 2])
THEORIES = {
    "phi4": ({"kappa": 0.12, "lam": 0.3}, {"m2": 0.7, "g": 0.4}),
    "double_well": ({"m0": 1.1, "mu2": -0.7, "lam": 0.5},),
    "ising": ({"beta": 0.3}, {"beta": -0.2, "field": 0.1}),
}
GROUPS = ("sign", "translations", "point_group")
SIZES = {
    "cnf": {"features": 2, "channels": 1, "kernel_terms": 2, "mixing_terms": 1},
    **{name: {"layers": 2} for name in ("realnvp", "nice", "spline")},
    "coarse_to_fine": {"width": 2},
    "pixelcnn": {"width": 2, "depth": 2},
    "made": {"width": 2},
    "hierarchical": {"width": 2},
}
FLOWS, SPINS = tuple(SIZES)[:4], tuple(SIZES)[4:]


def draw(seed):
    """The tables of a run file of few configurations."""
    pick = random.Random(seed)
    theory = pick.choice(tuple(THEORIES))
    name = pick.choice(SPINS if theory == "ising" else FLOWS)
    n_groups = pick.choice((0, 0, 1, 2))
    model = {"name": name, "symmetrize": pick.sample(GROUPS, n_groups), **SIZES[name]}
    if name == "cnf":
        model |= {"n_steps": 2, "wells": pick.choice(("both", "none", "mixed"))}
    elif name in FLOWS:
        model |= {
            "hidden": pick.choice(([], [2], [2, 2])),
            "kernel_size": pick.choice((1, 3)),
            "conditioner": pick.choice(("conv", "dense")),
            "splitting": pick.choice(("checkerboard", "stripe", "even_odd")),
            "equivariant": pick.choice((False, True)),
            "fourier": pick.choice((False, True)),
            "zero_mode": pick.choice((False, True)),
            "prior": pick.choice(("gaussian", "normal")),
        }
    elif name == "pixelcnn":
        model["half_kernel"] = 1
    couplings = pick.choice(THEORIES[theory])
    known = catalogue.theory_of({"theory": {"name": theory}})
    assert known is not None
    kernels = tuple(known.KERNELS)
    mcmc = {"kernel": pick.sample(kernels, pick.choice((1, 2))), "chains": 8}
    mcmc |= {"samples": 120, "therm": 20, "thin": pick.choice((1, 2)), "keep": 960}
    train = {
        "objective": pick.choice(tuple(catalogue.OBJECTIVES)),
        "gradient": pick.choice(tuple(catalogue.GRADIENTS)),
        "steps": 2,
        "batch": 4,
    }
    if pick.random() < 0.2:
        train["augment"] = [pick.choice(GROUPS)]
    if pick.random() < 0.15:
        coupling, value = next(iter(couplings.items()))
        model["nodes"] = {coupling: [value - 0.1, value + 0.1]}
    estimate = {"samples": 100, "batch": 10, "chains": 4}
    return {
        "seed": seed,
        "theory": {"name": theory, "shape": pick.choice(SHAPES), **couplings},
        **({"mcmc": mcmc} if pick.random() < 0.7 else {}),
        "model": model,
        "train": train,
        "estimate": estimate,
    }


def accepted(first):
    """(seed, checked run file) of those that `check` has nothing to say against."""
    for seed in itertools.count(first):
        try:
            yield seed, config.check(draw(seed), f"seed {seed}")
        except RequestError:
            continue
