"""The scaling study: what it reads from runs, and that it goes on where it stopped."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scaling
import scaling_measures as measures

STEPS, SECONDS = 400, 0.25


def ess_at(size):
    """A batch ESS that rises by 1/(3 L²) a step, with some noise."""
    noise = 0.02 * np.random.default_rng(size).standard_normal(STEPS)
    return np.minimum(np.arange(STEPS) / (3 * size**2), 0.97) + noise


def a_run(out: Path, point: scaling.Point, share: float | None):
    """A finished run as `genlat run` leaves it, of KL per site 10⁻⁴ L."""
    run = out / "runs" / point.name
    run.mkdir(parents=True)
    size = point.size
    clock = 30 + SECONDS * np.arange(1, STEPS + 1)  # the first call compiled for 30 s
    lines = [
        {"step": step, "seconds": seconds, "ess": ess}
        for step, (seconds, ess) in enumerate(zip(clock, ess_at(size), strict=True))
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (run / "metrics.jsonl").write_text(text)
    kl = 1e-4 * size * (1 + 0.01 * (-1) ** (size // 2))
    results = {
        "estimates": {"log_z": {"nis": {"value": 7.0, "error": 0.01}}},
        "diagnostics": {
            "ess": {"value": math.exp(-0.002 * size**2), "error": 0.001},
            "acceptance": {"nmcmc": {"value": 1 - 0.01 * size, "error": 0.001}},
            "kl_per_site": {"value": kl, "error": 0.01 * kl},
        },
        "verdict": {"trust": "unknown"},
        "cost": {"parameters": 99},
    }
    (run / "results.json").write_text(json.dumps(results))
    path = scaling.clock_path(out, point)
    path.parent.mkdir(exist_ok=True)
    if share is not None:
        watched = [[step, 11 + share * SECONDS * step] for step in range(50, 401, 50)]
        path.write_text(json.dumps(watched))


def study(monkeypatch, out: Path, *options: str):
    words = ["scaling.py", "--out", str(out), "--seeds", "1", "--families", "cnf"]
    sizes = ["--sizes", "6", "8", "10"]
    monkeypatch.setattr(sys, "argv", [*words, *sizes, *options])
    scaling.main()
    return json.loads((out / "results.json").read_text())


@pytest.mark.parametrize(
    ("start", "share"), [("scratch", 0.5), ("transfer", 0.5), ("scratch", None)]
)
def test_finished_runs_are_read_and_fitted(tmp_path, monkeypatch, capsys, start, share):
    """No run is started; values, costs and exponents are those of the files."""
    for size in (6, 8, 10):
        a_run(tmp_path, scaling.Point("cnf", size, 1), share)
    found = study(monkeypatch, tmp_path, "--start", start)
    first, second, _ = found["runs"]
    per_step = (share or 1) * SECONDS
    assert first["seconds_per_step"][0] == pytest.approx(per_step)
    assert first["train_seconds"] == pytest.approx(STEPS * per_step)
    before = STEPS * per_step if start == "transfer" else 0
    # in the middle of the window the ramp is at the target; a window of noise more
    expected = 0.5 * 3 * 8**2 + measures.WINDOW / 2
    cost, error = second["cost"]["0.5"]
    assert cost - before == pytest.approx(expected * per_step, abs=10 * per_step)
    assert per_step <= error < 20 * per_step
    fits = {fit["quantity"]: fit for fit in found["fits"]}
    assert fits["kl_per_site"]["exponent"] == pytest.approx(1, abs=0.1)
    assert fits["kl_per_site"]["scale"] > 1
    assert fits["-ln ess"]["exponent"] == pytest.approx(2, rel=1e-9)
    assert fits["1 - acceptance"]["exponent"] == pytest.approx(1, rel=1e-9)
    if start == "scratch":
        assert fits["seconds to ESS 0.8"]["exponent"] == pytest.approx(2, abs=0.3)
    assert (tmp_path / "scaling.svg").read_text().startswith("<?xml")
    printed = capsys.readouterr()
    assert printed.err.count("already finished") == 3
    assert fits["kl_per_site"]["text"] in printed.out


def test_other_settings_are_refused(tmp_path, monkeypatch):
    """Runs of different lengths are not one study."""
    for size in (6, 8, 10):
        a_run(tmp_path, scaling.Point("cnf", size, 1), None)
    study(monkeypatch, tmp_path)
    with pytest.raises(SystemExit, match="other settings"):
        study(monkeypatch, tmp_path, "--steps", "7")


def test_an_unfinished_run_is_continued(tmp_path, monkeypatch):
    """And one that was not begun is started, from its neighbour where asked to."""
    called = []

    class Ended:
        pid = os.getpid()

        def __init__(self, words):
            called.append(words[3:])

        def poll(self):
            return 0

        def wait(self):
            return 0

    monkeypatch.setattr(scaling.subprocess, "Popen", Ended)
    request = scaling.Request("transfer", 50, 16, 200, ("train.warmup=3",))
    scaling.keep_request(tmp_path, request)
    first, second = (scaling.Point("realnvp", size, 1) for size in (6, 20))
    (tmp_path / "runs" / first.name).mkdir()
    scaling.make(tmp_path, first, None, request)
    scaling.make(tmp_path, second, first, request)
    assert called[0][:2] == ["resume", str(tmp_path / "runs" / first.name)]
    assert called[1][0] == "run"
    assert called[1][-2:] == ["--set", "train.warmup=3"]
    file = (tmp_path / "files" / f"{second.name}.toml").read_text()
    assert f'init = "{tmp_path / "runs" / first.name}"' in file
    assert "lam_b = 4.807" in file


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="not Linux")
def test_cpu_seconds_are_those_of_the_process(tmp_path):
    """Of one that computes for 0.4 s a chunk, and sleeps as long at no cost."""
    code = (
        "import sys, time\n"
        "for step in range(3):\n"
        "    end = time.process_time() + 0.4\n"
        "    while time.process_time() < end: pass\n"
        "    time.sleep(0.4)\n"
        "    open(sys.argv[1], 'a').write(50 * '{}\\n')\n"
    )
    path = tmp_path / "metrics.jsonl"
    process = subprocess.Popen([sys.executable, "-c", code, str(path)])
    samples = scaling.watch(process, path)
    assert process.wait() == 0
    assert [steps for steps, _ in samples][:2] == [50, 100]
    value, error = measures.seconds_per_step(samples, np.arange(150.0))
    assert value == pytest.approx(0.4 / 50, abs=5 * error)
    assert error < 0.2 * value or len(samples) == 2


def test_targets_that_are_never_reached_cost_nothing_known():
    ess = ess_at(20)
    assert measures.cost_to_reach(ess, 0.9, SECONDS, 0.0) is None
    rows = [
        {
            "family": "cnf",
            "size": size,
            "ess": [0.4, None],
            "acceptance": [0.5, 0.3],
            "kl_per_site": [1e-3 * size, 1e-5],
            "seconds_per_step": [0.1, 0.001],
            "cost": {"0.9": None},
        }
        for size in (6, 8, 10)
    ]
    fitted = {fit["quantity"]: fit for fit in measures.fit_all(rows)}
    for name in ("-ln ess", "1 - acceptance", "seconds to ESS 0.9"):
        assert fitted[name]["left_out"] == 3
        assert "exponent" not in fitted[name]
    assert fitted["kl_per_site"]["exponent"] == pytest.approx(1)


def test_run_files_are_accepted():
    """By genlat itself, for every size and family."""
    from genlat.runs.file import config

    request = scaling.Request("scratch", 50, 16, 2000, ())
    for size, coupling in scaling.COUPLINGS.items():
        for family in scaling.MODELS:
            content = scaling.Point(family, size, 3).run_file(request, None)
            checked = config.check(content, "test")
            assert checked.theory.lam_b == coupling
