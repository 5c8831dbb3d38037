"""Bijections, one line per case: exact identities in double precision."""

import dataclasses
import functools

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat.models.bijections import spline, transformers
from genlat.models.bijections.chain import Chain
from genlat.models.bijections.coupling import Coupling
from genlat.models.bijections.fourier import FourierScaling
from genlat.models.bijections.splitting import active_sites
from genlat.models.bijections.zero_mode import ZeroMode
from genlat.models.conditioners import ConvNet, DenseNet

# compiled once and run once: optimising costs more than it saves
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
TRANSFORMERS = {
    "additive": (transformers.Additive, transformers.Additive),
    "affine": (transformers.Affine, transformers.Affine),
    "spline": (
        functools.partial(transformers.RationalQuadraticSpline, 2.5, 3),
        functools.partial(transformers.OddRationalQuadraticSpline, 2.5, 3),
    ),
}


def network(name, shape, n_outputs, parity, key):
    if name == "conv":
        return ConvNet(shape, n_outputs, parity, key, (3,), 3)
    return DenseNet(shape, n_outputs, parity, key, (4,))


def coupling(shape, splitting, transformer, net, is_odd, parity=1, axis=0):
    transformer = TRANSFORMERS[transformer][is_odd]()
    n_odd, n_even = transformer.n_odd, transformer.n_even
    pairs = [(n_odd + n_even, "none")]
    if is_odd:
        pairs = [(n, p) for n, p in [(n_odd, "odd"), (n_even, "even")] if n]
    nets = tuple(
        network(net, shape, n, p, key)
        for (n, p), key in zip(pairs, jr.split(jr.key(3)), strict=False)
    )
    return Coupling(shape, transformer, nets, splitting, parity, axis)


def generic(build, strength=0.4):
    """What `build` makes with every parameter generic, in double precision."""
    rng = np.random.default_rng(2)
    return jax.tree.map(
        lambda x: jnp.asarray(strength * rng.normal(size=x.shape)),
        eqx.filter_eval_shape(build),
    )


# shape, splitting, transformer, network, whether odd, axis of stripes
COUPLINGS = [
    ((4, 6), "checkerboard", "additive", "conv", False, 0),
    ((4, 6), "checkerboard", "affine", "conv", True, 0),
    ((4, 6), "checkerboard", "spline", "conv", False, 0),
    ((4, 6), "stripe", "additive", "conv", True, 0),
    ((4, 6), "stripe", "affine", "conv", False, 1),
    ((4, 6), "stripe", "spline", "dense", False, 1),
    ((4, 6), "even_odd", "additive", "dense", False, 0),
    ((5,), "even_odd", "affine", "conv", False, 0),
    ((5,), "even_odd", "spline", "dense", True, 0),
    ((4, 4, 6), "checkerboard", "affine", "conv", True, 0),
    ((2, 4, 6), "stripe", "spline", "dense", False, 2),
]


@dataclasses.dataclass(frozen=True)
class Case:
    shape: tuple
    build: object
    is_odd: bool
    is_coupling: bool = True


def _case(shape, splitting, transformer, net, is_odd, axis):
    build = functools.partial(
        coupling, shape, splitting, transformer, net, is_odd, axis=axis
    )
    return Case(shape, build, is_odd)


def a_chain():
    pieces = [
        ZeroMode((4, 6), 0.4),
        coupling((4, 6), "checkerboard", "affine", "conv", True, 0),
        coupling((4, 6), "checkerboard", "spline", "conv", True, 1),
        FourierScaling((4, 6)),
    ]
    return Chain(tuple(pieces))


CASES = {
    "-".join(map(str, case)).replace(" ", ""): _case(*case) for case in COUPLINGS
} | {
    "fourier": Case((4, 6), lambda: FourierScaling((4, 6)), True, False),
    "fourier-1d": Case((5,), lambda: FourierScaling((5,)), True, False),
    "zero-mode": Case((4, 6), lambda: ZeroMode((4, 6), 0.4), True, False),
    "zero-mode-3d": Case((2, 3, 4), lambda: ZeroMode((2, 3, 4), 0.3), True, False),
    "chain": Case((4, 6), a_chain, True, False),
}


@functools.partial(jax.jit, compiler_options=QUICK)
def everything(bijection, x, score):
    """What the identities need, of x and its mirror image."""
    (y, log_det), pull = jax.vjp(lambda x: bijection.apply(x, "forward"), x)
    basis = jnp.eye(x.size + 1, dtype=x.dtype)
    (rows,) = jax.vmap(lambda row: pull((row[:-1].reshape(x.shape), row[-1])))(basis)
    mirror = jnp.asarray([1.0, -1.0])
    there = jax.vmap(
        lambda sign: bijection.apply_with_score(sign * x, sign * score, "forward")
    )(mirror)
    back = bijection.apply_with_score(there[0][0], there[2][0], "inverse")
    plain = bijection.apply(y, "inverse")
    return rows.reshape(-1, x.size), y, log_det, there, back, plain


def faults(case, bijection):
    """Names of the identities that `bijection` breaks."""
    volume = int(np.prod(case.shape))
    rng = np.random.default_rng(0)
    x = jnp.asarray(0.9 * rng.normal(size=case.shape) + 0.2)
    score = jnp.asarray(rng.normal(size=case.shape))
    rows, y, log_det, there, back, plain = everything(bijection, x, score)
    jacobian, slope = np.asarray(rows[:-1]), np.asarray(rows[-1])
    broken = set()

    def check(name, value, wanted, atol=1e-10):
        if not np.allclose(value, wanted, rtol=0, atol=atol):
            broken.add(name)

    check("round trip", plain[0], x)
    check("log_det", log_det, np.linalg.slogdet(jacobian)[1])
    check("inverse log_det", plain[1], -log_det)
    moved = np.linalg.solve(jacobian.T, score.ravel() - slope)
    check("score", there[2][0], moved.reshape(case.shape), 1e-8)
    check("score there and back", back[2], score, 1e-8)
    for found, wanted in [(there[0][0], y), (there[1][0], log_det)]:
        check("forward with score", found, wanted)
    for found, wanted in zip(back[:2], plain, strict=True):
        check("inverse with score", found, wanted)
    if case.is_odd:
        for found, sign in zip(there, (-1, 1, -1), strict=True):
            check("odd", found[1], sign * found[0], 1e-8)
    if case.is_coupling:
        active = bijection._active().ravel()
        check("frozen", jacobian[~active], np.eye(volume)[~active], 0)
        among = jacobian[np.ix_(active, active)]
        check("triangular", among, np.diag(np.diag(among)), 0)
        if not np.any(jacobian[np.ix_(active, ~active)]):
            broken.add("no conditioning")
    return broken


@pytest.mark.parametrize("name", CASES)
def test_identities(name):
    case = CASES[name]
    assert faults(case, generic(case.build)) == set()


class Wrong(eqx.Module):
    """A good bijection with one thing spoilt."""

    inner: Coupling
    what: str = eqx.field(static=True)

    def _active(self):
        return self.inner._active()

    def apply(self, x, direction):
        y, log_det = self.inner.apply(x, direction)
        if self.what == "even part":
            return y + (0.01 if direction == "forward" else 0) * x**2, log_det
        return y, log_det * (0.9 if self.what == "log_det" else 1)

    def apply_with_score(self, x, score, direction):
        y, log_det, score = self.inner.apply_with_score(x, score, direction)
        return y, log_det, score * (1.01 if self.what == "score" else 1)


@pytest.mark.parametrize(
    ("what", "seen"),
    [
        ("nothing", set()),
        ("log_det", {"log_det", "forward with score", "inverse with score", "score"}),
        ("score", {"score", "score there and back"}),
        ("even part", {"round trip", "log_det", "forward with score", "frozen"}),
    ],
)
def test_a_fault_is_seen(what, seen):
    case = CASES["(4,6)-checkerboard-affine-conv-True-0"]
    found = faults(case, Wrong(generic(case.build), what))
    assert found >= seen
    assert bool(found) is bool(seen)


@pytest.mark.parametrize(
    "name",
    [
        "chain",
        "(4,6)-stripe-spline-dense-False-1",
        "(4,6)-even_odd-additive-dense-False-0",
        "(5,)-even_odd-affine-conv-False-0",
    ],
)
def test_every_parameter_gets_a_gradient(name):
    case = CASES[name]
    bijection = generic(case.build)
    rng = np.random.default_rng(0)
    n = 64  # and of every mean, to meet every knot
    x = 0.9 * rng.normal(size=(n, *case.shape))
    x = jnp.asarray(x + np.linspace(-1.5, 1.5, n).reshape(n, *(1,) * len(case.shape)))
    away = jnp.asarray(rng.normal(size=(n, *case.shape)))

    def loss(bijection):
        y, log_det = jax.vmap(bijection.forward_and_log_det)(x)
        return jnp.sum(away * y) + jnp.sum(log_det)

    def of_constants(bijection):
        _, log_det, score = jax.vmap(bijection.forward_with_score)(x, away)
        return jnp.sum(log_det) + jnp.sum(away * score)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def gradients(bijection):
        return jax.grad(loss)(bijection), jax.grad(of_constants)(bijection)

    total, constant = gradients(bijection)
    # a dense network also has weights to frozen and from active sites, of no use
    enough = jnp.any if "dense" in name else jnp.all
    assert all(enough(leaf != 0) for leaf in jax.tree.leaves(total))
    assert all(jnp.all(leaf == 0) for leaf in jax.tree.leaves(constant))


@pytest.mark.parametrize("transformer", TRANSFORMERS)
def test_moving_by_two_sites_commutes(transformer):
    layer = generic(
        lambda: coupling((4, 6), "checkerboard", transformer, "conv", False)
    )
    x = jr.normal(jr.key(0), (4, 6), jnp.float64)
    xs = jnp.stack([x, jnp.roll(x, (1, 1), (0, 1)), jnp.roll(x, 1, 1)])
    run = jax.jit(jax.vmap(layer.forward_and_log_det), compiler_options=QUICK)
    (y, by_two, by_one), log_det = run(xs)
    np.testing.assert_allclose(by_two, jnp.roll(y, (1, 1), (0, 1)), atol=1e-12)
    np.testing.assert_allclose(log_det[1], log_det[0], rtol=1e-12)
    # by one, the other colour moves
    assert jnp.max(jnp.abs(by_one - jnp.roll(y, 1, 1))) > 1e-2


def test_single_precision_agrees_with_double():
    bijection = generic(a_chain)
    single = jax.tree.map(lambda x: x.astype(jnp.float32), bijection)
    x = jr.normal(jr.key(0), (4, 6), jnp.float32)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def there_and_back(bijection, x):
        y, log_det = bijection.forward_and_log_det(x)
        return y, log_det, bijection.inverse_and_log_det(y)[0]

    y, log_det, back = there_and_back(single, x)
    wanted, log_det_wanted, _ = there_and_back(bijection, x.astype(jnp.float64))
    assert y.dtype == jnp.float32
    assert log_det.dtype == jnp.float64
    np.testing.assert_allclose(y, wanted, atol=5e-5)
    np.testing.assert_allclose(log_det, log_det_wanted, atol=5e-4)
    np.testing.assert_allclose(back, x, atol=1e-3)


def a_spline(dtype, raw):
    raw = jnp.asarray(raw, dtype)
    bound = jnp.asarray(1.7, dtype)
    inner = spline.slopes(raw[8:])
    one = jnp.ones_like(inner[:1])
    return spline.Knots(
        spline.edges(raw[:4], -bound, bound),
        spline.edges(raw[4:8], -bound, bound),
        jnp.concatenate([one, inner, one]),
    )


@jax.jit
def at_and_around_knots(raw):
    knots = a_spline(raw.dtype, raw)
    x = jnp.concatenate(
        [knots.x, jnp.nextafter(knots.x, 9.0), jnp.nextafter(knots.x, -9.0),
         (knots.x[1:] + knots.x[:-1]) / 2, jnp.asarray([-3.0, 3.0], raw.dtype)]
    )  # fmt: skip
    by_site = jax.tree.map(lambda k: jnp.tile(k[:, None], (1, len(x))), knots)
    y, log_slope = spline.evaluate(x, by_site)
    back, log_back = spline.invert(y, by_site)
    slope = jax.vmap(
        jax.grad(lambda x: spline.evaluate(x[None], _one(knots))[0][0])
    )(x)  # fmt: skip
    inverse_slope = jax.vmap(
        jax.grad(lambda y: spline.invert(y[None], _one(knots))[0][0])
    )(y)  # fmt: skip
    return knots, x, y, back, log_slope, log_back, slope, inverse_slope


def _one(knots):
    return jax.tree.map(lambda k: k[:, None], knots)


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(
    st.lists(st.floats(-3, 3, width=32), min_size=11, max_size=11),
    st.sampled_from([np.float32, np.float64]),
)
def test_splines_at_their_knots(raw, dtype):
    """Values, slopes and inverse at the knots and one rounding beside them."""
    found = at_and_around_knots(jnp.asarray(raw, dtype))
    knots, x, y, back, log_slope, log_back, slope, inverse_slope = found
    eps = np.finfo(dtype).eps
    n = len(knots.x)
    assert np.all(np.diff(knots.x) > 0)
    assert np.all(np.diff(knots.y) > 0)
    for part in range(3):  # at, above, below
        beside = slice(part * n, (part + 1) * n)
        np.testing.assert_allclose(y[beside], knots.y, atol=1e4 * eps)
        np.testing.assert_allclose(
            np.exp(log_slope[beside]), knots.slope, rtol=1e5 * eps
        )
    np.testing.assert_allclose(slope, np.exp(log_slope), rtol=1e5 * eps)
    np.testing.assert_allclose(back, x, atol=1e4 * eps)
    np.testing.assert_allclose(log_back, -log_slope, atol=1e6 * eps)
    np.testing.assert_allclose(inverse_slope * slope, 1, atol=1e6 * eps)
    np.testing.assert_array_equal(y[-2:], x[-2:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((4, 5), "checkerboard", 0), "checkerboard needs even extents"),
        (((5, 4), "stripe", 0), "stripes along axis 0 need an even extent"),
        (((4, 4), "stripe", 0, 2), "axis must be one of"),
        (((4, 4), "spiral", 0), "splitting must be .* got 'spiral'"),
        (((4, 4), "even_odd", 2), "parity must be 0 or 1, got 2"),
        (((1,), "even_odd", 0), "at least two sites"),
    ],
)
def test_splittings_refuse_nonsense(arguments, message):
    with pytest.raises(ValueError, match=message):
        active_sites(*arguments)


@pytest.mark.parametrize("splitting", ["checkerboard", "stripe", "even_odd"])
def test_both_parities_make_the_lattice(splitting):
    even, odd = (active_sites((4, 6), splitting, parity) for parity in (0, 1))
    assert np.all(even ^ odd)
    assert even.sum() == 12


def test_layers_refuse_nonsense():

    def net(phi):
        return jnp.zeros((3, *phi.shape))

    with pytest.raises(ValueError, match="Affine wants parameters of shape"):
        Coupling((4, 6), transformers.Affine(), (net,), "checkerboard", 0)
    with pytest.raises(ValueError, match="bound > 0, got -1"):
        transformers.RationalQuadraticSpline(-1.0)
    with pytest.raises(ValueError, match="n_bins must be from 2 to 50, got 1"):
        transformers.OddRationalQuadraticSpline(1.0, 1)
    with pytest.raises(ValueError, match="bijections of one lattice"):
        Chain((FourierScaling((4, 6)), FourierScaling((4, 4))))
    with pytest.raises(ValueError, match="bijections of one lattice"):
        Chain(())
    with pytest.raises(ValueError, match="around one site"):
        ZeroMode((1, 1), 1.0)


def test_one_zero_mode_becomes_two():
    """A Gaussian magnetisation, steeply mapped at 0, piles up on either side."""
    layer = ZeroMode((4, 6), 0.5)
    steep = layer.knots.at[16].set(3.0).at[8].set(4.0)
    layer = eqx.tree_at(lambda layer: layer.knots, layer, steep)
    mean = jnp.linspace(-1, 1, 201)
    fields = jnp.broadcast_to(mean[:, None, None], (201, 4, 6))
    images, log_det = jax.jit(jax.vmap(layer.forward_and_log_det))(fields)
    log_q = -(mean**2) / (2 * 0.25**2) - log_det
    image = images[:, 0, 0]
    top = jnp.argmax(log_q)
    assert abs(image[top]) > 0.2
    assert log_q[100] < log_q[top] - 1
