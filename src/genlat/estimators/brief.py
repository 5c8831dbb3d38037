"""Results of many numbers in one line: what `print` shows of them.

A class takes it by `__repr__ = brief` in its body.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MOST, LONGEST = 6, 60  # entries of an array, or characters of a text, shown in full


def brief(self: Any) -> str:
    """`Name(field=value, ...)` of a dataclass or named tuple, arrays by their shape.

    Fields that are what they are by default are left out.
    """
    texts = [
        f"{name}={_text(value)}"
        for name, value, default in _fields(self)
        if not (np.isscalar(default) and np.isscalar(value) and value == default)
    ]
    return f"{type(self).__name__}({', '.join(texts)})"


def _fields(thing: Any) -> list[tuple[str, Any, Any]]:
    if dataclasses.is_dataclass(thing):
        defaults = {field.name: field.default for field in dataclasses.fields(thing)}
    else:
        defaults = {name: thing._field_defaults.get(name) for name in thing._fields}
    return [(name, getattr(thing, name), x) for name, x in defaults.items()]


def _text(value: Any) -> str:
    if isinstance(value, bool | int | np.bool_ | np.integer):
        return str(value)
    if isinstance(value, float | np.floating):
        return f"{value:.8g}"
    if isinstance(value, str):
        return repr(_cut(value))
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        few = value.size <= MOST and np.issubdtype(value.dtype, np.number)
        return _text(value.tolist()) if few else f"{value.dtype}{list(value.shape)}"
    if isinstance(value, Mapping):
        return f"{{{_some([str(name) for name in value])}}}"
    if isinstance(value, Sequence) and not hasattr(value, "_fields"):
        if len(value) > 1 and not np.isscalar(value[0]):
            return f"[{len(value)} of {type(value[0]).__name__}]"
        return f"[{_some([_text(x) for x in value[:MOST]], len(value))}]"
    if dataclasses.is_dataclass(value) and "__str__" in vars(type(value)):
        return str(value)
    return _cut(repr(value))


def _some(texts: list[str], n: int | None = None) -> str:
    """The first of them, and how many there are where that is not all."""
    n = len(texts) if n is None else n
    dots = [f"... {n} in all"] if n > MOST else []
    return ", ".join([*texts[:MOST], *dots])


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
