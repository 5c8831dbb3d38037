"""What `check` accepts can be carried out: every kind of run, traced and compiled."""

import itertools

import pytest
from typer.testing import CliRunner

from config_for_tests import GOOD, load, refusals
from genlat import cli
from genlat.errors import RequestError
from genlat.models.flow import Flow
from genlat.runs import pipeline
from genlat.runs.stages import environment, trace
from genlat.runs.stages.screen import Screen
from runfiles_for_tests import GROUPS, SIZES, accepted

COUPLING = ["model.name=realnvp", "model.layers=2", "model.hidden=[2]"]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([*COUPLING, "theory.shape=[4, 6]", "model.kernel_size=1"], "kernel_size = 1"),
        ([*COUPLING, "theory.shape=[4, 2]"], "extents of 3 or more, shape is [4, 2]"),
        ([*COUPLING, "theory.shape=[4, 1]", "model.kernel_size=1"], "use dense"),
        (
            ["theory.shape=[2]", "model.symmetrize=point_group"],
            'model.symmetrize = ["point_group"]: changes nothing on the shape [2]',
        ),
        (
            ["theory.shape=[1]", "model.symmetrize=translations"],
            'model.symmetrize = ["translations"]: changes nothing on the shape [1]',
        ),
    ],
)
def test_what_cannot_be_traced_is_refused_without_jax(tmp_path, overrides, expected):
    (line,) = refusals(tmp_path, GOOD, overrides)
    assert expected in line


def test_groups_with_one_element_that_moves_something_are_fine(tmp_path):
    for shape, groups in (("[2]", "['sign', 'point_group']"), ("[2]", "translations")):
        load(tmp_path, GOOD, [f"theory.shape={shape}", f"model.symmetrize={groups}"])


def test_a_model_that_cannot_be_is_refused_before_anything_is_made(
    tmp_path, monkeypatch
):
    run = load(tmp_path, GOOD, COUPLING)

    def broken(self, keys):
        raise ValueError("no\nsuch thing")

    monkeypatch.setattr(Flow, "sample_batch", broken)
    with pytest.raises(RequestError) as error:
        pipeline.start(run, tmp_path / "out", Screen(quiet=True))
    (line,) = error.value.lines
    assert line.endswith(": cannot be carried out: no such thing")
    assert line.startswith(("train.objective = ", "model.name = "))
    assert not (tmp_path / "out").exists()
    path = tmp_path / "run.toml"
    asked = [word for text in COUPLING for word in ("--set", text)]
    arguments = ["check", str(path), *asked]
    assert CliRunner().invoke(cli.app, arguments).exit_code == 0  # no JAX, no trace
    traced = CliRunner().invoke(cli.app, [*arguments, "--trace"])
    assert (traced.exit_code, traced.stderr) == (2, f"{line}\n")


def matrix(first, n):
    """The next `n` run files that `check` accepts."""
    return list(itertools.islice(accepted(first), n))


def test_everything_that_is_accepted_can_be_traced():
    environment.prepare()
    for seed, run in matrix(0, 2):
        try:
            trace.refuse_untraceable(run)
        except RequestError as error:
            pytest.fail(f"seed {seed}: {error}")


def test_the_matrix_has_every_kind():
    drawn = [run for _, run in matrix(0, 80)]
    assert {run.model.name for run in drawn} == set(SIZES)
    assert {group for run in drawn for group in run.model.symmetrize} == set(GROUPS)
    assert len({(run.train.objective, run.train.gradient) for run in drawn}) >= 6
    assert len({run.theory.shape for run in drawn}) >= 6


@pytest.mark.slow
def test_everything_that_is_accepted_runs(tmp_path):
    for seed, run in matrix(10_000, 200):
        try:
            pipeline.start(run, tmp_path / str(seed), Screen(quiet=True))
        except Exception as error:
            pytest.fail(f"seed {seed}: {error!r}")
