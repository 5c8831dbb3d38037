"""Policy of the test run: float64, no silent rank promotion."""

import importlib.metadata
import os
from pathlib import Path

# Most of the suite's time is compiling what runs once. Read by XLA when it starts, here
# and in the programs that tests start; `XLA_FLAGS= make test` compiles as users do.
# The second flag halves that time again; later versions lack it, and stop at it
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0"
    + " --xla_cpu_use_fusion_emitters=false"
    * importlib.metadata.version("jaxlib").startswith("0.10."),
)

import equinox as eqx
import jax
import pytest

from compiled_for_tests import RUNS_LONG
from genlat.mcmc import runner

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Linux grants a process 65530; XLA takes some for every compiled function, keeps them,
# and crashes where there are no more
MOST_MAPS = 30_000


@pytest.fixture(autouse=True, scope="module")
def _compiled_functions_are_let_go():
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()


@pytest.fixture(scope="module")
def long_chains():
    """For a module whose chains take longer than compiling them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_thermalise", "_run_chunk"):
            whole = eqx.filter_jit(getattr(runner, name), compiler_options=RUNS_LONG)
            patch.setattr(runner, name, whole)
        yield
