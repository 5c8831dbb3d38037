"""φ⁴ in a field: action, clusters, exact values, the gap equation, what is refused."""

import itertools
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import integrate, optimize

from config_for_tests import load
from genlat import exact
from genlat.actions import declared, gap
from genlat.actions.path import HoppingPathInField
from genlat.actions.phi4 import Phi4, Phi4InField
from genlat.estimators import autocorrelation
from genlat.exact import in_field
from genlat.families import gaussian_prior
from genlat.families.cnf import CnfSection
from genlat.families.coupling import CouplingSection
from genlat.mcmc import cluster, runner
from genlat.mcmc.cluster import SignCluster
from genlat.mcmc.hmc import HMC
from genlat.mcmc.metropolis import Metropolis
from genlat.mcmc.reflection import Reflection
from genlat.mcmc.sequence import Sequence
from genlat.models.gaussian import GaussianPair
from genlat.runs.disk import directory
from genlat.runs.stages import chain_stage
from genlat.runs.stages.job import Job
from genlat.runs.stages.screen import Screen
from genlat.theories.phi4 import Phi4Section

KAPPA, LAM = 0.27, 0.35
TEXT = """
seed = 3
[theory]
name = "phi4"
shape = [4, 4]
kappa = 0.21
lam = 0.31
field = 0.2
[mcmc]
"""
FORMS = {
    "A": Phi4((4, 3), 0.21, 0.31),
    "B": Phi4.form_b((4, 3), -1.3, 2.1),
    "C": Phi4.form_c((4, 3), 0.4, 1.7),
}


def tilted(shape, kappa=KAPPA, lam=LAM, field=0.3):
    return Phi4InField(Phi4(shape, kappa, lam), field)


def some(shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("field", [0.37, -0.2])
def test_the_field_adds_the_sum_of_the_form_s_own_field(form, field):
    action, phi = Phi4InField(FORMS[form], field), some((4, 3))

    @jax.jit
    def of(phi):
        force, slope = action.force(phi), jax.grad(action)(phi)
        return action(phi), FORMS[form](phi), force, slope, action.observables(phi)

    value, even, force, slope, found = jax.device_get(of(phi))
    wanted = even - field * sum(np.asarray(phi).ravel())
    assert value == pytest.approx(wanted, rel=1e-13)
    np.testing.assert_allclose(force, -slope, rtol=1e-11, atol=1e-12)
    wanted = np.mean(np.asarray(phi) * slope)
    assert found["schwinger_dyson"] == pytest.approx(wanted, rel=1e-12)
    assert action.symmetries == ("translations", "point_group")


def test_who_knows_of_three_couplings_only_refuses_a_field():
    action = tilted((4, 4))
    assert not declared.is_scalar(action)
    assert not hasattr(action, "hopping")
    with pytest.raises(ValueError, match="an S of its own; use hmc"):
        declared.require_couplings(action, "a test")

    class More(Phi4InField):
        def __call__(self, phi):
            return super().__call__(phi) + jnp.sum(phi**3)

    for kernel in (SignCluster, Metropolis):
        with pytest.raises(ValueError, match=r"of its own|the symmetry"):
            kernel(More(action.even, 0.1))
    with pytest.raises(ValueError, match="an S of its own"):
        HoppingPathInField(More(action.even, 0.1), 0.5)
    assert exact.known(More(action.even, 0.1)) == {}
    with pytest.raises(ValueError, match="needs the symmetry 'sign'"):
        Reflection(action)


def test_without_a_field_everything_is_what_it_was(tmp_path):
    """Action, what is written, and so the fingerprint of every ensemble."""
    section = Phi4Section(name="phi4", shape=(4, 3), kappa=0.21, lam=0.31)
    zero = section.model_copy(update={"field": 0.0})
    assert type(zero.theory().action) is Phi4
    for like in (section, zero):
        assert list(like.model_dump()) == [
            *("name", "shape", "kappa", "lam", "m2", "lam_b", "g")
        ]
        assert directory.fingerprint(1, like) == directory.fingerprint(1, section)
    named = section.model_copy(update={"field": -0.1})
    assert named.model_dump()["field"] == -0.1
    assert Phi4Section.model_validate(named.model_dump()) == named
    assert directory.fingerprint(1, named) != directory.fingerprint(1, section)


# clusters: two sites, every p and every transition by a grid


def pair_weights(action, x):
    """p of a pair of sites on a grid, and ⟨φ⟩ and P(both negative)."""
    grid = np.stack(np.meshgrid(x, x, indexing="ij"), -1)
    weight = np.exp(-np.asarray(jax.jit(jax.vmap(jax.vmap(action)))(grid)))
    return weight / weight.sum()


@pytest.mark.parametrize("field", [0.4, -0.25])
@pytest.mark.parametrize("kernels", [(HMC, SignCluster), (Metropolis, SignCluster)])
def test_kernels_leave_a_pair_of_sites_as_it_is(field, kernels):
    action = tilted((2,), 0.4, 0.3, field)
    x = np.linspace(-4.5, 4.5, 181)
    p = pair_weights(action, x)
    start = runner.init_chains(action, jr.key(1), 256, dtype=jnp.float64)
    kernel = Sequence(tuple(kernel(action) for kernel in kernels))
    tuned, states = runner.thermalise(kernel, start, jr.key(2), n_therm=100)
    _, found = runner.run_chunk(
        tuned,
        states,
        jr.key(3),
        0,
        n_samples=400,
        thin=1,
        measure=lambda phi: {
            "mag": jnp.mean(phi),
            "product": phi[0] * phi[1],
            "both": jnp.all(phi < 0).astype(float),
        },
    )
    one, two = np.meshgrid(x, x, indexing="ij")
    # half of a weight at 0, where a node is
    both = np.outer(np.sign(-x) + 1, np.sign(-x) + 1) / 4
    for name, values in (("mag", (one + two) / 2), ("product", one * two)):
        mean = autocorrelation.mean(np.asarray(found[name]))
        assert mean.error < 0.01
        assert abs(mean.value - np.sum(p * values)) < 5 * mean.error
    mean = autocorrelation.mean(np.asarray(found["both"]))
    assert abs(mean.value - np.sum(p * both)) < 5 * mean.error


def sign_states(modulus):
    signs = np.array(list(itertools.product((1, -1), repeat=modulus.size)))
    return jnp.asarray(signs * modulus)


def moved_mass(action, modulus, n=20_000):
    """Pulls of p(signs) after one cluster step from draws of p(signs) itself."""
    states = sign_states(modulus)
    p = np.exp(-np.asarray(jax.jit(jax.vmap(action))(states)))
    p /= p.sum()
    drawn = np.random.default_rng(3).choice(len(p), size=n, p=p)
    kernel = SignCluster(action)
    step = jax.jit(jax.vmap(lambda key, phi: kernel.step(key, kernel.init(phi))[0].phi))
    moved = np.asarray(step(jr.split(jr.key(4), n), states[drawn]))
    codes = np.argmin(np.abs(moved[:, None] - np.asarray(states)[None]).sum(-1), axis=1)
    assert np.mean(codes != drawn) > 0.2
    counts = np.bincount(codes, minlength=len(p))
    return (counts - n * p) / np.sqrt(n * p * (1 - p))


@pytest.mark.parametrize(("field", "kappa"), [(0.3, 0.4), (-0.5, 0.2), (0.4, -0.3)])
def test_a_cluster_step_leaves_the_signs_as_they_are(field, kappa, monkeypatch):
    modulus = np.array([0.7, 1.1, 0.4])
    action = tilted((3,), kappa, LAM, field)
    assert np.max(np.abs(moved_mass(action, modulus))) < 5
    # negative control: coins that know of no field
    monkeypatch.setattr(cluster, "is_in_field", lambda action: False)
    assert np.max(np.abs(moved_mass(action, modulus))) > 8


@pytest.mark.parametrize(
    ("kappa", "field", "kernel", "expected"),
    [
        (0.21, 0.1, "['hmc','cluster']", 1),
        (0.21, -0.1, "['hmc','cluster']", 1),
        (-0.21, 0.1, "['hmc','cluster']", 0),  # the field and the bonds disagree
        (-0.21, 0.0, "['hmc','cluster']", 1),
        (0.21, 0.1, "['hmc']", 0),
    ],
)
def test_which_chains_are_evidence_of_both_signs(
    tmp_path, kappa, field, kernel, expected
):
    asked = [f"theory.kappa={kappa}", f"theory.field={field}", f"mcmc.kernel={kernel}"]
    run = load(tmp_path, TEXT, asked)
    job = Job(tmp_path, run, run.theory.theory(), Screen(quiet=True))
    assert chain_stage._label(job)["visits_every_mode"] == expected


# exact values


@pytest.mark.parametrize(
    ("a", "b", "field"),
    [(0.3, 0.4, 0.7), (-3.0, 1.1, 0.2), (-20.0, 4.0, -0.05), (1.0, 1e-3, 2.0)],
)
def test_sites_in_a_field_are_integrals(a, b, field):
    """Against adaptive quadrature, up to deep wells."""

    def weight(x, power=0):
        return x**power * math.exp(-a * x**2 - b * x**4 + field * x - shift)

    bottom = optimize.minimize_scalar(
        lambda x: a * x**2 + b * x**4 - field * x, bounds=(-5, 5), method="bounded"
    )
    shift = -float(bottom.fun)
    points = [-math.sqrt(-a / (2 * b)), math.sqrt(-a / (2 * b))] if a < 0 else [0]
    z, _ = integrate.quad(weight, -9, 9, points=points, epsabs=0, limit=400)
    found = in_field.log_z_of_site(a, b, field)
    assert found == pytest.approx(math.log(z) + shift, rel=1e-11)


def test_lattices_of_sites_and_of_one_site():
    sites, one = (exact.known(tilted(s, 0.0, 0.6)) for s in ((3, 2), (1,)))
    assert sites["log_z"].value == pytest.approx(6 * one["log_z"].value, rel=1e-12)
    assert sites["mag"].value == one["mag"].value
    # ⟨m⟩ is d ln Z/dh per site
    up, down = (
        exact.known(tilted((1,), 0.0, 0.6, 0.3 + d))["log_z"].value
        for d in (1e-4, -1e-4)
    )
    assert one["mag"].value == pytest.approx((up - down) / 2e-4, rel=1e-6)


@pytest.mark.parametrize(
    ("extent", "kappa", "field"), [(2, 0.3, 0.2), (3, -0.25, -0.3), (5, 0.31, 0.7)]
)
def test_rings_by_a_plain_grid(extent, kappa, field):
    """Products of a matrix on 141 points, nothing diagonalised."""
    x = np.linspace(-5, 5, 141)
    potential = (1 - 2 * LAM) * x**2 + LAM * x**4 - field * x
    site = np.exp(-potential) * (x[1] - x[0])
    around = np.linalg.matrix_power(np.exp(2 * kappa * np.outer(x, x)) * site, extent)
    total = np.trace(around)
    known = exact.known(tilted((extent,), kappa, LAM, field))
    assert known["log_z"].value == pytest.approx(math.log(total), abs=1e-11)
    assert known["log_z"].error < 1e-10
    for name, power in (("mag", 1), ("phi2", 2)):
        wanted = np.trace(around * x**power) / total
        assert known[name].value == pytest.approx(wanted, abs=1e-11)


@pytest.mark.parametrize(
    ("extent", "kappa", "lam", "field"),
    [(2, -0.45, 0.001, 10), (4, -0.6, 0.022, 5), (5, -0.45, 0.01, 5), (6, -2, 0.5, -8)],
)
def test_rings_that_cannot_all_be_content(extent, kappa, lam, field):
    """Bonds want neighbours of other signs, the field all of one: S has no low site."""
    x = np.linspace(-14, 14, 1601)
    site = -((1 - 2 * lam) * x**2 + lam * x**4 - field * x)
    exponent = 2 * kappa * np.outer(x, x) + (site[:, None] + site[None, :]) / 2
    top = exponent.max()
    values = np.linalg.eigvalsh(np.exp(exponent - top)) * (x[1] - x[0])
    largest = np.abs(values).max()
    total = np.log(np.sum((values / largest) ** extent))
    known = exact.known(tilted((extent,), kappa, lam, field))["log_z"]
    wanted = extent * (top + np.log(largest)) + total
    assert known.value == pytest.approx(wanted, abs=1e-11)
    assert known.error < 1e-10


@pytest.mark.parametrize("shape", [(3, 2), (4, 3), (1, 5)])
def test_free_fields_by_linear_algebra(shape):
    """φ = A⁻¹ J + noise of covariance A⁻¹, with the Hessian of the action itself."""
    action, volume = tilted(shape, 0.12, 0.0, -0.4), math.prod(shape)
    zero = jnp.zeros(shape)
    hessian = np.asarray(jax.jit(jax.hessian(action))(zero)).reshape(volume, volume)
    source = np.full(volume, -0.4)
    mean, spread = np.linalg.solve(hessian, source), np.linalg.inv(hessian)
    known = exact.known(action)
    log_z = (
        volume / 2 * math.log(2 * math.pi)
        - np.linalg.slogdet(hessian)[1] / 2
        + source @ mean / 2
    )
    moment = spread + np.outer(mean, mean)
    slices = moment.reshape(*shape, *shape)
    lag0 = np.mean([slices[t][..., t, :].sum() for t in range(shape[0])])
    wanted = {
        "log_z": log_z,
        "mag": mean[0],
        "phi2": np.trace(moment) / volume,
        "mag2": moment.sum() / volume**2,
        "action_density": 0.5 - source @ mean / (2 * volume),
    }
    for name, value in wanted.items():
        assert known[name].value == pytest.approx(value, rel=1e-10), name
    space = volume // shape[0]
    assert known["two_point"].value[0] == pytest.approx(lag0 / space, rel=1e-10)


def test_what_is_not_known_has_a_reason():
    answer = exact.answer(tilted((4, 4)))
    assert answer.values == {}  # ⟨m⟩ = 0 is not claimed
    assert "rings, independent sites and free fields" in answer.why_not


# the gap equation


@pytest.mark.parametrize(
    ("kappa", "lam", "field"),
    [(0.2, 0.3, 0.15), (0.3, 0.022, -0.01), (0.27, 0.05, 0.02), (-0.2, 0.1, 0.3)],
)
def test_the_best_gaussian_in_a_field_is_the_lowest_bound(kappa, lam, field):
    """Against a minimisation over v and one variance per orbit of momenta.

    The bound itself is written out: E[S] of Gaussian moments, and the entropy.
    """
    even, shape = Phi4((4, 4), kappa, lam), (4, 4)
    best = gap.best_gaussian(Phi4InField(even, field))
    p = 2 * np.pi * np.fft.fftfreq(4)
    base = 1 - 2 * lam - 2 * kappa * (np.cos(p)[:, None] + np.cos(p)[None])
    kinds, index = np.unique(np.round(base, 9), return_inverse=True)
    index = index.reshape(shape)

    def bound(parameters):
        v, variance = parameters[0], np.exp(parameters[1:])[index]
        c = variance.mean()
        fourth = v**4 + 6 * v**2 * c + 3 * c**2
        mean_action = np.sum(base * variance) + 16 * (
            base[0, 0] * v**2 + lam * fourth - field * v
        )
        return mean_action - 0.5 * np.sum(np.log(2 * np.pi * math.e * variance))

    starts = [np.array([v, *np.full(len(kinds), -0.5)]) for v in (-2.5, -0.3, 0.3, 2.5)]
    found = [optimize.minimize(bound, x, tol=1e-12) for x in starts]
    lowest = min(found, key=lambda x: x.fun)
    assert best.free_energy == pytest.approx(lowest.fun, abs=1e-7)
    assert best.mean == pytest.approx(lowest.x[0], abs=1e-3)
    assert best.mean * field > 0
    ring = tilted((6,), kappa, lam, field)
    assert -exact.known(ring)["log_z"].value < gap.best_gaussian(ring).free_energy


def test_a_free_field_is_its_own_best_gaussian():
    action = tilted((4, 3), 0.12, 0.0, -0.4)
    known, best = exact.known(action), gap.best_gaussian(action)
    assert best.free_energy == pytest.approx(-known["log_z"].value, rel=1e-12)
    assert best.mean == pytest.approx(known["mag"].value, rel=1e-12)


@pytest.mark.parametrize("field", [0.2, -0.2])
def test_the_prior_is_one_gaussian_around_v(field):
    action = tilted((4, 4), field=field)
    best = gap.best_gaussian(action)
    prior = gaussian_prior.choose(CouplingSection(name="spline"), action).model()

    @jax.jit
    def drawn(keys):
        phis, log_q = prior.sample_batch(keys)
        back = prior.log_prob_batch(phis)
        return phis, log_q, back, jax.vmap(action)(phis.astype(float))

    phis, log_q, back, values = jax.device_get(drawn(jr.split(jr.key(0), 4000)))
    error = math.sqrt(best.variance.flat[0] / 16 / 4000)
    assert abs(phis.mean(dtype=float) - best.mean) < 5 * error
    np.testing.assert_allclose(log_q, back, rtol=1e-4)
    # ln Z of the variational bound: E[S + ln q]
    total = values + log_q
    spread = total.std() / math.sqrt(len(total))
    assert abs(total.mean() - best.free_energy) < 5 * spread
    # from disk, and to other theories
    back = gaussian_prior.skeleton((4, 4), gaussian_prior.static_of(prior))
    assert jax.tree.structure(back) == jax.tree.structure(prior)
    other = gaussian_prior.choose(
        CouplingSection(name="spline"), tilted((4, 4), field=-field)
    )
    carried = gaussian_prior.carried(prior, other)
    assert isinstance(carried, GaussianPair)
    assert float(carried.mean) == pytest.approx(other.mean, rel=1e-6)
    same = gaussian_prior.choose(
        CouplingSection(name="spline"), tilted((4, 4), field=2 * field)
    )
    assert float(gaussian_prior.carried(prior, same).mean) == float(prior.mean)


def test_an_odd_flow_is_refused_where_it_is_built():
    with pytest.raises(ValueError, match="cnf needs the symmetry 'sign'"):
        CnfSection().build(tilted((4, 4)), jr.key(0))
