"""An earlier run as the start of a new one: what it is, and whether it fits. No JAX."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

from genlat.errors import RequestError
from genlat.families.base import AbstractModelSection
from genlat.runs.disk import files, inventory
from genlat.runs.disk.directory import notes, refuse_edited
from genlat.runs.file import begun
from genlat.runs.file.sections import RunConfig
from genlat.theories.base import AbstractTheorySection


def read_config(directory: Path) -> RunConfig:
    """The resolved configuration of a run directory.

    **Raises:** `OSError`, or `ValueError` if it is not one; `RequestError` or
    `DamagedError` if it is not what the run began with.
    """
    content = (directory / "config.toml").read_bytes()
    if noted := notes(directory):
        refuse_edited(directory, content, noted)
    return begun.resolved(content, directory)


def checkpoint(directory: Path) -> Path | None:
    """The checkpoint that holds the model of a run: the newest, and no other.

    What a run of its own may fall back on, for steps to be made again, is not what it
    found.

    **Raises:** `DamagedError` if a finished run has lost it, or has another's.
    """
    inventory.refuse_missing(directory, "checkpoint")
    found = sorted(directory.glob("checkpoints/step-*.checkpoint"))
    if not found:
        return None
    inventory.refuse_other_model(directory, found[-1])
    return found[-1]


def why_unfit(
    directory: Path,
    theory: AbstractTheorySection,
    model: AbstractModelSection,
) -> str | None:
    """Why the model trained in `directory` cannot start this run, if it cannot.

    It must be a model of the same architecture for the same kind of theory in the same
    number of dimensions; other couplings and larger extents are what `init` is for.

    **Raises:** `DamagedError` if the model is not the one that was trained.
    """
    config = _config_or_reason(directory)
    if isinstance(config, str):
        return config
    if config.model is None:
        return "holds no model: that run had no [model]"
    newest = checkpoint(directory)
    if newest is None or not (directory / "notes.json").exists():
        return "holds no trained model yet: it has no checkpoint"
    files.read_archive(newest)
    if model.nodes and config.theory.shape != theory.shape:
        return f"a conditional model stays on its lattice, {list(config.theory.shape)}"
    if model.stays_on_its_lattice and config.theory.shape != theory.shape:
        return f"{model.name} stays on its lattice, {list(config.theory.shape)}"
    return _other_theory(config, theory) or _other_model(config.model, model)


def why_no_samples(directory: Path, theory: AbstractTheorySection) -> str | None:
    """Why the chain of the run in `directory` gives no samples of this theory's p."""
    config = _config_or_reason(directory)
    if isinstance(config, str):
        return config
    if config.stored_chains is None:
        return "holds no stored samples of a chain"
    if reason := why_other(config.theory.model_dump(), theory.model_dump()):
        return reason
    if not (directory / "results.json").is_file():
        return "is not finished: genlat resume it first"
    lost = inventory.missing(directory, "chain")
    return inventory.lost_line(directory, lost) if lost else None


def why_other(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    """How two `[theory]` sections differ, in the words of the run file."""
    for name in dict.fromkeys([*ours, *theirs]):
        if _plain(theirs.get(name)) != _plain(ours.get(name)):
            return (
                f"holds samples of another theory: {name} = {_plain(theirs.get(name))}"
                f", not {_plain(ours.get(name))}"
            )
    return None


def _config_or_reason(directory: Path) -> RunConfig | str:
    try:
        return read_config(directory)
    except OSError as error:
        return f"not a readable run directory: config.toml: {error.strerror}"
    except RequestError as error:
        return str(error)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, pydantic.ValidationError):
        return "not a run directory of genlat: its config.toml is not a run file"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _other_theory(config: RunConfig, theory: AbstractTheorySection) -> str | None:
    other = config.theory
    if other.name != theory.name:
        return f"trained for {other.name}, not for {theory.name}"
    if other.couplings != theory.couplings:
        both = {*other.couplings} & {*theory.couplings}
        theirs, ours = (
            ", ".join(name for name in x.couplings if name not in both)
            for x in (other, theory)
        )
        return f"trained for {other.name} by {theirs}, this is by {ours}"
    if len(other.shape) != len(theory.shape):
        return f"trained on {list(other.shape)}: another number of dimensions"
    if any(new < old for new, old in zip(theory.shape, other.shape, strict=True)):
        return f"trained on {list(other.shape)}: a model cannot be made smaller"
    for axis, extent in enumerate(theory.shape):
        for earlier in range(axis):
            is_new = theory.shape[earlier] == extent
            if is_new and other.shape[earlier] != other.shape[axis]:
                return f"trained on {list(other.shape)}, which is less symmetric"
    return None


def _other_model(
    other: AbstractModelSection, model: AbstractModelSection
) -> str | None:
    if other.name != model.name:
        return f"holds a {other.name}, not a {model.name}"
    if model.nodes and other.nodes != model.nodes:
        return "its model has other model.nodes, or none"
    for field in model.ARCHITECTURE:
        theirs, ours = getattr(other, field), getattr(model, field)
        if theirs != ours:
            return f"its model has {field} = {theirs}, this file says {ours}"
    return None
