"""What a run tells the person who waits for it: on stderr, or nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Advance = Callable[[int, str], None]


class Screen:
    """Sentences and progress bars; `quiet` silences both."""

    def __init__(self, *, quiet: bool):
        self._console = Console(stderr=True, quiet=quiet, highlight=False)

    def say(self, sentence: str) -> None:
        """Print one line."""
        self._console.print(sentence, markup=False)

    @contextmanager
    def progress(self, title: str, total: int, done: int = 0) -> Iterator[Advance]:
        """A bar with the time that is left; call `advance(n, remark)` along the way."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[remark]}"),
        )
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(title, total=total, completed=done, remark="")

            def advance(n: int, remark: str) -> None:
                progress.update(task, advance=n, remark=remark)

            yield advance
