"""O(N) φ⁴ theory: rotations, φ⁴ at N = 1, rings by brute force, clusters, a run."""

import json
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.stats import ortho_group
from typer.testing import CliRunner

from config_for_tests import load, refusals
from genlat import cli, exact, observables
from genlat.actions import gap
from genlat.actions.on import On
from genlat.actions.phi4 import Phi4
from genlat.estimators import autocorrelation
from genlat.mcmc import embedded, runner
from genlat.mcmc.cluster import SignCluster
from genlat.mcmc.embedded import EmbeddedCluster
from genlat.mcmc.hmc import HMC
from genlat.mcmc.sequence import Sequence
from genlat.models.gaussian_vectors import GaussianVectors
from genlat.runs.file import catalogue

SHAPE = (4, 3)
TEXT = """
seed = 4
[theory]
name = "on"
shape = [4]
components = 2
kappa = 0.31
lam = 0.4
[mcmc]
chains = 16
samples = 500
therm = 100
n_leapfrog = 5
keep = 64
[estimate]
methods = ["hmc_integration"]
[integration]
couplings = 5
target_error = 0.05
"""


def some(n_components, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, n_components))


def all_of(action, phis):
    """S, force and observables of configurations, by one program."""
    each = jax.vmap(
        lambda phi: (action(phi), action.force(phi), observables.primary(action, phi))
    )
    return jax.device_get(jax.jit(each)(jnp.asarray(phis)))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_rotations_and_permutations_of_components_leave_the_theory(n):
    """φ → Rφ leaves S and what has no direction; the force turns along."""
    action, phi = On(SHAPE, n, 0.23, 0.4), some(n)
    permutation = np.eye(n)[np.random.default_rng(1).permutation(n)]
    no_rotation = np.diag(np.linspace(1, 2, n))
    maps = ortho_group.rvs(n, random_state=2), permutation, no_rotation
    phis = np.stack([phi, *(phi @ a.T for a in maps)])
    values, forces, measured = all_of(action, phis)
    np.testing.assert_allclose(values[1:3], values[0], rtol=1e-12)
    assert abs(values[3] - values[0]) > 0.1
    for force, rotation in zip(forces[1:3], maps[:2], strict=True):
        np.testing.assert_allclose(force, forces[0] @ rotation.T, atol=1e-12)
    for name in measured.keys() - {"mag"}:
        before, *after = measured[name][:3]
        np.testing.assert_allclose(after, np.stack([before] * 2), rtol=1e-10)


@pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 2, 3)])
def test_one_component_is_phi4(shape):
    vector, scalar = On(shape, 1, 0.17, 0.3), Phi4(shape, 0.17, 0.3)
    phis = some(1, shape)[None]
    value, force, ours = all_of(vector, phis)
    wanted, slope, theirs = all_of(scalar, phis[..., 0])
    np.testing.assert_allclose(value, wanted, rtol=1e-13)
    np.testing.assert_allclose(force[..., 0], slope, atol=1e-13)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-12, err_msg=name)


def test_the_magnetisation_is_a_vector():
    phi = some(3)
    _, _, found = all_of(On(SHAPE, 3, 0.1, 0.2), phi[None])
    m = phi.reshape(-1, 3).mean(axis=0)
    assert found["mag"] == pytest.approx(m[0])
    assert found["abs_mag"] == pytest.approx(np.linalg.norm(m))
    assert found["mag4"] == pytest.approx(np.linalg.norm(m) ** 4)
    slices = phi.sum(axis=1) / math.sqrt(SHAPE[1])
    wanted = [
        sum(slices[t] @ slices[(t + lag) % 4] for t in range(4)) / 4 for lag in range(3)
    ]
    np.testing.assert_allclose(found["two_point"], [wanted], rtol=1e-12)


def by_force(n, extent, kappa, lam, nodes):
    """ln Z and moments of a ring, on a grid over all components of every site."""
    x = np.linspace(-1, 1, nodes) * (3.6 if n == 2 else 2.7)
    axes = np.stack(np.meshgrid(*[x] * n, indexing="ij"), -1).reshape(-1, n)
    r2 = np.sum(axes**2, axis=-1)
    site = (x[1] - x[0]) ** n * np.exp(-(1 - 2 * lam) * r2 - lam * r2**2)
    bond = np.exp(2 * kappa * axes @ axes.T)
    around = np.linalg.matrix_power(bond * site, extent)
    total = np.trace(around)
    moments = [np.trace(around * r2**k) / total for k in (1, 2)]
    return math.log(total), *moments


@pytest.mark.parametrize(
    ("n", "extent", "kappa", "nodes"),
    [
        (2, 2, 0.3, 31),
        (2, 3, -0.25, 31),
        (2, 4, -0.28, 31),
        (2, 4, 0.31, 31),
        (3, 3, 0.2, 13),
    ],
)
def test_rings_by_brute_force(n, extent, kappa, nodes):
    """Harmonics and lengths against a product grid: another basis, no O(N) in it."""
    lam = 0.4
    log_z, phi2, phi4 = by_force(n, extent, kappa, lam, nodes)
    known = exact.known(On((extent,), n, kappa, lam))
    rel = 1e-9 if n == 2 else 3e-4  # of a coarse grid
    assert known["log_z"].value == pytest.approx(log_z, rel=rel)
    assert known["phi2"].value == pytest.approx(phi2, rel=rel)
    action = n / 2 - lam * phi4
    assert known["action_density"].value == pytest.approx(action, rel=rel)
    assert known["log_z"].error < 1e-10


def test_sites_alone_and_ties_to_itself():
    """κ = 0 on any lattice; an extent of 1 is a change of the quadratic term."""
    sites = exact.known(On((3, 4, 2), 3, 0.0, 0.7))
    one = exact.known(On((1,), 3, 0.0, 0.7))
    assert sites["log_z"].value == pytest.approx(24 * one["log_z"].value)
    # ∫ d³φ by a radial sum
    r = np.linspace(0, 6, 20_001)
    weight = 4 * np.pi * r**2 * np.exp(-(1 - 1.4) * r**2 - 0.7 * r**4)
    assert one["log_z"].value == pytest.approx(math.log(np.trapezoid(weight, r)))
    tied = exact.known(On((1, 1), 2, 0.1, 0.3))["phi2"]
    r2 = r**2
    weight = r * np.exp(-(1 - 0.6 - 4 * 0.1) * r2 - 0.3 * r2**2)
    wanted = np.trapezoid(r2 * weight, r) / np.trapezoid(weight, r)
    assert tied.value == pytest.approx(wanted)


@pytest.mark.parametrize("shape", [(3, 2), (4, 3)])
def test_free_fields_by_determinants(shape):
    kappa, n = 0.12, 3
    action = On(shape, n, kappa, 0.0)
    zero = jnp.zeros((*shape, n))
    hessian = np.asarray(jax.jit(jax.hessian(action))(zero))
    hessian = hessian.reshape(zero.size, zero.size)
    log_det = np.linalg.slogdet(hessian)[1]
    wanted = zero.size / 2 * math.log(2 * math.pi) - log_det / 2
    assert exact.known(action)["log_z"].value == pytest.approx(wanted, rel=1e-10)
    spread = np.trace(np.linalg.inv(hessian)) / math.prod(shape)
    assert exact.known(action)["phi2"].value == pytest.approx(spread, rel=1e-10)


def test_two_dimensions_in_words():
    answer = exact.answer(On((4, 4), 2, 0.2, 0.3))
    assert answer.why_not is not None
    assert "rings, independent sites and free fields" in answer.why_not
    assert answer.values["mag"].value == 0


def history_of(action, kernel, name, n=400):
    start = runner.init_chains(action, jr.key(1), 128, dtype=jnp.float64)
    tuned, states = runner.thermalise(kernel, start, jr.key(2), n_therm=200)
    how = {"n_samples": n, "thin": 1}
    # another function every time: compiled again, with what a test has patched
    how["measure"] = lambda phi: observables.primary(action, phi)
    _, found = runner.run_chunk(tuned, states, jr.key(3), 0, **how)
    return autocorrelation.mean(np.asarray(found[name]))


def test_clusters_with_other_weights_are_seen(monkeypatch):
    """Negative control of the exact averages: bonds frozen as of twice the hopping."""
    action = On((4,), 2, 0.4, 0.3)
    known = exact.known(action)["action_density"].value

    def kernel():
        return Sequence((HMC(action), EmbeddedCluster(action)))

    right = history_of(action, kernel(), "action_density")
    assert abs(right.value - known) < 4 * right.error
    frozen = embedded.frozen_bonds
    monkeypatch.setattr(
        embedded,
        "frozen_bonds",
        lambda key, phi, hopping: frozen(key, phi, hopping / 2),
    )
    wrong = history_of(action, kernel(), "action_density")
    assert abs(wrong.value - known) > 6 * wrong.error


def test_a_cluster_leaves_lengths_and_turns_everything():
    """At large κ HMC hardly turns the whole; one reflection turns it anywhere."""
    action, phi = On((6, 6), 2, 0.6, 0.5), jnp.asarray(1 + 0.1 * some(2, (6, 6)))
    kernel = EmbeddedCluster(action)
    assert kernel.visits_every_mode

    @jax.jit
    def steps(keys):
        new = jax.vmap(lambda key: kernel.step(key, kernel.init(phi))[0])(keys)
        return new.phi, new.action, jax.vmap(action)(new.phi)

    phis, values, wanted = jax.device_get(steps(jr.split(jr.key(5), 200)))
    lengths = np.linalg.norm(phi, axis=-1)
    for new in np.linalg.norm(phis, axis=-1):
        np.testing.assert_allclose(new, lengths, rtol=1e-10)
    np.testing.assert_allclose(values, wanted, rtol=1e-10)
    mean = phis.mean(axis=(1, 2))
    angles = np.arctan2(mean[:, 1], mean[:, 0])
    turned = np.abs(angles - math.pi / 4) > 0.3
    # the coin of the one large cluster, times nine in ten directions
    assert abs(turned.mean() - 0.45) < 4 * 0.5 / math.sqrt(200)
    assert np.std(angles[turned]) > 1.5  # uniform: 1.81


def test_one_component_clusters_as_a_scalar():
    """The sign of r·φ is that of ±φ: the averages of both are those of φ⁴."""
    vector, scalar = On((4,), 1, 0.4, 0.3), Phi4((4,), 0.4, 0.3)
    known = exact.known(scalar)["action_density"].value
    for action, cluster in ((vector, EmbeddedCluster), (scalar, SignCluster)):
        kernel = Sequence((HMC(action), cluster(action)))
        found = history_of(action, kernel, "action_density")
        assert abs(found.value - known) < 4 * found.error


def test_an_action_of_its_own_is_refused():
    class Tilted(On):
        def __call__(self, phi):
            return super().__call__(phi) + 0.1 * jnp.sum(phi[..., 0])

    assert exact.known(Tilted((4,), 2, 0.2, 0.3)) == {}
    with pytest.raises(ValueError, match="does not declare"):
        EmbeddedCluster(Tilted((4,), 2, 0.2, 0.3))

    class Declared(Tilted):
        symmetries = ("rotations",)

    with pytest.raises(ValueError, match="an S of its own; use hmc"):
        EmbeddedCluster(Declared((4,), 2, 0.2, 0.3))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("theory.components=0", "theory.components = 0"),
        ("theory.lam=-1", "theory.lam = -1"),
        ("mcmc.kernel='embedded'", "only directions change: add hmc"),
        ("mcmc.kernel='cluster'", "cluster is not for on, which has hmc, embedded"),
        ("theory.lam=0", "|kappa| must be < 0.5"),
    ],
)
def test_what_does_not_go_is_said(tmp_path, change, says):
    extra = ["theory.kappa=0.6"] if "lam=0" in change else []
    lines = refusals(tmp_path, TEXT, [change, *extra])
    assert any(says in line for line in lines)


@pytest.mark.parametrize("name", [x for x in catalogue.MODELS if x != "cnf"])
def test_no_model_is_assumed_to_fit(tmp_path, name):
    lines = refusals(tmp_path, TEXT, [f"model.name={name}", "estimate.methods=['nis']"])
    assert any("on has a field of several real components" in line for line in lines)


def test_memory_counts_components(tmp_path):
    lines = refusals(tmp_path, TEXT, ["theory.components=64", "mcmc.keep=2000000000"])
    assert any("mcmc.keep" in line for line in lines)


def test_a_run_from_file_to_page(tmp_path):
    """ln Z along κ and averages of the chain are exact ones; the page is drawn."""
    load(tmp_path, TEXT)
    out = tmp_path / "run"
    arguments = ["run", str(tmp_path / "run.toml"), "--out", str(out), "--quiet"]
    result = CliRunner().invoke(cli.app, [*arguments, "--set", "theory.shape=[4]"])
    assert result.exit_code == 0, result.output
    found = json.loads((out / "results.json").read_text())["estimates"]
    known = exact.known(On((4,), 2, 0.31, 0.4))
    for name, method in (
        ("log_z", "hmc_integration"),
        ("action_density", "hmc+embedded"),
        ("phi2", "hmc+embedded"),
    ):
        number = found[name][method]
        assert found[name]["exact"]["value"] == pytest.approx(known[name].value)
        assert abs(number["value"] - known[name].value) < 4 * number["error"]
    assert found["log_z"]["hmc_integration"]["error"] < 0.05
    assert "O(N) φ⁴ theory" in (out / "report.html").read_text()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_best_gaussian_of_components(n):
    """A bound of ln Z that no other width improves; φ⁴'s at N = 1, exact at λ = 0."""
    free = On((4, 3), n, 0.15, 0)
    found = gap.best_of_vectors(free)
    assert found.free_energy == pytest.approx(-exact.known(free)["log_z"].value)
    action = On((5,), n, 0.31, 0.4)
    best = gap.best_of_vectors(action)
    log_z = exact.known(action)["log_z"].value
    assert -log_z < best.free_energy < -log_z + 0.5
    assert best.mean == 0
    if n == 1:
        scalar = gap.best_symmetric(Phi4((5,), 0.31, 0.4))
        np.testing.assert_allclose(best.variance, scalar.variance, rtol=1e-10)
        assert best.free_energy == pytest.approx(scalar.free_energy)

    def bound(factor):
        """E_q[S + ln q] of the same noise, every width by a factor."""
        prior = GaussianVectors(factor * best.variance, n)

        @jax.jit
        def totals(keys):
            phis, log_q = prior.sample_batch(keys)
            return jax.vmap(action)(phis) + log_q

        total = np.asarray(totals(jr.split(jr.key(7), 40_000)))
        return total, total.mean(), total.std() / 200

    (_, here, error), (wide, *_), (narrow, *_) = map(bound, (1, 1.04, 1 / 1.04))
    assert abs(here - best.free_energy) < 5 * error
    slope = wide - narrow
    assert abs(slope.mean()) < 5 * slope.std() / 200  # stationary


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            "model.wells='both'",
            'of several components the prior stands around 0: "auto"',
        ),
        ("model.nodes={kappa=[0.2,0.3,0.3,0.4]}", "around 0: each once"),
        ("model.symmetrize='rotations'", "model.symmetrize"),
        ("train.augment='spins'", "'rotations'"),
    ],
)
def test_what_a_model_of_components_is_refused(tmp_path, change, says):
    lines = refusals(tmp_path, TEXT + FLOW, [change])
    assert any(says in line for line in lines), lines


def test_numbers_have_no_components_to_move(tmp_path):
    scalar = TEXT.replace('"on"', '"phi4"').replace("components = 2\n", "")
    for field in ("train.augment", "model.symmetrize"):
        lines = refusals(tmp_path, scalar + FLOW, [f"{field}='permutations'"])
        (line,) = (x for x in lines if f"{field} = " in x)
        assert line.endswith("is of several components: a value of phi4 is one")


FLOW = """
[model]
name = "cnf"
features = 3
channels = 2
[train]
objective = "forward_kl"
gradient = "total"
augment = ["rotations", "translations"]
steps = 40
batch = 32
"""


def test_a_flow_of_components_from_file_to_verdict(tmp_path):
    """Trained on turned samples of p, checked against the exact ring."""
    along = 'methods = ["hmc_integration"]\n[integration]\ncouplings = 5\n'
    text = TEXT.replace(along + "target_error = 0.05\n", "samples = 2000\n")
    load(tmp_path, text.replace("keep = 64", "keep = 512") + FLOW)
    out, file = tmp_path / "run", tmp_path / "run.toml"
    arguments = ["run", str(file), "--out", str(out), "--quiet"]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads((out / "results.json").read_text())
    estimates = found["estimates"]
    assert found["diagnostics"]["ess"]["value"] > 0.5
    for name in ("log_z", "phi2", "action_density"):
        exact_value = estimates[name]["exact"]["value"]
        number = estimates[name]["nis"]
        assert abs(number["value"] - exact_value) < 4.5 * number["error"]
    bar = estimates["log_z"]["bar"]
    assert abs(bar["value"] - estimates["log_z"]["exact"]["value"]) < 4.5 * bar["error"]
