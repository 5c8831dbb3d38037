"""`metrics.jsonl`: one line per training step, appended chunk by chunk. No JAX here.

The last entry of a line, `digest`, is the beginning of the SHA-256 of the others.
"""

import hashlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genlat.errors import DamagedError, refused
from genlat.runs.disk import files

NAME = "metrics.jsonl"
DIGEST, DIGITS = "digest", 16
TIMES = ("seconds", "compile_seconds")

# numbers by name; a number that was not finite reads back as None
Line = dict[str, Any]


def read(directory: Path) -> list[Line]:
    """The whole lines; one cut short by a kill is left out.

    **Raises:** `DamagedError` for a line that is not what was written, or gone.
    """
    path = directory / NAME
    if not path.exists():
        return []
    *lines, _ = files.read_bytes(path).split(b"\n")
    return [_read(directory, step, line) for step, line in enumerate(lines)]


def digest(lines: Sequence[Line]) -> str:
    """Of whole lines, as they were read, but for what a step took: made again, the
    same steps take another time.
    """
    found = [{k: v for k, v in x.items() if k not in TIMES} for x in lines]
    return hashlib.sha256(_text(found)).hexdigest()[:DIGITS]


def append(directory: Path, lines: Sequence[Line]) -> None:
    """Add one line per step.

    **Raises:** `DiskError` or `RequestError` where the system refuses.
    """
    path = directory / NAME
    try:
        with path.open("ab") as file:
            file.write(_text(lines))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise refused(path, error) from error


def truncate(directory: Path, step: int) -> list[Line]:
    """Forget the steps from `step` on, which are about to be made again.

    **Raises:** `DamagedError` if there are not as many.
    """
    lines = read(directory)[:step]
    if len(lines) < step:
        raise damaged(directory, f"has {len(lines)} of {step} steps")
    path, content = directory / NAME, _text(lines)
    if not path.exists() or files.read_bytes(path) != content:
        files.write_bytes(path, content)
    return lines


def damaged(directory: Path, what: str) -> DamagedError:
    """What to say of a log that is not what was written."""
    return DamagedError(
        f"{directory / NAME}: {what}; delete it and all of checkpoints/, and "
        f"`genlat resume {directory}` trains the same model again"
    )


def _read(directory: Path, step: int, text: bytes) -> Line:
    try:
        line = json.loads(text.decode())
        if line.pop(DIGEST) == _digest(line) and line["step"] == step:
            return line
    # torn, or not an object, or without a digest
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError) as error:
        raise damaged(directory, f"line {step + 1} is damaged") from error
    raise damaged(directory, f"line {step + 1} is damaged")


def _text(lines: Sequence[Line]) -> bytes:
    plain = map(_without_nan, lines)
    sealed = ({**line, DIGEST: _digest(line)} for line in plain)
    return "".join(f"{json.dumps(line)}\n" for line in sealed).encode()


def _digest(line: Line) -> str:
    return files.seal(line)[:DIGITS]


def _without_nan(line: Line) -> Line:
    """JSON has no NaN and no infinity: null, which reads back as NaN."""
    return {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in line.items()
    }
