"""What every family of models must keep: a line in `SECTIONS` buys all of it."""

import math
from typing import get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from genlat import exact
from genlat.estimators import weights
from genlat.families import named
from genlat.families.base import AbstractModelSection
from genlat.families.cnf import CnfSection
from genlat.families.coarse_to_fine import CoarseToFineSection
from genlat.families.coupling import CouplingSection
from genlat.families.dense_spins import DenseSpinSection
from genlat.families.pixelcnn import PixelCnnSection
from genlat.models.base import AbstractFlow, AbstractIntegratedFlow
from genlat.runs.disk import checkpoint
from genlat.runs.doctor import model_gates
from genlat.runs.file import catalogue, memory
from genlat.theories.ising import IsingSection
from genlat.theories.on import OnSection
from genlat.theories.phi4 import Phi4Section
from genlat.training import admissible, loop, objectives
from genlat.training.objectives import (
    ForwardKL,
    PathForwardKL,
    PathReverseKL,
    ReinforceReverseKL,
)

FIELD = Phi4Section(name="phi4", shape=(4, 4), kappa=0.17, lam=0.4)
VECTORS = OnSection(name="on", shape=(4, 4), components=2, kappa=0.1, lam=0)
SPINS = IsingSection(name="ising", shape=(4, 4), beta=0.15)
OF_VECTORS = CnfSection(n_steps=4, features=2, channels=2)
LAYERS = {"layers": 2, "hidden": (4,)}
SECTIONS = {
    "cnf": CnfSection(n_steps=4, features=3, channels=2),
    "cnf of vectors": OF_VECTORS,
    "realnvp": CouplingSection(name="realnvp", **LAYERS),
    "nice": CouplingSection(name="nice", **LAYERS),
    "spline": CouplingSection(name="spline", **LAYERS),
    "dense": CouplingSection(name="realnvp", conditioner="dense", **LAYERS),
    "normal": CouplingSection(name="realnvp", prior="normal", **LAYERS),
    "coarse_to_fine": CoarseToFineSection(name="coarse_to_fine", width=4),
    "pixelcnn": PixelCnnSection(name="pixelcnn", width=4, half_kernel=1),
    "made": DenseSpinSection(name="made", width=4),
    "hierarchical": DenseSpinSection(name="hierarchical", width=4),
}
every = pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)


def theory_of(section, shape=(4, 4)):
    if section is OF_VECTORS:
        found = VECTORS
    else:
        found = FIELD if FIELD.SPACE in section.SPACES else SPINS
    return found.model_copy(update={"shape": shape})


_BUILT = {}  # by the address of a section, of which those of the tables stay


def built(section, shape=(4, 4)):
    """A model with generic parameters, in the precision of training."""
    if (id(section), shape) not in _BUILT:
        action = theory_of(section, shape).theory().action
        rng, model = np.random.default_rng(4), section.build(action, jr.key(3))

        def moved(x):
            is_coupling = not x.ndim
            if is_coupling or not jnp.issubdtype(x.dtype, jnp.floating):
                return x
            noise = rng.normal(size=x.shape)
            return jnp.asarray((np.asarray(x) + 0.02 * noise).astype(x.dtype))

        _BUILT[id(section), shape] = jax.tree.map(moved, model)
    return _BUILT[id(section), shape]


def compiled_step(state, action, objective, settings):
    def step(state):
        return loop.run_chunk(state, action, objective, settings, 1)

    return jax.jit(step).lower(state).compile()


def compiled_draw(model, n):
    def draw(model, keys):
        return model.sample_batch(keys)

    return jax.jit(draw).lower(model, jr.split(jr.key(7), n)).compile()


def assert_held(compiled, said):
    """Its work, and what goes in and comes out, are within a factor of two."""
    sizes = compiled.memory_analysis()
    held = sizes.temp_size_in_bytes
    held += sizes.argument_size_in_bytes + sizes.output_size_in_bytes
    assert said / 2 < held < 2 * said, (held, said)


def said_of_step(section, shape, n):
    n_components = theory_of(section).n_components
    weights = memory.trained_weight_bytes(shape, section)
    return weights + memory.training_bytes(shape, section, n, n_components)


def said_of_draw(section, shape, n):
    n_components = theory_of(section).n_components
    weights = memory.weight_bytes(shape, section)
    return weights + memory.sampling_bytes(shape, section, n, n_components)


def leaves_of(model):
    return [np.asarray(x) for x in jax.tree.leaves(model)]


def test_every_family_is_tried():
    assert {type(section) for section in SECTIONS.values()} == {*named.FAMILIES}
    assert {section.name for section in SECTIONS.values()} == catalogue.MODELS.keys()
    names = [name for family in named.FAMILIES for name in family.SUMMARIES]
    assert len(names) == len({*names})


@every
def test_facts_are_those_of_the_model(section):
    model = built(section)
    assert list(section.problems(theory_of(section))) == []
    assert model.lattice_shape == theory_of(section).shape
    assert section.has_slope == isinstance(model, AbstractFlow)
    assert section.is_integrated == isinstance(model, AbstractIntegratedFlow)
    assert model.likelihood == section.LIKELIHOOD
    fields = type(section).model_fields.keys()
    assert {*section.ARCHITECTURE, *section.SIZES} <= fields
    phis = np.ones((2, *model.field_shape), np.float32)
    reason = PathForwardKL(jnp.asarray(phis)).why_unfit(model)
    assert (reason is None) == section.PULLS_BACK


@every
def test_weights_are_as_many_as_it_says(section):
    """At the least, and not by orders: what memory is reckoned with."""
    there = sum(
        x.size for x in leaves_of(built(section)) if np.issubdtype(x.dtype, np.floating)
    )
    said = section.weights(theory_of(section).shape)
    assert 0 < said < 2 * there
    assert there < 6 * said + 4 * 16  # biases, and the prior's, one for every mode


@every
def test_both_directions_agree_and_q_is_normalised(section):
    """ln Z by its draws is the exact one: log q is a density, and theirs.

    They take the memory that a run file is told they do.
    """
    action, model = theory_of(section).theory().action, built(section)
    draw = compiled_draw(model, 4000)
    assert_held(draw, said_of_draw(section, (4, 4), 4000))
    phis, log_q = draw(model, jr.split(jr.key(7), 4000))
    assert phis.shape == (4000, *model.field_shape)
    assert model.field_shape == action.field_shape
    again = jax.jit(lambda phis: model.log_prob_batch(phis))(phis)
    np.testing.assert_allclose(again, log_q, atol=2e-3)
    log_w = -jax.jit(jax.vmap(lambda phi: action(phi)))(phis) - log_q
    found = weights.log_z(np.asarray(log_w))
    assert found.error < 0.05
    known = exact.known(action)["log_z"]
    assert abs(found.value - known.value) < 5 * found.error


FLOWS = {name: section for name, section in SECTIONS.items() if section.has_slope}


@pytest.mark.parametrize("section", FLOWS.values(), ids=FLOWS)
def test_log_q_is_that_of_the_map(section):
    """Against the determinant of its derivatives, in double precision.

    By the gates of `genlat doctor`, the last of which is more than is needed here.
    """
    action = theory_of(section).theory().action
    passed = {}
    for gate in model_gates.gates(section.build(action, jr.key(3)), action):
        assert gate.is_passed, gate.line()
        passed[gate.name] = gate
        if gate.name == "log-determinant":
            break
    assert "log-determinant" in passed


def other_values(section, name):
    """Of a field, in which a model could be another one."""
    value, field = getattr(section, name), type(section).model_fields[name]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, str):
        return [x for x in get_args(field.annotation) if x != value]
    if isinstance(value, tuple):
        return [tuple(x + 1 for x in value)]
    return [value + 2 if isinstance(value, int) else 4 * value]


# by models that look at their numbers when they are made
CHECKED = jax.errors.TracerBoolConversionError, jax.errors.TracerArrayConversionError


def sizes_of_leaves(section, static):
    theory = theory_of(section, (8, 8))
    try:
        model = eqx.filter_eval_shape(lambda: section.skeleton(theory, static))
    except CHECKED:
        model = section.skeleton(theory, static)
    return [x.shape for x in jax.tree.leaves(model) if hasattr(x, "shape")]


@pytest.mark.parametrize("family", named.FAMILIES)
def test_what_changes_its_leaves_is_said_to(family):
    """By what a trained model is refused, and what is named where it is too large."""
    own, grow = family.model_fields.keys() - AbstractModelSection.model_fields, set()
    for section in [x for x in SECTIONS.values() if type(x) is family]:
        static = section.static(built(section))
        before = sizes_of_leaves(section, static)
        for name, value in [(x, v) for x in own for v in other_values(section, x)]:
            other = section.model_copy(update={name: value})
            after = sizes_of_leaves(other, static)
            assert after == before or name in section.ARCHITECTURE, (name, value)
            if after != before and not isinstance(value, bool | str):
                grow.add(name)
                assert sum(map(math.prod, after)) > sum(map(math.prod, before))
    assert grow == {*family.SIZES}


@every
def test_what_is_on_disk_comes_back(section, tmp_path):
    model = built(section)
    checkpoint.save(tmp_path, 1, model)
    blank = section.skeleton(theory_of(section), section.static(model))
    found = checkpoint.load_newest(tmp_path, blank)
    assert jax.tree.structure(found) == jax.tree.structure(model)
    for a, b in zip(leaves_of(found), leaves_of(model), strict=True):
        np.testing.assert_array_equal(a, b)
    as_node = section.as_node(model)
    assert as_node.lattice_shape == model.lattice_shape


@every
def test_a_trained_model_is_a_first_guess(section):
    """On the same theory it is what it was; elsewhere, if it may, of its shape."""
    theory, model = theory_of(section), built(section)
    carried = section.carry(model, theory.theory().action)
    for a, b in zip(leaves_of(carried), leaves_of(model), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    if section.stays_on_its_lattice:
        return
    larger = theory.model_copy(update={"shape": (8, 8)})
    assert section.carry(model, larger.theory().action).lattice_shape == (8, 8)


@pytest.mark.slow  # ten gradients of every family are compiled
@every
def test_every_objective_that_fits_has_a_slope(section):
    """Finite, and not 0 throughout; what does not fit says why."""
    theory, model = theory_of(section).theory(), built(section)
    phis = jnp.asarray(theory.start(jr.key(1), 8, jnp.dtype(float)))
    given = {"data": phis, "augment": (), "alpha": 2.0}
    fitting = {}
    for pair, build in objectives.ADMISSIBLE.items():
        if isinstance(build, str):
            continue
        needs = admissible.NEEDS[pair[0]]
        objective = build(**{name: given[name] for name in needs})
        if objective.why_unfit(model) is None:
            fitting[pair] = objective
    assert section.has_slope == (("reverse_kl", "path") in fitting)
    assert ("forward_kl", "total") in fitting
    assert ("reverse_kl", "reinforce") in fitting

    def size_of_slope(model, objective):
        keys = jr.split(jr.key(2), 8)
        slope = eqx.filter_grad(lambda q: objective(q, theory.action, keys)[0])
        return optax.tree.norm(slope(model))

    @eqx.filter_jit
    def sizes(model):
        return [size_of_slope(model, objective) for objective in fitting.values()]

    found = np.array(sizes(model))
    assert np.all(np.isfinite(found))
    assert np.all(found > 0)


@every
def test_it_can_be_trained(section):
    """By what its draws allow: the gradient is finite, and some of it is not 0.

    A step of some megabytes takes what a run file is told it does.
    """
    theory, n = theory_of(section).theory(), 1024
    action, model = theory.action, built(section)
    settings = loop.Settings(steps=1, batch=n)
    kinds = [PathReverseKL() if section.has_slope else ReinforceReverseKL()]
    if not section.has_slope:
        phis = theory.start(jr.key(1), 16, jnp.dtype(float))
        kinds.append(ForwardKL(jnp.asarray(phis)))
    for objective in kinds:
        state = loop.init(model, settings, jr.key(2))
        step = compiled_step(state, action, objective, settings)
        assert_held(step, said_of_step(section, (4, 4), n))
        _, found = step(state)
        assert np.all(np.isfinite(found["grad_norm"]))
        assert np.all(found["grad_norm"] > 0)


SHAPES = [(1,), (2,), (4,), (5,), (8,), (1, 4), (2, 2), (3, 6), (16, 2), (2, 4, 6)]
SHAPES += [(2, 2, 2, 2), (1, 1, 1), (2**40, 2**40)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@every
def test_memory_is_a_number_before_the_shape_is_found_unfit(section, shape):
    for counted in (section.training_numbers, section.sampling_numbers):
        assert 0 < counted(shape) < math.inf
    assert 0 < section.weights(shape) < math.inf


WIDE = {
    "cnf": (CnfSection(), (32, 32), 256),
    "cnf in three": (CnfSection(features=16, channels=8, n_steps=12), (8, 8, 8), 64),
    "cnf, one step": (CnfSection(features=2, channels=1, n_steps=1), (64,), 1024),
    "realnvp": (CouplingSection(name="realnvp", layers=6), (8, 8), 64),
    "realnvp in three": (
        CouplingSection(name="realnvp", layers=2, hidden=(8,)),
        (8, 8, 8),
        64,
    ),
    "odd realnvp": (
        CouplingSection(name="realnvp", layers=2, equivariant=True, kernel_size=5),
        (16, 16),
        64,
    ),
    "no hidden layers": (
        CouplingSection(name="nice", layers=4, hidden=(), zero_mode=True),
        (16, 16),
        512,
    ),
    "spline": (CouplingSection(name="spline", layers=4), (16, 16), 64),
    "dense": (
        CouplingSection(name="spline", conditioner="dense", layers=3, hidden=(64, 128)),
        (4, 4, 4),
        1024,
    ),
    "coarse_to_fine": (CoarseToFineSection(name="coarse_to_fine"), (32, 32), 256),
    "deep coarse_to_fine": (
        CoarseToFineSection(name="coarse_to_fine", depth=5, reach=6),
        (12, 20),
        256,
    ),
    "pixelcnn": (PixelCnnSection(name="pixelcnn"), (16, 16), 64),
    "gated pixelcnn": (
        PixelCnnSection(name="pixelcnn", block="gated", depth=5, width=16),
        (8, 12),
        256,
    ),
    "made": (DenseSpinSection(name="made", width=16), (4, 4, 4), 1024),
    "deep made": (DenseSpinSection(name="made", depth=4, width=8), (8, 8), 1024),
    "hierarchical": (DenseSpinSection(name="hierarchical"), (16, 16), 256),
}


@pytest.mark.slow  # programs of several sizes are compiled, none of them is run
@pytest.mark.parametrize(("section", "shape", "n"), WIDE.values(), ids=WIDE)
def test_memory_is_what_it_says_at_any_size(section, shape, n):
    action, model = theory_of(section, shape).theory().action, built(section, shape)
    assert_held(compiled_draw(model, n), said_of_draw(section, shape, n))
    settings = loop.Settings(steps=1, batch=n)
    objective = PathReverseKL() if section.has_slope else ReinforceReverseKL()
    state = loop.init(model, settings, jr.key(2))
    step = compiled_step(state, action, objective, settings)
    assert_held(step, said_of_step(section, shape, n))
