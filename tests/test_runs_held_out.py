"""What a model is held against is nothing that it was trained on: configuration by
configuration, as the stages themselves hand them on."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from config_for_tests import load
from genlat.runs.disk import directory, store
from genlat.runs.stages import flow_model, target_stage, train_stage
from genlat.runs.stages.job import Job
from genlat.runs.stages.screen import Screen

TEXT = """
seed = 5
[theory]
name = "phi4"
shape = [4, 2]
kappa = 0.11
lam = 0.031
[mcmc]
kernel = ["hmc", "cluster"]
chains = 8
samples = 400
keep = 400
[model]
name = "realnvp"
layers = 2
conditioner = "dense"
hidden = [4]
[train]
objective = "forward_kl"
steps = 20
[estimate]
methods = ["p_estimator"]
"""
LENGTHS = (31, 19)  # of the blocks, in configurations of every chain
N_CHAINS = 8


@pytest.fixture
def handed(tmp_path, monkeypatch):
    """Run training and evaluation on chains of noise, and keep what they are given."""
    handed = {"training": [], "evaluation": []}

    def train(state, action, objective, settings, n, annealing):
        handed["training"].append(np.asarray(objective.data))
        return state, {name: jnp.ones(n) for name in ("loss", "grad_norm", "ess")}

    def evaluate(model, action, phis, batch):
        handed["evaluation"].append(phis)
        return {name: np.zeros(len(phis)) for name in ("log_q", "action")}

    monkeypatch.setattr(train_stage.loop, "run_chunk", train)
    monkeypatch.setattr(target_stage, "evaluate", evaluate)

    def carry_out(held_out):
        run = load(tmp_path, TEXT, [f"train.held_out={held_out}"])
        directory.create(tmp_path / "run", run)
        job = Job(tmp_path / "run", run, run.theory.theory(), Screen(quiet=True))
        chains = write_chains(job)
        model = flow_model.trained(
            train_stage.loop.init(
                flow_model.initial(job),
                train_stage.settings_of(run),
                job.key(train_stage.Purpose.TRAINING),
            ),
            run,
        )
        train_stage.run(job)
        target_stage.run(job, model)
        return chains, {name: np.concatenate(x) for name, x in handed.items()}

    return carry_out


def write_chains(job):
    """Chains of noise, every configuration another; `(chains, n, *lattice)`."""
    rng = np.random.default_rng(7)
    parts = []
    for index, length in enumerate(LENGTHS):
        phi = rng.normal(size=(N_CHAINS, length, 4, 2)).astype(np.float32)
        attributes = {
            "theory": json.dumps(job.config.theory.model_dump(exclude_none=True)),
            "fingerprint": "noise",
            "kernel": "hmc+cluster",
            "visits_every_mode": 1,
        }
        place = store.path(job.directory, "chain", index)
        store.write(place, store.Block({"phi": phi}, attributes))
        parts.append(phi)
    return np.concatenate(parts, axis=1)


def rows(phis):
    return {phi.tobytes() for phi in phis.reshape(-1, 4, 2)}


@pytest.mark.parametrize(("held_out", "n_held_out"), [(0.25, 2), (0.5, 4), (0.01, 1)])
def test_no_configuration_is_trained_on_and_evaluated(handed, held_out, n_held_out):
    chains, found = handed(held_out)
    seen, judged = rows(found["training"]), rows(found["evaluation"])
    assert not seen & judged
    assert seen == rows(chains[:-n_held_out])
    assert judged == rows(chains[-n_held_out:])
    # whole chains: neither sees a part of one that the other sees
    for chain in chains:
        assert bool(rows(chain) & seen) != bool(rows(chain) & judged)
    assert len(found["evaluation"]) == n_held_out * sum(LENGTHS)
