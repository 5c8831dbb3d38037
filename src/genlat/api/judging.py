"""The verdict on draws of a model, held against samples of p: arrays in, results out.

No file and no clock: what anything cost is not in these results.
"""

import jax.random as jr
import numpy as np

from genlat import observables
from genlat.api import environment, records_of
from genlat.api.ensembles import OWN, Chains
from genlat.api.results import Results
from genlat.errors import RequestError
from genlat.estimators import nmcmc, requirements
from genlat.runs import reference, results
from genlat.runs.file.sections import FROM_P
from genlat.runs.records import Record
from genlat.runs.stages import environment as programs
from genlat.theories.base import Theory
from genlat.verdict import findings
from genlat.verdict.data import Chain, Draws, Proposed, Samples
from genlat.verdict.evidence import of_samples
from genlat.verdict.findings import Findings
from genlat.verdict.results import assemble, without_nan

PROPOSING = 100  # chains of the neural chain, at most
SHORTEST = 10  # of them, in steps


def judge(
    theory: Theory,
    draws: Draws,
    samples: Samples | None = None,
    chain: Chains | Chain | None = None,
    *,
    seed: int = 1,
    correct_bias: bool = False,
) -> Results:
    """Everything that draws, and samples of p beside them, say of theory and model.

    **Arguments:**

    - `draws`: of `gl.draw`, or `gl.measure_draws`.
    - `samples`: `chains.under(model)` of the very model, or `gl.measure_samples`;
      without any the verdict is never *yes*.
    - `chain`: a chain whose averages are to stand beside those of the model.
    - `seed`: of the neural chain and the bootstrap: the same one, the same numbers.

    **Raises:** `RequestError` for draws or samples that were not measured with this
    theory.
    """
    environment.require()
    history = chain.history if isinstance(chain, Chains) else chain
    shape = theory.action.lattice_shape
    names = _names(theory, draws, samples, history)
    proposed = _proposed(draws, seed)
    parts = [] if history is None else [findings.of_chain(history, names, shape, None)]
    parts += _of_model(draws, samples, proposed, names, shape, seed)
    found = assemble(
        parts,
        reference.exactly(theory.action),
        _diagnostics(theory, draws, samples),
        correct_bias=correct_bias,
    )
    config = records_of.config_of(theory, seed, history)
    plain = without_nan(config.model_dump(exclude_none=True))
    provenance = {**programs.provenance(), "seed": seed}
    content = results.content(plain, provenance, found, found.cost)
    volume = int(np.prod(shape))
    held = records_of.ensembles(volume, draws, samples, history, proposed)
    return Results(content, Record.in_memory(plain, content, held))


def _of_model(
    draws: Draws,
    samples: Samples | None,
    proposed: Proposed | None,
    names: tuple[str, ...],
    shape: tuple[int, ...],
    seed: int,
) -> list[Findings]:
    asked = ("nis", *(FROM_P if samples is not None else ()))
    methods = tuple(x for x in asked if not requirements.refusal(x, draws.likelihood))
    found = [findings.of_draws(draws, methods, names, shape, None)]
    if proposed is not None:
        found.append(findings.of_proposed(draws, proposed, names, shape, None))
    if samples is not None:
        rng = np.random.default_rng([seed, 1])
        found.append(of_samples(draws, samples, methods, names, shape, rng))
        found[-1].diagnostics["p_samples"]["source"] = "given"
    return found


def _names(
    theory: Theory, draws: Draws, samples: Samples | None, chain: Chain | None
) -> tuple[str, ...]:
    """The observables: those measured on draws, and what follows from them."""
    if theory.section is not None:
        primary = theory.section.observables
    else:
        primary = tuple(draws.measured)
    for what, found in (("draws", draws), ("samples", samples), ("chain", chain)):
        missing = (
            [] if found is None else [x for x in primary if x not in found.measured]
        )
        if missing:
            raise RequestError(
                f"{what}: {missing[0]} was not measured: are they of this theory?"
            )
    return (*primary, *observables.DERIVED)


def _proposed(draws: Draws, seed: int) -> Proposed | None:
    """A neural chain over the draws, where there are enough of a density."""
    log_w = draws.log_w
    n_chains = min(PROPOSING, log_w.size // SHORTEST)
    is_fit = not requirements.refusal("nmcmc", draws.likelihood)
    if not (is_fit and n_chains and findings.is_usable(log_w)):
        return None
    steps = log_w.size // n_chains
    cut = log_w[: n_chains * steps].reshape(n_chains, steps)
    made = nmcmc.run(jr.key(seed), cut)
    return Proposed(np.asarray(made.index), np.asarray(made.accepted, np.float64))


def _diagnostics(theory: Theory, draws: Draws, samples: Samples | None) -> dict:
    found: dict = {"volume": int(np.prod(theory.action.lattice_shape))}
    if draws.integrator is not None:
        found["integrator"] = draws.integrator._asdict()
    if samples is not None and samples.kernel == OWN:
        said = {"has_samples": True, "has_log_q": True, "is_said": True}
        found["given"] = {**said, "is_vouched_for": True}
    return found
