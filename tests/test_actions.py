"""Actions against loops over sites, their symmetries, and what they refuse."""

import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat import symmetry
from genlat.actions.base import AbstractScalarAction
from genlat.actions.double_well import DoubleWell
from genlat.actions.phi4 import Phi4

KAPPA, LAM = 0.31, 0.17
SHAPES = [(4, 6), (3, 2, 4), (1, 6), (2,)]


def field(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(5).normal(size=shape)


def evaluate(function: Callable, phi: np.ndarray) -> np.ndarray:
    """Compiled once: a dozen eager operations would each be compiled on their own."""
    return np.asarray(jax.jit(lambda x: function(x))(phi))


def links(phi: np.ndarray):
    """(φ_x, φ_{x+μ}) of every site and direction, one at a time."""
    for x in itertools.product(*map(range, phi.shape)):
        for axis, extent in enumerate(phi.shape):
            ahead = tuple((c + 1) % extent if i == axis else c for i, c in enumerate(x))
            yield phi[x], phi[ahead]


def m2_of(shape: tuple[int, ...]) -> float:
    return (1 - 2 * LAM) / KAPPA - 2 * len(shape)


ACTIONS = {
    "A": Phi4((4, 6), KAPPA, LAM),
    "B": Phi4.form_b((4, 6), -1.3, 0.9),
    "C": Phi4.form_c((4, 6), -1.3, 2.9),
    "A antiferromagnet": Phi4((4, 6), -KAPPA, LAM),
    "A cube": Phi4((3, 2, 4), KAPPA, LAM),
    "A square": Phi4((4, 4), KAPPA, LAM),
    "double well": DoubleWell((7,), 2.75, -1.0, 0.9, 0.7),
    "oscillator": DoubleWell((7,), 1.3, 0.6, 0.0, 0.7),
}
each_action = pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS.keys())


# Values


@pytest.mark.parametrize("shape", SHAPES)
def test_form_a(shape):
    phi = field(shape)
    expected = sum(-2 * KAPPA * x * y for x, y in links(phi))
    expected += np.sum((1 - 2 * LAM) * phi**2 + LAM * phi**4)
    assert evaluate(Phi4(shape, KAPPA, LAM), phi) == pytest.approx(expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_form_b(shape):
    phi, m2, lam_b = field(shape), -1.3, 0.9
    expected = sum((y - x) ** 2 for x, y in links(phi))
    expected += np.sum(m2 * phi**2 + lam_b * phi**4)
    action = Phi4.form_b(shape, m2, lam_b)
    assert evaluate(action, phi) == pytest.approx(expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_form_c(shape):
    phi, m2, g = field(shape), -1.3, 2.9
    expected = sum(0.5 * (y - x) ** 2 for x, y in links(phi))
    expected += np.sum(0.5 * m2 * phi**2 + g / 24 * phi**4)
    action = Phi4.form_c(shape, m2, g)
    assert evaluate(action, phi) == pytest.approx(expected)


@pytest.mark.parametrize("extent", [1, 2, 7])
def test_double_well(extent):
    x, (m0, mu2, lam, a) = field((extent,)), (2.75, -1.1, 0.9, 0.7)
    expected = sum(a * m0 / 2 * (y - z) ** 2 / a**2 for y, z in links(x))
    expected += a * np.sum(m0 * mu2 / 2 * x**2 + lam / 4 * x**4)
    action = DoubleWell((extent,), m0, mu2, lam, a)
    assert evaluate(action, x) == pytest.approx(expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_forms_are_one_theory(shape):
    """S is the same number at φ, √κ φ, √(2κ) φ; the couplings convert both ways."""
    phi = field(shape)
    a = Phi4(shape, KAPPA, LAM)
    b = Phi4.form_b(shape, m2_of(shape), LAM / KAPPA**2)
    c = Phi4.form_c(shape, m2_of(shape), 6 * LAM / KAPPA**2)
    for other, scale in ((b, math.sqrt(KAPPA)), (c, math.sqrt(2 * KAPPA))):
        assert float(other.kappa) == pytest.approx(KAPPA, rel=1e-13)
        assert float(other.lam) == pytest.approx(LAM, rel=1e-12)
        assert float(other.field_scale) == pytest.approx(scale, rel=1e-13)
        assert evaluate(other, scale * phi) == pytest.approx(
            evaluate(a, phi), rel=1e-12
        )
    assert a.field_scale == 1


def test_jacobian_of_the_forms():
    """ln Z moves by V ln `field_scale`: one site, by quadrature in both fields."""
    a = Phi4((1,), KAPPA, LAM)
    c = Phi4.form_c((1,), m2_of((1,)), 6 * LAM / KAPPA**2)
    x = jnp.linspace(-7, 7, 4001)[:, None]
    log_z_a, log_z_c = (jax.nn.logsumexp(-jax.vmap(s)(x)) for s in (a, c))
    shift = float(log_z_c - log_z_a)
    assert shift == pytest.approx(float(jnp.log(c.field_scale)), abs=1e-10)


@pytest.mark.parametrize(
    ("m2", "lam_b"),
    [(-4.0, 6.975), (-9.0, 1e-9), (-3.9, 1e-7), (0.3, 0.0), (-4.0, 1e-12)],
)
def test_kappa_without_cancellation(m2, lam_b):
    """Couplings come back from κ, where the square root would cancel, and at zero."""
    action = Phi4.form_b((4, 6), m2, lam_b)
    assert float(action.quartic) == pytest.approx(lam_b, rel=1e-12)
    kappa = float(action.kappa)
    assert 2 * lam_b * kappa**2 + (m2 + 4) * kappa == pytest.approx(1.0, rel=1e-12)
    assert float(action.quadratic) == pytest.approx(m2 + 4, abs=1e-8)


# Forces and symmetries


@each_action
def test_force_is_minus_the_gradient(action: AbstractScalarAction):
    phi = field(action.lattice_shape)
    force, slope = (evaluate(f, phi) for f in (action.force, jax.grad(action)))
    np.testing.assert_allclose(force, -slope, rtol=1e-12, atol=1e-12)


@each_action
def test_symmetries(action: AbstractScalarAction):
    """φ → -φ, translations and the point group."""
    group = symmetry.point_group(action.lattice_shape)

    def actions(phi):
        images = [phi, -phi]
        images += [jnp.roll(phi, 2 + axis, axis) for axis in range(phi.ndim)]
        images += [symmetry.transform(phi, element) for element in group]
        return jax.vmap(action)(jnp.stack(images))

    values = evaluate(actions, field(action.lattice_shape))
    assert values == pytest.approx(values[0], rel=1e-13)


def test_a_field_that_is_no_symmetry_changes_the_action():
    """Negative control: a transposed block, a flipped sign."""
    action, phi = ACTIONS["A square"], jnp.asarray(field((4, 4)))
    assert abs(float(action(phi.at[0, 0].multiply(-1)) - action(phi))) > 0.01
    assert abs(float(action(phi.at[:2].set(phi[:2, ::-1])) - action(phi))) > 0.01


# Numbers


@each_action
def test_float32_fields_give_a_float64_action(action: AbstractScalarAction):
    phi = field(action.lattice_shape).astype(np.float32)
    exact = phi.astype(np.float64)
    assert evaluate(action, phi).dtype == np.float64
    assert evaluate(action, phi) == pytest.approx(evaluate(action, exact), rel=1e-15)
    force = evaluate(action.force, phi)
    assert force.dtype == np.float32
    np.testing.assert_allclose(
        force, evaluate(action.force, exact), rtol=2e-4, atol=2e-5
    )


def test_couplings_are_leaves():
    """S is differentiable in the couplings, and maps over them."""
    phi = jnp.asarray(field((4, 6)))

    def value(kappa, lam):
        return Phi4((4, 6), kappa, lam)(phi)

    by_kappa, by_lam = jax.jit(jax.grad(value, argnums=(0, 1)))(KAPPA, LAM)
    hopping = sum(x * y for x, y in links(np.asarray(phi)))
    assert float(by_kappa) == pytest.approx(-2 * hopping)
    assert float(by_lam) == pytest.approx(float(jnp.sum(phi**4 - 2 * phi**2)))
    kappas = jnp.array([0.1, 0.2, 0.31])
    mapped = jax.jit(jax.vmap(value, in_axes=(0, None)))(kappas, LAM)
    single = jax.jit(value)
    np.testing.assert_allclose(mapped, [float(single(k, LAM)) for k in kappas])
    leaves = jax.tree.leaves(Phi4((4, 6), KAPPA, LAM))
    assert [leaf.shape for leaf in leaves] == [(), ()]


@pytest.mark.parametrize("build", [Phi4.form_b, Phi4.form_c])
@pytest.mark.parametrize("coupling", [0.9, 0.0])
def test_differentiable_in_the_other_forms(build, coupling):
    """Finite derivatives in both couplings, the free field included."""
    phi = jnp.asarray(field((4, 6)))

    def value(m2, quartic):
        return build((4, 6), m2, quartic)(phi)

    by_m2, by_quartic = jax.jit(jax.grad(value, argnums=(0, 1)))(0.4, coupling)
    weights = {Phi4.form_b: (1.0, 1.0), Phi4.form_c: (0.5, 1 / 24)}
    on_phi2, on_phi4 = next(w for f, w in weights.items() if f == build)
    assert float(by_m2) == pytest.approx(on_phi2 * float(jnp.sum(phi**2)))
    assert float(by_quartic) == pytest.approx(on_phi4 * float(jnp.sum(phi**4)))


def test_double_well_couplings_are_leaves():
    x = jnp.asarray(field((7,)))

    def value(m0, mu2, lam, spacing):
        return DoubleWell((7,), m0, mu2, lam, spacing)(x)

    by_lam = jax.jit(jax.grad(value, argnums=2))(2.0, -1.0, 0.9, 0.7)
    assert float(by_lam) == pytest.approx(0.7 / 4 * float(jnp.sum(x**4)))
    masses = jnp.array([1.0, 2.75])
    mapped = jax.jit(jax.vmap(value, in_axes=(0, None, None, None)))(
        masses, -1.0, 0.9, 0.7
    )
    expected = [float(DoubleWell((7,), m, -1.0, 0.9, 0.7)(x)) for m in masses]
    np.testing.assert_allclose(mapped, expected)


# What is refused


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (((), 0.2, 0.1), "extent"),
        (((4, 0), 0.2, 0.1), "extent"),
        (((4, 6), 0.2, -0.1), "lam must be >= 0"),
        (((4, 6), math.nan, 0.1), "finite"),
        (((4, 6), 0.2, math.inf), "finite"),
        (((4, 6), 0.25, 0.0), "kappa"),
        (((4, 6), -0.25, 0.0), "kappa"),
        (((4, 6, 2), 0.17, 0.0), "kappa"),
        (((4, 6), -0.2, 0.1, "B"), "kappa > 0"),
        (((4, 6), 0.0, 0.1, "C"), "kappa > 0"),
    ],
)
def test_phi4_refuses(arguments, match):
    with pytest.raises(ValueError, match=match):
        Phi4(*arguments)


def test_unknown_form_is_refused():
    """By the constructor, or before it where types are checked at run time."""
    with pytest.raises((ValueError, TypeError), match="form"):
        Phi4((4, 6), 0.2, 0.1, "D")


def test_phi4_accepts_the_edges():
    Phi4((4, 6), 0.2499, 0.0)
    Phi4((4, 6), 5.0, 1e-3)
    Phi4((1,), -3.0, 0.1)


@pytest.mark.parametrize("build", [Phi4.form_b, Phi4.form_c])
@pytest.mark.parametrize(
    ("m2", "quartic", "match"),
    [(-4.0, -0.1, "quartic"), (0.0, 0.0, "m2 > 0"), (-0.1, 0.0, "m2 > 0"),
     (math.nan, 1.0, "finite"), (1.0, math.inf, "finite")],
)  # fmt: skip
def test_other_forms_refuse(build, m2, quartic, match):
    with pytest.raises(ValueError, match=match):
        build((4, 6), m2, quartic)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (((4, 6), 1.0, -1.0, 1.0), "one axis"),
        (((0,), 1.0, -1.0, 1.0), "extent"),
        (((7,), 0.0, -1.0, 1.0), "m0 must be > 0"),
        (((7,), -1.0, -1.0, 1.0), "m0 must be > 0"),
        (((7,), 1.0, -1.0, 1.0, 0.0), "spacing must be > 0"),
        (((7,), 1.0, -1.0, -0.1), "lam must be >= 0"),
        (((7,), 1.0, -1.0, 0.0), "mu2 must be > 0"),
        (((7,), 1.0, 0.0, 0.0), "mu2 must be > 0"),
        (((7,), math.nan, -1.0, 1.0), "m0 = nan"),
        (((7,), 1.0, math.inf, 1.0), "mu2 = inf"),
        (((7,), 1.0, -1.0, math.inf), "lam = inf"),
        (((7,), 1.0, -1.0, 1.0, math.nan), "spacing = nan"),
    ],
)
def test_double_well_refuses(arguments, match):
    with pytest.raises(ValueError, match=match):
        DoubleWell(*arguments)
