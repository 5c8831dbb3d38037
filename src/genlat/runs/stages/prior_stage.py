"""Stage: how good the untrained Gaussian prior is. The baseline of the training."""

from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from genlat.actions import gap
from genlat.actions.base import AbstractAction, AbstractScalarAction
from genlat.errors import RequestError
from genlat.estimators import weights
from genlat.families import gaussian_prior
from genlat.families.flows import AbstractFlowSection
from genlat.models.prior import AbstractPrior
from genlat.runs.disk import directory
from genlat.runs.file import fit_train
from genlat.runs.file.sections import RunConfig
from genlat.runs.stages import ledger
from genlat.runs.stages.job import Job
from genlat.runs.stages.keys import Purpose

DRAWS, BATCH = 20_000, 500


def refuse_unfit(config: RunConfig) -> None:
    """What only the gap equation knows: how many wells there are, and which phases.

    **Raises:** `RequestError` if `wells = "one"` and the best Gaussian is centred at 0,
    or a prior of both phases is wanted by the theory and the gradient is not for it.
    """
    model = config.model
    if not isinstance(model, AbstractFlowSection):
        return
    if model.wells == "auto" and not model.has_normal_prior:
        own = gaussian_prior.settled(model, config.theory.theory().action)
        if reason := fit_train.misses_choices(own, config.train):
            raise RequestError(
                f'train.gradient = "{config.train.gradient}": this theory may contain '
                f"both phases, so its prior does: {reason}"
            )
    if model.wells != "one":
        return
    action = config.theory.theory().action
    assert isinstance(action, AbstractScalarAction)  # others have no such models
    if gap.best_gaussian(action).mean == 0:
        raise RequestError(
            'model.wells = "one": this theory has no second well to drop, its best '
            "Gaussian is centred at 0"
        )


def run(job: Job, section: AbstractFlowSection) -> None:
    """Note the ESS and ln Z of the prior, once, and say the ESS."""
    if "prior" not in directory.notes(job.directory):
        stopwatch = job.clock.start()
        found = _measure(job, section)
        ledger.book(job, "prior", stopwatch.read())
        directory.note(job.directory, "prior", found)
    ess = directory.notes(job.directory)["prior"]["ess"]
    job.screen.say(f"the Gaussian prior alone has an ESS of {ess['value']:.3g}")


def _measure(job: Job, section: AbstractFlowSection) -> dict[str, Any]:
    prior = gaussian_prior.choose(section, job.action).model()
    keys = jr.split(job.key(Purpose.PRIOR), (DRAWS // BATCH, BATCH))
    log_w = np.concatenate(
        [np.asarray(_log_weights(prior, job.action, row)) for row in keys]
    )
    return {
        "ess": weights.ess_estimate(log_w).to_json(),
        "log_z": weights.log_z(log_w).to_json(),
    }


@eqx.filter_jit
def _log_weights(
    prior: AbstractPrior, action: AbstractAction, keys: Key[Array, " n"]
) -> Float[Array, " n"]:
    phis, log_q = jax.vmap(prior.sample_and_log_prob)(keys)
    return -jax.vmap(action)(phis) - log_q
