"""What a program sets up, and what it records about where it ran."""

import hashlib
import importlib.metadata
import os
import platform
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.monitoring

import genlat
from genlat.errors import RequestError


def prepare() -> None:
    """Enable float64, whole float32 products and the cache of compiled programs.

    Left alone, JAX multiplies matrices of float32 on a GPU with the 10 bits of TF32:
    of a flow the draws and their log q then disagree by more than the error of ln Z
    (0.0141 where that was 0.0001, φ⁴ 16x8 on an H200).

    The cache lies under `$XDG_CACHE_HOME/genlat` (`~/.cache/genlat`), in a folder of
    its own for every version of jaxlib and every model of CPU: code compiled for
    another one must never be loaded. `GENLAT_NO_CACHE=1` in the environment switches it
    off, and so does a place where nothing can be written. It changes how long a run
    takes, not what it finds.

    **Raises:** `RequestError` if JAX finds no device of the kind that `$JAX_PLATFORMS`
    names.
    """
    try:
        jax.default_backend()
    # of a platform that JAX knows, and whose plugin is not installed, it asserts
    except (RuntimeError, AssertionError) as error:
        asked = os.environ.get("JAX_PLATFORMS", "")
        reason = " ".join(str(error).split()) or "not installed"
        raise RequestError(
            f"JAX_PLATFORMS={asked}: JAX finds no such device: {reason}"
        ) from error
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    if os.environ.get("GENLAT_NO_CACHE") or not _is_writable(cache_directory()):
        return
    jax.config.update("jax_compilation_cache_dir", str(cache_directory()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@contextmanager
def watching_compilation(tell: Callable[[bool], None]) -> Iterator[None]:
    """Call `tell(True)` when XLA begins to compile something, `tell(False)` after."""
    _listen()
    _WATCHING.append(tell)
    try:
        yield
    finally:
        _WATCHING.remove(tell)


def compile_seconds() -> float:
    """Wall time of this process in which JAX traced, lowered or compiled, by now.

    Counted from the first call on.
    """
    _listen()
    return _COMPILING.total


class Union:
    """The length of a union of intervals, each told of at its end.

    Tracing a function traces those that it calls, threads compile at once: sums would
    count twice.
    """

    def __init__(self):
        self.total = 0.0
        self._apart: list[tuple[float, float]] = []  # in order

    def add(self, end: float, length: float) -> None:
        """An interval that ends now, which is not before any other."""
        start = end - length
        while self._apart and self._apart[-1][1] > start:
            first, last = self._apart.pop()
            self.total -= last - first
            start = min(start, first)
        self._apart.append((start, end))
        self.total += end - start


_WATCHING: list[Callable[[bool], None]] = []
_IS_LISTENING: list[bool] = []  # JAX has no way to take one listener off again
_COMPILING = Union()
_LOCK = threading.Lock()
_PHASES = "/jax/core/compile/"  # tracing, lowering, compiling or taking from the cache
_LOWERED, _COMPILED = "jaxpr_to_mlir_module_duration", "backend_compile_duration"


def _listen() -> None:
    if not _IS_LISTENING:
        jax.monitoring.register_event_duration_secs_listener(_hear)
        _IS_LISTENING.append(True)


def _hear(event: str, duration_secs: float, **_: str | int) -> None:
    """JAX reports the end of every phase: of lowering, after which XLA compiles."""
    if event.startswith(_PHASES):
        with _LOCK:
            _COMPILING.add(time.perf_counter(), duration_secs)
    if event.endswith((_LOWERED, _COMPILED)):
        for tell in _WATCHING:
            tell(event.endswith(_LOWERED))


def cache_directory() -> Path:
    """Where compiled code of this jaxlib on this CPU is kept."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cpu = hashlib.sha256(_cpu().encode()).hexdigest()[:12]
    jaxlib = importlib.metadata.version("jaxlib")
    return Path(root) / "genlat" / f"jaxlib-{jaxlib}-{platform.machine()}-{cpu}"


def _is_writable(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(directory, os.W_OK | os.X_OK)


def provenance() -> dict[str, str]:
    """Versions and devices, for `results.json`."""
    device = jax.devices()[0].device_kind
    return {
        "genlat": genlat.__version__,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "devices": f"{jax.device_count()} x {device} ({os.cpu_count()} cores)",
    }


def peak_memory_bytes() -> int:
    """Largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _cpu() -> str:
    """Model and instruction sets of the CPU: what compiled code depends on."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor()
    lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(wanted)))
