"""What a run tells the person who waits for it: on stderr, or nothing."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Advance = Callable[[int, str], None]


class Screen:
    """Sentences and progress bars; `quiet` silences both.

    `tell`: called with the title of a stage, what is done of it and the total.
    """

    def __init__(
        self, *, quiet: bool, tell: Callable[[str, int, int], None] | None = None
    ):
        self._tell = tell
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._planned: list[str] = []
        self._seconds: dict[str, float] = {}  # of stages seen, by title
        self._bar: tuple[Progress, TaskID] | None = None

    def say(self, sentence: str) -> None:
        """Print one line."""
        self._console.print(sentence, markup=False)

    def plan(self, titles: Sequence[str]) -> None:
        """The stages of a whole run, in order: the titles of bars to come."""
        self._planned = list(titles)

    def compiling(self, is_compiling: bool) -> None:
        """Say beside the bar that something is compiled, or no longer."""
        if self._bar is not None:
            progress, task = self._bar
            progress.update(task, state="compiling  " if is_compiling else "")

    @contextmanager
    def progress(self, title: str, total: int, done: int = 0) -> Iterator[Advance]:
        """A bar with the time that is left; call `advance(n, remark)` along the way.

        `advance(0, remark)` says what is going on before anything is done.
        """
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[run]}"),
            TextColumn("{task.fields[state]}{task.fields[remark]}"),
        )
        begin, made = time.monotonic(), 0
        with Progress(*columns, console=self._console) as progress:
            run = self._of_run(title, None)
            task = progress.add_task(
                title, total=total, completed=done, remark="", state="", run=run
            )
            self._bar = progress, task

            def advance(n: int, remark: str) -> None:
                nonlocal made
                made += n
                if self._tell is not None:
                    self._tell(title, done + made, total)
                each = (time.monotonic() - begin) / made if made else None
                left = None if each is None else each * (total - done - made)
                run = self._of_run(title, left)
                progress.update(task, advance=n, remark=remark, run=run)

            try:
                yield advance
            finally:
                self._bar = None
        if made == total > 0:
            self._seconds[title] = time.monotonic() - begin

    def _of_run(self, title: str, left: float | None) -> str:
        """`(stage 2 of 4, run at least 3 min)`: of stages that took time before.

        As the points of a scan do; *at least* where a stage to come was never seen.
        """
        if title not in self._planned:
            return ""
        place = self._planned.index(title)
        text = f"stage {place + 1} of {len(self._planned)}"
        after = [self._seconds.get(name) for name in self._planned[place + 1 :]]
        left = self._seconds.get(title) if left is None else left
        if left is None:
            return f"({text})"
        total = left + sum(seconds for seconds in after if seconds is not None)
        is_all = None not in after
        return f"({text}, run {'about' if is_all else 'at least'} {_spelt(total)})"


def _spelt(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
