"""What samples of p, and chains along the couplings, say about ln Z and the model."""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from genlat import lattice
from genlat.estimators import integration, quantity, stationarity
from genlat.estimators.quantity import Quantity, constant
from genlat.runs.disk import store
from genlat.runs.findings import measured
from genlat.runs.stages import integration_stage, target_stage
from genlat.runs.stages.job import Job
from genlat.runs.stages.keys import Purpose
from genlat.theories.base import SolvedLine
from genlat.verdict import checks, estimates
from genlat.verdict.data import Chain, Draws, Samples
from genlat.verdict.evidence import of_samples
from genlat.verdict.findings import Findings

Json = dict[str, Any]


def target(job: Job, draws: Draws) -> Findings:
    """The draws of the model held against samples of p."""
    blocks = target_stage.read(job)
    arrays = store.joined(blocks, sample_axis=1, names=("action", "log_q"))
    label, volume = target_stage.label(blocks), lattice.volume(job.config.theory.shape)
    density = {"action_density": arrays["action"] / volume}
    samples = Samples(
        -arrays["action"] - arrays["log_q"],
        {**measured(blocks, sample_axis=1), **density},
        label.kernel,
        label.visits_every_mode,
    )
    rng = np.random.default_rng([job.config.seed, Purpose.RESAMPLING])
    found = of_samples(
        draws,
        samples,
        job.config.methods,
        job.config.observable_names,
        job.config.theory.shape,
        rng,
    )
    found.diagnostics["p_samples"]["source"] = job.config.estimate.p_samples
    return found


def path(job: Job, chain: Chain | None) -> Findings:
    """ln Z by chains along the hopping, with the checks that the chains allow.

    **Arguments:** `chain`: the baseline, where there is one.
    """
    blocks = integration_stage.read(job)
    volume = lattice.volume(job.config.theory.shape)
    line = integration_stage.line_of(job)
    start = line.log_z_start()
    if not blocks:  # it is the theory that is solved
        known = estimates.free_energy(constant(start), volume, "hmc_integration")
        return Findings({"hmc_integration": known}, {}, {})
    nodes = integration_stage.assemble(blocks)
    along = integration_stage.path_of(job, nodes)
    fractions = np.array([node.fraction for node in nodes])
    energies = [node.energies for node in nodes]
    target_error = job.config.integration.target_error
    is_converged = bool(
        min(along.overlaps) >= integration_stage.SMALLEST_OVERLAP
        and along.log_z[-1].estimate("").error <= target_error
    )
    log_z = dataclasses.replace(
        along.log_z[-1], caution=_caution(energies, is_converged)
    )
    found = estimates.free_energy(log_z, volume, "hmc_integration")
    if chain is not None:
        action = quantity.mean(chain.measured["action_density"], "chain")
        entropy = action + log_z / volume
        found["entropy_density"] = entropy.estimate("hmc_integration")
    curve = [quantity_.estimate("") for quantity_ in along.log_z]
    integral = integration.thermodynamic(fractions, energies, start)
    reweighted = integration.reweighting(fractions, energies, start)
    diagnostics = {
        "integration": {
            "is_converged": is_converged,
            "caution": log_z.estimate("").caution,
            "coupling_name": line.coupling,
            "couplings": (line.end * fractions).tolist(),
            "log_z": [float(x.value) for x in curve],
            "error": [float(x.error) for x in curve],
            "overlaps": along.overlaps,
            "samples": [energy.size for energy in energies],
            "rounds": len(blocks),
            "target_error": target_error,
            "reweighting": reweighted.estimate("reweighting").to_json(),
            "thermodynamic": integral.estimate("thermodynamic").to_json(),
        },
        "consistency": [
            *_integral_row(line, fractions, energies, log_z),
            *_slope_row(chain, line, energies[-1]),
        ],
    }
    return Findings({"hmc_integration": found}, diagnostics, {})


def _caution(energies: integration.Energies, is_converged: bool) -> str:
    """Why ln Z along the couplings must not be relied upon, where it must not."""
    if not is_converged:
        return (
            "the integration stopped before its target error, or with neighbours that "
            "hardly overlap: raise integration.rounds"
        )
    drifts = [p for p in map(stationarity.drift, energies) if p is not None]
    if drifts and min(drifts) * len(drifts) < checks.REFUSED:
        return "its chains are not thermalised: raise integration.therm"
    return ""


def _integral_row(
    line: SolvedLine,
    fractions: Float[np.ndarray, " grid"],
    energies: integration.Energies,
    log_z: Quantity,
) -> list[Json]:
    """-∫⟨E⟩dt against Bennett's ratios, on the same chains.

    The error of Hermite's rule is taken from every second coupling, as if it fell with
    the square of the spacing; on fine grids it falls with the fourth power.
    """
    if len(fractions) < 3:
        return []
    start = line.log_z_start()
    integral = integration.thermodynamic(fractions, energies, start)
    chosen = sorted({*range(0, len(fractions), 2), len(fractions) - 1})
    coarse = integration.thermodynamic(
        fractions[chosen], [energies[i] for i in chosen], start
    )
    rule = abs(coarse.value - integral.value) / 4
    difference = (integral - log_z).estimate("")
    error = math.hypot(float(difference.error), rule)
    pull = float(difference.value) / error if error > 0 else 0.0
    row = _row(
        f"ln Z: integral of {line.says} against Bennett's ratios",
        {**integral.estimate("thermodynamic").to_json(), "rule_error": rule},
        log_z.estimate("hmc_integration").to_json(),
        pull,
    )
    return [row]


def _slope_row(
    chain: Chain | None, line: SolvedLine, energy: Float[np.ndarray, "chains n"]
) -> list[Json]:
    """∂S/∂t at the end of the line: of its own chains against the baseline's."""
    if chain is None:
        return []
    name, scale = line.slope
    ours = quantity.mean(energy / scale, "path").estimate("hmc_integration")
    theirs = quantity.mean(chain.measured[name], "chain").estimate(chain.name)
    error = math.hypot(float(ours.error), float(theirs.error))
    if ours.flaw or theirs.flaw or not error > 0:
        return []
    pull = (float(ours.value) - float(theirs.value)) / error
    symbol = {"hopping": "⟨H⟩/V"}.get(name, name)
    says = f"{symbol} at the end of the path against the chain"
    return [_row(says, ours.to_json(), theirs.to_json(), pull)]


def _row(name: str, left: Json, right: Json | float, pull: float) -> Json:
    return {"name": name, "left": left, "right": right, "pull": pull}
