"""What can go wrong without being a bug; every message is made of whole lines."""

import errno
from collections.abc import Sequence
from pathlib import Path


class RequestError(Exception):
    """The request is wrong: exit status 2. `lines` has one sentence per problem."""

    def __init__(self, lines: Sequence[str] | str):
        given = (lines,) if isinstance(lines, str) else tuple(lines)
        self.lines = tuple(map(one_line, given))
        super().__init__("\n".join(self.lines))


class DamagedError(Exception):
    """A file on disk is not what was written: exit status 1."""


class DivergedError(Exception):
    """Training met a number that is not finite: exit status 1."""


class DiskError(Exception):
    """The disk is full, or broken: exit status 1."""


_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


def refused(path: Path | None, error: OSError) -> RequestError | DiskError:
    """What to say of an operation on `path` that the system refused."""
    reason = error.strerror or str(error)
    place = "" if path is None else f"{path}: "
    if error.errno in _DISK:
        return DiskError(f"{place}{reason}: make room")
    if error.errno in _READ_ONLY:
        return RequestError(f"{place}{reason}: work on a copy, or write elsewhere")
    return RequestError(f"{place}{reason}")


def is_read_only(error: OSError) -> bool:
    """Whether nothing may be written there, be there room or not."""
    return error.errno in _READ_ONLY


def one_line(text: str) -> str:
    """A sentence with what would break its line escaped."""
    return "".join(
        x if x.isprintable() else x.encode("unicode_escape").decode() for x in text
    )
