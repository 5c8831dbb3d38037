"""What can go wrong without being a bug; every message is made of whole lines."""

from collections.abc import Sequence


class RequestError(Exception):
    """The request is wrong: exit status 2. `lines` has one sentence per problem."""

    def __init__(self, lines: Sequence[str] | str):
        self.lines = (lines,) if isinstance(lines, str) else tuple(lines)
        super().__init__("\n".join(self.lines))


class DamagedError(Exception):
    """A file on disk is not what was written: exit status 1."""


class DivergedError(Exception):
    """Training met a number that is not finite: exit status 1."""
