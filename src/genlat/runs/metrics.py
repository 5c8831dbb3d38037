"""`metrics.jsonl`: one line per training step, appended chunk by chunk. No JAX here."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genlat.runs import files

# numbers by name; a number that was not finite reads back as None
Line = dict[str, Any]


def read(directory: Path) -> list[Line]:
    """The whole lines; one cut short by a kill is left out."""
    path = directory / "metrics.jsonl"
    if not path.exists():
        return []
    *lines, _ = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines]


def append(directory: Path, lines: Sequence[Line]) -> None:
    """Add one line per step."""
    with (directory / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(_text(lines))


def truncate(directory: Path, step: int) -> list[Line]:
    """Forget the steps from `step` on, which are about to be made again."""
    lines = [line for line in read(directory) if line["step"] < step]
    path, content = directory / "metrics.jsonl", _text(lines).encode()
    if not path.exists() or path.read_bytes() != content:
        files.write_bytes(path, content)
    return lines


def _text(lines: Sequence[Line]) -> str:
    return "".join(f"{json.dumps(_without_nan(line))}\n" for line in lines)


def _without_nan(line: Line) -> Line:
    """JSON has no NaN and no infinity: null, which reads back as NaN."""
    return {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in line.items()
    }
