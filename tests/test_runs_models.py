"""Runs of coupling flows and on chain data, small: any model through every stage."""

import hashlib
import json

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat.actions import gap
from genlat.actions.phi4 import Phi4
from genlat.errors import RequestError
from genlat.families import gaussian_prior
from genlat.families.coupling import CouplingSection
from genlat.report import page
from genlat.runs import pipeline, records
from genlat.runs.disk import checkpoint, directory, store
from genlat.runs.file import config, source
from genlat.runs.stages import (
    flow_model,
    sample_stage,
    target_stage,
    train_stage,
    training_data,
)
from genlat.runs.stages.job import Job
from genlat.runs.stages.screen import Screen
from genlat.training import loop
from kills_for_tests import through_kills

TINY = """
seed = 5
[theory]
name = "phi4"
shape = [4, 2]
kappa = 0.11
lam = 0.031
[mcmc]
kernel = ["hmc", "cluster"]
chains = 8
samples = 40
therm = 40
thin = 10
n_leapfrog = 4
keep = 320
[model]
name = "realnvp"
layers = 2
conditioner = "dense"
hidden = [4]
[train]
steps = 20
batch = 16
[estimate]
samples = 600
batch = 200
chains = 6
"""
QUIET = Screen(quiet=True)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Several chunks in a small run, and no cache of compiled code."""
    monkeypatch.setattr(train_stage, "LONGEST_CHUNK", 10)
    monkeypatch.setattr(sample_stage, "BLOCK", 400)
    monkeypatch.setenv("GENLAT_NO_CACHE", "1")


def run_config(tmp_path, overrides=()):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return config.load(path, overrides)


def numbers(results):
    """All of `results.json` that a kill must not change."""
    kept = json.loads(json.dumps(results))
    del kept["cost"], kept["provenance"]["started"], kept["provenance"]["finished"]
    return kept


def new_job(path, run):
    directory.create(path, run)
    return Job(path, run, run.theory.theory(), QUIET)


@pytest.mark.slow
def test_a_symmetrised_coupling_flow(tmp_path):
    """No integrator anywhere, right numbers, and a page."""
    out = tmp_path / "run"
    asked = ["model.symmetrize=sign", "train.anneal={kappa=0.05}"]
    results = pipeline.start(run_config(tmp_path, asked), out, QUIET)
    diagnostics, estimates = results["diagnostics"], results["estimates"]
    assert "integrator" not in diagnostics
    assert "training_data" not in diagnostics
    assert diagnostics["p_samples"]["n"] == 320
    assert 0.5 < diagnostics["ess"]["value"] <= 1
    for name in ("phi2", "action_density", "log_z"):
        exact = estimates[name]["exact"]["value"]
        found = estimates[name]["nis"]
        assert abs(found["value"] - exact) < 5 * found["error"] < 0.5, name
    shift = estimates["log_z"]["bar"]["value"] - estimates["log_z"]["exact"]["value"]
    assert abs(shift) < 5 * estimates["log_z"]["bar"]["error"] < 0.5
    assert "<html" in page.write(out).read_text()

    # another run carries the flow on, under another group or none
    init = [f"model.init={out}", "theory.kappa=0.12"]
    trained = flow_model.read(out)
    path = tmp_path / "next"
    model = flow_model.initial(new_job(path, run_config(tmp_path, init)))
    for ours, theirs in zip(
        jax.tree.leaves(model), jax.tree.leaves(trained.model), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def digests(phis):
    return {hashlib.sha256(np.ascontiguousarray(phi)).hexdigest() for phi in phis}


def test_training_on_chains_survives_kills_and_never_sees_those_held_out(
    tmp_path, monkeypatch
):
    asked = [
        "train.objective=forward_kl",
        "train.augment=['sign','translations']",
        "estimate.methods=['p_estimator']",
    ]
    run = run_config(tmp_path, asked)
    # 100 of 240 at once: another subset in every chunk of steps
    monkeypatch.setattr(training_data, "LOADED", 100 * 8 * 4)
    seen, at = [], training_data.TrainingData.at

    def spy(self, step):
        rows = at(self, step)
        seen.append(rows)
        return rows

    monkeypatch.setattr(training_data.TrainingData, "at", spy)
    expected = pipeline.start(run, tmp_path / "plain", QUIET)
    phi = records.read(tmp_path / "plain").chain["phi"]
    training, held_out = (
        digests(part.reshape(-1, 4, 2)) for part in (phi[:6], phi[6:])
    )
    assert [len(rows) for rows in seen] == [100, 100]
    assert digests(seen[0]) != digests(seen[1])
    assert digests(np.concatenate(seen)) <= training
    assert not digests(np.concatenate(seen)) & held_out
    # and the model is held against those alone
    diagnostics = expected["diagnostics"]
    assert diagnostics["p_samples"]["n"] == 80
    found = diagnostics["training_data"]
    assert (found["n"], found["chains"], found["held_out_chains"]) == (240, 6, 2)
    assert 100 <= found["independent"] <= 240
    record = records.read(tmp_path / "plain")
    action = run.theory.theory().action
    np.testing.assert_allclose(
        record.target["action"], jax.vmap(jax.vmap(action))(phi[6:]), rtol=1e-5
    )

    killed = tmp_path / "killed"
    directory.create(killed, run)
    directory.note(killed, "started", "then")
    results, n_kills = through_kills(
        monkeypatch, lambda: pipeline.resume(killed, QUIET), lambda _: 3
    )
    assert n_kills > 2
    assert numbers(results) == numbers(expected)
    losses = [
        records.read(tmp_path / x).metrics["loss"].tolist() for x in ("plain", "killed")
    ]
    assert losses[0] == losses[1]


def test_lengths_chosen_for_a_cache_are_those_of_a_cpu(tmp_path, monkeypatch):
    asked = ["theory.shape=[16, 8]", "model.conditioner=conv", "train.batch=64"]

    def lengths(*overrides):
        text = TINY.replace("batch = 200", overrides[0])
        (tmp_path / "run.toml").write_text(text)
        run = config.load(tmp_path / "run.toml", [*asked, *overrides[1:]])
        job = Job(tmp_path, run, run.theory.theory(), QUIET)
        return job.at_once, train_stage._slice(job.config)

    assert lengths("") == (16, 16)
    assert lengths("batch = 200", "train.micro_batch=2") == (200, 2)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert lengths("") == (500, None)
    assert lengths("batch = 200", "train.micro_batch=2") == (200, 2)


def test_data_of_another_run(tmp_path):
    """Refused before anything is written, with the number of independent samples."""
    other = tmp_path / "other"
    chain = tmp_path / "chain.toml"
    chain.write_text(TINY.partition("[model]")[0])
    pipeline.start(config.load(chain, ["seed=6"]), other, QUIET)
    asked = ["train.objective=symmetric_kl", "train.gradient=total"]
    asked += [f"train.data={other}", "estimate.methods=['nis']"]
    out = tmp_path / "run"
    with pytest.raises(RequestError, match=r"are worth \d+ independent ones, fewer"):
        pipeline.start(
            run_config(tmp_path, [*asked, "train.held_out=0.75"]), out, QUIET
        )
    assert not out.exists()
    results = pipeline.start(run_config(tmp_path, asked), out, QUIET)
    assert results["diagnostics"]["training_data"]["n"] == 240
    assert results["diagnostics"]["ess"]["value"] > 0.3
    # the chain that training began with is gone, another is in its place
    (out / "results.json").unlink()
    for path in (out / "checkpoints").iterdir():
        path.unlink()
    block = store.read(store.path(other, "chain", 0))
    block.attributes["fingerprint"] = "another"
    store.write(store.path(other, "chain", 0), block)
    noted = directory.notes(other)["records"]
    noted["fingerprints"]["chain"] = "another"
    directory.note(other, "records", noted)
    with pytest.raises(RequestError, match="not the chains that training began with"):
        pipeline.resume(out, QUIET)


def test_correlated_configurations_count_less(tmp_path):
    """Negative control: the same chain, but nothing between its configurations."""
    run = run_config(tmp_path, ["mcmc.thin=1", "mcmc.n_leapfrog=1"])
    job = new_job(tmp_path / "run", run)
    rng, n = np.random.default_rng(1), 40
    action = job.action
    fresh = rng.normal(size=(8, n, 4, 2)).astype(np.float32)
    slow = np.repeat(fresh[:, ::10], 10, axis=1)
    for phi, least, most in [(fresh, 150, 240), (slow, 12, 60)]:
        values = np.asarray(
            training_data._measure(action, jnp.asarray(phi[:6].reshape(-1, 4, 2)))
        ).reshape(2, 6, n)
        found = min(map(training_data._independent, values))
        assert least < found <= most


FAMILIES = [
    ["model.name=nice", "model.prior=normal"],
    ["model.name=realnvp", "model.fourier=true", "model.symmetrize=point_group"],
    ["model.name=spline", "model.equivariant=true", "model.splitting=stripe"],
    ["model.name=realnvp", "model.zero_mode=true", "theory.kappa=0.3"],
    ["model.name=realnvp", "theory.shape=[4,6]", "model.conditioner=conv"],
]


@pytest.mark.parametrize("asked", FAMILIES)
def test_every_model_is_read_back_as_it_was(tmp_path, asked):
    run = run_config(tmp_path, asked)
    job = new_job(tmp_path / "run", run)
    model = flow_model.initial(job)
    settings = loop.Settings(steps=1, batch=1)
    state = loop.init(model, settings, jr.key(3))
    checkpoint.save(job.directory / "checkpoints", 0, state)
    found = flow_model.read_state(job.directory, run)
    assert found is not None
    keys = jr.split(jr.key(1), 3)
    for ours, theirs in zip(
        model.sample_batch(keys), found.model.sample_batch(keys), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    # and it can start a run of its own kind, but of no other
    assert run.model is not None
    assert source.why_unfit(job.directory, run.theory, run.model) is None
    layers = run.model.model_copy(update={"layers": 5})
    reason = source.why_unfit(job.directory, run.theory, layers)
    assert reason == "its model has layers = 2, this file says 5"


def test_priors():
    action = Phi4((4, 6), 0.3, 0.022)
    best = gap.best_gaussian(action)
    section = CouplingSection(name="realnvp", prior="normal")
    prior = gaussian_prior.choose(section, action)
    assert (prior.mean, prior.wells) == (0.0, "both")
    total = np.mean(best.variance) + best.mean**2
    np.testing.assert_allclose(prior.variance, np.full((4, 6), total))
    pair = gaussian_prior.choose(CouplingSection(name="realnvp"), action)
    assert pair.mean == best.mean > 0
    one = gaussian_prior.choose(CouplingSection(name="nice", wells="none"), action)
    assert one.mean == 0


def test_annealing_starts_at_the_couplings_named(tmp_path):
    asked = ["train.anneal={kappa=0.03}", "train.anneal_fraction=0.3"]
    job = new_job(tmp_path / "run", run_config(tmp_path, asked))
    annealing = train_stage.annealing_of(job.config, 20)
    assert annealing is not None
    assert annealing.steps == 6
    start, end = (annealing.at(jnp.asarray(k), job.action) for k in (0, 6))
    assert float(start.kappa) == pytest.approx(0.03)
    assert float(start.lam) == pytest.approx(0.031)
    assert float(end.kappa) == pytest.approx(0.11)


def test_what_is_held_out_depends_on_where_the_data_are_from(tmp_path):
    """Samples of another ensemble than the training's are all used."""
    asked = ["train.objective=forward_kl", "train.gradient=total"]
    run = run_config(tmp_path, asked)
    assert target_stage.training_set.is_evaluated(run.train, run.estimate)
    other = run.estimate.model_copy(update={"p_samples": "/elsewhere"})
    assert not target_stage.training_set.is_evaluated(run.train, other)
    reverse = run.train.model_copy(update={"objective": "reverse_kl"})
    assert not target_stage.training_set.is_evaluated(reverse, run.estimate)
