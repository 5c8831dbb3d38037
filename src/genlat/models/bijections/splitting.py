"""Which sites a coupling layer moves."""

import numpy as np
from jaxtyping import Bool

from genlat import lattice


def active_sites(
    lattice_shape: tuple[int, ...], splitting: str, parity: int, axis: int = 0
) -> Bool[np.ndarray, "*lattice"]:
    """Sites of one `parity`, 0 or 1: they move, the others do not.

    `"checkerboard"`: parity of Σ_μ x_μ. `"stripe"`: of x_`axis`. `"even_odd"`: of the
    site's number in row-major order. `axis` matters for stripes alone.

    **Raises:** `ValueError` for other arguments, odd extents where they would put
    neighbours on one side, or fewer than two sites.
    """
    lattice.check_shape(lattice_shape)
    if parity not in (0, 1):
        raise ValueError(f"parity must be 0 or 1, got {parity}")
    if lattice.volume(lattice_shape) < 2:
        raise ValueError(f"a coupling needs at least two sites, got {lattice_shape}")
    if splitting == "checkerboard":
        return lattice.checkerboard_mask(lattice_shape, parity)
    if splitting == "stripe":
        if not 0 <= axis < len(lattice_shape):
            raise ValueError(f"axis must be one of {lattice_shape}, got {axis}")
        if lattice_shape[axis] % 2:
            raise ValueError(
                f"stripes along axis {axis} need an even extent there, "
                f"got {lattice_shape}"
            )
        return np.indices(lattice_shape)[axis] % 2 == parity
    if splitting == "even_odd":
        number = np.arange(lattice.volume(lattice_shape))
        return number.reshape(lattice_shape) % 2 == parity
    raise ValueError(
        f'splitting must be "checkerboard", "stripe" or "even_odd", got {splitting!r}'
    )
