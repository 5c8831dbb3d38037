"""An ensemble of somebody else's chains serves as that of a finished run."""

import numpy as np
import pytest
from typer.testing import CliRunner

from genlat.cli import app
from genlat.runs import pipeline, records
from genlat.runs.file import config
from genlat.runs.stages.screen import Screen
from judged_for_tests import example, run_file
from pieces_for_tests import in_small_pieces

pieces = pytest.fixture(in_small_pieces, scope="module", autouse=True)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    path = tmp_path_factory.mktemp("ensemble")
    rng = np.random.default_rng(4)
    phi = example("judge_numpy").draw(rng, (8, 60), 0.81).astype(np.float32)
    np.save(path / "chain.npy", phi)
    file = run_file(path, "visits_every_mode = true")
    command = ["import", str(path / "chain.npy"), "--theory", str(file)]
    result = CliRunner().invoke(app, [*command, "--out", str(path / "out"), "--quiet"])
    assert result.exit_code == 0, result.stderr
    return path / "out", phi


def test_ensemble_holds_the_configurations(ensemble):
    out, phi = ensemble
    record = records.read(out)
    np.testing.assert_array_equal(record.chain["phi"], phi)
    found = record.results["estimates"]["phi2"]
    exact = found["exact"]["value"]
    assert abs(found["samples"]["value"] - exact) < 5 * found["samples"]["error"]
    assert record.results["verdict"]["reasons"] == [
        "chain only: no model to hold it against"
    ]


RUN = {
    "seed": 1,
    "theory": {"name": "phi4", "shape": [6, 4], "m2": 0.81, "g": 0.0},
    "model": {"name": "realnvp", "layers": 2, "hidden": [4], "conditioner": "dense"},
    "train": {"steps": 10, "batch": 16},
    "estimate": {"samples": 1000, "chains": 10},
}


def test_run_trains_and_is_judged_on_it(ensemble, tmp_path):
    out, _ = ensemble
    train = {"objective": "forward_kl", "gradient": "total", "data": str(out)}
    asked = {
        **RUN,
        "train": RUN["train"] | train,
        "estimate": RUN["estimate"] | {"p_samples": str(out)},
    }
    results = pipeline.start(
        config.check(asked, "run"), tmp_path / "run", Screen(quiet=True)
    )
    p_samples = results["diagnostics"]["p_samples"]
    assert p_samples["n"] == 2 * 60  # of the chains that are held out
    assert p_samples["visits_every_mode"]
    assert "mode_weight" in results["diagnostics"]
    cost = results["cost"]
    assert cost["p_source_seconds"] is None
    assert "bar" not in cost["seconds_at_unit_error"]["log_z"]
    assert "nis" in cost["seconds_at_unit_error"]["log_z"]


def test_other_theory_refuses_the_ensemble(ensemble):
    out, _ = ensemble
    asked = {**RUN, "estimate": RUN["estimate"] | {"p_samples": str(out)}}
    asked["theory"] = RUN["theory"] | {"m2": 0.7}
    with pytest.raises(config.RequestError, match="another theory: m2"):
        config.check(asked, "run")
