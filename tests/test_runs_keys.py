"""Random numbers: one stream a purpose, and none that depends on how work is cut."""

import ast
import pathlib

import jax.random as jr
import numpy as np
import pytest

import genlat
from config_for_tests import load
from genlat.runs import records
from genlat.runs.disk import directory
from genlat.runs.stages import (
    chain_stage,
    sample_stage,
    sampling,
    steps_stage,
    train_stage,
)
from genlat.runs.stages.job import Job
from genlat.runs.stages.keys import Purpose
from genlat.runs.stages.screen import Screen
from genlat.training import loop

QUIET = Screen(quiet=True)
CHAIN = """
seed = 3
[theory]
name = "ising"
shape = [4, 3]
beta = 0.3
[mcmc]
kernel = "heatbath"
chains = 5
samples = 60
therm = 10
keep = 15
"""
MODEL = """
seed = 3
[theory]
name = "ising"
shape = [2, 2]
beta = 0.3
[model]
name = "made"
depth = 1
[train]
steps = 20
batch = 4
learning_rate = 0.004
warmup = 5
final_fraction = 0.25
"""
FLOW = """
seed = 3
[theory]
name = "phi4"
shape = [2, 2]
kappa = 0.1
lam = 0.1
[model]
[estimate]
samples = 300
batch = 100
methods = ["nis"]
"""


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("GENLAT_NO_CACHE", "1")


def test_histories_do_not_depend_on_the_length_of_a_block(tmp_path, monkeypatch):
    """Nor do the chains begin anew with a block: no two of them are alike."""
    run, found = load(tmp_path, CHAIN), []
    for length, n_blocks in ((20, 3), (60, 1)):
        monkeypatch.setattr(chain_stage, "BLOCK", length)
        path = tmp_path / f"{length}"
        directory.create(path, run)
        chain_stage.run(Job(path, run, run.theory.theory(), QUIET))
        record = records.read(path)
        found.append(record.chain)
        assert len(list((path / "ensembles").iterdir())) == n_blocks
    cut, whole = found
    assert cut.keys() == whole.keys()
    for name in whole:
        np.testing.assert_array_equal(cut[name], whole[name])
    series = whole["observables/mag"].reshape(5, 3, 20)
    assert len({row.tobytes() for rows in series for row in rows}) == 15


def test_the_pilot_has_draws_of_its_own(tmp_path, monkeypatch):
    """Every stream of draws that a stage asks for: none is used for two things."""
    run, streams = load(tmp_path, FLOW), []

    def noted(model, action, key, first, n, batch):
        streams.append((jr.key_data(key).tobytes(), first, n))
        zeros = np.zeros(n)
        return sampling.Draws(np.zeros((n, 2, 2)), zeros, zeros, {})

    monkeypatch.setattr(sampling, "draw", noted)
    monkeypatch.setattr(sample_stage, "BLOCK", 100)
    directory.create(tmp_path / "run", run)
    job = Job(tmp_path / "run", run, run.theory.theory(), QUIET)
    model = run.model.build(job.action, jr.key(0))
    sample_stage.run(job, steps_stage.run(job, model))
    pilot, estimate = (
        jr.key_data(jr.fold_in(jr.key(3), purpose)).tobytes()
        for purpose in (Purpose.PILOT, Purpose.FLOW)
    )
    assert [x for x in streams if x[0] == estimate] == [
        (estimate, first, 100) for first in (0, 100, 200)
    ]
    assert {x for x in streams if x[0] != estimate} == {(pilot, 0, 300)}


def uses():
    """In which modules the key of each purpose is asked for."""
    found = {purpose.name: set() for purpose in Purpose}
    root = pathlib.Path(genlat.__file__).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_purpose = isinstance(node, ast.Attribute) and (
                isinstance(node.value, ast.Name) and node.value.id == "Purpose"
            )
            if is_purpose:
                found[node.attr].add(path.relative_to(root).as_posix())
    return found


def test_the_key_of_a_purpose_is_used_in_one_place():
    found = uses()
    assert {name: places for name, places in found.items() if len(places) != 1} == {}
    assert len(set(Purpose)) == len(Purpose.__members__)


def test_a_schedule_ends_where_the_training_ends(tmp_path, monkeypatch):
    """Warm-up to the peak, then a cosine that ends at `steps`, however chunked."""
    monkeypatch.setattr(train_stage, "LONGEST_CHUNK", 10)
    run = load(tmp_path, MODEL)
    settings = loop.Settings(20, 4, 0.004, warmup=5, final_fraction=0.25)
    rate = settings.schedule()
    assert float(rate(20)) == pytest.approx(0.001, rel=1e-6)
    assert float(rate(16)) > 0.00105
    directory.create(tmp_path / "run", run)
    train_stage.run(Job(tmp_path / "run", run, run.theory.theory(), QUIET))
    found = records.read(tmp_path / "run").metrics["learning_rate"]
    steps = np.arange(20)
    cosine = (1 + np.cos(np.pi * (steps - 5) / 15)) / 2
    expected = np.where(steps < 5, 0.2 * steps, 0.25 + 0.75 * cosine) * 0.004
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)
