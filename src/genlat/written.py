"""Classes that a user has written, found by path or by module. No JAX here."""

import functools
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from genlat.errors import RequestError


class Written(NamedTuple):
    """A class of a user's.

    - `name`: as a record has it, `file.py:Class` or `package.module:Class`.
    - `path`: of the text. `content`: of a file, None for a module that is installed.
    - `sha256`: of the text.
    """

    name: str
    kind: type
    path: str
    content: bytes | None
    sha256: str

    def files(self) -> dict[str, bytes]:
        """What a record must hold for the class to be found again."""
        if self.content is None:
            return {}
        return {self.name.partition(":")[0]: self.content}


def is_named(name: object) -> bool:
    """Whether a name is that of a user's class: with a colon."""
    return isinstance(name, str) and ":" in name


def hash_in(given: Mapping[str, Any]) -> str | None:
    """What a section says is the SHA-256; other than text is refused with it."""
    found = given.get("sha256")
    return found if isinstance(found, str) else None


def located(name: str, directory: Path) -> str:
    """The same name from anywhere: a path beside `directory`'s files made absolute."""
    place, _, kind = name.rpartition(":")
    if not place.endswith(".py"):
        return name
    return f"{(directory / place).absolute()}:{kind}"


def find(name: str, sha256: str | None = None) -> Written:
    """The class of that name.

    **Arguments:** `name`: `path/to/file.py:Class` or `package.module:Class`; `sha256`:
    what its text must have, where it is a record's.

    **Raises:** `RequestError` in one line: no such file, module or class, an error in
    it with its line, or another text than was recorded.
    """
    place, _, kind = name.rpartition(":")
    if not place or not kind.isidentifier():
        raise RequestError(f"{name}: write file.py:Class or package.module:Class")
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_absolute():  # of a record, whose file was read before
            path = _SEEN.get((path.name, sha256), path)
        content = _content(path)
        digest = hashlib.sha256(content).hexdigest()
        module = _of_file(path, digest)
        name = f"{path.name}:{kind}"
        _SEEN[path.name, digest] = path
    else:
        module = _of_package(place)
        path = Path(module.__file__ or place)
        content, digest = None, hashlib.sha256(_content(path)).hexdigest()
    if sha256 is not None and sha256 != digest:
        raise RequestError(
            f"{path}: is not the file that was used: its sha256 is {digest[:12]}..., "
            f"recorded is {sha256[:12]}...: put that back, or begin anew"
        )
    found = getattr(module, kind, None)
    if not isinstance(found, type):
        raise RequestError(f"{path}: has no class {kind}{_others(module)}")
    return Written(name, found, str(path), content, digest)


USERS = (Exception, SystemExit)
"""What a user's code may raise."""

# where a text was read that a record names by its hash: of this process alone
_SEEN: dict[tuple[str, str | None], Path] = {}


def blamed(error: BaseException, path: str) -> str:
    """An error in a user's file: where in it, and what; of ours no line.

    **Arguments:** `path`: of the file.
    """
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == path
    ]
    if isinstance(error, SyntaxError) and error.filename == path:
        lines = [error.lineno]
    place = f", line {lines[-1]}" if lines else ""
    said = str(error).strip().splitlines()
    what = f": {said[0]}" if said else ""
    return f"{path}{place}: {type(error).__name__}{what}"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise RequestError(f"{path}: cannot be read: {reason}") from error


@functools.cache
def _of_file(path: Path, digest: str) -> ModuleType:
    """A module of its own, whatever else is called like it."""
    name = f"genlat_written_{digest[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RequestError(f"{path}: no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their own up
    try:
        spec.loader.exec_module(module)
    except USERS as error:
        del sys.modules[name]
        raise RequestError(blamed(error, str(path))) from error
    return module


def _of_package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except USERS as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name in (
            name,
            name.partition(".")[0],
        )
        hint = f"; a file is named with .py: {name}.py" if missing else ""
        raise RequestError(f"{name}: {type(error).__name__}: {error}{hint}") from error


def _others(module: ModuleType) -> str:
    own = [
        name
        for name, found in vars(module).items()
        if isinstance(found, type) and found.__module__ == module.__name__
    ]
    return f": it has {', '.join(own)}" if own else ""
