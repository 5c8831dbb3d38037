"""The command line: exit status, one line per problem, nothing heavy too early."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from genlat import cli
from genlat.errors import RequestError
from genlat.report import page
from genlat.runs import pipeline
from genlat.runs.disk import directory

GOOD = """
seed = 1
[theory]
name = "phi4"
shape = [6, 1]
kappa = 0.21
lam = 0.031
[mcmc]
"""
RESULTS = {
    "estimates": {
        "log_z": {
            "nis": {"value": 4.25, "error": 0.01},
            "exact": {"value": 4.2613, "error": 1e-12},
        },
        "two_point": {"nis": {"value": [1.0, 0.5], "error": [0.1, 0.1]}},
    },
    "diagnostics": {"ess": {"value": 0.97, "error": 0.002, "n": 1000}},
    "verdict": {"trust": "unknown", "reasons": ["no samples of p"]},
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def instant(monkeypatch):
    """A pipeline and a page that cost nothing."""
    monkeypatch.setattr(pipeline, "start", lambda config, out, screen: RESULTS)
    monkeypatch.setattr(page, "write", lambda directory: directory / "report.html")


def invoke(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def test_check_says_fine_or_every_problem_with_status_2(file):
    good = invoke("check", file)
    assert (good.exit_code, good.stdout) == (0, f"{file}: fine\n")
    bad = invoke("check", file, "--set", "mcmc.chain=3", "--set", "theory.lam=-1.0")
    assert bad.exit_code == 2
    assert bad.stdout == ""
    first, second = bad.stderr.splitlines()
    assert first.endswith("theory.lam = -1.0: should be greater than or equal to 0")
    assert second.endswith("mcmc.chain = 3: unknown field; did you mean chains?")


def test_run_shows_the_table_and_the_page(file, tmp_path, instant):
    out = tmp_path / "out"
    result = invoke("run", file, "--out", out)
    assert result.exit_code == 0
    assert "4.250(10) -1.1σ" in result.stdout
    assert "4.2613" in result.stdout
    assert "trust: unknown" in result.stdout
    assert f"report: {out / 'report.html'}" in result.stdout


def test_run_for_machines(file, tmp_path, instant):
    assert json.loads(invoke("run", file, "--out", tmp_path / "a", "--json").stdout)
    quiet = invoke("run", file, "--out", tmp_path / "a", "--quiet")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")


def test_an_existing_directory_is_refused(file, tmp_path):
    result = invoke("run", file, "--out", tmp_path)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "exists" in result.stderr


def test_a_foreign_directory_is_refused(tmp_path):
    for command in ("resume", "report"):
        result = invoke(command, tmp_path)
        assert result.exit_code == 2
        assert result.stderr == f"{tmp_path}: not a run directory of genlat\n"


def test_a_device_that_is_not_there_is_one_line(file):
    """And a backend of figures that nobody has does not matter."""
    program = [sys.executable, "-c", "from genlat.cli import main; main()"]
    environ = os.environ | {"JAX_PLATFORMS": "nonsense", "MPLBACKEND": "nonsense"}
    done = subprocess.run(
        [*program, "exact", file], capture_output=True, text=True, env=environ
    )
    assert done.returncode == 2
    assert done.stderr.startswith("JAX_PLATFORMS=nonsense: JAX finds no such device: ")
    assert len(done.stderr.splitlines()) == 1
    del environ["JAX_PLATFORMS"]
    code = (
        "import os, genlat.cli as c; c.app = lambda: None; c.main(); import matplotlib"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environ)


def test_a_place_that_cannot_be_written_down_is_refused(tmp_path):
    with pytest.raises(RequestError, match="no UTF-8: rename it"):
        directory.refuse_existing(tmp_path / "x\udcff" / "run")


def test_ctrl_c_says_how_to_continue(file, tmp_path, monkeypatch):
    def interrupted(config, out, screen):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "start", interrupted)
    out = tmp_path / "out"
    result = invoke("run", file, "--out", out)
    assert result.exit_code == 130
    assert result.stderr == "interrupted; nothing was begun\n"
    monkeypatch.setattr(directory, "refuse_existing", lambda path: None)
    out.mkdir()
    result = invoke("run", file, "--out", out)
    assert result.exit_code == 130
    assert result.stderr == f"interrupted; continue with: genlat resume {out}\n"


def test_a_bug_is_not_hidden(file, tmp_path, monkeypatch):
    def broken(config, out, screen):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(pipeline, "start", broken)
    result = invoke("run", file, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)


def test_exact_prints_json(file):
    result = invoke("exact", file)
    assert result.exit_code == 0
    known = json.loads(result.stdout)
    assert known["log_z"].keys() == {"value", "error", "source"}


def test_list_names_everything():
    text = invoke("list").stdout
    for word in ("phi4", "double_well", "hmc", "cnf", "nmcmc", "binder", "n_leapfrog"):
        assert word in text
    assert "(default 64)" in text
    assert "(no default)" in text


def test_checking_needs_neither_jax_nor_arrays_of_others(file):
    """What makes `genlat check` answer at once: nothing heavy is imported for it."""
    code = (
        "import sys; from genlat.cli import app;"
        f"app(['check', {str(file)!r}], standalone_mode=False);"
        "print(*{'jax', 'equinox', 'scipy', 'matplotlib', 'h5py'} & set(sys.modules))"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed.splitlines()[-1].strip() == ""


def test_the_program_is_installed():
    program = pathlib.Path(sys.executable).parent / "genlat"
    done = subprocess.run([program, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "resume" in done.stdout
