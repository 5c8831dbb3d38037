"""What a person sees who waits: stages, phases, the time of the whole run."""

import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import pytest

from config_for_tests import GOOD, load
from genlat.runs import pipeline
from genlat.runs.stages import environment
from genlat.runs.stages.screen import Screen


@pytest.fixture
def clock(monkeypatch):
    """A clock that is moved by hand."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def shown(screen):
    progress, task = screen._bar
    return progress.tasks[task].fields


def test_the_time_of_the_run_is_of_the_stages_seen(clock):
    screen = Screen(quiet=True)
    screen.plan(["hmc", "training", "sampling"])
    with screen.progress("hmc", 10) as advance:
        assert shown(screen)["run"] == "(stage 1 of 3)"
        advance(0, "thermalising")
        assert shown(screen)["remark"] == "thermalising"
        clock[0] += 20
        advance(2, "")  # 80 s of this one are left, of the others nothing is known
        assert shown(screen)["run"] == "(stage 1 of 3, run at least 80 s)"
        clock[0] += 80
        advance(8, "")
    for title in ("training", "sampling"):
        with screen.progress(title, 1) as advance:
            clock[0] += 50
            advance(1, "")
    with screen.progress("hmc", 10) as advance:  # the next point of a scan
        assert shown(screen)["run"] == "(stage 1 of 3, run about 3 min)"
        clock[0] += 5
        advance(5, "")
        assert shown(screen)["run"] == "(stage 1 of 3, run about 2 min)"
    with screen.progress("something else", 3):
        assert shown(screen)["run"] == ""


def test_compilation_is_said_while_it_lasts():
    screen, heard = Screen(quiet=True), []

    def hear(is_compiling):
        screen.compiling(is_compiling)
        heard.append(shown(screen)["state"])

    with environment.watching_compilation(hear), screen.progress("x", 1):
        jax.jit(lambda x: jnp.sin(x) + 0.123)(jnp.ones(3)).block_until_ready()
    assert heard[:2] == ["compiling  ", ""]
    n = len(heard)
    jax.jit(lambda x: jnp.sin(x) + 0.124)(jnp.ones(3)).block_until_ready()
    assert len(heard) == n
    screen.compiling(True)  # without a bar: nothing to say it beside


def test_the_stages_are_those_that_have_bars(tmp_path):
    run = load(tmp_path, GOOD)
    stages = ["hmc+cluster", "training", "log q on samples of p", "sampling"]
    assert pipeline._stages(run) == stages
    alone = load(tmp_path, GOOD.partition("[model]")[0])
    assert pipeline._stages(alone) == ["hmc+cluster"]


def test_quiet_keeps_alarms_of_xla_off_the_screen(tmp_path):
    """The level is set before JAX is imported, and only where quiet is asked for."""
    (tmp_path / "run.toml").write_text(GOOD)
    code = (
        "import os, sys; from genlat.cli import app\n"
        "from genlat.runs.disk import directory\n"
        "from genlat.runs.file import config\n"
        "def stop(*_): print(os.environ.get('TF_CPP_MIN_LOG_LEVEL')); sys.exit()\n"
        "import builtins; own = builtins.__import__\n"
        "def guard(name, *a, **k):\n"
        "    if name == 'jax': stop()\n"
        "    return own(name, *a, **k)\n"
        "builtins.__import__ = guard\n"
        f"app(['run', {str(tmp_path / 'run.toml')!r}, '--out', "
        f"{str(tmp_path / 'out')!r}, *sys.argv[1:]], standalone_mode=False)"
    )
    environ = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}

    def level(*arguments):
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.check_output(command, text=True, env=environ).strip()

    assert level("--quiet") == level("--json") == "3"
    assert level() == "None"
