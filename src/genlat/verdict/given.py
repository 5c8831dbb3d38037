"""Arrays that somebody else made: what is wrong with them, in a sentence or none."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num

FEWEST_DRAWS = 100
FEWEST_SAMPLES = 10  # of a chain
BY_CHANCE = 1e-5  # of the draws may have the action of another
_FLOATS = {np.dtype("float32"), np.dtype("float64")}


class Field(NamedTuple):
    """What a configuration has to be: its shape, and whether of spins ±1."""

    shape: tuple[int, ...]
    is_spins: bool

    @property
    def volume(self) -> int:
        return math.prod(self.shape)


def layout(
    shape: tuple[int, ...], dtype: np.dtype, field: Field, axes: tuple[str, ...]
) -> str | None:
    """What is wrong with the shape or the type of configurations.

    **Arguments:** `axes`: what stands before those of a configuration, in words.
    """
    if reason := _of_type(dtype, field):
        return reason
    wanted = f"({', '.join([*axes, *map(str, field.shape)])})"
    if len(shape) == len(axes) + len(field.shape) and shape[len(axes) :] != field.shape:
        return f"has shape {shape}, of another lattice: {wanted} is wanted"
    if shape[len(axes) :] != field.shape or len(shape) < len(axes):
        hint = ""
        if axes == ("chains", "n") and shape[1:] == field.shape:
            hint = "; one chain is phi[None]"
        elif axes == ("n",) and shape[2:] == field.shape:
            hint = f"; phi.reshape(-1, {', '.join(map(str, field.shape))})"
        return f"has shape {shape}, {wanted} is wanted{hint}"
    return _too_few(shape, axes)


def _too_few(shape: tuple[int, ...], axes: tuple[str, ...]) -> str | None:
    n = shape[len(axes) - 1]
    if axes == ("n",) and n < FEWEST_DRAWS:
        return f"holds {n} draws: at least {FEWEST_DRAWS} are needed"
    if axes == ("chains", "n") and (shape[0] < 1 or n < FEWEST_SAMPLES):
        return (
            f"holds {shape[0]} chains of {n} samples: at least one of "
            f"{FEWEST_SAMPLES} is needed"
        )
    return None


def _of_type(dtype: np.dtype, field: Field) -> str | None:
    native = dtype.newbyteorder("=")
    if native in _FLOATS or (field.is_spins and native.kind in "iu"):
        return None
    wanted = "float32 or float64"
    if field.is_spins:
        wanted = f"an integer type, {wanted}"
    return f"is of type {dtype.name}: {wanted} is wanted"


def values(rows: Num[np.ndarray, "n *field"], first: int, field: Field) -> str | None:
    """What is wrong with the numbers of some configurations, of number `first` on."""
    flat = rows.reshape(len(rows), -1)
    is_good = np.abs(flat) == 1 if field.is_spins else np.isfinite(flat)
    is_row_good = np.all(is_good, axis=1)
    if np.all(is_row_good):
        return None
    row = int(np.argmin(is_row_good))
    value = flat[row][int(np.argmin(is_good[row]))]
    wanted = "spins are -1 and 1" if field.is_spins else "finite numbers are wanted"
    return f"holds {value} in configuration {first + row}: {wanted}"


def log_q_layout(
    shape: tuple[int, ...], dtype: np.dtype, of: tuple[int, ...]
) -> str | None:
    """What is wrong with the shape or type of log q; `of` are the axes of phi."""
    if dtype.newbyteorder("=") not in _FLOATS:
        return f"is of type {dtype.name}: float64 is wanted"
    if shape != of:
        return f"has shape {shape}, where phi has {of} configurations"
    return None


def log_q_values(
    log_q: Float[np.ndarray, "*n"], field: Field, *, may_exclude: bool
) -> Iterator[str]:
    """What is wrong with the numbers of log q.

    **Arguments:** `may_exclude`: whether a density may be 0 there, as on samples of p.
    """
    flat = log_q.ravel()
    is_bad = np.isnan(flat) | np.isposinf(flat)
    if not may_exclude:
        is_bad |= np.isneginf(flat)
    if n_bad := int(np.sum(is_bad)):
        first = int(np.argmax(is_bad))
        yield (
            f"holds {n_bad} of {flat.size} numbers that are not finite, the first is "
            f"{flat[first]} at {first}"
        )
        return
    if field.is_spins and np.max(flat) > 0:
        yield (
            f"holds {np.max(flat):g}: spins have a probability, whose natural "
            "logarithm is at most 0"
        )
    uniform = -field.volume * math.log(2)
    is_uniform = field.is_spins and math.isclose(flat[0], uniform, rel_tol=1e-6)
    if np.all(flat == flat[0]) and not is_uniform:
        yield f"is {flat[0]:g} at all {flat.size}: no density of these configurations"


def looks_like_q(log_q: Float[np.ndarray, "*n"]) -> bool:
    """Whether all numbers are those that q could have and ln q hardly all has."""
    return bool(np.min(log_q) >= 0 and np.max(log_q) <= 1)


def repeated(action: Float[np.ndarray, " n"], field: Field) -> str | None:
    """Draws that are there twice, which independent ones of a continuous field are not.

    By chance two of n actions are the same number with n²/2 over the 10¹³ and more
    values that float64 has of them.
    """
    n_lost = action.size - np.unique(action).size
    if field.is_spins or n_lost <= BY_CHANCE * action.size:
        return None
    return (
        f"{n_lost} of {action.size} draws have the action of another: they are there "
        "more than once, or as images of each other, and have to be independent"
    )


def _digits(values: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The first 40 bits of every number: the last are those of a batch, too."""
    return values.astype(np.float64).view(np.int64) >> 12


def shared(
    draws: Float[np.ndarray, " n"], samples: Float[np.ndarray, " m"], field: Field
) -> str | None:
    """Samples of p that are draws of the model, by the numbers that their actions are.

    To 12 digits, which two of 10⁶ draws and 10⁵ samples have in common by chance once
    in ten times.
    """
    n_same = int(np.sum(np.isin(_digits(samples), _digits(draws))))
    if field.is_spins or n_same <= BY_CHANCE * samples.size:
        return None
    return (
        f"{n_same} of {samples.size} samples have the action of a draw: samples of p "
        "are made without the model that they are to judge"
    )
