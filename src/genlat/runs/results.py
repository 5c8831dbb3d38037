"""Stage: from the ensembles on disk to `results.json`."""

from typing import Any

from genlat import lattice
from genlat.families import conditioning
from genlat.models.base import AbstractModel
from genlat.runs import evidence, findings, reference
from genlat.runs.disk import directory, files
from genlat.runs.file.given_sections import SamplesSection
from genlat.runs.stages import (
    chain_stage,
    environment,
    job,
    ledger,
    target_stage,
    training_data,
)
from genlat.verdict import costs
from genlat.verdict import results as assembled
from genlat.verdict.data import Draws
from genlat.verdict.findings import Findings
from genlat.verdict.results import assemble, without_nan

SCHEMA = "genlat.results/1"

Json = dict[str, Any]


def write(run: job.Job, model: AbstractModel | None) -> Json:
    """Estimate everything, judge it, write `results.json` whole, and return it."""
    stopwatch = run.clock.start()
    of_chain, of_path = _of_chains(run)
    of_model = [] if model is None else _of_model(run, model)
    if run.config.draws is not None:
        of_model = _of_given(run)
    notes = directory.notes(run.directory)
    found = assemble(
        [*of_chain, *of_model, *of_path],
        reference.exactly(run.action),
        _noted(run, notes),
        correct_bias=run.config.estimate.correct_bias,
    )
    ledger.book(run, "estimate", stopwatch.read())
    cost = found.cost | ledger.cost(run)
    cost |= costs.at_unit_error(found.estimates, cost, chain=_chain_name(run))
    provenance = {
        **environment.provenance(),
        **_hashes(run),
        "seed": run.config.seed,
        "started": notes["started"],
        "finished": directory.now(),
    }
    cost |= {"peak_memory_bytes": environment.peak_memory_bytes()}
    plain = run.config.model_dump(exclude_none=True)
    results = content(plain, provenance, found, cost)
    files.write_json(run.directory / "results.json", results)
    return results


def content(
    config: Json, provenance: Json, found: assembled.Results, cost: Json
) -> Json:
    """What `results.json` says."""
    trust, reasons = found.verdict
    return without_nan(
        {
            "schema": SCHEMA,
            "config": config,
            "provenance": provenance,
            "estimates": found.estimates,
            "diagnostics": found.diagnostics,
            "verdict": {"trust": trust, "reasons": reasons},
            "cost": cost,
        }
    )


def _of_chains(run: job.Job) -> tuple[list[Findings], list[Findings]]:
    """What the baseline says, and the chains along the couplings.

    Each ensemble is read once, and let go before the draws of the model are read.
    """
    chain = None if run.config.chain_name is None else findings.history(run)
    of_chain = [] if chain is None else [findings.chain(run, chain)]
    is_integrated = "hmc_integration" in run.config.methods
    return of_chain, [evidence.path(run, chain)] if is_integrated else []


def _of_model(run: job.Job, model: AbstractModel) -> list[Findings]:
    draws = findings.draws(run, model)
    of_draws = findings.flow(run, model, draws)
    return [of_draws, *_of_draws(run, draws)]


def _of_given(run: job.Job) -> list[Findings]:
    """Of draws that were made elsewhere."""
    draws = findings.given_draws(run)
    return [findings.given(run, draws), *_of_draws(run, draws)]


def _of_draws(run: job.Job, draws: Draws) -> list[Findings]:
    found = [findings.nmcmc(run, draws)]
    if target_stage.is_wanted(run):
        found.append(evidence.target(run, draws))
    return found


def _given(samples: SamplesSection | None) -> Json:
    """What the user has said of samples that stand beside draws made elsewhere."""
    if samples is None or not samples.is_given:
        return {"has_samples": False}
    return {
        "has_samples": True,
        "has_log_q": samples.has_log_q,
        "is_said": samples.visits_every_mode is not None,
        "is_vouched_for": samples.kernel is None,
    }


def _hashes(run: job.Job) -> dict[str, str]:
    """Of the files that others have made."""
    sections = {"draws": run.config.draws, "samples": run.config.samples}
    return {
        f"{name}_sha256": section.sha256
        for name, section in sections.items()
        if section is not None and section.sha256
    }


def _noted(run: job.Job, notes: Json) -> Json:
    """What stages have noted, for the verdict and the report."""
    diagnostics: Json = {"volume": lattice.volume(run.config.theory.shape)}
    diagnostics |= {
        name: notes[name] for name in ("prior", "integrator") if name in notes
    }
    given = run.config.samples
    if run.config.draws is not None or (given is not None and given.is_given):
        diagnostics["given"] = _given(given)
    diagnostics |= training_data.diagnostics(run.directory)
    if run.config.model is not None and run.config.model.nodes:
        nodes, theory = run.config.model.nodes, run.config.theory
        diagnostics["outside"] = conditioning.outside(nodes, theory)
    return diagnostics


def _chain_name(run: job.Job) -> str | None:
    """Of a chain whose time is known."""
    return None if run.config.mcmc is None else chain_stage.name(run)
