"""Training on a model's own draws: their weights, and runs that replay them."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from config_for_tests import load, refusals
from genlat.actions.ising import Ising
from genlat.errors import DamagedError, DivergedError
from genlat.estimators import weights
from genlat.models.autoregressive.made import MADE
from genlat.report import diagnostics as page
from genlat.runs import pipeline, records
from genlat.runs import table as text_table
from genlat.runs.disk import checkpoint, directory, files, store
from genlat.runs.file import memory
from genlat.runs.stages import flow_model, sample_stage, train_stage
from genlat.runs.stages.job import Job
from genlat.runs.stages.own_draws import NAME, OwnDraws
from genlat.runs.stages.screen import Screen
from genlat.training import replay
from ising_for_tests import boltzmann
from kills_for_tests import KilledError, through_kills

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
        phis = jnp.concatenate([phis for phis, _ in pairs])
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
    assert np.max(abs(z)) < 5
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
draws = 1600
generations = 2
steps = 95
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
kappa = 0.2
lam = 0.031
[model]
name = "realnvp"
prior = "normal"
layers = 2
conditioner = "dense"
hidden = [8]
[train]
objective = "symmetric_kl"
data = "own"
draws = 1600
generations = 3
steps = 60
batch = 64
learning_rate = 0.02
[estimate]
samples = 4000
chains = 20
methods = ["nis"]
"""


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    """No cache of compiled code."""
    monkeypatch.setenv("GENLAT_NO_CACHE", "1")


def numbers(results):
    return {key: results[key] for key in ("estimates", "diagnostics", "verdict")}


@pytest.mark.slow
def test_a_model_of_spins_learns_from_itself(tmp_path, monkeypatch):
    """From random weights to p with no chain, through kills to the same numbers."""
    monkeypatch.setattr(train_stage, "LONGEST_CHUNK", 10)
    run = load(tmp_path, ISING)
    expected = pipeline.start(run, tmp_path / "plain", QUIET)
    diagnostics, log_z = expected["diagnostics"], expected["estimates"]["log_z"]
    assert diagnostics["ess"]["value"] > 0.95
    pull = log_z["nis"]["value"] - log_z["exact"]["value"]
    assert abs(pull) < 5 * log_z["nis"]["error"] < 0.04
    found = diagnostics["training_data"]
    assert (found["n"], found["generations"], found["exponent"]) == (3200, 2, 1)
    assert found["independent"] == 1600  # no more than are drawn again
    losses = records.read(tmp_path / "plain").metrics["loss"]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 1
    assert store.paths(tmp_path / "plain", NAME) == []

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

    says = "3,200 draws of its own by weight, worth 1600"
    assert any(says in line for line in text_table._diagnostics(diagnostics))
    assert "3,200 draws of 2 generations of the model" in page.diagnostics(diagnostics)


@pytest.fixture
def unfinished(tmp_path, monkeypatch):
    """A run killed when it was trained, and what it would find."""
    monkeypatch.setattr(train_stage, "LONGEST_CHUNK", 10)
    run, out = load(tmp_path, ISING, ["estimate.methods=['nis']"]), tmp_path / "run"
    expected = pipeline.start(run, tmp_path / "plain", QUIET)

    def die(job, model):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(sample_stage, "run", die)
        with pytest.raises(KilledError):
            pipeline.start(run, out, QUIET)
    return out, expected


def test_a_damaged_checkpoint_goes_back_to_draws_that_are_still_there(unfinished):
    out, expected = unfinished
    kept = [path.stem for path in store.paths(out, NAME)]
    first = 9 - (2 + checkpoint.KEEP - 1) + 1
    assert kept == [f"{NAME}-{number:05d}" for number in range(first, 10)]
    for path in checkpoint.paths(out / "checkpoints")[1:]:
        path.write_bytes(b"not a checkpoint")
    store.path(out, NAME, 9).unlink()
    assert numbers(pipeline.resume(out, QUIET)) == numbers(expected)


def test_draws_that_are_lost_are_said_to_be(unfinished):
    """The model that drew them is gone; the advice is one that works."""
    out, expected = unfinished
    for path in checkpoint.paths(out / "checkpoints")[1:]:
        path.unlink()
    store.path(out, NAME, 7).write_bytes(b"no block")
    for _ in range(2):
        with pytest.raises(DamagedError, match="and the model that drew it is too"):
            pipeline.resume(out, QUIET)
        store.path(out, NAME, 7).unlink(missing_ok=True)
    for path in [*checkpoint.paths(out / "checkpoints"), *store.paths(out, NAME)]:
        path.unlink()
    assert numbers(pipeline.resume(out, QUIET)) == numbers(expected)


def test_every_generation_is_drawn_anew_and_taken_by_its_weights(tmp_path, monkeypatch):
    run = load(tmp_path, ISING)
    directory.create(tmp_path / "run", run)
    job = Job(tmp_path / "run", run, run.theory.theory(), QUIET)
    model, own, chosen = flow_model.initial(job), OwnDraws(job), []
    resample = replay.resample

    def spy(shares, size, u):
        chosen.append((shares, resample(shares, size, u)))
        return chosen[-1][1]

    monkeypatch.setattr(replay, "resample", spy)
    rows = [own.at(generation, model) for generation in range(3)][-1]
    old, new = (
        store.read(store.path(tmp_path / "run", NAME, number)).arrays
        for number in (1, 2)
    )
    assert np.mean(old["phi"] == new["phi"]) < 0.6  # half of the spins, by chance
    shares, numbers = chosen[-1]
    log_w = np.concatenate([old["log_w"], new["log_w"]])
    np.testing.assert_allclose(shares, replay.flatten(log_w, 1 / 16).shares, rtol=1e-12)
    assert rows.shape == (1600, 4, 4)
    np.testing.assert_array_equal(
        rows, np.concatenate([old["phi"], new["phi"]])[numbers]
    )
    with pytest.raises(AssertionError):  # not those of the chunk before
        np.testing.assert_array_equal(*(entry[1] for entry in chosen[1:]))


def test_a_flow_learns_from_itself_on_both_sides(tmp_path, monkeypatch):
    """From independent sites; draws that are not weighted teach it nothing of p."""
    monkeypatch.setattr(train_stage, "LONGEST_CHUNK", 20)

    def found(name, overrides=()):
        run = load(tmp_path, PHI4, overrides)
        assert run.train.gradient == "total"
        return pipeline.start(run, tmp_path / name, QUIET)

    results = found("run")
    assert results["diagnostics"]["training_data"]["n"] == 3 * 1600
    log_z = results["estimates"]["log_z"]
    pull = log_z["nis"]["value"] - log_z["exact"]["value"]
    assert abs(pull) < 5 * log_z["nis"]["error"] < 0.5
    forward = ["train.objective=forward_kl"]
    alone = found("alone", forward)["diagnostics"]["ess"]["value"]

    def unweighted(log_w, least_ess):
        n = len(log_w)
        return replay.Flattened(np.full(n, 1 / n), 0.0, float(n))

    monkeypatch.setattr(replay, "flatten", unweighted)
    same = found("same", forward)["diagnostics"]["ess"]["value"]
    assert alone > same + 0.2


def test_minutes_count_the_drawing(tmp_path, monkeypatch):
    """Ten seconds a generation leave half a minute three chunks at most."""
    monkeypatch.setattr(train_stage, "LONGEST_CHUNK", 10)
    monkeypatch.setattr(OwnDraws, "seconds", lambda self, model: 10.0)
    text = ISING.replace("steps = 95", "minutes = 0.5")
    run = load(tmp_path, text, ["estimate.methods=['nis']"])
    pipeline.start(run, tmp_path / "run", QUIET)
    assert directory.notes(tmp_path / "run")["steps"] <= 30


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.nan, "own draws: 1500 of 1600 log-weights are NaN or"),
        (-np.inf, r"own draws: least_ess must be in \(0, 0.0625\)"),
    ],
)
def test_weights_to_learn_nothing_from_end_the_training(
    tmp_path, monkeypatch, value, expected
):
    run = load(tmp_path, PHI4)
    flatten = replay.flatten

    def broken(log_w, least_ess):
        log_w[:1500] = value
        return flatten(log_w, least_ess)

    monkeypatch.setattr(replay, "flatten", broken)
    with pytest.raises(DivergedError, match=expected):
        pipeline.start(run, tmp_path / "run", QUIET)
    assert files.read_json(tmp_path / "run" / "results.json") == {}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["train.draws=1599"], "train.draws = 1599: should be greater than or equal"),
        (["train.held_out=0.5"], "train.held_out = 0.5: forward_kl has no chains with"),
        (
            ["train.objective=reverse_kl", "train.gradient=reinforce"],
            'train.data = "own": reverse_kl has no samples of p to train on: leave it',
        ),
        (
            ["train.data=chain", "mcmc={chains = 8}"],
            'train.draws = 1600: forward_kl has draws with data = "own" alone',
        ),
        (["model.init=own"], '/own": not a readable run directory'),
        (["train.generations=0"], "train.generations = 0: should be greater than 0"),
        (["train.anneal={beta = 0.1}"], "which do not move with it"),
        (["model.nodes={beta = [0.3, 0.5]}"], 'forward_kl": trains on samples of p'),
        (
            ["estimate.p_samples=own"],
            '/own": not a readable run directory',
        ),
    ],
)
def test_refusals_of_spins(tmp_path, overrides, expected):
    assert expected in " ".join(refusals(tmp_path, ISING, overrides))


def test_draws_must_fit_into_memory(tmp_path, monkeypatch):
    """Four times a configuration in float32, and four weights of each generation."""
    each = 4 * 16 * 4 + 2 * 4 * 8
    monkeypatch.setattr(memory, "available_bytes", lambda: 1700 * each)
    few = ["estimate.samples=200", "estimate.batch=5", "estimate.chains=2"]
    few += ["train.batch=16", "train.micro_batch=4"]
    load(tmp_path, ISING, few)
    lines = refusals(tmp_path, ISING, [*few, "train.draws=1701"])
    assert len(lines) == 1
    assert "train.draws = 1701: needs about" in lines[0]
    assert "at most 1700 fit" in lines[0]


def test_the_path_gradient_of_flattened_draws_is_refused(tmp_path):
    (line,) = refusals(tmp_path, PHI4, ["train.gradient=path"])
    assert 'train.gradient = "path": data = "own": draws of flattened weights' in line
