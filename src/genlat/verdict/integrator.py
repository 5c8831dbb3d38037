"""How many integration steps the samples need: the integrator is part of log q."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genlat.estimators import weights
from genlat.estimators.brief import brief

TARGET = 0.1
MOST_STEPS = 96


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

    __repr__ = brief

    @property
    def excess(self) -> float:
        """The larger of shift and its error over what is wanted; inf if undefined."""
        worst = max(abs(self.shift_log_z), self.shift_error)
        if worst == 0:
            return 0.0
        wanted = TARGET * self.statistical_error
        return worst / wanted if wanted > 0 else math.inf


LogWeights = Callable[[int], Float[np.ndarray, " n"]]


def choose(log_w_at: LogWeights, start: int, n_samples: int) -> Choice:
    """Raise the steps until the shift of ln Z is far below the statistical error.

    Follows the law of a fourth-order method, that the shift falls like steps⁻⁴. Stops
    where neither the shift nor its own error exceeds a tenth of the statistical error,
    or where the error of the shift no longer falls: then it is rounding, and finer
    steps do not help.

    **Arguments:**

    - `log_w_at`: log-weights of a pilot sample at a number of steps, always of the
      same random numbers.
    - `start`: steps to begin with. `n_samples`: samples of the whole run.
    """
    choice = measure(log_w_at, start, n_samples)
    while choice.excess > 1 and choice.steps < MOST_STEPS:
        finer = measure(log_w_at, next_steps(choice), n_samples)
        is_rounding = finer.shift_error > choice.shift_error / 2
        choice = finer
        if is_rounding:
            break
    return choice


def measure(log_w_at: LogWeights, steps: int, n_samples: int) -> Choice:
    """What doubling `steps` does; arguments as `choose`."""
    return compare(log_w_at(steps), log_w_at(2 * steps), steps, n_samples)


def next_steps(choice: Choice) -> int:
    """The steps at which the shift should be small enough, with a tenth to spare.

    At least a quarter more than before, and at most four times as many: far from the
    asymptotic regime the law is a guess.
    """
    ratio = min(max(1.1 * choice.excess**0.25, 1.25), 4.0)
    return min(math.ceil(ratio * choice.steps), MOST_STEPS)


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
        return Choice(steps, math.nan, math.nan, 0.0)
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
