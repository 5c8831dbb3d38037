"""From the bytes of a run file to tables of values that can be worked with. No JAX."""

import codecs
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genlat.errors import RequestError
from genlat.schema import is_text

DEEPEST = 10  # tables and lists in one another; a run file needs four
LONGEST = 120  # characters of a value that are shown
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read(path: Path) -> dict[str, Any]:
    """The tables of a TOML file, with or without a byte order mark.

    **Raises:** `RequestError` if it cannot be read, or is not TOML.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RequestError(f"{path}: cannot be read: {error.strerror}") from error
    if content.startswith(_UTF16) or b"\0" in content[:2]:
        raise RequestError(f"{path}: not a TOML file: UTF-16; save it as UTF-8")
    try:
        return parse(content.removeprefix(codecs.BOM_UTF8).decode())
    except ValueError as error:
        raise RequestError(f"{path}: not a TOML file: {error}") from error


def parse(text: str) -> dict[str, Any]:
    """The tables of a TOML text.

    **Raises:** `ValueError` if it is not TOML, or nothing that can be read.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    except ValueError as error:  # Python reads no more than 4300 digits
        raise ValueError("a number has too many digits") from error


def unworkable(data: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Values that no field can have, and that break what looks at them.

    (field, value, what is allowed) of each.
    """
    pending = [((name,), value) for name, value in reversed(data.items())]
    while pending:
        place, value = pending.pop()
        field = ".".join(place)
        if not field.isascii() and not is_text(field):
            yield field.encode(errors="backslashreplace").decode(), "...", "no text"
        elif len(place) > DEEPEST:
            yield ".".join(place[:2]), "...", "nested too deep"
        elif isinstance(value, dict):
            pending += [((*place, key), x) for key, x in reversed(value.items())]
        elif isinstance(value, list):
            pending += [((*place, str(k)), x) for k, x in enumerate(value)][::-1]
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            yield field, value, "should be an integer of at most 64 bits"


def shown(value: Any) -> str:
    """A value in one line, cut where it is long."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"(an integer of about {round(value.bit_length() * 0.30103)} digits)"
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return "..."
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
