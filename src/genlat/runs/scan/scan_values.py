"""What `--over` says: a field and its values, numbers or sizes of lattices. No JAX."""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from genlat.errors import RequestError

Size = tuple[int, ...]
Value = int | float | Size
SIZES = "theory.shape"
"""The field whose values are whole lattices."""

MOST_POINTS = 1000
EXPECTED = "should look like section.field=start:stop:step or section.field=a,b,c"
LARGEST = 300  # power of ten; decimal arithmetic has no bound of its own
SHOWN = 120  # characters of what cannot be meant
# of a step: how far beyond `stop` the last value may lie because `step` was rounded
ROUNDING = Decimal("1e-6")


def parse(over: str) -> tuple[str, tuple[Value, ...]]:
    """The field and the values of `--over`: decimal arithmetic, 0.21 is 0.21.

    **Raises:** `RequestError`.
    """
    field, equals, text = over.partition("=")
    field = field.strip()
    if not equals or len(field.split(".")) not in (2, 3):
        raise RequestError(f"--over {over}: {EXPECTED}")
    values = _sizes(text) if field == SIZES else _numbers(over, text)
    if twice := [value for k, value in enumerate(values) if value in values[:k]]:
        raise RequestError(f"--over {over}: gives a value twice, {show(twice[0])}")
    if len(values) > MOST_POINTS:
        raise RequestError(f"--over {over}: {len(values)} points; at most 1000")
    return field, values


def show(value: Value | Sequence[int]) -> str:
    """A value as on the command line: 0.21, or 16x8."""
    if isinstance(value, Sequence):
        return "x".join(map(str, value))
    return repr(value)


def plain(value: Any) -> Value:
    """A value as read from TOML or JSON, where a size is a list."""
    return tuple(value) if isinstance(value, list) else value


def _sizes(text: str) -> tuple[Size, ...]:
    return tuple(_size(part.strip()) for part in text.split(","))


def _size(text: str) -> Size:
    extents = text.split("x")
    if not all(re.fullmatch("0*[1-9][0-9]{0,9}", extent) for extent in extents):
        raise RequestError(
            f"--over {SIZES}: {text!r}: a size should be extents of at least 1, joined "
            "by x, such as 8x8; several with commas, 8x8,16x16"
        )
    return tuple(map(int, extents))


def _numbers(over: str, text: str) -> tuple[int | float, ...]:
    parts = [part.strip() for part in text.split(":")]
    if len(parts) not in (1, 3):
        raise RequestError(f"--over {over}: {EXPECTED}")
    texts = parts if len(parts) == 3 else [part.strip() for part in text.split(",")]
    try:
        numbers = [Decimal(number) for number in texts]
    except InvalidOperation as error:
        raise RequestError(f"--over {over}: {EXPECTED}, of numbers") from error
    if not all(number.is_finite() for number in numbers):
        raise RequestError(f"--over {over}: every number must be finite")
    if any(number and abs(number.adjusted()) > LARGEST for number in numbers):
        short = over if len(over) <= SHOWN else f"{over[:SHOWN]}..."
        raise RequestError(f"--over {short}: numbers must be between 1e±{LARGEST}")
    if len(parts) == 3:
        numbers = _range(over, *numbers)
    are_whole = all(number.isdigit() for number in (x.lstrip("+-") for x in texts))
    return tuple((int if are_whole else float)(number) for number in numbers)


def _range(over: str, start: Decimal, stop: Decimal, step: Decimal) -> list[Decimal]:
    if step == 0 or (stop - start) / step < 0:
        raise RequestError(f"--over {over}: the step does not lead from start to stop")
    count = int((stop - start) / step + ROUNDING) + 1
    return [start + k * step for k in range(min(count, MOST_POINTS + 1))]
