"""The verdict on constructed cases: each fault is a no, each gap an unknown."""

import copy

import pytest

from genlat.estimators.autocorrelation import STUCK, TOO_FEW
from genlat.verdict import judge

FINE = {
    "volume": 512,
    "non_finite": 0,
    "non_finite_p": 0,
    "pareto_k": 0.2,
    "pareto_k_forward": 0.1,
    "ess": {"value": 0.98, "error": 1e-3, "n": 100_000, "n_eff": 98_000.0},
    "ess_forward": {"value": 0.97, "error": 4e-3},
    "kl_per_site": {"value": 2e-5, "error": 1e-7},
    "kl_forward_per_site": {"value": 2.1e-5, "error": 6e-7},
    "mode_weight": {
        "value": 1.001,
        "error": 0.002,
        "n_eff": 7900.0,
        "method": "mode_weight",
        "is_evidence": True,
    },
    "integration": {"is_converged": True, "method": "hmc_integration"},
    "p_samples": {"kernel": "hmc+cluster", "n": 8192, "visits_every_mode": True},
    "uncovered": [{"threshold": 0.01, "value": 0.0, "error": 0.0}],
    "bounds": {
        "upper": {"value": -1.0501, "error": 1e-6},
        "lower": {"value": -1.0502, "error": 3e-6},
    },
    "acceptance": {"hmc+cluster": {"value": 0.8}, "nmcmc": {"value": 0.95}},
    "tau_int": {"abs_mag": {"hmc+cluster": {"method": "gamma"}}},
    "consistency": [{"name": "Schwinger-Dyson, nis", "pull": -1.1}],
    "integrator": {
        "shift_log_z": 2e-5,
        "shift_error": 1e-6,
        "statistical_error": 5e-4,
    },
    "pulls": {
        "abs_mag": {"nis - hmc+cluster": 1.3},
        "log_z": {"nis - p_estimator": -0.7},
    },
}


def case(**changes):
    """`FINE` with entries replaced; `a__b=x` goes one level down, None removes."""
    content = copy.deepcopy(FINE)
    for name, value in changes.items():
        *parents, key = name.split("__")
        target = content
        for parent in parents:
            target = target[parent]
        if value is None:
            del target[key]
        else:
            target[key] = value
    return content


def test_yes_needs_everything_and_says_what():
    trust, reasons = judge.judge(FINE)
    assert trust == "yes"
    assert "mode weight 1.001 ± 0.002, from 8,192 samples of p" in reasons[0]
    assert "ESS 0.98" in reasons[1]
    assert "0.97" in reasons[1]
    assert "the largest of 2 differences is 1.3 errors" in reasons[2]


# too uncertain to be a fault of its own
MISSED = [{"threshold": 0.01, "value": 0.5, "error": 0.2}]
HALF = {**FINE["mode_weight"], "value": 0.5, "error": 0.006}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"non_finite": 3}, "3 log-weights are not finite"),
        ({"non_finite_p": 2}, "2 log-weights of samples of p"),
        ({"excluded": 4}, "excludes 4 samples of p"),
        ({"ess": None}, "all weights are zero"),
        ({"pareto_k": 0.71}, "pareto_k = 0.71 > 0.7"),
        ({"pareto_k": float("inf")}, "pareto_k = inf"),
        (
            {"ess": {"value": 4e-4, "error": 1e-5, "n": 10**5, "n_eff": 42.0}},
            "worth 42 independent ones",
        ),
        ({"integrator__shift_log_z": -2e-4}, "moves ln Z by -0.0002"),
        ({"integrator__shift_log_z": float("nan")}, "moves ln Z by nan"),
        ({"pulls__phi2": {"nis - hmc": -5.4}}, "phi2: nis - hmc differ by -5.4"),
        ({"pulls__phi2": {"nis - hmc": float("nan")}}, "phi2: nis - hmc"),
        (
            {"mode_weight": HALF, "uncovered": MISSED},
            "mode weight 0.500 ± 0.006: the model covers 50%",
        ),
        ({"mode_weight": HALF}, "q has mass where samples of p do not go"),
        # a chain that is no proof of absence is still proof of presence
        (
            {
                "mode_weight": HALF,
                "uncovered": MISSED,
                "p_samples__visits_every_mode": False,
            },
            "the model covers 50%",
        ),
        (
            {"ess_forward": {"value": 0.3, "error": 0.02}},
            "forward ESS 0.3 is less than half",
        ),
        (
            {"kl_forward_per_site": {"value": 5e-3, "error": 1e-4}},
            "KL(p‖q) is 0.005 per site",
        ),
        (
            {"uncovered": [{"threshold": 0.01, "value": 0.49, "error": 0.01}]},
            "49% of the samples of p lie where q < 0.01 p",
        ),
        (
            {"bounds__lower": {"value": -1.0400, "error": 1e-4}},
            "lies above the upper one",
        ),
        ({"consistency": [{"name": "row", "pull": 6.2}]}, "row: off by +6.2 errors"),
        ({"acceptance__hmc": {"value": 0.0}}, "hmc: every proposal was rejected"),
    ],
)
def test_each_fault_is_a_no_with_its_reason(changes, words):
    trust, reasons = judge.judge(case(**changes))
    assert trust == "no"
    assert len(reasons) == 1
    assert words in reasons[0]


def test_a_forward_ess_too_small_to_print_is_still_a_fault():
    unusable = {"value": 0.0, "error": None, "unusable": "one draw carries 100%"}
    changes = {"ess_forward": unusable, "log_ess_forward": -1247.3}
    trust, reasons = judge.judge(case(**changes))
    assert trust == "no"
    assert "forward ESS at most e^(-1247)" in reasons[0]


def test_many_disagreements_are_counted():
    pulls = {f"x{k}": {"nis - hmc": 6.0 + k} for k in range(7)}
    doubled = {"log_z": {"nis - bar": 9.5}, "free_energy_density": {"nis - bar": 9.5}}
    trust, reasons = judge.judge(case(pulls={**pulls, **doubled}))
    assert trust == "no"
    assert reasons[0] == "x6: nis - hmc differ by +12.0 errors"
    assert reasons[3] == "5 more differences exceed 5 errors"
    assert len(reasons) == 4


def test_faults_add_up():
    trust, reasons = judge.judge(case(non_finite=1, pareto_k=2.0))
    assert trust == "no"
    assert len(reasons) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode_weight": None}, "no samples of p to hold the model against"),
        (
            {
                "p_samples": {
                    "kernel": "hmc",
                    "n": 8192,
                    "visits_every_mode": False,
                }
            },
            "by hmc, which does not provably visit every mode",
        ),
        (
            {"mode_weight": {"value": 0.9, "error": None, "unusable": "one draw"}},
            "the mode weight cannot be used: one draw",
        ),
        ({"mode_weight": {**HALF, "value": 0.8, "error": 0.2}}, "too uncertain to"),
        ({"mode_weight": {**HALF, "value": 1.3, "error": 0.05}}, "is not 1"),
        (
            {"mode_weight__method": "mode_weight, window not resolved"},
            "autocorrelation of the samples of p is not resolved",
        ),
        ({"mode_weight__n_eff": 61.0}, "worth 61 independent ones"),
        ({"integration__is_converged": False}, "stopped before its target error"),
        (
            {"integration__method": "hmc_integration, window not resolved"},
            "chains of the integration are too short",
        ),
        ({"pareto_k_forward": 0.8}, "too heavy a tail for the p-estimator"),
        ({"ess__n": 50_000}, "50,000 draws: an ESS is quoted from 100,000"),
        (
            {"tau_int__mag": {"hmc+cluster": {"method": "gamma, window not resolved"}}},
            "hmc+cluster: the autocorrelation time is not resolved",
        ),
        (
            {
                "tau_int__mag": {
                    "hmc": {"method": "gamma, window not resolved", "unusable": TOO_FEW}
                }
            },
            "hmc: the autocorrelation time is not resolved",
        ),
        (
            {"replicas": {"hmc": {"observable": "mag", "p_value": 1e-30}}},
            "hmc: its chains disagree about mag (p = 1e-30)",
        ),
    ],
)
def test_each_gap_is_an_unknown_with_its_reason(changes, words):
    trust, reasons = judge.judge(case(**changes))
    assert trust == "unknown"
    assert len(reasons) == 1
    assert words in reasons[0]


def test_a_chain_alone_is_unknown():
    trust, reasons = judge.judge({"acceptance": {"hmc": {"value": 0.8}}})
    assert trust == "unknown"
    assert "chain only" in reasons[0]


def test_nothing_at_all_is_unknown():
    trust, reasons = judge.judge({})
    assert trust == "unknown"
    assert "neither a chain nor a model" in reasons[0]


@pytest.mark.parametrize(
    "changes",
    [
        # within three errors, or less than a flow that is not exact misses
        {"mode_weight": {**HALF, "value": 0.97, "error": 0.011}},
        {"mode_weight": {**HALF, "value": 0.985, "error": 0.001}},
        {"integration": None},
        {"ess_forward": {"value": 0.45, "error": 0.03}},
        {"bounds__lower": {"value": -1.0501, "error": 1e-4}},
        {"bounds": {}},
        {"kl_forward_per_site": {"value": 1.9e-3, "error": 1e-5}},
        # exact to rounding: no statistical error to compare the shift with
        {
            "integrator": {
                "shift_log_z": 3e-9,
                "shift_error": 1e-9,
                "statistical_error": 1e-10,
            }
        },
        {"replicas": {"hmc": {"observable": "mag", "p_value": 1e-4}, "hmc+x": {}}},
        # a constant has no autocorrelation to resolve
        {
            "tau_int__mag": {
                "hmc": {"method": "gamma, window not resolved", "unusable": STUCK}
            }
        },
    ],
)
def test_what_noise_can_do_is_no_fault(changes):
    assert judge.judge(case(**changes)).trust == "yes"
