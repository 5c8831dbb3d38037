"""Symmetries are declared by the action, and asked for by whoever relies on them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from config_for_tests import load, refusals
from genlat import exact, symmetry
from genlat.actions import declared, gap
from genlat.actions.base import AbstractContinuousAction
from genlat.actions.double_well import DoubleWell
from genlat.actions.ising import Ising
from genlat.actions.path import HoppingPath
from genlat.actions.phi4 import Phi4
from genlat.families import gaussian_prior
from genlat.families.cnf import CnfSection
from genlat.families.coupling import CouplingSection
from genlat.mcmc import runner
from genlat.mcmc.cluster import SignCluster
from genlat.mcmc.hmc import HMC
from genlat.mcmc.metropolis import Metropolis
from genlat.mcmc.reflection import Reflection
from genlat.mcmc.sequence import Sequence
from genlat.mcmc.spin_clusters import SwendsenWang, Wolff
from genlat.mcmc.spins import IsingHeatBath, IsingMetropolis
from genlat.models.gaussian import GaussianPair
from genlat.runs.stages import flow_model
from genlat.runs.stages.job import Job
from genlat.runs.stages.screen import Screen
from genlat.theories.double_well import DoubleWellSection
from genlat.theories.ising import IsingSection
from genlat.training import loop
from genlat.training.objectives import ForwardKL, PathForwardKL, SymmetricKL
from models_for_tests import a_model, a_spectrum


class Tilted(Phi4):
    """φ⁴ in a field, as a user writes it: nothing is said of symmetries."""

    def __call__(self, phi):
        return Phi4.__call__(self, phi) - 0.1 * jnp.sum(phi)

    def force(self, phi):
        return Phi4.force(self, phi) + 0.1


class Declared(Tilted):
    """The same, said to be what it is."""

    @property
    def symmetries(self):
        return ("translations", "point_group")


class Sextic(Phi4):
    """Even, with a term that no coupling knows of."""

    @property
    def symmetries(self):
        return symmetry.LATTICE

    def __call__(self, phi):
        return Phi4.__call__(self, phi) + 0.01 * jnp.sum(phi**6)


class Renamed(Phi4):
    """Of couplings alone, another one of which a user has changed."""

    @property
    def hopping(self):
        return 0.9 * self.kappa


class Aside:
    """A term mixed in from the side."""

    def __call__(self, phi):
        return Phi4.__call__(self, phi) + jnp.sum(phi**3)


class MixedIn(Aside, Phi4):
    pass


class Longer(Phi4):
    """A subclass that adds what S does not depend on."""

    def extent(self):
        return max(self.lattice_shape)


class Pinned(Ising):
    """Spins of which the first is in a field."""

    def energy(self, spins):
        return Ising.energy(self, spins) - 0.3 * spins.ravel()[0]


class Bare(AbstractContinuousAction):
    """An action written from nothing."""

    lattice_shape: tuple[int, ...] = (3,)

    def __call__(self, phi):
        return jnp.sum(phi**2)

    def force(self, phi):
        return -2 * phi


QUIET = Screen(quiet=True)
PHI4 = 'seed = 1\n[theory]\nname = "phi4"\nshape = [4, 4]\nkappa = 0.25\nlam = 0.022\n'
TILTED = Tilted((4, 4), 0.25, 0.022)
PINNED = Pinned((4, 4), 0.4)

ACTIONS = {
    "A": Phi4((4, 6), 0.31, 0.17),
    "A square": Phi4((4, 4), 0.31, 0.17),
    "A odd": Phi4((3, 5), -0.31, 0.17),
    "A cube": Phi4((2, 3, 3), 0.21, 0.3),
    "A thin": Phi4((1, 2, 4), 0.21, 0.3),
    "B": Phi4.form_b((3, 4), -1.3, 0.7),
    "C": Phi4.form_c((4, 4), -1.3, 0.7),
    "double well": DoubleWell((7,), 2.75, -1.3, 0.9, 0.7),
    "path": HoppingPath(Phi4((4, 3), 0.31, 0.17), 0.37),
    "ising": Ising((4, 6), 0.37),
    "ising odd": Ising((3, 3), -0.37),
    "ising in a field": Ising((3, 4), 0.37, 0.23),
    "declared": Declared((4, 4), 0.25, 0.022),
    "sextic": Sextic((4, 3), 0.25, 0.022),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_what_is_declared_leaves_the_action_as_it_is(name):
    """S(gφ) = S(φ) for every element, on random configurations."""
    action = ACTIONS[name]
    group = symmetry.group(action.lattice_shape, action.symmetries)
    assert len(group) > 1
    phi = 1.3 * jr.normal(jr.key(len(name)), action.lattice_shape) + 0.4
    if isinstance(action, Ising):
        phi = jnp.where(phi < 0.6, -1.0, 1.0)
    images = np.stack([g.sign * np.ravel(phi)[g.sites()] for g in group])
    np.testing.assert_array_equal(images[-1], group[-1].apply(phi))
    values = jax.jit(jax.vmap(action))(images)
    scale = float(jnp.sum(jnp.abs(phi)) + jnp.sum(phi**4))
    np.testing.assert_allclose(values, action(phi), rtol=1e-13, atol=1e-14 * scale)


def test_what_is_not_declared_is_broken():
    """Of the built-in theories nothing is left out that holds."""
    assert Ising((3, 4), 0.37, 0.23).symmetries == ("translations", "point_group")
    for name in ACTIONS.keys() - {"ising in a field", "declared"}:
        assert ACTIONS[name].symmetries == symmetry.LATTICE, name
    spins = jnp.ones((3, 4), jnp.int8)
    in_a_field = ACTIONS["ising in a field"]
    assert abs(float(in_a_field(spins) - in_a_field(-spins))) > 1


def test_an_unknown_field_is_not_assumed_to_be_none():
    found = []

    @jax.jit
    def traced(field):
        found.append(Ising((3, 4), 0.3, field).symmetries)
        return field

    traced(0.0)
    assert found == [("translations", "point_group")]


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (TILTED, ()),
        (Declared((4, 4), 0.25, 0.022), ("translations", "point_group")),
        (Renamed((4, 4), 0.25, 0.022), ()),
        (MixedIn((4, 4), 0.25, 0.022), ()),
        (PINNED, ()),
        (HoppingPath(Renamed((4, 4), 0.25, 0.022), 0.5), ()),
        (Bare(), ()),
        (Longer((4, 4), 0.25, 0.022), symmetry.LATTICE),
    ],
)
def test_a_declaration_is_of_the_action_it_stands_beside(action, expected):
    assert action.symmetries == expected


def test_a_subclass_of_a_subclass_has_no_more():
    class Again(Tilted):
        pass

    assert Again((4, 4), 0.25, 0.022).symmetries == ()


def test_unknown_names_are_refused():
    class Misspelt(Tilted):
        @property
        def symmetries(self):
            return ("Z2",)

    with pytest.raises(ValueError, match=r"Misspelt declares \['Z2'\]"):
        declared.require(Misspelt((4, 4), 0.25, 0.022), (), "anyone")


DATA = np.ones((5, 4, 4))
SECTION = CnfSection()
REFUSED = {
    "reflection": (Reflection, TILTED, "Reflection needs the symmetry 'sign'"),
    "cluster": (SignCluster, TILTED, "SignCluster needs the symmetry 'sign'"),
    "cluster, couplings": (
        SignCluster,
        Sextic((4, 4), 0.25, 0.022),
        "SignCluster computes S from the couplings",
    ),
    "metropolis": (Metropolis, TILTED, "Metropolis computes S from the couplings"),
    "swendsen_wang": (SwendsenWang, PINNED, "SwendsenWang computes S from"),
    "wolff": (Wolff, PINNED, "Wolff computes S from the couplings"),
    "spin metropolis": (IsingMetropolis, PINNED, "IsingMetropolis computes S from"),
    "heat bath": (IsingHeatBath, PINNED, "IsingHeatBath computes S from"),
    "path": (lambda a: HoppingPath(a, 0.5), TILTED, "HoppingPath computes S from"),
    "gap": (gap.best_gaussian, TILTED, "the gap equation computes S from"),
    "second solution": (gap.best_broken, TILTED, "the gap equation computes S from"),
    "prior, undeclared": (
        functools.partial(gaussian_prior.choose, SECTION),
        Renamed((4, 4), 0.25, 0.022),
        "the Gaussian prior needs the symmetry",
    ),
    "cnf": (
        lambda a: SECTION.build(a, jr.key(0)),
        TILTED,
        "cnf needs the symmetry 'sign' and 'translations' and 'point_group'",
    ),
    "cnf, carried": (
        lambda a: SECTION.carry(a_model((4, 4)), a),
        TILTED,
        "cnf needs the symmetry",
    ),
    "coupling flow": (
        lambda a: CouplingSection(name="nice").build(a, jr.key(0)),
        Renamed((4, 4), 0.25, 0.022),
        "the Gaussian prior needs the symmetry",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_who_relies_on_more_refuses(name):
    build, action, why = REFUSED[name]
    with pytest.raises(ValueError, match=why) as caught:
        build(action)
    assert type(action).__name__ in str(caught.value)


def test_what_to_do_is_said():
    with pytest.raises(ValueError, match="name it in `symmetries` of Tilt"):
        Reflection(TILTED)


def test_exact_values_are_not_those_of_the_theory_without_the_term():
    assert exact.known(TILTED) == {}
    assert exact.known(PINNED) == {}
    # of the table, by couplings that are not those of S
    assert "log_z" in exact.known(Phi4((16, 8), 0.3, 0.022))
    assert exact.known(Renamed((16, 8), 0.3, 0.022)) == {}
    # what the declaration itself says
    assert exact.known(Sextic((4, 4), 0.25, 0.022)).keys() == {"mag"}
    assert exact.known(Declared((4, 4), 0.25, 0.022)) == {}


@pytest.mark.parametrize("build", [ForwardKL, PathForwardKL, SymmetricKL.total])
def test_samples_are_moved_by_declared_symmetries_only(build):
    state = loop.init(
        a_model((4, 4)).with_prior(GaussianPair(a_spectrum((4, 4)))),
        settings := loop.Settings(steps=1, batch=2),
        jr.key(0),
    )
    declared_one = Declared((4, 4), 0.25, 0.022)
    for action, augment, missing in [
        (TILTED, ("translations",), "'translations', which Tilted"),
        (declared_one, ("translations", "sign"), "'sign', which Declared"),
    ]:
        objective = build(DATA, augment)
        object.__setattr__(objective, "why_unfit", lambda model: None)
        with pytest.raises(ValueError, match=missing):
            loop.run_chunk(state, action, objective, settings, 1)


def test_a_run_mixes_over_declared_symmetries_only(tmp_path):
    run = load(tmp_path, PHI4 + "[model]\nsymmetrize = ['sign']\n[train]\nsteps = 1\n")
    shape = run.theory.shape
    tilted = dataclasses.replace(run.theory.theory(), action=Tilted(shape, 0.25, 0.022))
    job = Job(tmp_path, run, tilted, QUIET)
    with pytest.raises(ValueError, match=r"model.symmetrize needs the symmetry 'sign'"):
        flow_model.initial(job)


@pytest.mark.parametrize(
    "section",
    [
        DoubleWellSection(name="double_well", shape=(5,), m0=1.0, mu2=-1.0, lam=1.0),
        IsingSection(name="ising", shape=(3, 4), beta=0.3),
        IsingSection(name="ising", shape=(3, 4), beta=0.3, field=-0.2),
    ],
)
def test_run_files_know_what_actions_declare(section):
    assert section.symmetries == section.theory().action.symmetries


def test_run_files_are_refused(tmp_path):
    ising = 'seed = 1\n[theory]\nname = "ising"\nshape = [4, 4]\nbeta = 0.3\n'
    model = (
        "[mcmc]\n[model]\nname = 'made'\nsymmetrize = ['translations', 'sign']\n"
        "[train]\nobjective = 'forward_kl'\ngradient = 'total'\naugment = ['sign']\n"
    )
    assert load(tmp_path, ising + model)
    lines = refusals(tmp_path, ising + "field = 0.1\n" + model)
    for field in ("model.symmetrize", "train.augment"):
        (line,) = (line for line in lines if field in line)
        assert "sign is no symmetry of ising: field = 0.1 breaks it" in line


def test_evidence_of_every_mode_is_of_declared_symmetries():
    even, tilted = Phi4((4, 4), 0.25, 0.022), TILTED
    for kernel in (Reflection(even), SignCluster(even)):
        assert kernel.visits_every_mode
        smuggled = jax.tree.map(lambda x: x, kernel)
        object.__setattr__(smuggled, "action", tilted)
        assert not smuggled.visits_every_mode
        assert not Sequence((HMC(tilted), smuggled)).visits_every_mode
    assert Sequence((HMC(even), Reflection(even))).visits_every_mode
    for build in (SwendsenWang, Wolff):
        assert build(Ising((4, 4), 0.4, 0.1)).visits_every_mode
        smuggled = build(Ising((4, 4), 0.4))
        object.__setattr__(smuggled, "action", PINNED)
        assert not smuggled.visits_every_mode


@pytest.mark.slow
def test_reflections_serve_an_even_action_of_a_users_own():
    """⟨φ²⟩ of a sextic theory with and without coins, and ⟨m⟩ = 0."""
    action = Sextic((4, 4), 0.25, 0.022)

    def means(kernel):
        phis = runner.init_chains(action, jr.key(1), 64, dtype=jnp.dtype(jnp.float64))
        kernel, states = runner.thermalise(kernel, phis, jr.key(2), n_therm=200)
        _, history = runner.run_chunk(
            kernel,
            states,
            jr.key(3),
            0,
            n_samples=200,
            thin=1,
            measure=lambda phi: {"phi2": jnp.mean(phi**2), "mag": jnp.mean(phi)},
        )
        found = {name: np.mean(history[name], axis=1) for name in ("phi2", "mag")}
        return {
            name: (np.mean(x), np.std(x, ddof=1) / np.sqrt(len(x)))
            for name, x in found.items()
        }

    with_coins, without = (
        means(Sequence((HMC(action), Reflection(action)))),
        means(HMC(action)),
    )
    (a, error_a), (b, error_b) = with_coins["phi2"], without["phi2"]
    assert max(error_a, error_b) < 0.01
    assert abs(a - b) < 5 * np.hypot(error_a, error_b)
    value, error = with_coins["mag"]
    assert error < 0.02
    assert abs(value) < 5 * error


def test_an_action_of_its_own_has_one_gaussian_and_no_mode_that_is_not_declared():
    """Where the sign is not declared, -v is not put beside v."""
    prior = gaussian_prior.choose(SECTION, TILTED)
    assert prior.wells == "one"
    assert prior.symmetric is None
