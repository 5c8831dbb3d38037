"""How many integration steps the samples need: the integrator is part of log q."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genlat.estimators import weights
from genlat.models.cnf import CNF
from genlat.runs import sampling
from genlat.runs.job import Job
from genlat.runs.keys import Purpose

PILOT = 4096
TARGET = 0.1
MOST_STEPS = 128


class Choice(NamedTuple):
    """`steps`, and what halving the step would change.

    - `shift_log_z`: ln Z at twice the steps minus ln Z at `steps`, same random numbers.
    - `shift_error`: its standard error.
    - `statistical_error`: expected error of ln Z from all samples of the run.
    """

    steps: int
    shift_log_z: float
    shift_error: float
    statistical_error: float


def choose(job: Job, model: CNF) -> Choice:
    """Double the steps until the shift of ln Z is far below the statistical error.

    Starts at the number of training. Stops where neither the shift nor its own error
    exceeds a tenth of the statistical error, or where the error of the shift no longer
    falls as a discretisation error would: then it is rounding, and finer steps do not
    help. A number given in the run file is taken, and only measured.
    """
    given = job.config.estimate.n_steps
    steps = given or model.n_steps
    coarse = _log_w(job, model, steps)
    previous_error = math.inf
    while True:
        fine = _log_w(job, model, 2 * steps)
        choice = compare(coarse, fine, steps, job.config.estimate.samples)
        worst = max(abs(choice.shift_log_z), choice.shift_error)
        is_small = worst <= TARGET * choice.statistical_error
        is_rounding = choice.shift_error > previous_error / 2
        if given or is_small or is_rounding or 2 * steps > MOST_STEPS:
            return choice
        steps, coarse, previous_error = 2 * steps, fine, choice.shift_error


def compare(
    coarse: Float[np.ndarray, " n"],
    fine: Float[np.ndarray, " n"],
    steps: int,
    n_samples: int,
) -> Choice:
    """The shift of ln Z between two log-weights of the same random numbers.

    With u = w̃ / mean w̃ of each, the shift is a mean of influence u_fine - u_coarse.
    NaN throughout if a log-weight is: steps too coarse to stay finite can do no better.
    """
    if weights.non_finite(coarse) or weights.non_finite(fine):
        return Choice(steps, math.nan, math.nan, math.nan)
    u_coarse, u_fine = (
        np.exp(log_w - weights.log_z(log_w).value) for log_w in (coarse, fine)
    )
    fraction = weights.ess(fine)
    return Choice(
        steps=steps,
        shift_log_z=_difference(coarse, fine),
        shift_error=float(np.std(u_fine - u_coarse) / math.sqrt(coarse.size)),
        statistical_error=math.sqrt(max(1 / fraction - 1, 0.0) / n_samples),
    )


def _difference(
    coarse: Float[np.ndarray, " n"], fine: Float[np.ndarray, " n"]
) -> float:
    return float(weights.log_z(fine).value) - float(weights.log_z(coarse).value)


def _log_w(job: Job, model: CNF, steps: int) -> Float[np.ndarray, " n"]:
    draws = sampling.draw(
        model.with_steps(steps),
        job.action,
        job.key(Purpose.PILOT),
        first=0,
        n=min(PILOT, job.config.estimate.samples),
        batch=job.config.estimate.batch,
    )
    return draws.log_w
