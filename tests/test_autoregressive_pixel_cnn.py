"""PixelCNN: what its kernels see, its start, and bad input."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat.models.autoregressive.pixel_cnn import PixelCNN

OPTIONS = {"half_kernel": 1, "depth": 2, "width": 3}


def test_starts_uniform_and_sees_earlier_neighbours_around_the_torus():
    """The window of k = 1 on 4x5, site by site, written out from the geometry."""

    @jax.jit
    def facts(spins):
        model = PixelCNN((4, 5), jr.key(0), **OPTIONS)

        def first(spins):
            return model._first(jnp.moveaxis(spins, 0, 1)).sum(-1)[:, 0]

        return model.log_prob_batch(spins), jax.jacobian(first)(spins)

    log_q, by_spins = facts(jnp.ones((1, 4, 5)))
    assert log_q[0] == pytest.approx(-20 * np.log(2), rel=1e-14)
    seen = np.asarray(by_spins)[:, :, 0] != 0
    for i, j in np.ndindex(4, 5):
        near = {((i + a) % 4, (j + b) % 5) for a in (-1, 0, 1) for b in (-1, 0, 1)}
        earlier = {(y, x) for y, x in near if 5 * y + x < 5 * i + j}
        assert set(zip(*map(list, np.nonzero(seen[i, j])), strict=True)) == earlier


@pytest.mark.parametrize(
    ("shape", "changed", "match"),
    [
        ((4,), {}, r"lattice_shape must be two extents, got \(4,\)"),
        ((4, 4, 4), {}, "lattice_shape must be two extents"),
        ((0, 4), {}, "every lattice extent must be >= 1"),
        ((4, 4), {"half_kernel": 0}, "half_kernel must be >= 1, got 0"),
        ((2, 9), {"half_kernel": 2}, r"k < L0 and 2k \+ 1 <= L1 on \(2, 9\), got 2"),
        ((9, 4), {"half_kernel": 2}, r"k < L0 and 2k \+ 1 <= L1 on \(9, 4\), got 2"),
        ((4, 4), {"depth": 1}, "depth must be >= 2, got 1"),
        ((4, 4), {"width": 0}, "width must be >= 1, got 0"),
    ],
)
def test_bad_arguments_are_refused(shape, changed, match):
    with pytest.raises(ValueError, match=match):
        PixelCNN(shape, jr.key(0), **(OPTIONS | changed))
