"""What a run can know of a theory and a model: draws of q, samples of p, a chain."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from genlat.estimators.brief import brief
from genlat.estimators.estimate import Estimate, Number
from genlat.likelihood import Likelihood
from genlat.verdict.integrator import Choice

Arrays = Mapping[str, Float[np.ndarray, "..."]]
Found = dict[str, Estimate]


@dataclasses.dataclass(frozen=True)
class Draws:
    """Independent draws of a model q.

    - `log_w`: -S - ln q. `measured`: observables, draws first; `action_density` always.
    - `roundoff`: of the arithmetic in which ln q was summed: 2⁻²⁴ of float32.
    - `likelihood`: what its ln q is.
    - `integrator`: of a model that is integrated, what finer steps would change.
    """

    log_w: Float[np.ndarray, " n"]
    measured: Arrays
    roundoff: float
    likelihood: Likelihood
    integrator: Choice | None = None

    __repr__ = brief

    def floor(self, volume: int) -> float:
        """What rounding leaves of ln Z: `roundoff` times ⟨|S| + |ln q|⟩.

        The rounding errors of a sum of V terms, each of its own size, are smaller by
        about √V at random and as large where they are of one sign.
        """
        action = volume * self.measured["action_density"]
        log_q = -self.log_w - action
        size = np.abs(action) + np.abs(log_q)
        return self.roundoff * float(np.mean(size[np.isfinite(size)]))


@dataclasses.dataclass(frozen=True)
class Proposed:
    """A neural Markov chain by reference to draws: see `estimators.nmcmc`."""

    index: Int[np.ndarray, "chains n"]
    is_accepted: Float[np.ndarray, "chains n"]

    __repr__ = brief


@dataclasses.dataclass(frozen=True)
class Samples:
    """Chains that sample p, with the log q of a model: what it is held against.

    - `log_w`: -S - ln q. `measured`: observables, `action_density` always.
    - `kernel`: that made them. `visits_every_mode`: whether it carries φ to every
      image of its under the symmetries that separate the modes, by construction.
    """

    log_w: Float[np.ndarray, "chains n"]
    measured: Arrays
    kernel: str
    visits_every_mode: bool

    __repr__ = brief


class Foreseen(NamedTuple):
    """An error that samples of p foresee of an estimate from draws, as an `Estimate`'s.

    `error`: one for every component. `caution`: why it is not known either.
    `freedom`: of this error. `of_draws`: of that which draws find themselves.
    """

    error: Number
    freedom: float
    of_draws: float
    skewness: float
    caution: str


@dataclasses.dataclass(frozen=True)
class Chain:
    """A Markov chain's history: `measured`, (chains, n, ...), and its acceptance.

    None where it is not known, of a chain made elsewhere.
    """

    name: str
    measured: Arrays
    acceptance: Float[np.ndarray, "chains n"] | None

    __repr__ = brief
