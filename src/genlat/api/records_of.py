"""Records of a judgement in memory, and how they are put on disk."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genlat.runs.disk import directory, files, inventory, store
from genlat.runs.file.given_sections import SamplesSection
from genlat.runs.file.sections import RunConfig
from genlat.runs.findings import PREFIX
from genlat.runs.records import Record
from genlat.schema import AbstractSection
from genlat.theories.base import Theory
from genlat.verdict.data import Chain, Draws, Proposed, Samples

Json = dict[str, Any]
Ensembles = dict[str, dict[str, np.ndarray]]
_AXIS = {"chain": 1, "flow": 0, "nmcmc": 1, "target": 1}
_ROWS = 100_000  # of a block


class OwnConfig(AbstractSection):
    """What stands for a run file where the theory has no section."""

    seed: int
    theory: dict[str, Any]
    samples: SamplesSection | None = None


def config_of(theory: Theory, seed: int, chain: Chain | None) -> AbstractSection:
    """The theory and the name of the chain, as far as a run file can say them."""
    samples = None if chain is None else SamplesSection(kernel=chain.name)
    if theory.section is not None:
        return RunConfig(seed=seed, theory=theory.section, samples=samples)
    name, shape = type(theory.action).__name__, list(theory.action.lattice_shape)
    own: Json = {"name": name, "shape": shape}
    if theory.action.components:
        own["components"] = list(theory.action.components)
    return OwnConfig(seed=seed, theory=own, samples=samples)


def ensembles(
    volume: int,
    draws: Draws,
    samples: Samples | None,
    chain: Chain | None,
    proposed: Proposed | None,
) -> Ensembles:
    """The arrays of the ensembles, named as on disk."""
    found = {"flow": _densities(volume, draws)}
    if samples is not None:
        found["target"] = _densities(volume, samples)
    if chain is not None:
        found["chain"] = _prefixed(chain.measured)
        if chain.acceptance is not None:
            found["chain"]["acceptance"] = np.asarray(chain.acceptance)
    if proposed is not None:
        accepted = np.asarray(proposed.is_accepted, bool)
        found["nmcmc"] = {"index": np.asarray(proposed.index), "accepted": accepted}
    return found


def _densities(volume: int, x: Draws | Samples) -> dict[str, np.ndarray]:
    action = volume * np.asarray(x.measured["action_density"])
    densities = {"log_q": -np.asarray(x.log_w) - action, "action": action}
    return densities | _prefixed(x.measured)


def _prefixed(measured: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {f"{PREFIX}{name}": np.asarray(x) for name, x in measured.items()}


def write(path: Path, content: Json, record: Record) -> None:
    """A directory with the records of a finished run.

    **Raises:** `RequestError` if it exists.
    """
    config = _section(record.config)
    directory.create(path, config)
    fingerprint = directory.fingerprint(record.config["seed"], config)
    for kind, arrays in (record.held or {}).items():
        for index, part in enumerate(_cut(arrays, _AXIS[kind])):
            block = store.Block(part, {"fingerprint": fingerprint})
            store.write(store.path(path, kind, index), block)
    inventory.note(path, store.look_into)
    files.write_json(path / "results.json", content)


def _section(config: Json) -> AbstractSection:
    try:
        return RunConfig.model_validate(config)
    except ValueError:  # of a theory that has no section
        return OwnConfig.model_validate(config)


def _cut(
    arrays: Mapping[str, np.ndarray], axis: int
) -> Iterator[dict[str, np.ndarray]]:
    length = next(iter(arrays.values())).shape[axis]
    other = 1 if axis == 0 else next(iter(arrays.values())).shape[0]
    step = max(1, _ROWS // other)
    for start in range(0, length, step):
        index = (slice(None),) * axis + (slice(start, start + step),)
        yield {name: x[index] for name, x in arrays.items()}
