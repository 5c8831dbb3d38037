"""A whole run, small: its numbers, and that no kill changes them."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from genlat.errors import DamagedError, DivergedError, RequestError
from genlat.models.gaussian import GaussianPair
from genlat.models.phase_mixture import PhaseMixture
from genlat.runs import pipeline, records
from genlat.runs.disk import directory, files, store
from genlat.runs.export import export
from genlat.runs.file import config
from genlat.runs.stages import chain_stage, flow_model, sample_stage, train_stage
from genlat.runs.stages.job import Job
from genlat.runs.stages.screen import Screen
from genlat.theories.base import COMMON
from genlat.theories.phi4 import Phi4Section
from kills_for_tests import through_kills

TINY = """
seed = 3
[theory]
name = "phi4"
shape = [6, 2]
kappa = 0.11
lam = 0.031
[mcmc]
kernel = ["hmc", "cluster"]
chains = 6
samples = 60
therm = 30
n_leapfrog = 4
keep = 120
[model]
features = 2
channels = 1
kernel_terms = 1
mixing_terms = 1
n_steps = 2
[train]
steps = 20
batch = 16
[estimate]
samples = 600
batch = 100
chains = 6
n_steps = 4
keep = 250
methods = ["default", "hmc_integration"]
[integration]
couplings = 3
chains = 6
samples = 60
therm = 30
n_leapfrog = 4
target_error = 0.06
"""
QUIET = Screen(quiet=True)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch, tmp_path):
    """Several blocks and chunks in a small run, and a cache of compiled code apart."""
    monkeypatch.setattr(chain_stage, "BLOCK", 20)
    monkeypatch.setattr(sample_stage, "BLOCK", 200)
    monkeypatch.setattr(train_stage, "LONGEST_CHUNK", 10)
    monkeypatch.setenv("GENLAT_NO_CACHE", "1")


def run_config(tmp_path, overrides=()):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return config.load(path, overrides)


def numbers(results):
    """All of `results.json` that a kill must not change."""
    kept = json.loads(json.dumps(results))
    del kept["cost"], kept["provenance"]["started"], kept["provenance"]["finished"]
    return kept


def test_a_run_leaves_every_record_and_right_numbers(tmp_path):
    out = tmp_path / "run"
    results = pipeline.start(run_config(tmp_path), out, QUIET)
    assert results == files.read_json(out / "results.json")
    assert results["schema"] == "genlat.results/1"

    # the strip is two sites wide: everything is known from the transfer matrix
    estimates = results["estimates"]
    for name in ("phi2", "mag2", "action_density", "mag"):
        exact = estimates[name]["exact"]["value"]
        for method in ("hmc+cluster", "nis", "nmcmc"):
            found = estimates[name][method]
            assert 0 < found["error"] < 0.1
            assert abs(found["value"] - exact) < 5 * found["error"], (name, method)
    log_z = estimates["log_z"]
    for method in ("nis", "p_estimator", "bar", "hmc_integration"):
        shift = log_z[method]["value"] - log_z["exact"]["value"]
        assert abs(shift) < 5 * log_z[method]["error"] < 0.31, method
        assert log_z[method]["error"] > 0
    lower = estimates["free_energy_density_lower"]["p_estimator"]
    upper = estimates["free_energy_density_upper"]["nis"]
    exact = estimates["free_energy_density"]["exact"]["value"]
    assert lower["value"] - 5 * lower["error"] < exact
    assert exact < upper["value"] + 5 * upper["error"]
    assert len(estimates["two_point"]["nis"]["value"]) == 4

    diagnostics = results["diagnostics"]
    assert 0.5 < diagnostics["ess"]["value"] <= 1
    assert set(diagnostics["acceptance"]) == {"hmc+cluster", "nmcmc"}
    assert set(diagnostics["tau_int"]["abs_mag"]) == {"hmc+cluster", "nmcmc"}
    assert diagnostics["non_finite"] == 0
    assert diagnostics["integrator"]["steps"] == 4
    assert abs(diagnostics["integrator"]["shift_log_z"]) < 0.01
    assert diagnostics["prior"]["ess"]["n"] == 20_000
    weight = diagnostics["mode_weight"]
    assert weight["is_evidence"]
    assert abs(weight["value"] - 1) < 5 * weight["error"] < 0.2
    assert 0.5 < diagnostics["ess_forward"]["value"] <= 1
    assert diagnostics["p_samples"]["n"] == 120
    assert diagnostics["non_finite_p"] == 0
    assert all(abs(row["pull"]) < 5 for row in diagnostics["consistency"])
    assert len(diagnostics["consistency"]) == 5
    path = diagnostics["integration"]
    assert path["couplings"][0] == 0
    assert path["couplings"][-1] == pytest.approx(0.11)
    assert path["error"][-1] <= path["target_error"]
    # 600 draws are too few for an ESS
    assert results["verdict"]["trust"] == "unknown"
    assert "600 draws" in results["verdict"]["reasons"][0]
    cost = results["cost"]
    assert set(cost["ess_per_second"]) == {"hmc+cluster", "nis", "nmcmc"}
    unit = cost["seconds_at_unit_error"]["log_z"]
    assert set(unit) == {"nis", "p_estimator", "bar", "hmc_integration"}
    trained = cost["seconds_at_unit_error_trained"]["log_z"]
    error = log_z["nis"]["error"]
    running = {
        stage: cost[f"{stage}_seconds"] - compiling
        for stage, compiling in cost["compile_seconds"].items()
    }
    drawing = running["sample"] + running["steps"]
    assert trained["nis"] == pytest.approx(drawing * error**2)
    assert unit["nis"] == pytest.approx((drawing + running["train"]) * error**2)
    stages = {
        *("check", "mcmc", "prior", "train", "steps", "sample", "nmcmc", "p"),
        *("integration", "estimate"),
    }
    assert set(running) == {*stages, "p_source"}
    parts = sum(cost[f"{stage}_seconds"] for stage in (*stages, "other"))
    assert cost["total_seconds"] == pytest.approx(parts)
    assert all(
        cost[name] > 0
        for name in ("train_seconds", "sample_seconds", "mcmc_seconds", "parameters")
    )

    record = records.read(out)
    assert record.metrics["step"].tolist() == list(range(20))
    assert np.all(np.diff(record.metrics["seconds"]) > 0)
    assert record.chain["observables/abs_mag"].shape == (6, 60)
    assert record.chain["observables/two_point"].shape == (6, 60, 4)
    assert record.chain["acceptance"].shape == (6, 60)
    assert record.chain["delta_h"].shape == (6, 60)
    assert record.chain["phi"].shape == (6, 20, 6, 2)
    assert record.flow["log_q"].shape == (600,)
    assert record.flow["phi"].shape == (250, 6, 2)
    assert record.nmcmc["index"].shape == (6, 100)
    assert [len(store.paths(out, name)) for name in ("chain", "flow")] == [3, 3]

    datasets = export.to_xarray(record)
    for dataset in (datasets[name] for name in ("chain", "flow", "nmcmc")):
        assert {*COMMON, *Phi4Section.OBSERVABLES} <= set(dataset)
        assert dataset.attrs.items() >= {"kappa": 0.11, "seed": 3}.items()

    # asking again changes nothing
    before = (out / "results.json").read_bytes()
    assert pipeline.resume(out, QUIET) == results
    assert (out / "results.json").read_bytes() == before


def test_no_kill_changes_a_number(tmp_path, monkeypatch):
    """Cut the run again and again, on the commit of its second to fourth file."""
    plain = tmp_path / "plain"
    expected = numbers(pipeline.start(run_config(tmp_path), plain, QUIET))

    killed = tmp_path / "killed"
    directory.create(killed, run_config(tmp_path))
    directory.note(killed, "started", "then")
    results, n_kills = through_kills(
        monkeypatch, lambda: pipeline.resume(killed, QUIET), lambda n: 1 + n % 3
    )
    assert n_kills > 4
    assert numbers(results) == expected
    a, b = records.read(plain), records.read(killed)
    assert a.metrics["step"].tolist() == b.metrics["step"].tolist()
    for column in ("loss", "ess", "grad_norm"):
        np.testing.assert_array_equal(a.metrics[column], b.metrics[column])
    assert [x.keys() for x in a.path] == [x.keys() for x in b.path]
    for ours, theirs in zip(a.path, b.path, strict=True):
        np.testing.assert_array_equal(ours["energy"], theirs["energy"])
    for ensemble in ("chain", "flow", "nmcmc", "target"):
        ours, theirs = getattr(a, ensemble), getattr(b, ensemble)
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            np.testing.assert_array_equal(array, theirs[name])


def test_another_seed_gives_other_numbers(tmp_path):
    """Negative control of the comparison above."""
    overrides = ["estimate.methods=['nis']"]
    results = []
    for seed in (3, 4):
        out = tmp_path / f"seed-{seed}"
        config_ = run_config(tmp_path, [*overrides, f"seed={seed}"])
        results.append(pipeline.start(config_, out, QUIET))
    first, second = (x["estimates"]["phi2"] for x in results)
    assert first["nis"]["value"] != second["nis"]["value"]
    assert first["hmc+cluster"]["value"] != second["hmc+cluster"]["value"]


def test_a_deleted_block_is_made_again(tmp_path):
    out = tmp_path / "run"
    expected = numbers(pipeline.start(run_config(tmp_path), out, QUIET))
    for name in ("chain", "flow"):
        store.path(out, name, 1).unlink()
    (out / "results.json").unlink()
    assert numbers(pipeline.resume(out, QUIET)) == expected


def test_a_damaged_block_is_one_line(tmp_path):
    out = tmp_path / "run"
    pipeline.start(run_config(tmp_path), out, QUIET)
    (out / "results.json").unlink()
    path = store.path(out, "flow", 1)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=r"flow-00001\.h5: damaged; delete it"):
        pipeline.resume(out, QUIET)


def test_training_that_diverges_stops_at_a_good_checkpoint(tmp_path):
    out = tmp_path / "run"
    config_ = run_config(tmp_path, ["train.learning_rate=1e30", "train.warmup=12"])
    with pytest.raises(
        DivergedError, match=r"stopped at step \d+: the (loss|gradient)"
    ):
        pipeline.start(config_, out, QUIET)
    lines = (out / "metrics.jsonl").read_text().splitlines()
    assert "null" in lines[-1]
    assert all("null" not in line for line in lines[:-1])
    assert list((out / "checkpoints").glob("step-*"))
    assert records.read(out).results == {}
    # the same again, not something else
    with pytest.raises(DivergedError):
        pipeline.resume(out, QUIET)


def without_chain(text):
    head, _, rest = text.partition("[mcmc]")
    return head + rest[rest.index("[model]") :]


def test_init_continues_from_a_run_at_another_coupling(tmp_path):
    path, source = tmp_path / "flow.toml", tmp_path / "source"
    path.write_text(without_chain(TINY))
    pipeline.start(config.load(path), source, QUIET)
    overrides = [f"model.init={source}", "theory.kappa=0.12"]
    out = tmp_path / "run"
    results = pipeline.start(config.load(path, overrides), out, QUIET)
    assert results["diagnostics"]["ess"]["value"] > 0.5
    # not from scratch: the first loss is that of a trained flow
    first, trained = (records.read(x).metrics["loss"] for x in (out, source))
    assert first[0] == pytest.approx(trained[-1], abs=0.5)
    # in the other phase the flow is kept, and the prior made anew
    trained_model = flow_model.read(source)
    for wells in ("both", "one", "none", "mixed"):
        away = config.load(
            path,
            [overrides[0], "theory.kappa=0.4", f"model.wells={wells}"],
        )
        directory.create(tmp_path / wells, away)
        model = flow_model.initial(
            Job(tmp_path / wells, away, away.theory.theory(), QUIET)
        )
        assert trained_model.prior.mean is None
        assert isinstance(model.prior, PhaseMixture) is (wells == "mixed")
        if isinstance(model.prior, GaussianPair):
            assert (model.prior.mean is None) is (wells == "none")
            assert (model.prior.wells == "one") is (wells == "one")
        np.testing.assert_array_equal(model.field.kernel, trained_model.field.kernel)
    # the new directory stands alone
    source.rename(tmp_path / "moved")
    (out / "results.json").unlink()
    assert numbers(pipeline.resume(out, QUIET)) == numbers(results)


def test_one_well_needs_two(tmp_path):
    path = tmp_path / "flow.toml"
    path.write_text(without_chain(TINY))
    one = config.load(path, ["model.wells=one"])
    with pytest.raises(RequestError, match="has no second well to drop"):
        pipeline.start(one, tmp_path / "run", QUIET)


def test_a_chain_alone(tmp_path):
    path = tmp_path / "chain.toml"
    path.write_text(TINY.partition("[model]")[0])
    results = pipeline.start(config.load(path), tmp_path / "chain", QUIET)
    assert set(results["estimates"]["phi2"]) == {"hmc+cluster", "exact"}
    assert results["verdict"]["trust"] == "unknown"


def test_minutes_become_steps_once(tmp_path):
    path, out = tmp_path / "minutes.toml", tmp_path / "run"
    path.write_text(without_chain(TINY).replace("steps = 20\n", "minutes = 1e-3\n"))
    results = pipeline.start(config.load(path), out, QUIET)
    assert directory.notes(out)["steps"] == 10
    assert records.read(out).metrics["step"].size == 10
    # a model alone
    assert set(results["estimates"]["phi2"]) == {"nis", "nmcmc", "exact"}
    assert "no samples of p" in results["verdict"]["reasons"][1]


PROGRAM = [sys.executable, "-c", "from genlat.cli import main; main()"]


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.3, 3.0, 6.0])
def test_sigkill_at_any_moment(tmp_path, delay, monkeypatch):
    """A real kill of a real process, and a real resume."""
    (tmp_path / "tiny.toml").write_text(TINY)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    del environment["GENLAT_NO_CACHE"]

    def launch(*arguments):
        return subprocess.Popen([*PROGRAM, *arguments, "--quiet"], env=environment)

    file, plain, killed = (str(tmp_path / x) for x in ("tiny.toml", "a", "b"))
    assert launch("run", file, "--out", plain).wait() == 0
    process = launch("run", file, "--out", killed)
    while not pathlib.Path(killed, "notes.json").exists():
        time.sleep(0.01)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert launch("resume", killed).wait() == 0
    a, b = (files.read_json(pathlib.Path(x, "results.json")) for x in (plain, killed))
    assert numbers(a) == numbers(b)


def test_resume_needs_a_run_directory(tmp_path):
    with pytest.raises(RequestError, match="not a run directory"):
        pipeline.resume(tmp_path, QUIET)
