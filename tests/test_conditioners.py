"""Conditioner networks against convolutions of another make, and their symmetries."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat.models.conditioners import ConvNet, DenseNet

SHAPES = [(5,), (4, 6), (3, 4, 5)]
PARITIES = ["none", "odd", "even"]


def generic(net):
    """The same network with no weight at zero, in double precision."""
    rng = np.random.default_rng(7)
    return jax.tree.map(lambda x: jnp.asarray(0.4 * rng.normal(size=x.shape)), net)


def a_field(shape):
    return np.random.default_rng(1).normal(size=shape)


def conv_net(shape, parity, hidden=(3, 2), kernel_size=3):
    return generic(ConvNet(shape, 2, parity, jr.key(0), hidden, kernel_size))


def dense_net(shape, parity):
    return generic(DenseNet(shape, 2, parity, jr.key(0), (5, 3)))


BUILDERS = [conv_net, dense_net]


_compiled = eqx.filter_jit(lambda net, phi: net(phi))


def apply(net, phi):
    return np.asarray(_compiled(net, jnp.asarray(phi)))


def by_hand(net, phi):
    """Loops over offsets and channels in NumPy."""
    h = np.asarray(phi)[None]
    for number, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        weight = np.asarray(weight)
        h = np.tanh(h) if number else h
        if net.parity == "even" and number == len(net.weights) - 1:
            h = h * h
        kernel = weight.shape[:-2]
        out = np.zeros((weight.shape[-1], *phi.shape))
        for place in itertools.product(*(range(k) for k in kernel)):
            moved = [k // 2 - i for i, k in zip(place, kernel, strict=True)]
            for c, o in itertools.product(*(range(n) for n in weight.shape[-2:])):
                rolled = np.roll(h[c], moved, range(phi.ndim))
                out[o] += weight[(*place, c, o)] * rolled
        if bias is not None:
            out += np.asarray(bias).reshape(-1, *(1,) * phi.ndim)
        h = out
    return h


@pytest.mark.parametrize(
    ("shape", "parity"),
    [((5,), "even"), ((4, 6), "none"), ((4, 6), "even"), ((3, 4, 5), "odd")],
)
def test_convolutions_are_those_of_a_loop(shape, parity):
    net = conv_net(shape, parity)
    phi = a_field(shape)
    np.testing.assert_allclose(
        apply(net, phi), by_hand(net, phi), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize(("kernel_size", "hidden"), [(1, (3,)), (5, (2, 4)), (3, ())])
def test_other_kernels_and_depths(kernel_size, hidden):
    net = conv_net((5, 6), "none", hidden, kernel_size)
    phi = a_field((5, 6))
    np.testing.assert_allclose(
        apply(net, phi), by_hand(net, phi), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("build", BUILDERS)
def test_parity_is_exact(build):
    shape = (4, 6)
    phi = a_field(shape)
    odd, even, none = (build(shape, parity) for parity in ("odd", "even", "none"))
    assert np.array_equal(apply(odd, -phi), -apply(odd, phi))
    assert np.array_equal(apply(even, -phi), apply(even, phi))
    assert np.max(np.abs(apply(odd, phi))) > 0.01
    assert np.std(apply(even, phi)) > 0.01
    for sign in (1, -1):
        assert np.max(np.abs(apply(none, -phi) + sign * apply(none, phi))) > 0.01


@pytest.mark.parametrize("shape", SHAPES)
def test_convolutions_move_with_the_field(shape):
    phi = a_field(shape)
    axes = tuple(range(len(shape)))
    moves = (1, 2, 1)[: len(shape)]
    net, dense = conv_net(shape, "none"), dense_net(shape, "none")
    for function, is_equivariant in [(net, True), (dense, False)]:
        moved = apply(function, np.roll(phi, moves, axes))
        after = np.roll(apply(function, phi), moves, tuple(a + 1 for a in axes))
        assert np.allclose(moved, after, rtol=1e-12, atol=1e-12) == is_equivariant


@pytest.mark.parametrize("build", BUILDERS)
def test_starts_at_zero_in_single_precision(build):
    make = {conv_net: ConvNet, dense_net: DenseNet}[build]
    for parity in ("none", "even"):
        net = make((4, 6), 3, parity, jr.key(0), hidden=(4, 4))
        out = apply(net, a_field((4, 6)).astype(np.float32))
        assert out.shape == (3, 4, 6)
        assert out.dtype == jnp.float32
        assert not np.any(out)
        assert {x.dtype for x in jax.tree.leaves(net)} == {jnp.dtype("float32")}
        assert all(np.any(w) for w in net.weights[:-1])


@pytest.mark.parametrize("parity", PARITIES)
@pytest.mark.parametrize("build", BUILDERS)
def test_gradients_are_finite_differences(build, parity):
    net, phi, probe = build((4, 6), parity), a_field((4, 6)), a_field((2, 4, 6))

    @eqx.filter_jit
    @jax.value_and_grad
    def value(both):
        net, phi = both
        return jnp.sum(probe * net(phi))

    start = (net, jnp.asarray(phi))
    _, gradient = value(start)
    leaves, tree = jax.tree.flatten(jax.device_get(start))
    for number, slope in enumerate(jax.tree.leaves(gradient)):
        assert np.any(slope)
        direction = a_field(slope.shape)

        def moved(step, number=number, direction=direction):
            new = list(leaves)
            new[number] = new[number] + step * direction
            return value(jax.tree.map(jnp.asarray, jax.tree.unflatten(tree, new)))[0]

        difference = (moved(1e-5) - moved(-1e-5)) / 2e-5
        along = np.sum(np.asarray(slope) * direction)
        np.testing.assert_allclose(along, difference, rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1])
def test_gradient_of_a_batch_is_the_sum_over_configurations(axis):
    net = conv_net((4, 6), "none")
    phis = a_field((3, 4, 6))
    moved = jnp.asarray(np.moveaxis(phis, 0, axis))

    def together(net):
        return jnp.sum(jnp.sin(jax.vmap(net, in_axes=axis)(moved)))

    def alone(net):
        return sum(jnp.sum(jnp.sin(net(phi))) for phi in jnp.asarray(phis))

    ours, theirs = (eqx.filter_jit(jax.grad(f))(net) for f in (together, alone))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("build", BUILDERS)
def test_batches_are_single_configurations(build, axis):
    net = build((4, 6), "none")
    phis = a_field((3, 4, 6))
    together = eqx.filter_jit(lambda net, phis: jax.vmap(net, in_axes=axis)(phis))
    batch = together(net, np.moveaxis(phis, 0, axis))
    for number, phi in enumerate(phis):
        np.testing.assert_allclose(
            batch[number], apply(net, phi), rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lattice_shape": (4, 0)}, "positive extents"),
        ({"lattice_shape": ()}, "positive extents"),
        ({"n_outputs": 0}, "n_outputs"),
        ({"hidden": (4, 0)}, "hidden"),
        ({"parity": "both"}, "parity"),
    ],
)
@pytest.mark.parametrize("make", [ConvNet, DenseNet])
def test_wrong_arguments_are_refused(make, change, message):
    good = {"lattice_shape": (4, 6), "n_outputs": 2, "parity": "odd", "hidden": (4,)}
    make(**good, key=jr.key(0))
    # jaxtyping's own refusal of a word outside the list comes first under test
    with pytest.raises((ValueError, TypeError), match=message):
        make(**{**good, **change}, key=jr.key(0))


@pytest.mark.parametrize(
    ("shape", "size", "message"),
    [
        ((4, 6), 2, "odd"),
        ((4, 6), -1, "odd"),
        ((4, 6), 5, "smallest extent"),
        ((3, 3, 3, 3), 3, "at most 3 axes"),
    ],
)
def test_wrong_kernels_are_refused(shape, size, message):
    with pytest.raises(ValueError, match=message):
        ConvNet(shape, 2, "odd", jr.key(0), (4,), size)
