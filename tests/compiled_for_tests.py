"""How tests compile what runs longer than compiling it takes; the rest: conftest.py."""

import os

IS_FAST = "--xla_backend_optimization_level=0" in os.environ.get("XLA_FLAGS", "")

RUNS_LONG = {"xla_backend_optimization_level": 1} if IS_FAST else None
"""`compiler_options` of `jax.jit`."""
