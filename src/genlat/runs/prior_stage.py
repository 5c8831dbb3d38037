"""Stage: how good the untrained Gaussian prior is. The baseline of the training."""

from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from genlat.actions.base import AbstractAction
from genlat.estimators import weights
from genlat.models.prior import AbstractPrior
from genlat.runs import directory, gaussian_prior, ledger
from genlat.runs.job import Job
from genlat.runs.keys import Purpose
from genlat.runs.model_sections import AbstractFlowSection

DRAWS, BATCH = 20_000, 500


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
