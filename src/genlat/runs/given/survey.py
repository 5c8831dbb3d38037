"""Draws and samples in files, checked before any work: no file is half believed."""

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

from genlat.errors import RequestError, refused
from genlat.runs.given import arrays
from genlat.runs.given.arrays import Place
from genlat.verdict import given
from genlat.verdict.given import Field

PIECE = 10_000  # configurations in memory at once, about
_AXES = {1: ("n",), 2: ("chains", "n")}


class Given(NamedTuple):
    """Configurations, and their log q where it is known.

    `axes`: 1 for draws, (n, *lattice); 2 for samples, (chains, n, *lattice).
    """

    phi: Place
    log_q: Place | None
    axes: int

    @property
    def files(self) -> list[Path]:
        """Each once."""
        places = [x.path for x in (self.phi, self.log_q) if x is not None]
        return list(dict.fromkeys(places))


def find(path: Path, log_q: Path | None, axes: int) -> Given:
    """Where the arrays are: in one file by their names, or each in a file of its own.

    **Raises:** `RequestError` if they are not there.
    """
    if log_q is not None:
        return Given(Place(path, "phi"), Place(log_q, "log_q"), axes)
    has_log_q = "log_q" in arrays.names(path)
    place = Place(path, "log_q")
    if axes == 1 and not has_log_q:
        arrays.header(Place(path, "phi"))
        if arrays.names(path):
            arrays.header(place)  # says what there is
        raise RequestError(f"{path}: has no log_q: give its file with --log-q")
    return Given(Place(path, "phi"), place if has_log_q else None, axes)


def header(found: Given, field: Field) -> arrays.Header:
    """Of the configurations, once shapes and types are right.

    **Raises:** `RequestError`.
    """
    phi = arrays.header(found.phi)
    of = phi.shape[: found.axes]
    if reason := given.layout(phi.shape, phi.dtype, field, _AXES[found.axes]):
        raise RequestError(f"{found.phi} {reason}")
    if found.log_q is not None:
        log_q = arrays.header(found.log_q)
        if reason := given.log_q_layout(log_q.shape, log_q.dtype, of):
            raise RequestError(f"{found.log_q} {reason}")
    return phi


def roundoff(found: Given, field: Field) -> float:
    """Of the coarser of the types of configurations and log q; float32 of spins.

    Nobody says in which type a model computed: at best that of what it put out.
    """
    header = arrays.header(found.phi)
    types = [np.dtype("float32") if field.is_spins else header.native]
    if found.log_q is not None:
        types.append(arrays.header(found.log_q).native)
    return max(float(np.finfo(x).eps) / 2 for x in types)


def values(found: Given, field: Field) -> None:
    """Look through all numbers once.

    **Raises:** `RequestError` for what cannot be what it is said to be.
    """
    if found.log_q is not None:
        may_exclude = found.axes == 2
        numbers = log_q(found)
        for reason in given.log_q_values(numbers, field, may_exclude=may_exclude):
            raise RequestError(f"{found.log_q} {reason}")
    first = 0
    for rows in pieces(found):
        if reason := given.values(rows, first, field):
            raise RequestError(f"{found.phi} {reason}")
        first += len(rows)


def log_q(found: Given) -> Float[np.ndarray, "*n"]:
    """All of it, in float64."""
    assert found.log_q is not None
    return arrays.whole(found.log_q).astype(np.float64)


def pieces(found: Given) -> Iterator[Num[np.ndarray, "n *field"]]:
    """All configurations, one piece after another."""
    with arrays.opened(found.phi, found.axes) as stream:
        left = stream.n_rows
        while left:
            rows = stream.read(min(PIECE, left))
            left -= len(rows)
            yield rows


def sha256(found: Given) -> str:
    """Of all bytes of the file; of two files, of their hashes one after the other.

    **Raises:** `RequestError` or `DiskError` where the system refuses.
    """
    digests = []
    for path in found.files:
        try:
            status = path.stat()
            identity = status.st_ino, status.st_mtime_ns, status.st_size
            digests.append(_sha256(path, identity))
        except OSError as error:
            raise refused(path, error) from error
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


@functools.cache
def _sha256(path: Path, identity: tuple[int, int, int]) -> str:
    """Read once in a process, as long as it is that file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
