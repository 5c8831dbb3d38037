"""What every theory of a run file must keep: a line in `THEORIES` buys all of it."""

import dataclasses
import functools
import itertools
import re
from typing import get_args

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat import exact, observables, symmetry
from genlat.actions.base import AbstractContinuousAction
from genlat.actions.declared import without_field
from genlat.actions.path import CouplingLine
from genlat.estimators import autocorrelation
from genlat.mcmc import runner
from genlat.mcmc.sequence import Sequence
from genlat.report import notation
from genlat.runs.file import catalogue
from genlat.theories import named
from genlat.theories.base import ALL, OF_NUMBERS, Group, Options
from genlat.theories.double_well import DoubleWellSection
from genlat.theories.ising import IsingSection
from genlat.theories.on import OnSection
from genlat.theories.phi4 import Phi4Section

SECTIONS = {
    "phi4, A": Phi4Section(name="phi4", shape=(2, 4), kappa=0.21, lam=0.31),
    "phi4, B": Phi4Section(name="phi4", shape=(4, 2), m2=-1.3, lam_b=2.1),
    "phi4, C": Phi4Section(name="phi4", shape=(6,), m2=0.4, g=1.7),
    "phi4 in a field": Phi4Section(
        name="phi4", shape=(6,), kappa=0.31, lam=0.4, field=-0.3
    ),
    "double well": DoubleWellSection(
        name="double_well", shape=(6,), m0=1.2, mu2=-0.7, lam=0.5, spacing=0.8
    ),
    "O(2)": OnSection(name="on", shape=(4,), components=2, kappa=0.31, lam=0.4),
    "O(3), free": OnSection(name="on", shape=(4, 2), components=3, kappa=0.2, lam=0),
    "ising": IsingSection(name="ising", shape=(2, 4), beta=0.31),
    "ising in a field": IsingSection(name="ising", shape=(3, 2), beta=0.23, field=0.4),
    "antiferromagnet": IsingSection(name="ising", shape=(4, 3), beta=-0.2),
}
every = pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)


@functools.cache
def some(section, n=3):
    """Configurations that a chain would start from, in double precision."""
    return section.theory().start(jr.key(5), n, jnp.dtype(jnp.float64))


def of_each(function, phis):
    """One program instead of one for every operation, and numpy's arrays."""
    return jax.device_get(jax.jit(jax.vmap(function))(phis))


def test_every_theory_is_tried():
    assert {type(section) for section in SECTIONS.values()} == {*named.THEORIES}


@every
def test_names_are_those_of_what_there_is(section):
    theory, (phi, *_) = section.theory(), some(section)
    measured = jax.eval_shape(lambda x: observables.primary(theory.action, x), phi)
    assert set(measured) == set(section.observables)
    assert theory.kernels.keys() == section.KERNELS.keys()
    assert {*section.DEFAULT_KERNEL, *section.SWEEPS} <= section.KERNELS.keys()
    assert theory.action.lattice_shape == section.shape
    assert theory.action.field_shape == phi.shape
    assert section.n_components == phi.size / np.prod(section.shape)
    assert section.SPACE.has_components == (len(section.shape) < phi.ndim)
    assert theory.action.space == section.SPACE
    assert (theory.line is not None) == section.HAS_LINE
    assert all(hasattr(section, name) for name in section.couplings)
    assert {*section.arrays} <= {*section.couplings}
    assert {*section.ODD} <= {*section.couplings}
    assert all(hasattr(theory.action, name) for name in section.arrays)


@every
def test_everything_is_called_something(section):
    assert catalogue.titled(section.name) == section.TITLE != section.name
    assert catalogue.THEORIES[section.name] == section.SUMMARY
    for name in section.observables:  # as its own section has it, or every theory
        assert notation.SYMBOLS[name].strip()
        assert re.fullmatch(r"1|φ[²⁴]?|(1|1/β) per site²?", notation.UNITS[name])
    assert {*section.couplings} <= section.SYMBOLS.keys() <= notation.COUPLINGS.keys()
    assert {*section.observables} <= catalogue.PRIMARY.keys()
    assert section.KERNELS.keys() <= catalogue.KERNELS.keys()


@every
def test_the_force_is_the_slope_of_the_action(section):
    action = section.theory().action
    if not isinstance(action, AbstractContinuousAction):
        assert not section.SPACE.is_continuous
        return
    force, slope = of_each(
        lambda phi: (action.force(phi), jax.grad(action)(phi)), some(section)
    )
    np.testing.assert_allclose(force, -slope, rtol=1e-10, atol=1e-10)


@every
def test_declared_symmetries_leave_the_action(section):
    action = section.theory().action
    assert section.symmetries == action.symmetries

    def images(phi, name):
        if name in symmetry.FINITE:
            group = symmetry.group(section.shape, (name,), section.n_components)
            return [g.apply(phi) for g in group]
        assert name == "rotations"
        keys = jr.split(jr.key(2), 4)
        return [phi @ jr.orthogonal(key, section.n_components) for key in keys]

    def actions(phi):
        moved = {name: images(phi, name) for name in section.symmetries}
        values = {name: jax.vmap(action)(jnp.stack(x)) for name, x in moved.items()}
        return action(phi), values

    wanted, found = of_each(actions, some(section))
    assert {*found} == {*section.symmetries}
    for values in found.values():
        np.testing.assert_allclose(
            values,
            np.broadcast_to(wanted[:, None], values.shape),
            rtol=1e-12,
            atol=1e-10,
        )


def test_names_of_symmetries_are_those_of_actions():
    assert OF_NUMBERS == symmetry.LATTICE
    assert (*symmetry.LATTICE, *symmetry.INTERNAL) == ALL
    assert get_args(Group) == symmetry.FINITE


def test_a_symmetry_that_is_not_there_is_none():
    """Negative control, and what run files say of it."""
    section = SECTIONS["ising in a field"]
    assert section.symmetries == ("translations", "point_group")
    action = section.theory().action
    change = of_each(lambda phi: action(-phi) - action(phi), some(section))
    assert abs(change[0]) > 0.1


@every
def test_configurations_are_kept_as_they_are(section):
    """To the precision of the type on disk, which holds every value of the field."""
    phis = np.asarray(some(section))
    kept = phis.astype(section.SPACE.dtype)
    np.testing.assert_allclose(kept, phis, rtol=1e-6)
    assert len(np.unique(phis)) > 1


@every
def test_a_coupling_moves_ln_z_by_what_it_says(section):
    """-∂S/∂c is a factor times an observable, configuration by configuration."""
    found, action = 0, section.theory().action
    for name in section.couplings:
        if (slope := section.slope(name)) is None:
            continue
        found += 1
        value, h = getattr(section, name), 1e-4
        ends = (
            section.model_copy(update={name: value + d}).theory().action
            for d in (-h, h)
        )
        line = CouplingLine(*ends)
        measured, rise = of_each(
            lambda phi, line=line: (
                observables.primary(action, phi),
                line.slope(jnp.asarray(0.5), phi),
            ),
            some(section),
        )
        wanted = slope.factor * measured[slope.observable]
        np.testing.assert_allclose(-rise / (2 * h), wanted, rtol=1e-6, atol=1e-6)
    assert found > 0
    assert section.slope("shape") is None


@every
def test_the_line_leads_from_a_solved_theory_to_this_one(section):
    theory = section.theory()
    if (line := theory.line) is None:
        return
    known = exact.known(line.path.at(0.0))["log_z"]
    assert line.log_z_start() == pytest.approx(known.value, rel=1e-9)
    assert {*line.kernels} <= line.served(line.path.at(0.5)).kernels.keys()
    assert line.coupling in {*notation.COUPLINGS, "hopping"}
    observable, factor = line.slope
    last = jnp.asarray(1.0)
    found = of_each(
        lambda phi: {
            "end": line.path.at(1.0)(phi),
            "theory": theory.action(phi),
            "slope": line.path.slope(last, phi),
            "measured": observables.primary(theory.action, phi)[observable],
        },
        some(section),
    )
    np.testing.assert_allclose(found["end"], found["theory"], rtol=1e-12)
    np.testing.assert_allclose(found["slope"], factor * found["measured"], rtol=1e-6)
    # what the report draws ln Z over, and what it calls the integrand
    assert line.end == pytest.approx(
        float(getattr(without_field(theory.action), line.coupling))
    )
    if symbol := notation.COUPLINGS.get(line.coupling):
        assert line.says.endswith(f" d{symbol}")
    if symbol and line.coupling in section.couplings:
        h = line.end * 2 * np.prod(section.shape)
        assert observable == "hopping"
        assert factor == pytest.approx(-h)
        assert line.says.startswith("2⟨H⟩")


def n_most_content(shape, coupling):
    """Choices of signs of which as many bonds are content as can be."""
    volume = int(np.prod(shape))
    signs = np.array([*itertools.product((-1, 1), repeat=volume)]).reshape(-1, *shape)
    bonds = [signs * np.roll(signs, -1, axis) for axis in range(1, signs.ndim)]
    energy = -np.sign(coupling) * np.sum(bonds, axis=(0, *range(2, signs.ndim + 1)))
    return np.sum(energy == np.min(energy))


@every
def test_modes_are_those_that_the_bonds_leave(section):
    """± alone where that contents them all: not in frustrated rings, nor in fields."""
    coupling = next((x for x in ("kappa", "beta") if getattr(section, x, None)), None)
    shapes = {1: [(1,), (3,), (4,)], 2: [(2, 3), (1, 4), (4, 2)]}[len(section.shape)]
    fields = (0.0, 0.3) if "field" in type(section).model_fields else (None,)
    tried = itertools.product(shapes, (1, -1) if coupling else (1,), fields)
    for shape, sign, field in tried:
        changed = {"shape": shape} | ({} if field is None else {"field": field})
        if coupling:
            changed[coupling] = sign * abs(getattr(section, coupling))
        theory = section.model_copy(update=changed).theory()
        is_pair = n_most_content(shape, sign) == 2 and (sign > 0 or not field)
        assert theory.modes == (("sign",) if is_pair else None), changed
        if not is_pair:
            assert not theory.is_visited_by(
                theory.kernels[section.DEFAULT_KERNEL[-1]](Options())
            )


@functools.cache
def tiny(section):
    """The same theory on a lattice that can be summed over, or integrated."""
    if not section.SPACE.is_continuous:
        return section
    shape = (4,) if len(section.shape) == 1 else (2, 2)
    shape = (2,) if section.n_components > 1 else shape
    return section.model_copy(update={"shape": shape})


@functools.cache
def integrated(section):
    """Averages over all configurations, each with its weight e^(-S).

    Of a field by the trapezoidal rule, whose error is exponentially small, as far out
    as five widths: of the theory as a first such sum finds it.
    """
    action, phis = section.theory().action, some(section)
    n, size = phis[0].size, max(int(1e5 ** (1 / phis[0].size)), 9)

    def averaged(values, measure):
        nodes = np.stack(np.meshgrid(*n * [values], indexing="ij"), axis=-1)
        nodes = nodes.reshape(-1, *phis.shape[1:])
        action_of, measured = of_each(lambda phi: (action(phi), measure(phi)), nodes)
        weight = np.exp(np.min(action_of) - action_of)
        weight /= np.sum(weight)
        return {name: np.tensordot(weight, x, 1) for name, x in measured.items()}

    values = np.array([-1, 1], phis.dtype)
    if section.SPACE.is_continuous:
        values = np.linspace(-5, 5, size) * np.sqrt(np.mean(phis**2))
        square = averaged(values, lambda phi: {"": jnp.mean(phi**2)})[""]
        values = np.linspace(-5, 5, size) * np.sqrt(square)
    return averaged(values, lambda phi: observables.primary(action, phi))


@every
def test_exact_values_are_averages_over_all_configurations(section):
    """Those that there are, none of which a theory must have."""
    small = tiny(section)
    known, found = exact.known(small.theory().action), integrated(small)
    for name in {*known} & {*found}:
        bound = 2e-3 * abs(known[name].value) + 1e-3 + 5 * known[name].error
        assert np.all(np.abs(found[name] - known[name].value) < bound), name
    if "schwinger_dyson" in found:
        assert found["schwinger_dyson"] == pytest.approx(1, rel=2e-3)


KERNELS = [
    pytest.param(tiny(section), kernel, id=f"{name}, {kernel}")
    for name, section in SECTIONS.items()
    for kernel in section.KERNELS
    if section.why_no_kernel([*section.DEFAULT_KERNEL, kernel]) is None
]


def means_of(section, kernel, theory=None):
    """By a kernel, beside those by default where it is not ergodic alone."""
    theory = theory or section.theory()
    alone = section.why_no_kernel([kernel]) is None
    names = [kernel] if alone else [*section.DEFAULT_KERNEL[:1], kernel]
    parts = tuple(theory.kernels[name](Options()) for name in names)
    tuned, states = runner.thermalise(
        Sequence(parts), some(section, 128), jr.key(1), n_therm=200
    )
    measure = jax.tree_util.Partial(observables.primary, section.theory().action)
    _, history = runner.run_chunk(
        tuned, states, jr.key(2), 0, n_samples=400, thin=1, measure=measure
    )
    return {
        name: autocorrelation.mean(np.asarray(history[name]))
        for name in integrated(section)
    }


def pulls(found, wanted):
    """In errors, of all that fluctuates."""
    return {
        name: float(np.max(np.abs(x.value - wanted[name]) / x.error))
        for name, x in found.items()
        if np.all(np.asarray(x.error) > 0)
    }


@pytest.mark.parametrize(("section", "kernel"), KERNELS)
def test_every_kernel_has_the_averages_over_all_configurations(section, kernel):
    """Whether or not exact values are known of the theory."""
    wanted = integrated(section)
    found = means_of(section, kernel)
    density = wanted["action_density"]
    assert found["action_density"].error < 0.03 * max(abs(density), 0.5)
    far = {name: pull for name, pull in pulls(found, wanted).items() if pull > 5}
    assert not far


def test_a_kernel_of_another_theory_has_not():
    """Negative control: the couplings of a kernel are off by half."""
    section = tiny(SECTIONS["phi4, A"])
    other = section.model_copy(update={"kappa": 0.3}).theory()
    wrong = dataclasses.replace(section.theory(), kernels=other.kernels)
    assert pulls(means_of(section, "hmc", wrong), integrated(section))["mag2"] > 5
