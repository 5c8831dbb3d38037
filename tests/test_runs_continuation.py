"""A finished run trained further is the longer training, where the schedule allows."""

import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from config_for_tests import load
from genlat import cli
from genlat.errors import DamagedError, RequestError
from genlat.runs import pipeline
from genlat.runs.disk import directory, metrics
from genlat.runs.file import continuation
from genlat.runs.stages.screen import Screen

TEXT = """
seed = 3
[theory]
name = "phi4"
shape = [4]
kappa = 0.2
lam = 0.3
[model]
features = 2
channels = 1
kernel_terms = 2
mixing_terms = 1
n_steps = 2
[train]
steps = 10
batch = 8
final_fraction = 1.0
warmup = 4
[estimate]
samples = 200
chains = 10
n_steps = 2
"""
QUIET = Screen(quiet=True)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    place = tmp_path_factory.mktemp("short")
    pipeline.start(load(place, TEXT), place / "run", QUIET)
    return place / "run"


def test_it_equals_one_longer_training_of_a_constant_rate(short, tmp_path):
    found = continuation.plan(short, ["train.steps=20"])
    further = pipeline.go_on(found, tmp_path / "further", QUIET)
    whole = load(tmp_path, TEXT, ["train.steps=20"])
    at_once = pipeline.start(whole, tmp_path / "whole", QUIET)
    assert further["estimates"] == at_once["estimates"]
    logs = [metrics.read(tmp_path / name) for name in ("further", "whole")]
    losses = [[line["loss"] for line in lines] for lines in logs]
    assert len(losses[0]) == 20
    np.testing.assert_array_equal(*losses)
    noted = directory.notes(tmp_path / "further")["continues"]
    assert noted == {"run": str(short), "steps": 10}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["train.steps=10"], "train.steps: 10 steps are made: give all, more than"),
        ([], "--set train.steps=20"),
        (["train.steps=20", "seed=4"], "--continue: seed must stay as it is"),
        (["train.steps=20", "theory.kappa=0.1"], "--continue: theory must stay"),
        (["train.steps=20", "model.features=3"], "--continue: model must stay"),
    ],
)
def test_another_run_is_refused(short, overrides, expected):
    with pytest.raises(RequestError) as error:
        continuation.plan(short, overrides)
    (line,) = error.value.lines
    assert expected in line


@pytest.mark.parametrize("damage", ["flipped", "older"])
def test_a_damaged_checkpoint_is_not_taken_up(short, tmp_path, damage):
    run = tmp_path / "run"
    shutil.copytree(short, run)
    *_, newest = sorted(run.glob("checkpoints/*"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    older = run.glob("checkpoints/step-00000000*")
    newest.write_bytes(content if damage == "flipped" else next(older).read_bytes())
    with pytest.raises(DamagedError, match=newest.name):
        continuation.plan(run, ["train.steps=20"])


def test_a_continued_training_is_not_begun_from_nothing(short, tmp_path):
    found = continuation.plan(short, ["train.steps=20"])
    pipeline.go_on(found, tmp_path / "further", QUIET)
    shutil.rmtree(tmp_path / "further" / "checkpoints")
    with pytest.raises(DamagedError, match=f"genlat run --continue {short}"):
        pipeline.resume(tmp_path / "further", QUIET)


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_damaged_log_is_not_taken_up(short, tmp_path, damage):
    run = tmp_path / "run"
    shutil.copytree(short, run)
    log = run / "metrics.jsonl"
    content = log.read_bytes()
    cut = content[: content.rindex(b"\n", 0, -1) + 1]
    changed = content.replace(b'"loss": ', b'"loss":  1', 1)
    log.write_bytes(changed if damage == "flipped" else cut)
    with pytest.raises(DamagedError, match=r"metrics\.jsonl"):
        continuation.plan(run, ["train.steps=20"])


def test_what_is_not_finished_or_not_named_is_refused(short, tmp_path):
    directory.create(tmp_path / "begun", load(tmp_path, TEXT))
    with pytest.raises(RequestError, match="is not finished"):
        continuation.plan(tmp_path / "begun", ["train.steps=20"])
    out = ["--out", str(tmp_path / "out")]
    both = ["run", str(tmp_path / "run.toml"), "--continue", str(short), *out]
    for arguments in (both, ["run", *out]):
        result = CliRunner().invoke(cli.app, arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == "give either FILE.toml or --continue RUN\n"
