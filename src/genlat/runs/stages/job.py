"""What every stage of a run needs to know."""

import dataclasses
from pathlib import Path

import jax
from jaxtyping import PRNGKeyArray

from genlat.actions.base import AbstractAction
from genlat.families.base import DRAWS
from genlat.runs.disk import store
from genlat.runs.file import slices
from genlat.runs.file.sections import RunConfig
from genlat.runs.stages import keys
from genlat.runs.stages.screen import Screen
from genlat.runs.stages.stopwatch import Clock
from genlat.theories.base import Theory


@dataclasses.dataclass(frozen=True)
class Job:
    """A run under way: where it lives, what was asked, whom it tells, its time.

    `opened`: what has been read of its blocks, and need not be read again.
    """

    directory: Path
    config: RunConfig
    theory: Theory
    screen: Screen
    clock: Clock = dataclasses.field(default_factory=Clock)
    opened: store.Opened = dataclasses.field(default_factory=store.Opened)

    @property
    def action(self) -> AbstractAction:
        """S of the theory."""
        return self.theory.action

    @property
    def at_once(self) -> int:
        """Configurations drawn, or given their log q, at once: a matter of speed."""
        assert self.config.model is not None
        if self.config.estimate.batch is None and jax.default_backend() != "cpu":
            return DRAWS
        return slices.draws_at_once(
            self.config.model, self.config.estimate, self.config.theory
        )

    def blocks(
        self, name: str, fingerprint: str, count: int | None = None
    ) -> list[store.Block]:
        """The blocks of an ensemble of this run, as `store.read_all`."""
        look = self.opened.look_into
        return store.read_all(self.directory, name, fingerprint, count, look)

    def key(self, purpose: keys.Purpose) -> PRNGKeyArray:
        """The stream of random numbers for one purpose."""
        return keys.make(self.config.seed, purpose)
