"""Wall time, and how much of it went by compiling."""

import dataclasses
import time
from collections.abc import Callable
from typing import NamedTuple

from genlat.runs.stages import environment

RESOLUTION = 1e-9  # of a clock: what is measured took longer, and is divided by


class Spent(NamedTuple):
    """Wall time, and the part of it in which JAX traced, lowered or compiled."""

    seconds: float
    compile_seconds: float

    @property
    def running(self) -> float:
        """What it would have taken, had all been compiled."""
        return max(self.seconds - self.compile_seconds, RESOLUTION)

    def plus(self, other: "Spent") -> "Spent":
        """One after the other."""
        return Spent(
            self.seconds + other.seconds, self.compile_seconds + other.compile_seconds
        )


NOTHING = Spent(0.0, 0.0)


class Stopwatch:
    """Runs from its construction on."""

    def __init__(
        self,
        now: Callable[[], float] = time.perf_counter,
        compiled: Callable[[], float] = environment.compile_seconds,
    ):
        self._now, self._compiled = now, compiled
        self._begin = Spent(now(), compiled())

    def read(self) -> Spent:
        """What was spent since."""
        seconds = self._now() - self._begin.seconds
        compiling = self._compiled() - self._begin.compile_seconds
        return Spent(seconds, min(compiling, seconds))


@dataclasses.dataclass
class Clock:
    """The time of a process at work on a run, from its construction on.

    `earlier`: seconds that other processes have spent on the same run.
    """

    now: Callable[[], float] = time.perf_counter
    compiled: Callable[[], float] = environment.compile_seconds
    earlier: float = 0.0

    def __post_init__(self):
        self._all = self.start()

    def start(self) -> Stopwatch:
        """A stopwatch for a stage, or a part of one."""
        return Stopwatch(self.now, self.compiled)

    def spent(self) -> Spent:
        """By this process."""
        return self._all.read()

    def total(self) -> float:
        """Wall time of the run so far, in all processes."""
        return self.earlier + self.spent().seconds
