"""Stage: how good the untrained Gaussian prior is. The baseline of the training."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from genlat.actions import gap
from genlat.estimators import weights
from genlat.models.gaussian import GaussianPair
from genlat.runs import directory
from genlat.runs.job import Job
from genlat.runs.keys import Purpose

DRAWS, BATCH = 20_000, 500


def run(job: Job) -> None:
    """Note the ESS and ln Z of the best Gaussian, once, and say them."""
    if "prior" not in directory.notes(job.directory):
        directory.note(job.directory, "prior", _measure(job))
    ess = directory.notes(job.directory)["prior"]["ess"]
    job.screen.say(f"the best Gaussian alone has an ESS of {ess['value']:.3g}")


def _measure(job: Job) -> dict[str, dict]:
    gaussian = gap.best_gaussian(job.action)
    prior = GaussianPair(gaussian.variance, gaussian.mean)

    @jax.jit
    def log_weights(keys):
        phis, log_q = jax.vmap(prior.sample_and_log_prob)(keys)
        return -jax.vmap(job.action)(phis) - log_q

    keys = jr.split(job.key(Purpose.PRIOR), (DRAWS // BATCH, BATCH))
    log_w = np.asarray(jnp.concatenate([log_weights(row) for row in keys]))
    return {
        "ess": weights.ess_estimate(log_w).to_json(),
        "log_z": weights.log_z(log_w).to_json(),
    }
