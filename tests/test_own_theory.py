"""Actions and models that a user has written: what is derived, refused, recorded."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genlat as gl
from genlat import exact
from genlat.actions import gap, sampled_gap
from genlat.actions.field import TAKEN
from genlat.actions.phi4 import Phi4
from genlat.exact import solved
from genlat.exact.value import UnknownError
from genlat.runs.file import catalogue
from genlat.theories import live, soundness
from genlat.theories.base import COMMON


class Quartic(gl.FieldAction):
    """φ⁴ in form A, once more, and with a power that is fixed."""

    kappa: float
    lam: float = 0.022
    power: int = 4
    symmetries = ("sign", "translations", "point_group")
    modes = ("sign",)
    line = "kappa"

    def __call__(self, phi):
        hops = sum(jnp.sum(jnp.roll(phi, -1, a) * phi) for a in range(phi.ndim))
        sites = (1 - 2 * self.lam) * phi**2 + self.lam * phi**self.power
        return jnp.sum(sites) - 2 * self.kappa * hops


class Tilted(Quartic):
    """Of another S: nothing that was declared holds of it, until it says so."""

    field: float = 0.1

    def __call__(self, phi):
        return super().__call__(phi) - self.field * jnp.sum(phi)


PHIS = np.random.default_rng(3).normal(size=(3, 4, 6))


def test_what_is_written_is_the_action_and_the_rest_is_derived():
    ours, theirs = Quartic((4, 6), kappa=0.21, lam=0.31), Phi4((4, 6), 0.21, 0.31)

    @jax.jit
    def both(phis):
        def of_each(phi):
            found = [(a(phi), a.force(phi), a.observables(phi)) for a in (ours, theirs)]
            narrow = phi.astype(jnp.float32)
            return found, ours(narrow), ours.force(narrow)

        return jax.vmap(of_each)(phis)

    ((s, f, o), (t, g, p)), narrow, narrow_force = both(jnp.asarray(PHIS))
    np.testing.assert_allclose(s, t, rtol=1e-13)
    np.testing.assert_allclose(f, g, rtol=1e-12, atol=1e-12)
    for name in ("phi2", "schwinger_dyson"):
        np.testing.assert_allclose(o[name], p[name], rtol=1e-12)
    np.testing.assert_allclose(o["slope_kappa"], -2 * p["hopping"], rtol=1e-12)
    of_lam = np.mean(PHIS**4 - 2 * PHIS**2, axis=(1, 2))
    np.testing.assert_allclose(o["slope_lam"], of_lam, rtol=1e-12)
    assert o.keys() == {"phi2", "schwinger_dyson", "slope_kappa", "slope_lam"}
    assert narrow.dtype == jnp.float64
    assert narrow_force.dtype == jnp.float32
    np.testing.assert_allclose(narrow, t, rtol=1e-6)


def test_what_is_measured_is_no_part_of_s():
    """Nor are declarations: one without the others, and none is lost."""

    class Bare(gl.FieldAction):
        modes = ()

        def __call__(self, phi):
            return jnp.sum(phi**2)

    class More(Quartic):
        def observables(self, phi):
            return super().observables(phi) | {"first": phi.ravel()[0], "two": 2}

    assert (Bare.symmetries, Bare.modes) == ((), ())
    assert (More.symmetries, More.modes) == (Quartic.symmetries, ("sign",))
    found = More((4,), kappa=0.1).observables(jnp.arange(4, dtype=jnp.float32))
    assert (found["first"], found["two"]) == (0.0, 2.0)
    assert {x.dtype for x in found.values()} == {jnp.dtype(float)}


def test_names_that_results_have_are_taken():
    names = {*COMMON, *catalogue.DERIVED, *catalogue.FREE_ENERGY}
    assert names <= TAKEN
    assert not TAKEN & {"phi2", "schwinger_dyson", "vertex"}


def test_a_declaration_is_of_the_action_that_it_stands_beside():
    action = Tilted((4,), kappa=0.1, field=0.3)
    assert action.symmetries == ()
    assert action.modes is None
    assert action.line is None
    assert Quartic((4,), kappa=0.1).modes == ("sign",)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "kappa: missing; it has no default"),
        ({"kappa": 0.1, "mass": 1.0}, "has no coupling mass: it has kappa, lam, power"),
        ({"kappa": "a"}, "kappa = 'a': should be a number"),
        ({"kappa": [0.1, 0.2]}, "should be a number"),
        ({"kappa": 1j}, "should be a number"),
        ({"kappa": True}, "should be a number"),
        ({"kappa": 0.1, "power": 3.0}, "power = 3.0: should be an integer"),
    ],
)
def test_couplings_are_what_their_annotations_say(given, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        Quartic((4,), **given)


def test_what_is_no_action_is_refused():
    class Vector(gl.FieldAction):
        def __call__(self, phi):
            return phi

    class Complex(gl.FieldAction):
        def __call__(self, phi):
            return jnp.sum(1j * phi)

    for kind, says in ((Vector, "the shape"), (Complex, "a real number")):
        with pytest.raises(ValueError, match=says):
            jax.eval_shape(kind((4,)), jax.ShapeDtypeStruct((4,), "float32"))

    class Worded(gl.FieldAction):
        kappa: str

        def __call__(self, phi):
            return jnp.sum(phi)

    with pytest.raises(ValueError, match="kappa: str: a coupling is a float"):
        Worded((4,), kappa=1.0)


# the Gaussian that a flow starts from


@pytest.mark.parametrize("kappa", [0.1, 0.3])
def test_the_sampled_gap_equation_has_the_solution_of_the_exact_one(kappa):
    """In both phases, to the noise of its averages."""
    found = sampled_gap.best_gaussian(Quartic((8, 4), kappa=kappa))
    known = gap.best_gaussian(Phi4((8, 4), kappa, 0.022))
    np.testing.assert_allclose(found.variance, known.variance, rtol=0.12)
    assert found.mean == pytest.approx(known.mean, abs=0.02)
    assert found.free_energy == pytest.approx(known.free_energy, abs=0.5)


def test_a_quadratic_action_is_solved_exactly():
    found = sampled_gap.best_gaussian(Quartic((6, 4), kappa=0.2, lam=0.0))
    known = gap.best_gaussian(Phi4((6, 4), 0.2, 0.0))
    np.testing.assert_allclose(found.variance, known.variance, rtol=1e-8)
    assert found.mean == 0


def test_without_a_sign_there_is_one_gaussian_where_the_field_pulls_it():
    found = sampled_gap.best_gaussian(Tilted((8, 4), kappa=0.3, field=-0.05))
    assert found.mean < -1
    with pytest.raises(ValueError, match="no number"):
        sampled_gap.best_gaussian(Quartic((4,), kappa=math.nan))


# ln Z where a line begins


@pytest.mark.parametrize(
    ("action", "known"),
    [
        (Quartic((4, 6), kappa=0.2, lam=0.0), Phi4((4, 6), 0.2, 0.0)),
        (Quartic((4, 6), kappa=0.0, lam=0.4), Phi4((4, 6), 0.0, 0.4)),
        (Quartic((3,), kappa=0.0, lam=0.9), Phi4((3,), 0.0, 0.9)),
        (Quartic((1,), kappa=0.1, lam=0.9), Phi4((1,), 0.1, 0.9)),
    ],
    ids=["free", "sites", "deep sites", "one site"],
)
def test_ln_z_is_known_of_free_fields_and_of_sites(action, known):
    found = exact.known(known)["log_z"]
    assert abs(solved.log_z(action) - found.value) < 1e-8 + found.error


class Pinned(gl.FieldAction):
    """Quadratic, but not the same at every site."""

    def __call__(self, phi):
        here = 1 + jnp.arange(phi.size).reshape(phi.shape)
        return jnp.sum(here * phi**2) / 2 + 0.3


class Runaway(gl.FieldAction):
    """Unbounded below."""

    def __call__(self, phi):
        return -jnp.sum(phi**2)


def test_ln_z_without_translations_is_that_of_all_curvatures():
    expected = 0.5 * sum(math.log(2 * math.pi / k) for k in range(1, 7)) - 0.3
    assert solved.log_z(Pinned((3, 2))) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (Quartic((4, 4), kappa=0.2), "neither quadratic nor a sum"),
        (Runaway((4,)), "unbounded"),
        (Quartic((4,), kappa=0.0, lam=-0.1), "fall off|no number"),
    ],
)
def test_what_is_not_solved_says_so(action, says):
    with pytest.raises(UnknownError, match=says):
        solved.log_z(action)


def test_a_line_is_one_along_a_coupling_in_which_s_is_linear():
    theory = live.of_field(Quartic((4,), kappa=0.2, lam=0.3))
    assert theory.line is not None
    assert theory.line.end == 0.2
    phi = jnp.asarray(PHIS[0, 0, :4])
    slope = float(theory.line.path.slope(jnp.asarray(0.3), phi))
    name, factor = theory.line.slope
    measured = float(theory.action.observables(phi)[name])
    assert factor * measured == pytest.approx(slope, rel=1e-12)

    class Squared(Quartic):
        line = "kappa"

        def __call__(self, phi):
            return super().__call__(phi) + self.kappa**2 * jnp.sum(phi**2)

    with pytest.raises(ValueError, match="S is not linear in it"):
        live.of_field(Squared((4,), kappa=0.2))

    class Misplaced(Quartic):
        line = "lam"
        modes = None

    with pytest.raises(ValueError, match=r"without it S is unbounded"):
        live.of_field(Misplaced((4,), kappa=0.7))


# what is declared, and does not hold


class Even(Tilted):
    symmetries = ("sign",)


class Uniform(Pinned):
    symmetries = ("translations",)


class Isotropic(gl.FieldAction):
    symmetries = ("translations", "point_group")

    def __call__(self, phi):
        return jnp.sum((jnp.roll(phi, -1, 0) - phi) ** 2) + jnp.sum(phi**2)


class Chiral(gl.FieldAction):
    symmetries = ("translations", "point_group")

    def __call__(self, phi):
        return jnp.sum(phi**2 * jnp.roll(phi, -1, 0) ** 4)


@pytest.mark.parametrize(
    ("action", "name"),
    [
        (Even((4, 4), kappa=0.1), "sign"),
        (Uniform((4, 4)), "translations"),
        (Isotropic((4, 4)), "point_group"),
        (Chiral((5,)), "point_group"),
    ],
)
def test_a_symmetry_that_does_not_hold_is_found_and_by_how_much(action, name):
    (said,) = soundness.faults(action)
    assert re.match(rf"declares '{name}', but S changes by [0-9.e+-]+ under it", said)


def test_a_symmetry_that_holds_is_not_found_broken():
    assert list(soundness.faults(Quartic((4, 4), kappa=0.3))) == []
    assert list(soundness.faults(Isotropic((4, 3)))) == []  # no axes to be exchanged


def test_an_action_that_is_no_number_is_found():
    (said,) = soundness.faults(Quartic((4,), kappa=math.inf))
    assert said.startswith("S is nan at φ = 0")
