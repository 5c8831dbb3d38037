"""The tables on the terminal."""

import copy

import pytest

from genlat.report import tables
from genlat.runs import table

METHODS = ("nis", "p_estimator", "bar", "hmc_integration", "hmc+cluster")
NAMES = (
    *("log_z", "free_energy_density", "entropy_density", "mag", "mag4", "binder"),
    *("susceptibility", "correlation_length", "action_density2"),
)
FRAME = ("││", "┃┃")
REASON = "one inverse weight carries half of the mean"


def results():
    """Five methods and the exact value for everything, with long numbers."""
    found = {}
    for k, name in enumerate(NAMES):
        found[name] = {
            method: {"value": -134.9437 + k + 0.01 * j, "error": 0.00312}
            for j, method in enumerate(METHODS)
        }
        found[name]["exact"] = {"value": -134.943 + k, "error": 0.0}
    found["free_energy_density_upper"] = {"nis": {"value": -132.1, "error": 0.1}}
    found["free_energy_density_lower"] = {
        "p_estimator": {"value": -133.7, "error": 0.1}
    }
    found["two_point"] = {"nis": {"value": [7.77, 0.1], "error": [0.1, 0.1]}}
    return {
        "estimates": found,
        "diagnostics": {
            "pulls": {"mag": {"nis - bar": -2.3}, "log_z": {"nis - bar": 1.4}},
            "ess": {"value": 0.9961, "error": 0.0002, "n": 100000},
            "ess_forward": {"value": 0.51, "error": 0.02},
            "p_samples": {"kernel": "hmc", "n": 8192, "visits_every_mode": False},
            "mode_weight": {"value": 0.502, "error": 0.004, "is_evidence": False},
            "uncovered": [{"threshold": 0.01, "value": 0.49, "error": 0.01}],
            "integration": {
                "couplings": [0.0, 0.2, 0.3],
                "rounds": 5,
                "overlaps": [0.7, 0.31],
            },
        },
        "verdict": {"trust": "no", "reasons": ["mode weight [0.5] is below 1"]},
    }


def shown(results, capsys):
    table.show(results)
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [120, 80])
def test_five_methods_fit(capsys, monkeypatch, width):
    monkeypatch.setattr(table, "WIDTH", width)
    text = shown(results(), capsys)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    numbers = text.split()
    for k in (0, 1, 2, 3, 5, 6, 7):  # but for the minor ones
        assert f"{-134.943 + k:.3f}" in numbers
        for j in range(5):
            assert f"{-134.9437 + k + 0.01 * j:.4f}(31)" in numbers
    assert all(line[0] + line[-1] in FRAME for line in text.splitlines() if "│" in line)
    assert "two_point" not in text
    assert "mag4" not in text
    assert "action_density2" not in text


def test_bounds_enclose_the_estimates(capsys):
    lines = shown(results(), capsys).splitlines()
    firsts = [line.split()[1] for line in lines if line.startswith("│ ")]
    place = [firsts.index(word) for word in ("lower", "nis", "bar", "exact", "upper")]
    assert place == sorted(place)
    lower = next(line for line in lines if "lower bound" in line)
    assert "-133.70(10)" in lower.split("│")[3]  # the column of F, after that of ln Z


def test_pulls_against_the_exact_value(capsys):
    text = shown(results(), capsys)
    assert f"{-0.0007 / 0.00312:+.1f}σ" in text
    assert "largest pull: mag, nis - bar: -2.3σ" in text
    assert "far apart" not in text
    far = results()
    far["diagnostics"]["pulls"]["binder"] = {"nis - bar": 3.4, "nis - hmc": None}
    far["diagnostics"]["pulls"]["log_z"]["bar - hmc"] = -5.0
    text = shown(far, capsys)
    assert text.index("log_z, bar - hmc: -5.0σ") < text.index("binder, nis - bar: +3.4")
    assert "mag, nis - bar" not in text
    far["diagnostics"]["pulls"]["x2"] = {str(k): 4.0 + k for k in range(7)}
    text = shown(far, capsys)
    assert text.count("far apart") == 5
    assert "x2, 6: +10.0σ" in text
    assert "and 4 more pulls beyond 3σ" in text


def test_unusable_numbers_are_not_shown(capsys):
    flawed = copy.deepcopy(results())
    for name in ("log_z", "binder"):
        flawed["estimates"][name]["bar"] = {
            "value": 77.77,
            "error": None,
            "unusable": REASON,
        }
    flawed["estimates"]["mag"]["nis"] = {"value": None, "error": None}
    flawed["estimates"]["mag"]["bar"] = {"value": 0.31, "error": None}
    text = shown(flawed, capsys)
    assert "77.77" not in text
    assert f"unusable: log_z bar, binder bar: {REASON}" in " ".join(text.split())
    assert "nan" not in text
    assert "not finite" in " ".join(text.split())
    assert "0.31(?)" in text


def test_errors_that_nothing_rests_on_say_so(capsys):
    short = copy.deepcopy(results())
    marked = {"value": 0.31, "error": 0.02, "caution": "few draws"}
    short["estimates"]["mag"]["bar"] = marked
    text = " ".join(shown(short, capsys).split())
    assert "0.310(20)?" in text
    assert "? at: mag bar: few draws" in text
    assert "few draws" not in shown(results(), capsys)
    page = tables.estimates({"mag": {"bar": marked}})
    assert "0.310(20)?<sup>1</sup>" in page
    assert "Nothing rests on the error: few draws." in page


def test_numbers_that_others_check_less_sharply_say_so(capsys):
    loose = copy.deepcopy(results())
    found = {"value": 0.3, "error": 0.01, "checked_to": 0.05, "is_checked": False}
    loose["estimates"]["mag"]["nis"] = found
    loose["diagnostics"]["unchecked"] = [
        {"observable": "mag", "method": "nis", "errors": 5.0},
        {"observable": "mag2", "method": "nis", "errors": None},
    ]
    text = " ".join(shown(loose, capsys).split())
    assert "nis: 1 numbers are checked by others to 5 to 5 of their errors" in text
    assert "nis: 1 numbers are checked by nothing" in text
    page = tables.estimates({"mag": {"nis": found}})
    assert "<small>checked to 5 errors</small>" in page
    alone = {"value": 0.3, "error": 0.01, "is_checked": False}
    assert "<small>not checked</small>" in tables.estimates({"mag": {"nis": alone}})
    close = {"value": 0.3, "error": 0.01, "checked_to": 0.012}
    assert "checked to" not in tables.estimates({"mag": {"nis": close}})


def test_diagnostics_and_verdict(capsys):
    text = shown(results(), capsys)
    assert "ESS 0.99610(20) reverse, of 100,000 draws of q" in text
    assert "ESS 0.510(20) forward, of 8,192 samples of p by hmc" in text
    assert "mode weight 0.5020(40), no evidence" in text
    assert "of the samples of p: 0.490(10) where q < 0.01 p" in text
    assert "3 couplings in 5 rounds, smallest overlap 0.31" in text
    assert "trust: no\n  mode weight [0.5] is below 1" in text


@pytest.mark.parametrize("method", ["nis", "hmc"])
def test_a_single_method_is_enough(capsys, method):
    one = {"value": 0.5, "error": 0.1}
    text = shown(
        {
            "estimates": {"mag": {method: one}},
            "diagnostics": {},
            "verdict": {"trust": "unknown", "reasons": []},
        },
        capsys,
    )
    assert "0.50(10)" in text
    assert "trust: unknown" in text
