"""The verdict: no where something definitely fails, unknown otherwise."""

import pytest

from genlat.runs import verdict

FINE = {
    "non_finite": 0,
    "pareto_k": 0.2,
    "ess": {"value": 0.98, "n_eff": 98_000.0},
    "integrator": {
        "shift_log_z": 2e-5,
        "shift_error": 1e-6,
        "statistical_error": 5e-4,
    },
    "pulls": {"abs_mag": {"nis - hmc": 1.3}},
}


def test_nothing_fails_is_still_unknown():
    trust, reasons = verdict.judge(FINE)
    assert trust == "unknown"
    assert "mode weight" in reasons[0]


def test_a_chain_alone_is_unknown():
    trust, reasons = verdict.judge({"pulls": {}})
    assert trust == "unknown"
    assert "chain only" in reasons[0]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"non_finite": 3}, "3 log-weights are not finite"),
        ({"pareto_k": 0.71}, "pareto_k = 0.71 > 0.7"),
        ({"pareto_k": float("inf")}, "pareto_k = inf"),
        ({"ess": {"value": 1e-4, "n_eff": 42.0}}, "worth 42 independent ones"),
        (
            {"integrator": {**FINE["integrator"], "shift_log_z": -2e-4}},
            "moves ln Z by -0.0002",
        ),
        (
            {"integrator": {**FINE["integrator"], "shift_log_z": float("nan")}},
            "moves ln Z by nan",
        ),
        ({"pulls": {"phi2": {"nis - hmc": -5.4}}}, "phi2: nis - hmc differ by -5.4"),
        ({"pulls": {"phi2": {"nis - hmc": float("nan")}}}, "phi2: nis - hmc"),
    ],
)
def test_each_fault_is_a_no_with_its_reason(fault, words):
    trust, reasons = verdict.judge({**FINE, **fault})
    assert trust == "no"
    assert len(reasons) == 1
    assert words in reasons[0]


def test_faults_add_up():
    trust, reasons = verdict.judge({**FINE, "non_finite": 1, "pareto_k": 2.0})
    assert trust == "no"
    assert len(reasons) == 2


def test_a_shift_within_its_own_noise_is_no_fault():
    """A model exact to rounding has no statistical error to compare with."""
    exact = {"shift_log_z": 3e-9, "shift_error": 1e-9, "statistical_error": 1e-10}
    assert verdict.judge({**FINE, "integrator": exact}).trust == "unknown"
