"""Training on a model's own draws: their weights, and runs that replay them."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from config_for_tests import load, refusals
from genlat.actions.ising import Ising
from genlat.estimators import weights
from genlat.models.autoregressive.made import MADE
from genlat.report import diagnostics as page
from genlat.runs import (
    checkpoint,
    directory,
    files,
    pipeline,
    records,
    store,
    train_stage,
)
from genlat.runs import table as text_table
from genlat.runs.errors import DivergedError
from genlat.runs.own_draws import NAME
from genlat.runs.screen import Screen
from genlat.training import replay
from ising_for_tests import boltzmann
from kills_for_tests import through_kills

QUIET = Screen(quiet=True)


def test_equal_weights_stay_what_they_are():
    log_w = np.random.default_rng(1).normal(-7.0, 0.3, 1000)
    found = replay.flatten(log_w, 0.3)
    assert found.exponent == 1
    assert found.n_eff == pytest.approx(1000 * weights.ess(log_w))
    np.testing.assert_allclose(
        found.shares, np.exp(log_w) / np.exp(log_w).sum(), rtol=1e-12
    )


@pytest.mark.parametrize("width", [2.0, 5.0, 300.0])
def test_flattened_weights_leave_as_many_draws_as_wanted(width):
    """Normal log-weights to the power t have an ESS of e^(-t² width²)."""
    n, ess = 200_000, 1 / 8
    log_w = np.random.default_rng(2).normal(3.0, width, n)
    found = replay.flatten(log_w, ess)
    assert n * ess <= found.n_eff < n * ess * (1 + 1e-6)
    assert found.exponent == pytest.approx(math.sqrt(math.log(8)) / width, rel=0.02)
    assert found.shares.sum() == pytest.approx(1)


def test_draws_of_no_weight_are_never_taken():
    log_w = np.full(50, -np.inf)
    log_w[[3, 20, 30]] = [0.0, 9.0, 0.1]
    found = replay.flatten(log_w, 0.05)
    assert found.n_eff == pytest.approx(2.5, rel=1e-3)
    taken = replay.resample(found.shares, 500, 0.5)
    assert set(taken) == {3, 20, 30}
    with pytest.raises(ValueError, match=r"in \(0, 0.06\), the part of .*; got 0.06"):
        replay.flatten(log_w, 0.06)
    with pytest.raises(ValueError, match="1 of 50 log-weights are NaN"):
        replay.flatten(np.where(log_w == 9.0, np.nan, log_w), 0.04)


def test_every_draw_comes_as_often_as_its_share():
    """To within one of size x share, and exactly so on average over u."""
    shares = np.random.default_rng(3).dirichlet(np.full(40, 0.3))
    size, us = 130, (np.arange(500) + 0.5) / 500
    counts = np.array(
        [np.bincount(replay.resample(shares, size, u), minlength=40) for u in us]
    )
    assert np.all(counts.sum(axis=1) == size)
    assert np.max(abs(counts - size * shares)) < 1 + 1e-9
    np.testing.assert_allclose(counts.mean(axis=0), size * shares, atol=1 / 250)


def test_joined_draws_of_two_models_stand_for_p():
    """All 16 states of 2x2 against the Boltzmann weights, z-scores over 100 pools."""
    shape, beta, n = (2, 2), 0.3, 2000
    models = [MADE(shape, jr.key(seed), depth=1, width=4) for seed in (1, 2)]
    # far from p and from each other: a bias against the first spin, another for it
    models = [
        jax.tree.map(lambda x, shift=shift: x + shift, model)
        for model, shift in zip(models, (-0.15, 0.1), strict=True)
    ]
    action = Ising(shape, beta)
    p, _ = boltzmann(shape, beta)
    code = 2 ** np.arange(4)

    @jax.jit
    def drawn(keys):
        pairs = [model.sample_batch(keys[i]) for i, model in enumerate(models)]
        phis = jnp.concatenate([jnp.moveaxis(phi, 1, 0) for phi, _ in pairs])
        log_q = jnp.concatenate([log_q for _, log_q in pairs])
        return phis, -jax.vmap(action)(phis) - log_q

    found = []
    for seed in range(100):
        phis, log_w = map(np.asarray, drawn(jr.split(jr.key(seed), (2, n))))
        shares, exponent, _ = replay.flatten(log_w, 0.05)
        assert exponent == 1
        number = (phis.reshape(-1, 4) < 0) @ code
        found.append(np.bincount(number, shares, minlength=16))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / 10
    z = (mean - p) / error
    assert np.max(abs(z)) < 4
    assert np.max(error) < 2e-3
    # and unweighted they do not
    raw = np.bincount(number, minlength=16) / len(number)
    assert np.max(abs(raw - p)) > 0.02


ISING = """
seed = 3
[theory]
name = "ising"
shape = [4, 4]
beta = 0.4
[model]
name = "coarse_to_fine"
width = 8
[train]
objective = "forward_kl"
data = "own"
augment = ["sign", "translations", "point_group"]
draws = 1000
generations = 2
steps = 100
batch = 64
learning_rate = 0.01
[estimate]
samples = 4000
chains = 20
"""
PHI4 = """
seed = 4
[theory]
name = "phi4"
shape = [4, 2]
kappa = 0.11
lam = 0.031
[model]
name = "realnvp"
layers = 2
conditioner = "dense"
hidden = [4]
[train]
objective = "symmetric_kl"
gradient = "total"
data = "own"
draws = 500
steps = 20
batch = 16
[estimate]
samples = 600
chains = 6
"""


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    """No cache of compiled code."""
    monkeypatch.setenv("GENLAT_NO_CACHE", "1")


def numbers(results):
    return {key: results[key] for key in ("estimates", "diagnostics", "verdict")}


def test_a_model_of_spins_learns_from_itself(tmp_path, monkeypatch):
    """From random weights to p with no chain, through kills to the same numbers."""
    monkeypatch.setattr(train_stage, "LONGEST_CHUNK", 10)
    run = load(tmp_path, ISING)
    expected = pipeline.start(run, tmp_path / "plain", QUIET)
    diagnostics, log_z = expected["diagnostics"], expected["estimates"]["log_z"]
    assert diagnostics["ess"]["value"] > 0.95
    pull = log_z["nis"]["value"] - log_z["exact"]["value"]
    assert abs(pull) < 4 * log_z["nis"]["error"] < 0.04
    found = diagnostics["training_data"]
    assert (found["n"], found["generations"], found["exponent"]) == (2000, 2, 1)
    assert 1800 < found["independent"] < 2000
    # flattened at first: the untrained model is far from p
    losses = records.read(tmp_path / "plain").metrics["loss"]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 1
    # those that a damaged checkpoint could ask for again are there, and no others
    kept = [path.stem for path in store.paths(tmp_path / "plain", NAME)]
    first = 10 - (2 + checkpoint.KEEP)
    assert kept == [f"{NAME}-{number:05d}" for number in range(first, 10)]

    killed = tmp_path / "killed"
    directory.create(killed, run)
    directory.note(killed, "started", "then")
    results, n_kills = through_kills(
        monkeypatch, lambda: pipeline.resume(killed, QUIET), lambda n: 5 + n % 3
    )
    assert n_kills > 4
    assert numbers(results) == numbers(expected)
    again = records.read(killed).metrics["loss"]
    np.testing.assert_array_equal(again, losses)

    says = "2,000 draws of its own, by their weights, worth"
    assert any(says in line for line in text_table._diagnostics(diagnostics))
    assert "2,000 draws of 2 generations of the model" in page.diagnostics(diagnostics)


def test_a_damaged_checkpoint_goes_back_to_draws_that_are_still_there(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(train_stage, "LONGEST_CHUNK", 10)
    run, out = load(tmp_path, ISING, ["estimate.methods=['nis']"]), tmp_path / "run"
    expected = pipeline.start(run, out, QUIET)
    (out / "results.json").unlink()
    for path in checkpoint.paths(out / "checkpoints")[1:]:
        path.write_bytes(b"not a checkpoint")
    store.path(out, NAME, 9).unlink()
    for path in store.paths(out, "flow"):
        path.unlink()
    assert numbers(pipeline.resume(out, QUIET)) == numbers(expected)


def test_a_flow_learns_from_itself_on_both_sides(tmp_path):
    results = pipeline.start(load(tmp_path, PHI4), tmp_path / "run", QUIET)
    assert results["diagnostics"]["training_data"]["n"] == 500  # one chunk
    assert results["diagnostics"]["ess"]["value"] > 0.5
    log_z = results["estimates"]["log_z"]
    pull = log_z["nis"]["value"] - log_z["exact"]["value"]
    assert abs(pull) < 4 * log_z["nis"]["error"] < 0.4


def test_weights_that_are_no_numbers_end_the_training(tmp_path, monkeypatch):
    run = load(tmp_path, PHI4)
    joined = store.joined

    def broken(blocks, *, sample_axis):
        arrays = joined(blocks, sample_axis=sample_axis)
        arrays["log_w"][7] = np.nan
        return arrays

    monkeypatch.setattr(store, "joined", broken)
    with pytest.raises(DivergedError, match="1 of the model's 500 own draws have"):
        pipeline.start(run, tmp_path / "run", QUIET)
    assert files.read_json(tmp_path / "run" / "results.json") == {}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["train.draws=99"],
            "train.draws = 99: should be greater than or equal",
        ),
        (["train.generations=0"], "train.generations = 0: should be greater than 0"),
        (["train.anneal={beta = 0.1}"], "which do not move with it"),
        (["model.nodes={beta = [0.3, 0.5]}"], 'forward_kl": trains on samples of p'),
        (
            ["estimate.p_samples=own"],
            'estimate.p_samples = "own": not a readable run directory',
        ),
    ],
)
def test_refusals(tmp_path, overrides, expected):
    assert expected in " ".join(refusals(tmp_path, ISING, overrides))
