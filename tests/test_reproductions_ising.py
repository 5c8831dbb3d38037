"""The Ising study: what it asks of a run, and what it makes of the results."""

import pytest

import ising as study
from genlat.runs.file import config

ENERGY = {
    "variational": (-1.40, 0.001),
    "nis": (-1.448, 0.001),
    "nmcmc": (-1.446, 0.001),
    "wolff": (-1.449, 0.002),
    "exact": (-1.447, 0.0),
}


def results():
    estimates = {
        name: {key: {"value": v, "error": e} for key, (v, e) in ENERGY.items()}
        for name in study.SHOWN
    }
    del estimates["abs_mag"]["exact"]
    estimates["specific_heat"]["nmcmc"]["unusable"] = "too short"
    return {
        "estimates": estimates,
        "diagnostics": {"ess": {"value": 0.8}, "kl_per_site": {"value": 1e-4}},
        "verdict": {"trust": "yes"},
        "cost": {"train_seconds": 3.0},
    }


def test_its_run_files_are_good():
    for size in (16, 24):
        run = config.check(study.request(size, 0.44, 600, 100_000), "study")
        assert run.methods[-1] == "variational"
        assert run.train.anneal == {"beta": 0.2}


def test_differences_are_counted_in_errors():
    row = study.row(16, 0.44, results())
    pulls = {
        name: [study.pull(found, method) for method in study.METHODS]
        for name, found in row["estimates"].items()
    }
    assert pulls["energy_density"] == ["+47.0", "-1.0", "+1.0", "-1.0"]
    # |m| is known from Wolff's chain alone, whose error counts then
    assert pulls["abs_mag"] == ["+21.9", "+0.4", "+1.3", ""]
    assert pulls["specific_heat"][2] == ""
    lines = study.table([row]).splitlines()
    assert len(lines) == 2 + len(study.SHOWN)
    assert lines[2].startswith("| 16 | 0.44 | 0.800 | yes | `energy_density` | +47.0")


@pytest.mark.filterwarnings("ignore:Glyph")
def test_the_figure_has_a_column_per_size():
    rows = [study.row(size, 0.44, results()) for size in (16, 24)]
    canvas = study.figure(rows)
    assert len(canvas.axes) == 2 * len(study.SHOWN)
    (line, *_) = canvas.axes[0].containers
    assert line.lines[0].get_ydata() == pytest.approx([0.047])
