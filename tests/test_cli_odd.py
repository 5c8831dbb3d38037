"""Command lines that nobody would write: status 0 or 2, a line each, no traceback."""

import random
import sys

from typer.testing import CliRunner

from config_for_tests import GOOD
from genlat import cli
from genlat.runs import pipeline
from genlat.runs.scan import scan, study

COMMANDS = [
    *("run", "scan", "resume", "report", "export", "fluctuations", "check", "exact"),
    *("list", "frob"),
]
PATHS = [
    *("g.toml", "bad.toml", "binary", "folder", "empty", "nope", "odd", "scan", ""),
    "study",
    *("a\nb", "é☃", "x" * 300, "-", "--", "/dev/null", "/", ".", "g.toml/", "%s"),
]
SETS = [
    *("mcmc.chains=3", "=", "a", "a.b.c=1", "mcmc=3", "seed=", "theory.shape=[]"),
    *("theory.shape=4x4", "model.name=☃", "train.steps=-1", ".=1", "theory.lam=nan"),
    *("x=\n", "estimate.samples=1e99", "theory={}", "model=[]", "model.init=binary"),
]
OVERS = [
    *("theory.kappa=0.1:0.2:0.1", "theory.kappa", "=", "theory.kappa=1:0:1", "x.y=1"),
    *("theory.kappa=0.1,0.1", "theory.shape.9=4", "theory.kappa=nan", "seed=1,2"),
    *("theory.kappa=0:1e9:1e-9", "mcmc.kernel=1,2", "theory.kappa=1e400,2"),
    *("theory.shape=8x", "theory.shape=4x4,6x4", "theory.shape=4,6", "theory.shape="),
]
FLAGS = [
    *(["--quiet"], ["--json"], ["--continue", "odd"], ["--warm-steps", "-1"]),
    *(["--repetitions", "1"], ["--observables", "x,"], ["--bogus"], ["--set"]),
]


def command_line(seed):
    draw = random.Random(seed)
    command = draw.choice(COMMANDS)
    line = [command, *(draw.choice(PATHS) for _ in range(draw.choice((0, 1, 1, 1, 2))))]
    if command in ("run", "scan", "export", "fluctuations"):
        line += ["--out", draw.choice([*PATHS, "new", "new.nc", "new.json.gz"])]
    if command in ("run", "scan", "check", "exact"):
        for _ in range(draw.choice((0, 0, 1, 2))):
            line += ["--set", draw.choice(SETS)]
    if command == "scan":
        for _ in range(draw.choice((1, 1, 2))):
            line += ["--over", draw.choice(OVERS)]
    return line + (draw.choice(FLAGS) if draw.random() < 0.2 else [])


def test_odd_command_lines(tmp_path, monkeypatch):
    starts = [(module, "start") for module in (pipeline, scan, study)]
    for module, name in (*starts, (pipeline, "go_on")):
        monkeypatch.setattr(module, name, lambda *_: sys.exit())  # nothing to compute
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g.toml").write_text(GOOD)
    (tmp_path / "bad.toml").write_text("seed =")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "empty").write_text("")
    for folder, name in (
        ("folder", None),
        ("odd", "config.toml"),
        ("scan", "scan.toml"),
        ("study", "study.toml"),
    ):
        (tmp_path / folder).mkdir()
        if name:
            (tmp_path / folder / name).write_text("x = 1")
    for seed in range(80):
        line = command_line(seed)
        result = CliRunner().invoke(cli.app, line)
        assert result.exit_code in (0, 1, 2), line
        assert isinstance(result.exception, SystemExit | None), (line, result.exception)
        if result.exit_code == 1:  # a scan's request that is no longer what it was
            assert "damaged" in result.stderr, line
        if result.exit_code and "Usage" not in result.stderr:
            complaints = result.stderr.splitlines()
            assert complaints, line
            assert all(text and text.isprintable() for text in complaints), line
