"""Configurations of p on disk: those of this run's own chain, or of another run's."""

import json
from pathlib import Path

from genlat.errors import RequestError
from genlat.runs.disk import inventory, store
from genlat.runs.file import source
from genlat.theories.base import AbstractTheorySection


def directory(own: Path, name: str) -> Path:
    """Where the ensemble is that a run file calls `name`, of the run in `own`."""
    return own if name == "chain" else Path(name)


def paths(directory: Path, look: store.Look = store.look_into) -> list[Path]:
    """The blocks of the chain in a run directory.

    **Raises:** `RequestError` if there is none; `DamagedError` if some are gone.
    """
    inventory.refuse_missing(directory, "chain")
    found = store.paths(directory, "chain")
    fingerprint = inventory.fingerprint(directory, "chain")
    for path in found:
        store.own(path, look(path), fingerprint)  # what it says of itself, no arrays
    if not found:
        raise RequestError(f"{directory}: its chain has not been run")
    return found


def read(
    path: Path, theory: AbstractTheorySection, look: store.Look = store.look_into
) -> store.Block:
    """One block, of which `phi` alone is read: `(chains, n, *lattice)`.

    **Raises:** `RequestError` for samples of another theory; `DamagedError`.
    """
    block = look(path)
    theirs = json.loads(str(block.attributes.get("theory", "{}")))
    if reason := source.why_other(theirs, theory.model_dump(exclude_none=True)):
        raise RequestError(f"{path}: {reason}")
    return block._replace(arrays={"phi": block.arrays["phi"]})
