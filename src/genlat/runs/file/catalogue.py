"""What this version of genlat can do, by the names a run file uses. No JAX here."""

import difflib
from collections.abc import Iterable
from typing import Any

from genlat.training import admissible

# Names the design reserves for later versions: refused with a sentence of their own,
# not as spelling mistakes.
LATER: dict[str, tuple[str, ...]] = {
    "theory": ("u1", "su2", "su3"),
    "model": ("gauge", "trivializing"),
    "kernel": ("overrelaxation",),
    "objective": (),
    "gradient": (),
    "method": (),
    "observable": (
        "energy_gap",
        "x2",
        "plaquette",
        "topological_charge2",
        "topological_susceptibility",
    ),
}

THEORIES = {
    "phi4": "real scalar φ⁴ in any dimension: form A, B or C by its couplings",
    "double_well": "quantum-mechanical double well, one axis",
    "ising": "spins ±1 in any dimension, in a field",
}
MODELS = {
    "cnf": "continuous flow from the best Gaussian, exact likelihood",
    "realnvp": "coupling flow of affine layers",
    "nice": "coupling flow of additive layers: every layer keeps volume",
    "spline": "coupling flow of rational-quadratic splines",
    "coarse_to_fine": "ising: spins on ever finer sublattices, heat baths at the end",
    "pixelcnn": "ising: spins one by one, by masked convolutions",
    "made": "ising: spins one by one, by masked dense layers",
    "hierarchical": "ising: frames of spins inside each other, heat baths at the end",
}
KERNELS = {
    "hmc": "Hybrid Monte Carlo, step size tuned during thermalisation",
    "metropolis": "local Metropolis in checkerboard order; φ⁴: even extents only",
    "cluster": "cluster update of the signs, so that the chain crosses between ±φ",
    "reflection": "φ → -φ with probability one half: the chain visits both signs",
    "heatbath": "ising: every spin drawn anew given its neighbours",
    "swendsen_wang": "ising: all clusters, each flipped or not",
    "wolff": "ising: one cluster flipped, at the price of finding all",
}
_OF_FIELDS = ("hmc", "metropolis", "cluster", "reflection")
KERNELS_OF: dict[str, tuple[str, ...]] = {
    "phi4": _OF_FIELDS,
    "double_well": _OF_FIELDS,
    "ising": ("metropolis", "heatbath", "swendsen_wang", "wolff"),
}
# where a run file names none: the default of `[mcmc]`, but for
DEFAULT_KERNEL: dict[str, tuple[str, ...]] = {"ising": ("swendsen_wang",)}
OBJECTIVES = admissible.OBJECTIVES
GRADIENTS = admissible.GRADIENTS
METHODS = {
    "nis": "draws of the model, reweighted by e^(-S)/q",
    "variational": "draws of the model as they are: biased, beside those corrected",
    "nmcmc": "a Markov chain that takes the model's draws as proposals",
    "p_estimator": "ln Z and the mode weight from samples of p with their log q",
    "bar": "ln Z by Bennett's ratio, from draws of the model and samples of p together",
    "hmc_integration": "ln Z by chains along the hopping, from independent sites on",
}
# Expectation values, then functions of them; `tests/test_runs_config.py` compares the
# names with `genlat.observables`.
PRIMARY = {
    "mag": "m = (1/V) Σ φ",
    "abs_mag": "|m|",
    "mag2": "m²",
    "mag4": "m⁴",
    "phi2": "(1/V) Σ φ²",
    "hopping": "(1/V) Σ φ_x φ_{x+μ}, half of ∂ ln Z/∂κ per site in form A",
    "energy_density": "H/V, of Ising spins",
    "action_density": "S/V",
    "action_density2": "(S/V)²",
    "schwinger_dyson": "(1/V) Σ φ ∂S/∂φ, which must average to 1",
    "two_point": "correlator of zero-momentum slices, lags 0 to T/2",
}
_NOT_OF: dict[str, tuple[str, ...]] = {
    "phi4": ("energy_density",),
    "double_well": ("energy_density",),
    "ising": ("phi2", "hopping", "schwinger_dyson"),
}
DERIVED = {
    "susceptibility": "V (⟨m²⟩ - ⟨|m|⟩²)",
    "binder": "1 - ⟨m⁴⟩ / (3 ⟨m²⟩²)",
    "specific_heat": "V (⟨(S/V)²⟩ - ⟨S/V⟩²)",
    "correlation_length": "second-moment correlation length along axis 0",
}
# Always estimated where the method can: they need no measurement.
FREE_ENERGY = {
    "log_z": "ln Z in the user's own form of the theory",
    "free_energy_density": "-ln Z / V",
    "entropy_density": "(⟨S⟩ + ln Z) / V",
}


def explained(method: str) -> str:
    """What stands under the name of a method in `results.json`; empty if unheard of.

    A chain goes by its kernels, as in `hmc+cluster`.
    """
    if method == "exact":
        return "a closed form, a transfer matrix or a published value: not sampled"
    kernels = [KERNELS.get(name, "") for name in method.split("+")]
    chain = f"a Markov chain of p: {'; '.join(kernels)}" if all(kernels) else ""
    return METHODS.get(method, chain)


def primary_of(theory: str) -> tuple[str, ...]:
    """The expectation values that are measured in a theory."""
    return tuple(name for name in PRIMARY if name not in _NOT_OF[theory])


def unknown_name(kind: str, name: Any, available: Iterable[str]) -> str:
    """What to say of a name that is not available: later, misspelt or unheard of."""
    available = list(available)
    choice = f"this version has {', '.join(available)}"
    if name in LATER[kind]:
        return f"not available in this version; {choice}"
    nearest = difflib.get_close_matches(str(name), available, n=1, cutoff=0.6)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    return f"unknown {kind}; {hint}{choice}"
