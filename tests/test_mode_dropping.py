"""A model that starts in one of two wells: the verdict names what is missing."""

import pytest

from genlat.runs import pipeline
from genlat.runs.file import config
from genlat.runs.stages import train_stage
from genlat.runs.stages.screen import Screen

TINY = """
seed = 3
[theory]
name = "phi4"
shape = [6, 4]
kappa = 0.4
lam = 0.1
[mcmc]
kernel = ["hmc", "cluster"]
chains = 16
samples = 200
therm = 50
n_leapfrog = 5
keep = 3200
[model]
features = 2
channels = 1
kernel_terms = 1
mixing_terms = 1
n_steps = 2
wells = "both"
[train]
steps = 10
batch = 16
[estimate]
samples = 2000
batch = 500
chains = 4
n_steps = 4
keep = 0
methods = ["nis", "p_estimator", "bar"]
"""


@pytest.mark.parametrize("wells", ["one", pytest.param("both", marks=pytest.mark.slow)])
def test_a_dropped_well_is_named(tmp_path, monkeypatch, wells):
    monkeypatch.setattr(train_stage, "LONGEST_CHUNK", 10)
    monkeypatch.setenv("GENLAT_NO_CACHE", "1")
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.replace('"both"', f'"{wells}"'))
    results = pipeline.start(config.load(path), tmp_path / "run", Screen(quiet=True))
    weight = results["diagnostics"]["mode_weight"]
    reasons = " ".join(results["verdict"]["reasons"])
    assert weight["is_evidence"]
    if wells == "one":
        assert abs(weight["value"] - 0.5) < 0.1
        assert results["verdict"]["trust"] == "no"
        assert "mode weight" in reasons
        assert "misses the rest" in reasons
    else:
        assert abs(weight["value"] - 1) < 5 * weight["error"] < 0.3
        assert "misses the rest" not in reasons
