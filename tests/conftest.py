"""Policy of the test run: float64, no silent rank promotion."""

import importlib.metadata
import os
from pathlib import Path

# Most of the suite's time is compiling what runs once. Read by XLA when it starts, here
# and in the programs that tests start; `XLA_FLAGS= make test` compiles as users do.
# The second flag halves that time again; later versions lack it, and stop at it
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=1"
    + " --xla_cpu_use_fusion_emitters=false"
    * importlib.metadata.version("jaxlib").startswith("0.10."),
)

import jax
import pytest

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
