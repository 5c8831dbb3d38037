"""Samples of p, the integration, and input from which nothing can be estimated."""

import json
import math

import h5py
import jax
import jax.random as jr
import numpy as np
import pytest

from genlat import exact
from genlat.actions.phi4 import Phi4
from genlat.errors import RequestError
from genlat.estimators import stationarity
from genlat.estimators.estimate import Estimate
from genlat.likelihood import EXACT
from genlat.runs import evidence, pipeline
from genlat.runs.disk import directory, store
from genlat.runs.file import config, sections
from genlat.runs.stages import (
    chain_stage,
    environment,
    integration_stage,
    job,
    target_stage,
)
from genlat.runs.stages.screen import Screen
from genlat.verdict import checks, estimates, findings, judge, results
from genlat.verdict.data import Draws, Samples
from genlat.verdict.diagnostics import Diagnostics
from models_for_tests import a_model

PATH = """
seed = 5
[theory]
name = "phi4"
shape = [8, 2]
kappa = 0.29
lam = 0.022
[estimate]
methods = ["hmc_integration"]
[integration]
couplings = 2
chains = 12
samples = 100
therm = 60
n_leapfrog = 5
target_error = 0.07
"""
CHAIN = """
seed = 5
[theory]
name = "phi4"
shape = [4, 2]
kappa = 0.2
lam = 0.022
[mcmc]
kernel = ["hmc"]
chains = 5
samples = 40
therm = 20
n_leapfrog = 3
keep = 200
"""
MODEL = """
[model]
features = 2
channels = 1
kernel_terms = 1
mixing_terms = 1
n_steps = 2
[train]
steps = 10
batch = 16
[estimate]
samples = 400
batch = 100
chains = 4
n_steps = 4
methods = ["nis", "p_estimator", "bar"]
"""
QUIET = Screen(quiet=True)
RNG = np.random.default_rng(4)


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("GENLAT_NO_CACHE", "1")


def a_job(tmp_path, text, name="run"):
    path = tmp_path / f"{name}.toml"
    path.write_text(text)
    run_config, out = config.load(path), tmp_path / name
    directory.create(out, run_config)
    environment.prepare()
    return job.Job(out, run_config, run_config.theory.theory(), QUIET)


def test_drifts_along_the_couplings_are_counted(monkeypatch):
    """The least probable of N chains, times N: neither forgotten nor overdone."""
    p_values = {1: 6e-4, 2: 6e-4, 3: 3e-4}  # the least, by the number of couplings
    for n, least in p_values.items():
        found = iter([None, least, *[0.5] * (n - 1)])
        monkeypatch.setattr(stationarity, "drift", lambda _, of=found: next(of))
        caution = evidence._caution([np.zeros((2, 8))] * (n + 1), is_converged=True)
        assert bool(caution) == (n * least < 1e-3), n


def test_integration_refines_until_the_target_is_met(tmp_path):
    """From two couplings that hardly overlap, against the transfer matrix."""
    a = a_job(tmp_path, PATH)
    integration_stage.run(a)
    blocks = integration_stage.read(a)
    nodes = integration_stage.assemble(blocks)
    path = integration_stage.path_of(a, nodes)
    first = integration_stage.path_of(a, integration_stage.assemble(blocks[:1]))
    assert first.overlaps[0] < integration_stage.SMALLEST_OVERLAP
    assert len(nodes) > 4
    assert min(path.overlaps) > integration_stage.SMALLEST_OVERLAP
    found = path.log_z[-1].estimate("")
    known = exact.known(a.action)["log_z"].value
    assert 0 < found.error <= 0.07
    assert abs(found.value - known) < 5 * found.error
    # the start is V times one site; without it the answer would be far off
    assert abs(path.log_z[0].value) > 50 * found.error
    # half way is the theory at half the coupling
    middle = [node.fraction for node in nodes].index(0.5)
    half = path.log_z[middle].estimate("")
    other = exact.known(Phi4((8, 2), 0.145, 0.022))["log_z"].value
    assert abs(half.value - other) < 5 * half.error < 0.3

    diagnostics = evidence.path(a, None).diagnostics
    assert diagnostics["integration"]["couplings"][-1] == pytest.approx(0.29)
    (row,) = diagnostics["consistency"]
    assert abs(row["pull"]) < 5
    assert row["left"]["rule_error"] > 0

    # a lost round is made again, the same, and those after it stay
    store.path(a.directory, "path", 1).unlink()
    integration_stage.run(a)
    again = integration_stage.read(a)
    for block, before in zip(again, blocks, strict=True):
        np.testing.assert_array_equal(block.arrays["energy"], before.arrays["energy"])
    assert evidence.path(a, None).diagnostics["integration"]["is_converged"]


def test_integration_that_stops_early_says_so(tmp_path):
    a = a_job(tmp_path, PATH + "rounds = 1\n")
    integration_stage.run(a)
    found = evidence.path(a, None)
    assert not found.diagnostics["integration"]["is_converged"]
    # two couplings: no rule to integrate the slope by
    assert found.diagnostics["consistency"] == []


def test_without_hopping_the_integral_is_exact(tmp_path):
    a = a_job(tmp_path, PATH.replace("kappa = 0.29", "kappa = 0.0"))
    integration_stage.run(a)
    (found,) = evidence.path(a, None).by_method.values()
    known = exact.known(a.action)["log_z"].value
    assert found["log_z"].value == pytest.approx(known, rel=1e-12)
    assert found["log_z"].error == 0
    assert not found["log_z"].flaw


@pytest.mark.parametrize(
    ("samples", "chains", "keep"),
    [(2000, 64, 8192), (60, 6, 120), (500, 4, 5), (70, 8, 900)],
)
def test_snapshots_are_evenly_spaced_and_enough(samples, chains, keep):
    section = sections.McmcSection(samples=samples, chains=chains, keep=keep)
    lengths, stride, every = chain_stage.plan(section)
    assert sum(lengths) == samples
    assert all(length % stride == 0 for length in lengths[:-1])
    snapshots = (samples // stride) // every
    assert min(keep, samples * chains) <= snapshots * chains <= 2 * keep + chains


def test_no_snapshots_where_none_are_kept():
    assert chain_stage.plan(sections.McmcSection(keep=0)).every == 0


def test_evaluation_is_that_of_one_configuration():
    """Batches filled up and cut do not mix configurations."""
    model, action = a_model((4, 6)), Phi4((4, 6), 0.21, 0.3)
    phis = np.asarray(jr.normal(jr.key(1), (7, 4, 6)))
    found = target_stage.evaluate(model, action, phis, batch=3)
    log_q = jax.vmap(model.log_prob)(phis)
    np.testing.assert_allclose(found["log_q"], log_q, rtol=1e-12)
    np.testing.assert_allclose(found["action"], jax.vmap(action)(phis), rtol=1e-12)
    mag = phis.mean(axis=(1, 2))
    np.testing.assert_allclose(found["observables/mag"], mag, rtol=1e-12)
    assert found["observables/two_point"].shape == (7, 3)


def test_samples_of_another_run(tmp_path):
    """Of the same theory they serve; what the ensemble says of itself is checked."""
    source = tmp_path / "source"
    path = tmp_path / "chain.toml"
    path.write_text(CHAIN)
    pipeline.start(config.load(path), source, QUIET)
    text = CHAIN.partition("[mcmc]")[0] + MODEL + f'p_samples = "{source}"\n'
    path.write_text(text)
    results = pipeline.start(config.load(path), tmp_path / "run", QUIET)
    diagnostics = results["diagnostics"]
    weight = diagnostics["mode_weight"]
    assert abs(weight["value"] - 1) < 5 * weight["error"]
    # HMC alone is no evidence, and the verdict says so
    assert not weight["is_evidence"]
    assert diagnostics["p_samples"]["source"] == str(source)
    assert results["verdict"]["trust"] == "unknown"
    assert any("does not provably" in x for x in results["verdict"]["reasons"])
    # all of it is in the new directory: the source may go
    source.rename(tmp_path / "moved")
    (tmp_path / "run" / "results.json").unlink()
    again = pipeline.resume(tmp_path / "run", QUIET)
    assert again["estimates"] == results["estimates"]
    (tmp_path / "moved").rename(source)

    block = store.path(source, "chain", 0)
    content = store.read(block)
    other = json.loads(str(content.attributes["theory"])) | {"kappa": 0.21}
    store.write(
        block,
        store.Block(content.arrays, content.attributes | {"theory": json.dumps(other)}),
    )
    with h5py.File(block) as file:
        assert "0.21" in file.attrs["theory"]
    with pytest.raises(RequestError, match=r"another theory: kappa = 0\.21, not 0\.2"):
        pipeline.start(config.load(path), tmp_path / "other", QUIET)


# Input from which nothing can be estimated: an answer that says so, and no exception.


def is_marked(found):
    """Every estimate is unusable with a reason, and JSON holds no NaN."""
    for estimate in found.values():
        content = estimate.to_json()
        assert content["unusable"], content
        assert content["error"] is None
        json.dumps(content, allow_nan=False)


def draws(log_w):
    n = len(log_w)
    measured = {"action_density": RNG.normal(size=n), "mag": RNG.normal(size=n)}
    return Draws(log_w, measured, 0.0, EXACT)


def samples(log_w, action):
    return Samples(log_w, {"action_density": action / 8}, "hmc", True)


def test_all_weight_in_one_draw():
    log_w = RNG.normal(size=500)
    log_w[7] += 800
    found = estimates.nis(draws(log_w), ("mag",), (4, 2))
    assert "one draw carries 100% of the weight" in found["log_z"].flaw
    is_marked(found)


def test_samples_of_p_of_which_one_carries_all():
    log_w_p = RNG.normal(size=(5, 40))
    log_w_p[2, 3] -= 900
    found = estimates.from_p(samples(log_w_p, RNG.normal(size=(5, 40))), 8, 0.0)
    del found["free_energy_density_lower"]
    is_marked(found)


def test_chains_that_never_moved():
    log_w_p, action = np.full((5, 40), 3.1), np.full((5, 40), 2.0)
    is_marked(estimates.from_p(samples(log_w_p, action), 8, 0.0))
    measured = {"mag": np.full((5, 40), 0.7), "mag2": np.full((5, 40), 0.49)}
    is_marked(estimates.chain(measured, ("mag", "mag2"), (4, 2)))
    stuck = {"acceptance": {"hmc": {"value": 0.0}}}
    assert judge.judge(Diagnostics.of(stuck)).trust == "no"


def test_a_perfect_model_is_not_called_stuck():
    """Equal log-weights on chains whose action moves: q = p, exactly."""
    log_w_p, action = np.full((5, 40), 3.1), RNG.normal(size=(5, 40))
    sides = (
        estimates.from_p(samples(log_w_p, action), 8, 0.0),
        estimates.from_both(draws(np.full(300, 3.1)), samples(log_w_p, action), 8),
    )
    for found in sides:
        assert not any(estimate.flaw for estimate in found.values())
        assert found["log_z"].value == pytest.approx(3.1)
        assert found["log_z"].error == 0
        assert found["entropy_density"].error > 0


def test_chains_frozen_apart():
    log_w_p = np.repeat(RNG.normal(size=(12, 1)), 40, axis=1)
    found = estimates.from_p(samples(log_w_p, -log_w_p), 8, 0.0)
    is_marked(found)
    moved = {"mag": log_w_p, "mag2": log_w_p**2}
    is_marked(estimates.chain(moved, ("mag", "mag2"), (4, 2)))


def test_what_is_not_defined_says_so():
    """A correlation length of a handful of samples."""
    noise = RNG.normal(size=(4, 30, 3))
    noise[..., 1] += 2.0
    measured = {"two_point": noise - noise.mean(axis=(0, 1)) * [1, 0, 0]}
    is_marked(estimates.chain(measured, ("correlation_length",), (4, 2)))
    of_q = {"two_point": measured["two_point"].reshape(120, 3)}
    of_q["action_density"] = RNG.normal(size=120)
    weighted = Draws(1e-3 * RNG.normal(size=120), of_q, 0.0, EXACT)
    found = estimates.nis(weighted, ("correlation_length",), (4, 2))
    is_marked({"correlation_length": found["correlation_length"]})


def test_two_samples_of_p_are_few_but_no_accident():
    log_w_q, log_w_p = RNG.normal(size=200), np.array([[0.3], [0.4]])
    found = estimates.from_both(draws(log_w_q), samples(log_w_p, log_w_p), 8)
    assert math.isfinite(found["log_z"].value)
    assert found["log_z"].error > 0


def test_chains_stuck_in_different_wells_disagree():
    """Each looks thermalised; together they cannot be."""
    signs = np.where(np.arange(6) % 2, -1.0, 1.0)[:, None]
    noise = RNG.normal(size=(2, 6, 400))
    measured = {"mag": 2 * signs + noise[0], "mag2": noise[1]}
    found = findings.worst(findings.equilibrium("hmc", measured))
    assert found["worst"] == "hmc, memory of mag"
    assert found["p_value"] < checks.REFUSED
    fine = findings.equilibrium("hmc", {"mag2": measured["mag2"]})
    assert findings.worst(fine)["p_value"] > 1e-3
    assert findings.worst(()) == {}


def test_weights_without_variance():
    found = estimates.nis(draws(np.full(300, 1.5)), ("mag",), (4, 2))
    assert found["log_z"].value == pytest.approx(1.5)
    assert found["log_z"].error == 0


def test_bias_is_taken_off_on_request():
    log_w = 1.5 * RNG.normal(size=300)
    found = estimates.nis(draws(log_w), ("mag",), (4, 2))
    corrected = estimates.corrected(found)["log_z"]
    assert corrected.bias == 0
    assert corrected.value == found["log_z"].value - found["log_z"].bias
    assert found["log_z"].bias < 0


def test_identities_skip_what_cannot_be_used():
    flawed = estimates.chain(
        {"schwinger_dyson": np.ones((3, 20))}, ("schwinger_dyson",), (4, 2)
    )
    fine = Estimate(1.1, 0.05, 0.0, 100, 100.0, "nis")
    rows = results.identities({"hmc": flawed, "nis": {"schwinger_dyson": fine}})
    assert [row["pull"] for row in rows] == [pytest.approx(2.0)]
    assert rows[0]["p_value"] == pytest.approx(0.0455, abs=1e-4)
