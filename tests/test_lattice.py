"""Periodic geometry against loops over sites."""

import itertools
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat import lattice, symmetry

SHAPES = [(4, 6), (4, 4), (3, 4, 4), (5, 2), (1, 3), (2, 2), (7,), (1,)]


def field(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape)


def sites(shape: tuple[int, ...]) -> itertools.product:
    return itertools.product(*map(range, shape))


def shifted(x: tuple[int, ...], axis: int, step: int, shape: tuple[int, ...]):
    return tuple(
        (c + step) % n if i == axis else c
        for i, (c, n) in enumerate(zip(x, shape, strict=True))
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_neighbour_sums(shape):
    phi = field(shape)
    forward, both = np.zeros(shape), np.zeros(shape)
    for x in sites(shape):
        for axis in range(len(shape)):
            ahead, behind = (phi[shifted(x, axis, s, shape)] for s in (1, -1))
            forward[x] += ahead
            both[x] += ahead + behind
    sums = jax.jit(
        lambda x: (lattice.forward_neighbour_sum(x), lattice.neighbour_sum(x))
    )(phi)
    np.testing.assert_allclose(sums[0], forward, atol=1e-14)
    np.testing.assert_allclose(sums[1], both, atol=1e-14)


def test_sums_keep_the_dtype():
    spins = jnp.ones((4, 6), dtype=jnp.int8)
    assert lattice.neighbour_sum(spins).dtype == jnp.int8
    assert lattice.forward_neighbour_sum(spins.astype(jnp.float32)).dtype == jnp.float32


@pytest.mark.parametrize("shape", [(4, 6), (2, 4), (1, 4), (6,), (2, 4, 2), (1, 1)])
def test_checkerboard(shape):
    even, odd = (lattice.checkerboard_mask(shape, parity) for parity in (0, 1))
    assert np.all(even ^ odd)
    assert even[(0,) * len(shape)]
    for x in sites(shape):
        for axis, extent in enumerate(shape):
            if extent > 1:
                assert even[x] != even[shifted(x, axis, 1, shape)]


def test_checkerboard_refuses():
    with pytest.raises(ValueError, match="even extents"):
        lattice.checkerboard_mask((4, 5), 0)
    with pytest.raises(ValueError, match="parity"):
        lattice.checkerboard_mask((4, 6), 2)


@pytest.mark.parametrize("shape", [(), (4, 0), (-1,)])
def test_impossible_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=">= 1"):
        lattice.check_shape(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_hopping_spectrum_by_plane_waves(shape):
    """The forward and backward neighbour sum of e^{ipx} is 2 Σ cos p times it."""
    spectrum = lattice.hopping_spectrum(shape)
    assert spectrum.shape == shape
    indices = np.indices(shape)
    waves = np.stack(
        [
            np.cos(
                sum(
                    2 * np.pi * c * x / n
                    for c, x, n in zip(k, indices, shape, strict=True)
                )
            )
            for k in sites(shape)
        ]
    )
    images = jax.jit(jax.vmap(lattice.neighbour_sum))(waves)
    eigenvalues = spectrum.reshape(-1, *[1] * len(shape))
    np.testing.assert_allclose(images, 2 * eigenvalues * waves, atol=1e-12)


@pytest.mark.parametrize("extent", [1, 2, 3, 4, 5, 6, 9])
def test_real_fourier_matrix(extent):
    matrix = lattice.real_fourier_matrix(extent)
    momenta = lattice.real_momenta(extent)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(extent), atol=1e-14)
    # a generic even circular kernel is diagonal, with its cosine transform at |k|
    half = np.random.default_rng(1).normal(size=extent)
    kernel = half + np.roll(half[::-1], 1)
    x = np.arange(extent)
    circulant = kernel[(x[:, None] - x[None, :]) % extent]
    diagonal = [kernel @ np.cos(2 * np.pi * k * x / extent) for k in momenta]
    np.testing.assert_allclose(
        matrix @ circulant @ matrix.T, np.diag(diagonal), atol=1e-12
    )


def test_real_momenta():
    assert lattice.real_momenta(6).tolist() == [0, 1, 1, 2, 2, 3]
    assert lattice.real_momenta(5).tolist() == [0, 1, 1, 2, 2]
    assert lattice.real_momenta(1).tolist() == [0]


@pytest.mark.parametrize("shape", SHAPES)
def test_point_group(shape):
    """Each element permutes the sites, keeps site 0 and all neighbour relations."""
    group = symmetry.point_group(shape)
    d = len(shape)
    equal = math.prod(
        math.factorial(shape.count(extent)) for extent in sorted(set(shape))
    )
    assert len(group) == 2**d * equal
    phi = field(shape)

    def transformed(x):
        return jnp.stack([symmetry.transform(x, element) for element in group])

    images, neighbours_first = jax.jit(
        lambda x: (transformed(x), transformed(lattice.neighbour_sum(x)))
    )(phi)
    assert images.shape[1:] == shape
    origin = (slice(None), *[0] * d)
    np.testing.assert_array_equal(images[origin], phi[origin[1:]])
    neighbours_last = jax.jit(jax.vmap(lattice.neighbour_sum))(images)
    np.testing.assert_allclose(neighbours_first, neighbours_last, atol=1e-14)
    distinct = {image.tobytes() for image in np.asarray(images)}
    # reflections of extents 1 and 2 are the identity; else all elements differ
    trivial = 2 ** sum(extent <= 2 for extent in shape)
    collapsed = math.factorial(shape.count(1))
    assert len(distinct) == len(group) // trivial // collapsed


@pytest.mark.parametrize("shape", SHAPES)
def test_momentum_orbits_by_brute_force(shape):
    """Orbits of e^{ikx} under the group acting on momenta, one element at a time."""
    index, representatives = lattice.momentum_orbits(shape)
    d = len(shape)
    labels: dict[tuple[int, ...], frozenset] = {}
    for k in sites(shape):
        labels[k] = frozenset(
            tuple(
                -k[p] % shape[p] if flip else k[p]
                for p, flip in zip(permutation, flips, strict=True)
            )
            for permutation, flips in symmetry.point_group(shape)
        )
    assert representatives.shape == (len(set(labels.values())), d)
    momenta = [lattice.real_momenta(extent) for extent in shape]
    seen: dict[int, frozenset] = {}
    for row in sites(shape):
        k = tuple(int(m[i]) for m, i in zip(momenta, row, strict=True))
        orbit = int(index[row])
        assert seen.setdefault(orbit, labels[k]) == labels[k]
        assert tuple(representatives[orbit].tolist()) in labels[k]
    assert len(seen) == len(set(labels.values()))


def test_momentum_orbits_of_a_square_and_a_rectangle():
    index, representatives = lattice.momentum_orbits((4, 4))
    assert len(representatives) == 6  # (0,0) (1,0) (1,1) (2,0) (2,1) (2,2)
    assert index[0, 1] == index[1, 0] == index[0, 2]
    assert index[0, 1] != index[0, 3]
    _, representatives = lattice.momentum_orbits((4, 6))
    assert len(representatives) == 3 * 4


def test_volume_and_sum():
    assert lattice.volume((4, 6, 5)) == 120
    arrays = list(jr.normal(jr.key(0), (3, 4, 6)))
    np.testing.assert_allclose(
        lattice.sum_arrays(arrays), jnp.sum(jnp.stack(arrays), axis=0), rtol=1e-14
    )
