"""Every instant of a beginning can be begun again or resumed, and so can every end."""

import errno
import functools
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from typer.testing import CliRunner

from config_for_tests import GOOD, load
from genlat import cli
from genlat.errors import DiskError, RequestError
from genlat.report import house
from genlat.runs import pipeline, results
from genlat.runs.disk import directory, files, metrics, store
from genlat.runs.export import fluctuations
from genlat.runs.scan import scan, scan_request
from genlat.runs.stages.screen import Screen
from kills_for_tests import before_event

QUIET = Screen(quiet=True)
CHAIN = GOOD.partition("[model]")[0]


@pytest.fixture
def no_work(monkeypatch):
    """A pipeline of which only the files are left."""
    monkeypatch.setenv("GENLAT_NO_CACHE", "1")
    monkeypatch.setattr(pipeline, "_records", lambda job: None)

    def write(job, model):
        found = {"started": directory.notes(job.directory)["started"]}
        files.write_json(job.directory / "results.json", found)
        return found

    monkeypatch.setattr(results, "write", write)


def through_all_events(monkeypatch, begin, go_on, is_begun):
    """Kill `begin` before each of its file events in turn; how many there are."""
    number = 0
    while before_event(monkeypatch, number, functools.partial(begin, number)):
        (go_on if is_begun(number) else begin)(number)
        number += 1
    return number


def test_a_run_killed_anywhere_at_its_start_goes_on(tmp_path, monkeypatch, no_work):
    run = load(tmp_path, CHAIN)

    def place(number):
        return tmp_path / "deep" / f"run-{number}"

    n_events = through_all_events(
        monkeypatch,
        lambda number: pipeline.start(run, place(number), QUIET),
        lambda number: pipeline.resume(place(number), QUIET),
        lambda number: place(number).exists(),
    )
    assert n_events > 10
    for number in range(n_events + 1):
        assert pipeline.resume(place(number), QUIET)["started"].startswith("20")
    assert not [x for x in (tmp_path / "deep").iterdir() if x.name.startswith(".")]


def test_a_scan_killed_anywhere_at_its_start_goes_on(tmp_path, monkeypatch):
    (tmp_path / "run.toml").write_text(CHAIN)
    over = "theory.kappa=0.2,0.21"
    request = scan_request.plan(tmp_path / "run.toml", over, [], None)

    def resume(path, screen, draw):
        assert (path / "points").is_dir()
        return {"field": scan_request.read(path).field}

    monkeypatch.setattr(scan, "resume", resume)

    def place(number):
        return tmp_path / f"scan-{number}"

    n_events = through_all_events(
        monkeypatch,
        lambda number: scan.start(request, place(number), QUIET, pytest.fail),
        lambda number: scan.resume(place(number), QUIET, pytest.fail),
        lambda number: place(number).exists(),
    )
    assert n_events > 5
    assert scan_request.is_scan(place(n_events))


def test_a_study_killed_anywhere_begins_again(tmp_path, monkeypatch):
    monkeypatch.setattr(fluctuations, "study", lambda *_: {"runs": []})
    n_events = through_all_events(
        monkeypatch,
        lambda number: fluctuations.write([tmp_path], tmp_path / f"{number}", 9),
        lambda number: files.read_json(tmp_path / f"{number}" / "fluctuations.json"),
        lambda number: (tmp_path / f"{number}").exists(),
    )
    assert n_events > 3
    found = files.read_json(tmp_path / f"{n_events}" / "fluctuations.json")
    assert found == {"runs": []}


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


WRITERS = {
    "block": lambda path: store.write(
        path / "a.h5", store.Block({"x": np.zeros(9)}, {})
    ),
    "json": lambda path: files.write_json(path / "results.json", {}),
    "log": lambda path: metrics.append(path, [{"step": 0}]),
    "directory": lambda path: fluctuations.write([path], path / "new", 9),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_one_line_and_leaves_no_half(tmp_path, monkeypatch, writer):
    monkeypatch.setattr(fluctuations, "study", lambda *_: {"runs": []})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match=f"^{tmp_path}.*: No space left .*: make room$"):
        WRITERS[writer](tmp_path)
    assert {x.name for x in tmp_path.iterdir()} <= {"metrics.jsonl"}


def test_a_block_on_a_full_disk_does_not_crash(tmp_path):
    """HDF5 itself ends in a fault of memory; the limit stands for the full disk."""
    script = f"""
        import pathlib, resource
        import numpy as np
        from genlat.runs.disk import store
        from genlat.errors import DiskError
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        try:
            block = store.Block({{"x": np.zeros(10_000)}}, {{}})
            store.write(pathlib.Path({str(tmp_path / "a.h5")!r}), block)
        except DiskError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 'a.h5'}: File too large: make room\n"
    assert not list(tmp_path.iterdir())


def test_a_figure_on_a_full_disk_names_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(type(tmp_path), "write_text", full)
    with pytest.raises(OSError, match="No space left") as caught:
        house.write(tmp_path / "a.svg", "<svg/>")
    assert caught.value.filename == str(tmp_path / "a.svg")


def invoke(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def finished(tmp_path, no_work):
    run = load(tmp_path, CHAIN)
    pipeline.start(run, tmp_path / "run", QUIET)
    return tmp_path / "run"


def test_the_disk_is_our_fault_and_the_place_that_of_the_request(
    tmp_path, monkeypatch, no_work
):
    (tmp_path / "run.toml").write_text(CHAIN)
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = invoke("run", tmp_path / "run.toml", "--out", out)
    assert result.exit_code == 1
    assert result.stderr.endswith(
        "No space left on device: make room; nothing was begun\n"
    )
    assert result.stderr.count("\n") == 1
    for name in ("x" * 300, "run.toml/below", "run.toml"):
        result = invoke("run", tmp_path / "run.toml", "--out", tmp_path / name)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert str(tmp_path / name) in result.stderr
        for command in ("resume", "report"):
            result = invoke(command, tmp_path / name)
            assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_a_disk_that_fills_up_on_the_way(finished, monkeypatch):
    (finished / "results.json").unlink()
    monkeypatch.setattr(os, "fsync", full)
    result = invoke("resume", finished)
    assert result.exit_code == 1
    expected = f"make room; continue with: genlat resume {finished}\n"
    assert result.stderr.endswith(expected)


def test_a_finished_run_can_be_read_where_nothing_can_be_written(finished, monkeypatch):
    """As of root no permission is refused, the system's answers are made up."""
    plain_open = type(finished).open

    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    def read_alone(path, mode="r", *arguments, **options):
        if mode in ("r", "rb"):
            return plain_open(path, mode, *arguments, **options)
        return refuse(path)

    monkeypatch.setattr(house, "write", refuse)
    monkeypatch.setattr(type(finished), "open", read_alone)
    result = invoke("resume", finished, "--json")
    assert result.exit_code == 0
    result = invoke("report", finished)
    assert result.exit_code == 2
    assert "Read-only file system: work on a copy, or write elsewhere" in result.stderr
    assert result.stderr.count("\n") == 1
    (finished / "results.json").unlink()
    with pytest.raises(RequestError, match=r"\.lock: Read-only file system"):
        pipeline.resume(finished, QUIET)
