"""The page of a run. As a function, `gl.report(results, directory)`, it writes one.

The public name of what it does and that of this room are the same.
"""

import sys
import types
from pathlib import Path
from typing import Protocol, runtime_checkable


@runtime_checkable
class _Writes(Protocol):
    def write(self, directory: Path | str) -> Path: ...


class _Room(types.ModuleType):
    """This module, which can be called."""

    def __call__(self, results: _Writes, directory: Path | str) -> Path:
        """Write page, `results.json` and records to a new directory; returns the page.

        **Raises:** `RequestError` if it exists.
        """
        return results.write(directory)


sys.modules[__name__].__class__ = _Room
