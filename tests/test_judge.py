"""Draws made elsewhere: the exact answer, the numbers of a run, every format, kills."""

import json
import math

import h5py
import numpy as np
import pytest

from genlat.report import page
from genlat.runs import pipeline, records
from genlat.runs.export import export
from genlat.runs.file import config
from genlat.runs.given import request
from genlat.runs.stages import given_stage, sample_stage
from genlat.runs.stages.screen import Screen
from genlat.verdict import judge as rules
from judged_for_tests import (
    FREE_FIELD,
    arrays,
    example,
    judge,
    run_file,
    written,
)
from kills_for_tests import through_kills
from pieces_for_tests import in_small_pieces

pieces = pytest.fixture(in_small_pieces, scope="module", autouse=True)


@pytest.fixture(scope="module", autouse=True)
def _few_draws_are_enough():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "SMALLEST_N", 1000)
        patch.setattr(sample_stage, "BLOCK", 1500)
        patch.setattr(given_stage, "BLOCK", 1600)
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return written(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def judged(files):
    out = files / "judged"
    return judge(FREE_FIELD, files / "draws.npz", files / "samples.npz", out), out


def numbers(results):
    """All that must be the same, whatever file it came from."""
    return {key: results[key] for key in ("estimates", "diagnostics", "verdict")}


def test_free_field_is_judged_by_its_exact_log_z(judged):
    results, _ = judged
    log_z = results["estimates"]["log_z"]
    exact = log_z["exact"]["value"]
    eigenvalues = example("judge_numpy").eigenvalues(0.81)
    assert exact == pytest.approx(-0.5 * np.sum(np.log(eigenvalues / (2 * math.pi))))
    for method in ("nis", "p_estimator", "bar"):
        assert 0 < log_z[method]["error"] < 0.01
        assert abs(log_z[method]["value"] - exact) < 5 * log_z[method]["error"]
    assert results["verdict"]["trust"] == "yes"
    assert "on the user's word" in results["verdict"]["reasons"][0]


def test_importance_sampling_is_what_it_says(files, judged):
    results, _ = judged
    model = example("judge_numpy")
    draws = arrays(files / "draws.npz")
    action = -model.log_prob(draws["phi"], 0.81)
    action += 0.5 * np.sum(np.log(model.eigenvalues(0.81) / (2 * np.pi)))
    log_w = -action - draws["log_q"]
    log_z = np.log(np.mean(np.exp(log_w - log_w.max()))) + log_w.max()
    assert results["estimates"]["log_z"]["nis"]["value"] == pytest.approx(log_z)


def test_wrong_draws_are_refused(files, tmp_path):
    """Negative control: ln q of another mass than the draws have."""
    model, draws = example("judge_numpy"), arrays(files / "draws.npz")
    wrong = model.log_prob(draws["phi"], 0.7)
    np.savez(tmp_path / "draws.npz", phi=draws["phi"], log_q=wrong)
    samples = arrays(files / "samples.npz")
    log_q = model.log_prob(samples["phi"], 0.7)
    np.savez(tmp_path / "samples.npz", phi=samples["phi"], log_q=log_q)
    names = (tmp_path / "draws.npz", tmp_path / "samples.npz")
    results = judge(FREE_FIELD, *names, tmp_path / "out")
    assert results["verdict"]["trust"] == "no"


@pytest.mark.parametrize("said", ["", "visits_every_mode = false"])
def test_what_is_not_said_is_no_evidence(files, tmp_path, said):
    file = run_file(tmp_path, said)
    names = (files / "draws.npz", files / "samples.npz")
    verdict = judge(file, *names, tmp_path / "out")["verdict"]
    assert verdict["trust"] == "unknown"
    word = "are said not to" if said else "are not said by anybody to"
    assert word in " ".join(verdict["reasons"])


def test_samples_without_log_q_are_a_chain_alone(files, tmp_path):
    phi = arrays(files / "samples.npz")["phi"]
    np.savez(tmp_path / "samples.npz", phi=phi)
    names = (files / "draws.npz", tmp_path / "samples.npz")
    results = judge(FREE_FIELD, *names, tmp_path / "out")
    assert set(results["estimates"]["log_z"]) == {"nis", "exact"}
    assert {"samples", "nis", "nmcmc"} <= set(results["estimates"]["phi2"])
    verdict = results["verdict"]
    assert verdict["trust"] == "unknown"
    assert "log_q on samples of p is not given" in " ".join(verdict["reasons"])


def test_cost_knows_nothing_of_who_made_them(judged):
    results, _ = judged
    cost = results["cost"]
    assert cost["ess_per_second"] == {}
    assert cost["seconds_at_unit_error"] == {}
    assert not {"sample_seconds", "p_seconds", "mcmc_seconds"} & set(cost)
    assert cost["given_seconds"] > 0


def test_record_is_a_runs_record(judged, tmp_path):
    results, out = judged
    record = records.read(out)
    assert record.flow["phi"].shape == (256, 6, 4)
    assert record.target["log_q"].shape == (16, 250)
    assert results["provenance"]["draws_sha256"] == record.config["draws"]["sha256"]
    text = page.write(out).read_text()
    assert "Log-weights" in text
    export.write(out, tmp_path / "out.nc")
    assert pipeline.resume(out, Screen(quiet=True)) == results


def _compressed(draws, path):
    np.savez_compressed(path / "draws.npz", **draws)
    return path / "draws.npz"


def _pair(draws, path):
    np.save(path / "phi.npy", draws["phi"])
    np.save(path / "log_q.npy", draws["log_q"])
    return path / "phi.npy", path / "log_q.npy"


def _hdf5(draws, path):
    with h5py.File(path / "draws.h5", "w") as file:
        for name, array in draws.items():
            file[name] = array
    return path / "draws.h5"


def _swapped(draws, path):
    other = {name: x.astype(x.dtype.newbyteorder(">")) for name, x in draws.items()}
    np.savez(path / "draws.npz", **other)
    return path / "draws.npz"


@pytest.mark.parametrize("write", [_compressed, _pair, _hdf5, _swapped])
def test_every_format_says_the_same(files, judged, tmp_path, write):
    (tmp_path / "of_p").mkdir()
    draws = write(arrays(files / "draws.npz"), tmp_path)
    samples = write(arrays(files / "samples.npz"), tmp_path / "of_p")
    results = judge(FREE_FIELD, draws, samples, tmp_path / "out")
    assert numbers(results) == numbers(judged[0])


def test_killed_judgement_goes_on_to_the_same_numbers(
    files, judged, tmp_path, monkeypatch
):
    names = (files / "draws.npz", files / "samples.npz")
    out = tmp_path / "out"

    def attempt():
        if out.exists():
            return pipeline.resume(out, Screen(quiet=True))
        return judge(FREE_FIELD, *names, out)

    results, n_kills = through_kills(monkeypatch, attempt, lambda n: 4)
    assert n_kills >= 4
    assert numbers(results) == numbers(judged[0])


def test_changed_files_are_seen_on_resume(files, tmp_path, monkeypatch):
    for name in ("draws.npz", "samples.npz"):
        (tmp_path / name).write_bytes((files / name).read_bytes())
    names = (tmp_path / "draws.npz", tmp_path / "samples.npz")
    out = tmp_path / "out"
    judge(FREE_FIELD, *names, out)
    (out / "ensembles" / "flow-00001.h5").unlink()
    content = arrays(names[0])
    content["phi"][0] *= 2
    np.savez(names[0], **content)
    with pytest.raises(Exception, match="no longer what was judged"):
        pipeline.resume(out, Screen(quiet=True))


RUN = {
    "seed": 5,
    "theory": {"name": "phi4", "shape": [4, 2], "kappa": 0.11, "lam": 0.3},
    "mcmc": {
        "kernel": ["hmc", "reflection"],
        "chains": 16,
        "samples": 60,
        "therm": 60,
        "keep": 960,
    },
    "model": {"name": "realnvp", "layers": 2, "hidden": [4], "conditioner": "dense"},
    "train": {"steps": 10, "batch": 16},
    "estimate": {"samples": 1200, "keep": 1200, "chains": 20},
}


def test_numbers_are_those_of_a_run_on_the_same_arrays(tmp_path):
    checked = config.check(RUN, "run")
    own = pipeline.start(checked, tmp_path / "run", Screen(quiet=True))
    record = records.read(tmp_path / "run")
    np.savez(tmp_path / "draws.npz", phi=record.flow["phi"], log_q=record.flow["log_q"])
    np.savez(
        tmp_path / "samples.npz",
        phi=record.chain["phi"],
        log_q=record.target["log_q"],
    )
    file = tmp_path / "judge.toml"
    file.write_text(
        'seed = 5\n[theory]\nname = "phi4"\nshape = [4, 2]\nkappa = 0.11\nlam = 0.3\n'
        "[estimate]\nchains = 20\nkeep = 1200\n"
        "[samples]\nvisits_every_mode = true\n"
    )
    names = (tmp_path / "draws.npz", tmp_path / "samples.npz")
    judged = judge(file, *names, tmp_path / "out")
    mine = records.read(tmp_path / "out")
    np.testing.assert_array_equal(mine.flow["log_q"], record.flow["log_q"])
    np.testing.assert_allclose(mine.flow["action"], record.flow["action"], rtol=1e-14)
    compared = 0
    for observable, by_method in own["estimates"].items():
        for method in {"nis", "nmcmc", "p_estimator", "bar"} & by_method.keys():
            theirs = judged["estimates"][observable][method]
            for name in ("value", "error", "bias", "n", "n_eff"):
                _assert_same(theirs[name], by_method[method][name])
                compared += 1
    assert compared > 150
    for name in ("mode_weight", "ess", "ess_forward", "covered"):
        _assert_same(judged["diagnostics"][name], own["diagnostics"][name])


def _assert_same(left, right):
    """To what is left of rounding in another order of the sites."""
    if isinstance(left, dict):
        for name in left.keys() & {"value", "error", "n_eff"}:
            _assert_same(left[name], right[name])
    elif left is None or right is None:
        assert left == right
    else:
        np.testing.assert_allclose(left, right, rtol=1e-7, atol=1e-9)


def test_own_chain_leaves_samples_to_be_weighed(files, tmp_path):
    mcmc = (
        '[mcmc]\nkernel = ["hmc", "reflection"]\nchains = 16\nsamples = 100\n'
        "therm = 100\nkeep = 1600\n"
    )
    file = run_file(tmp_path, more=mcmc)
    results = judge(file, files / "draws.npz", None, tmp_path / "first")
    assert results["verdict"]["trust"] == "unknown"
    assert "hmc+reflection" in results["estimates"]["phi2"]
    left = arrays(tmp_path / "first" / given_stage.SAMPLES)
    log_q = example("judge_numpy").log_prob(left["phi"].astype(float), 0.9)
    np.savez(tmp_path / "samples.npz", **left, log_q=log_q)
    again = (files / "draws.npz", tmp_path / "samples.npz")
    found, remarks = request.judged(file, *((x, None) for x in again))
    assert remarks == ["[mcmc] is not run: the samples are given"]
    results = pipeline.start(found, tmp_path / "second", Screen(quiet=True))
    p_samples = results["diagnostics"]["p_samples"]
    assert p_samples["kernel"] == "hmc+reflection"
    assert p_samples["visits_every_mode"]
    assert results["verdict"]["trust"] != "no"
    assert json.loads(str(left["theory"]))["m2"] == 0.81


def test_exact_free_field_is_that_of_the_library():
    """The example's normalisation is the theory's own."""
    model = example("judge_numpy")
    ours = -0.5 * np.sum(np.log(model.eigenvalues(0.81) / (2 * np.pi)))
    assert ours == pytest.approx(4.609306816, abs=1e-8)
