"""A theory that ships with genlat, by its name in run files."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from genlat.api import environment
from genlat.runs.file import config
from genlat.theories.base import Theory


def theory(name: str, *, shape: Sequence[int], **couplings: Any) -> Theory:
    """The theory of these couplings, as `[theory]` in a run file.

    **Arguments:** `name`: as `genlat list theories` has it; `shape`: extents, axis 0
    being Euclidean time; `couplings` have no defaults.

    **Raises:** `RequestError` with every problem.
    """
    environment.require()
    asked = {"name": name, "shape": list(shape), **couplings}
    section = config.check({"seed": 0, "theory": asked}, "theory").theory
    return dataclasses.replace(section.theory(), section=section)
