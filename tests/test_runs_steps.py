"""The steps of an integrated model are as many as ln Z and the samples of p want.

Of a flow that inverts what it is said to, with as many steps as it is said to need.
"""

import json
import types

import numpy as np
import pytest

from config_for_tests import load
from genlat.runs.disk import directory, store
from genlat.runs.stages import integrated, sampling, steps_stage, target_stage
from genlat.runs.stages.job import Job
from genlat.runs.stages.screen import Screen
from genlat.verdict.integrator import MOST_STEPS, Choice
from models_for_tests import a_model

TEXT = """
seed = 5
[theory]
name = "phi4"
shape = [4, 2]
kappa = 0.11
lam = 0.031
[mcmc]
kernel = ["hmc", "cluster"]
chains = 4
[model]
name = "cnf"
[estimate]
methods = ["nis", "p_estimator"]
samples = 100
"""
OF_LN_Z = 5
N_BLOCKS = 3
MODEL = a_model((4, 2), n_steps=4)


class KilledError(Exception):
    """Where a process ended."""


@pytest.fixture
def flow(monkeypatch):
    """`flow.lost(mark, steps)`: whether the sample of that mark is not inverted."""

    flow = types.SimpleNamespace(evaluated=[], lost=lambda mark, steps: False)

    def evaluate(model, action, phis, batch):
        steps = integrated.n_steps(model)
        marks = phis[:, 0, 0].astype(int)
        flow.evaluated.append((steps, len(phis)))
        log_q = [np.nan if flow.lost(mark, steps) else float(steps) for mark in marks]
        return {"log_q": np.array(log_q), "action": np.zeros(len(phis))}

    def draw(model, action, key, first, n, batch):
        return sampling.Draws(np.zeros((n, 4, 2)), np.zeros(n), np.zeros(n), {})

    monkeypatch.setattr(target_stage, "evaluate", evaluate)
    monkeypatch.setattr(sampling, "draw", draw)
    monkeypatch.setattr(
        steps_stage.integrator, "choose", lambda *_: Choice(OF_LN_Z, 0.0, 0.0, 1.0)
    )
    return flow


@pytest.fixture
def begin(tmp_path):
    """A run with chains of which sample number k has k in its corner."""

    def begin(*changes):
        run = load(tmp_path, TEXT, changes)
        directory.create(tmp_path / "run", run)
        for index in range(N_BLOCKS):
            phi = np.zeros((4, 10, 4, 2), np.float32)
            phi[..., 0, 0] = 40 * index + np.arange(40).reshape(4, 10)
            theory = json.dumps(run.theory.model_dump(exclude_none=True))
            attributes = {
                "theory": theory,
                "fingerprint": "by hand",
                "kernel": "hmc+cluster",
                "visits_every_mode": 1,
            }
            place = store.path(tmp_path / "run", "chain", index)
            store.write(place, store.Block({"phi": phi}, attributes))
        return Job(tmp_path / "run", run, run.theory.theory(), Screen(quiet=True))

    return begin


def finish(job):
    """As `pipeline` does: the steps of the draws, and of every block of the target."""
    sampled = steps_stage.run(job, MODEL)
    target_stage.run(job, sampled)
    blocks = target_stage.read(job)
    assert len(blocks) == N_BLOCKS
    noted = directory.notes(job.directory)[integrated.NOTE]["steps"]
    assert integrated.n_steps(sampled) == noted
    log_q = np.concatenate([block.arrays["log_q"] for block in blocks])
    assert set(log_q[np.isfinite(log_q)]) <= {float(noted)}
    return noted, int(np.sum(np.isnan(log_q)))


def test_samples_that_are_inverted_ask_for_nothing(begin, flow):
    assert finish(begin()) == (OF_LN_Z, 0)
    assert flow.evaluated == [(OF_LN_Z, 40)] * N_BLOCKS


def test_steps_rise_until_every_sample_is_inverted(begin, flow):
    """5, 7, 9, 12, 15, ...: one sample wants 11, another is lost at 12 alone."""
    flow.lost = lambda mark, steps: (
        (mark == 57 and steps < 11) or (mark == 3 and steps == 12)
    )
    assert finish(begin()) == (15, 0)
    # all of them with 5, 12 and 15, and otherwise those alone that were lost
    assert flow.evaluated == [
        *[(5, 40)] * 3,
        *[(7, 1), (9, 1), (12, 1)],
        *[(12, 40)] * 3,
        (15, 1),
        *[(15, 40)] * 3,
    ]


def test_where_no_number_inverts_them_that_of_ln_z_stands(begin, flow):
    flow.lost = lambda mark, steps: mark in (3, 57)
    assert finish(begin()) == (OF_LN_Z, 2)
    assert max(steps for steps, _ in flow.evaluated) == MOST_STEPS


def test_the_number_of_a_run_file_stands(begin, flow):
    flow.lost = lambda mark, steps: mark == 3 and steps < 50
    assert finish(begin("estimate.n_steps=6")) == (6, 1)


def test_a_run_without_samples_asks_none(begin, flow):
    job = begin('estimate.methods=["nis"]')
    assert not target_stage.is_wanted(job)
    steps_stage.run(job, MODEL)
    assert directory.notes(job.directory)[integrated.NOTE]["steps"] == OF_LN_Z
    assert flow.evaluated == []


@pytest.mark.parametrize("n_written", range(2 * N_BLOCKS))
def test_a_kill_at_any_block_changes_no_number(begin, flow, n_written, monkeypatch):
    flow.lost = lambda mark, steps: mark == 57 and steps < 11
    job, count, write = begin(), 0, store.write

    def killing(path, block):
        nonlocal count
        if count == n_written:
            raise KilledError
        count += 1
        write(path, block)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", killing)
        with pytest.raises(KilledError):
            finish(job)
    assert finish(job) == (12, 0)
    # what is done is left alone
    flow.evaluated.clear()
    assert finish(job) == (12, 0)
    assert flow.evaluated == []
