"""genlat from Python: public names, the twenty lines of the manual, own arrays."""

import importlib.util
import json
import math
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jaxtyping import Array, Float

import genlat as gl
from genlat.actions.base import AbstractContinuousAction
from genlat.errors import RequestError
from genlat.models.gaussian import GaussianPair
from genlat.report import page
from genlat.runs import pipeline
from genlat.runs.stages.screen import Screen
from genlat.theories import live
from genlat.verdict import judge as rules
from judged_for_tests import example

PENDING = {
    name
    for name, module in {"FieldAction": "genlat.actions.field"}.items()
    if importlib.util.find_spec(module) is None
}


@pytest.mark.parametrize("name", sorted(set(dir(gl)) & set(gl.__all__) - PENDING))
def test_every_public_name_is_there(name):
    assert getattr(gl, name) is not None


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="no attribute 'chains'"):
        gl.chains  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_costs_nothing():
    code = (
        "import sys, genlat; dir(genlat); "
        "sys.exit(bool({'jax', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_float64_is_asked_for():
    code = (
        "import genlat as gl\n"
        "try: gl.theory('phi4', shape=(4, 2), kappa=0.1, lam=0.1)\n"
        "except Exception as error: print(error)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert "call genlat.setup() before anything else" in found.stdout


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def judged(told):
    """The twenty lines: a shipped theory, chains, training, draws, verdict."""
    theory = gl.theory("phi4", shape=(4, 2), kappa=0.11, lam=0.3)
    key_p, key_m, key_t, key_q = jr.split(jr.key(1), 4)
    chains = gl.run_chains(
        theory,
        ("hmc", "reflection"),
        key_p,
        n_chains=16,
        n_samples=200,
        n_therm=100,
        progress=lambda done, total: told.append(("chains", done, total)),
    )
    model = gl.cnf.build(*chains.gaussian(), key_m, n_features=2, n_channels=1)
    trained = gl.train(
        model,
        theory,
        gl.PathReverseKL(),
        gl.Settings(steps=20, batch=16),
        key_t,
        n_draws=2000,
        progress=lambda step, metrics: told.append(("training", step, len(metrics))),
    )
    draws = gl.draw(trained.model, theory, key_q, n=2000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "SMALLEST_N", 1000)
        results = gl.judge(theory, draws, chains.under(trained.model), chains)
    return theory, chains, trained, draws, results


def test_twenty_lines_end_in_a_verdict(judged, told):
    _, chains, trained, draws, results = judged
    assert chains.phi.shape == (16, 200, 4, 2)
    assert chains.visits_every_mode
    assert ("chains", 200, 200) in told
    assert any(stage == "training" for stage, *_ in told)
    assert set(trained.metrics) == {"loss", "ess", "grad_norm", "learning_rate"}
    assert draws.integrator is not None
    assert draws.log_w.dtype == np.float64
    assert results.verdict.trust in ("yes", "unknown")
    exact = float(results["log_z"]["exact"].value)
    for method in ("nis", "bar", "p_estimator"):
        estimate = results["log_z"][method]
        assert 0 < float(estimate.error) < 0.1
        assert abs(float(estimate.value) - exact) < 5 * float(estimate.error)
    assert "hmc+reflection" in results["phi2"]


def test_results_say_themselves(judged):
    *_, results = judged
    assert repr(results).startswith("Results(ln Z = ")
    assert f"trust: {results.verdict.trust}" in repr(results)
    assert len(repr(results).splitlines()) == 1
    json.dumps(results.to_json(), allow_nan=False)
    assert results.to_json()["schema"] == "genlat.results/1"
    with pytest.raises(KeyError, match=r"plaquette: there are .*log_z"):
        results["plaquette"]
    assert results.figure("log_weights").axes
    with pytest.raises(RequestError, match="there are log_z"):
        results.figure("weights")
    assert set(results.to_xarray()) == {"chain", "flow", "nmcmc", "target"}


def test_pandas_is_asked_for_if_missing(judged):
    *_, results = judged
    if importlib.util.find_spec("pandas") is None:
        with pytest.raises(RequestError, match="pip install pandas"):
            results.to_pandas()
    else:
        frame = results.to_pandas()
        assert {"observable", "method", "value", "error"} <= set(frame.columns)


def test_report_is_a_record_that_can_be_loaded(judged, tmp_path):
    *_, results = judged
    out = tmp_path / "out"
    assert gl.report(results, out) == out / "report.html"
    again = gl.load(out)
    assert again.model is None
    assert again.results.to_json() == results.to_json()
    np.testing.assert_allclose(
        again.record.flow["log_q"] + again.record.flow["action"],
        -judged[3].log_w,
    )
    before = (out / "report.html").read_bytes()
    assert page.write(out).read_bytes() == before
    assert pipeline.resume(out, Screen(quiet=True)) == results.to_json()
    with pytest.raises(RequestError, match="exists"):
        gl.report(results, out)
    with pytest.raises(RequestError, match="there already"):
        gl.report(again.results, tmp_path / "other")


def test_coarse_steps_are_a_no(judged):
    """Negative control: a flow whose integrator shows."""
    theory, chains, trained, *_ = judged
    coarse = trained.model.with_steps(1)
    big = jax.tree.map(
        lambda x: 8 * x if jnp.issubdtype(x.dtype, jnp.floating) else x, coarse
    )
    draws = gl.draw(big, theory, jr.key(3), n=1000)
    verdict = gl.judge(theory, draws, chains.under(big)).verdict
    assert verdict.trust == "no"


def test_spectrum_of_chains_is_that_of_the_field():
    """Independent normal numbers around ±v: every mode has their variance."""
    theory = gl.theory("phi4", shape=(4, 2), kappa=0.11, lam=0.3)
    rng = np.random.default_rng(2)
    signs = rng.choice([-1.0, 1.0], size=(8, 500, 1, 1))
    phi = 2.0 * signs + 0.3 * rng.normal(size=(8, 500, 4, 2))
    history = gl.run_chains(
        theory, ("hmc",), jr.key(1), n_chains=4, n_samples=10, n_therm=10
    ).history
    variance, mean = gl.Chains(theory, phi, history, False).gaussian()
    assert mean == pytest.approx(2.0, abs=0.02)
    np.testing.assert_allclose(variance, 0.09, rtol=0.15)
    around = rng.normal(size=(8, 500, 4, 2))
    variance, mean = gl.Chains(theory, around, history, False).gaussian()
    assert mean == 0
    np.testing.assert_allclose(variance, 1.0, rtol=0.1)
    GaussianPair(variance, mean)  # one number for every orbit


class Cosine(AbstractContinuousAction):
    """S = Σ [½ Σ_μ (φ_{x+μ} - φ_x)² + ½ m² φ² + α (1 - cos φ)], of one's own."""

    m2: float
    alpha: float
    lattice_shape: tuple[int, ...]

    @property
    def symmetries(self) -> tuple[str, ...]:
        return ("sign", "translations", "point_group")

    def __call__(self, phi: Float[Array, "*lattice"]) -> Float[Array, ""]:
        phi = phi.astype(jnp.float64)
        bonds = sum(
            jnp.sum((jnp.roll(phi, -1, axis) - phi) ** 2) for axis in range(phi.ndim)
        )
        local = 0.5 * self.m2 * phi**2 + self.alpha * (1 - jnp.cos(phi))
        return 0.5 * bonds + jnp.sum(local)

    def force(self, phi: Float[Array, "*lattice"]) -> Float[Array, "*lattice"]:
        return -jax.grad(self)(phi)


@pytest.fixture(scope="module")
def own():
    return gl.Theory.of(Cosine(0.81, 0.0, (6, 4)), modes=("sign",))


def test_own_action_has_what_it_declares(own):
    assert set(own.kernels) == {"hmc", "reflection"}
    chains = gl.run_chains(
        own, ("hmc", "reflection"), jr.key(1), n_chains=8, n_samples=50, n_therm=50
    )
    assert chains.visits_every_mode
    alone = gl.run_chains(
        own, ("hmc",), jr.key(1), n_chains=4, n_samples=10, n_therm=10
    )
    assert not alone.visits_every_mode
    unknown = gl.Theory.of(Cosine(0.81, 0.3, (6, 4)), modes=None)
    assert not gl.run_chains(
        unknown, ("reflection",), jr.key(1), n_chains=4, n_samples=10, n_therm=10
    ).visits_every_mode
    with pytest.raises(RequestError, match="this theory has hmc, reflection"):
        gl.run_chains(own, ("wolff",), jr.key(1), n_chains=4, n_samples=10)
    with pytest.raises(ValueError, match="declare"):
        gl.Theory.of(Cosine(0.81, 0.3, (6, 4)), modes=("permutations",))


def test_start_is_of_the_size_of_the_field(own):
    """Best independent normal numbers of S = ½ φ·Kφ: σ² = 1/K_xx = 1/(2d + m²)."""
    assert live.scale(own.action) == pytest.approx(1 / math.sqrt(4.81), rel=0.25)
    wide = Cosine(1e-4, 0.0, (1, 1))
    assert live.scale(wide) == pytest.approx(100.0, rel=0.5)


def test_arrays_of_ones_own_are_judged(own, tmp_path):
    """With exact draws of p itself: ln Z is known to rounding by every draw."""
    free, rng = example("judge_numpy"), np.random.default_rng(1)
    phi = free.draw(rng, (400,), 0.81)
    draws = gl.measure_draws(own, phi.tolist(), free.log_prob(phi, 0.9).tolist())
    phi = free.draw(rng, (10, 50), 0.81)
    log_q = free.log_prob(phi, 0.9)
    samples = gl.measure_samples(own, phi, log_q, visits_every_mode=False)
    results = gl.judge(own, draws, samples)
    assert results.verdict.trust != "yes"
    exact = gl.measure_draws(
        own, phi.reshape(-1, 6, 4), free.log_prob(phi, 0.81).ravel()
    )
    np.testing.assert_allclose(exact.log_w, 4.609306816, atol=1e-8)
    page_ = gl.report(results, tmp_path / "out")
    assert "Cosine" in page_.read_text()


def test_what_is_wrong_with_arrays_is_said(own):
    phi = np.random.default_rng(1).normal(size=(200, 6, 4))
    log_q = np.sum(-(phi**2), axis=(1, 2))
    for bad_phi, bad_log_q, word in (
        (phi[:, :, :2], log_q, "another lattice"),
        (phi.reshape(200, -1), log_q, r"\(n, 6, 4\) is wanted"),
        (phi, log_q[:-1], r"\(199,\)"),
        (phi, np.zeros(200), "0 at all 200"),
        (phi + 0j, log_q, "complex128"),
        (np.concatenate([phi[:100]] * 2), log_q, "more than once"),
    ):
        with pytest.raises(RequestError, match=word):
            gl.measure_draws(own, bad_phi, bad_log_q)
    with pytest.raises(RequestError, match=r"phi\[None\]"):
        gl.measure_samples(own, phi, log_q, visits_every_mode=True)


def test_training_can_be_watched_in_tensorboard(monkeypatch, tmp_path):
    """Every metric of every step, by the package that is asked for where it lacks."""
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(RequestError, match="pip install tensorboardX"):
        gl.tensorboard(tmp_path)
    written = []

    class Writer:
        def __init__(self, directory):
            written.append(directory)

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def flush(self):
            written.append("flushed")

    package = types.ModuleType("tensorboardX")
    package.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "tensorboardX", package)
    progress = gl.tensorboard(tmp_path)
    progress(50, {"loss": np.array([1.5, 0.5]), "ess": np.array([0.2, 0.3])})
    scalars = [("loss", 1.5, 50), ("loss", 0.5, 51), ("ess", 0.2, 50), ("ess", 0.3, 51)]
    assert written == [str(tmp_path), *scalars, "flushed"]
