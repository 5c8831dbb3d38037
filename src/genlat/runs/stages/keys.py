"""One seed, one stream of random numbers per purpose."""

import enum

import jax.random as jr
from jaxtyping import PRNGKeyArray


class Purpose(enum.IntEnum):
    """What random numbers are for. The values are part of every result: kept."""

    CHAIN = 1
    MODEL = 2
    TRAINING = 3
    CALIBRATION = 4
    PRIOR = 5
    PILOT = 6
    FLOW = 7
    NMCMC = 8
    INTEGRATION = 9
    RESAMPLING = 10
    TRAINING_DATA = 11
    REPLAY = 12
    REPLAY_CHOICE = 13


def make(seed: int, purpose: Purpose) -> PRNGKeyArray:
    """The key for one purpose of a run."""
    return jr.fold_in(jr.key(seed), purpose)
