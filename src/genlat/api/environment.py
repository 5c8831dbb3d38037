"""JAX as genlat wants it: set up by programs, asked for by everything here."""

import jax

from genlat.errors import RequestError
from genlat.runs.stages import environment


def setup() -> None:
    """Enable float64 and whole float32 products, for all of this process.

    To be called once, before the first array is made. Programs that set
    `jax_enable_x64` and, on a GPU, `jax_default_matmul_precision = "highest"`
    themselves need not.

    **Raises:** `RequestError` if JAX finds no device of the kind that
    `$JAX_PLATFORMS` names.
    """
    environment.prepare()


def require() -> None:
    """Refuse to compute log-weights in less than float64.

    **Raises:** `RequestError`.
    """
    if not jax.config.read("jax_enable_x64"):
        raise RequestError(
            "genlat computes in float64, which JAX does not by itself: call "
            "genlat.setup() before anything else"
        )
    products = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    is_whole = products in ("highest", "float32")
    if jax.default_backend() != "cpu" and not is_whole:
        raise RequestError(
            "jax_default_matmul_precision is not 'highest': on a GPU log q would be "
            "wrong by more than its error; call genlat.setup() before anything else"
        )
