"""`metrics.jsonl`: one line per training step, appended chunk by chunk. No JAX here."""

import json
from collections.abc import Sequence
from pathlib import Path

from genlat.runs import files

Line = dict[str, float]


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
        file.write("".join(f"{json.dumps(line)}\n" for line in lines))


def truncate(directory: Path, step: int) -> list[Line]:
    """Forget the steps from `step` on, which are about to be made again."""
    lines = [line for line in read(directory) if line["step"] < step]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    files.write_bytes(directory / "metrics.jsonl", text.encode())
    return lines
