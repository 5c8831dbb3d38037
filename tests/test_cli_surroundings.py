"""The program among others: encodings, signals, its version, its types."""

import importlib.resources
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from typer.testing import CliRunner

import genlat
from genlat import cli, errors


def launch(script, **environment):
    """A Python of its own; output as bytes."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
    )


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_any_encoding_of_the_terminal_will_do(encoding):
    script = """
        import sys
        from genlat.cli import main
        sys.argv = ["genlat", "list"]
        main()
    """
    done = launch(script, LC_ALL="C", PYTHONIOENCODING=encoding)
    out, err = done.communicate()
    assert (done.returncode, err) == (0, b"")
    text = out.decode(encoding)
    assert ("φ⁴" in text) is (encoding == "utf-8")
    assert ("\\u2074" in text) is (encoding != "utf-8")


@pytest.mark.parametrize(
    ("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)]
)
def test_every_signal_to_end_says_how_to_continue(tmp_path, name, status):
    """Directly after the directory has appeared, as in a run that goes on."""
    (tmp_path / "run.toml").write_text(
        'seed = 1\n[theory]\nname = "ising"\nshape = [2]'
    )
    script = f"""
        import pathlib, signal, sys, time
        from genlat import cli
        # whatever the tests themselves are run under, nohup or in the background
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        def begin(*_):
            pathlib.Path({str(tmp_path / "out")!r}).mkdir()
            print("begun", flush=True)
            time.sleep(60)
        cli.config.load = begin
        sys.argv = ["genlat", "run", "run.toml", "--out", {str(tmp_path / "out")!r}]
        cli.main()
    """
    process = launch(script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(getattr(signal, name))
    _, err = process.communicate()
    expected = f"interrupted; continue with: genlat resume {tmp_path / 'out'}\n"
    assert (process.returncode, err.decode()) == (status, expected)


def test_what_is_ignored_stays_ignored(monkeypatch):
    """Under nohup a run outlives its terminal."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
    monkeypatch.setattr(cli, "app", lambda: None)
    monkeypatch.setattr(sys, "stdout", None)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        cli.main()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGHUP, before[1])


def test_the_version_and_the_help():
    result = CliRunner().invoke(cli.app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"genlat {genlat.__version__}\n")
    text = CliRunner().invoke(cli.app, ["--help"]).stdout
    assert "Generative samplers for lattice field theory" in text
    assert "resume" in text


def test_the_package_says_that_it_is_typed():
    assert importlib.resources.files("genlat").joinpath("py.typed").is_file()


def test_lines_stay_lines():
    assert errors.one_line("a φ b") == "a φ b"
    assert errors.one_line("a\nb\x1b[2J\u2028\udc80") == "a\\nb\\x1b[2J\\u2028\\udc80"
    assert errors.RequestError(["a\nb", "c"]).lines == ("a\\nb", "c")
