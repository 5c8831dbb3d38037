"""The verdict on constructed cases: each fault is a no, each gap an unknown."""

import copy

import pytest

from genlat.verdict import judge
from genlat.verdict.diagnostics import Diagnostics
from genlat.verdict.integrator import Choice

LOG_Z = {"is_relied_upon": True, "error": 2e-4, "checked_to": 2e-3}


def check(kind, p_value, *, is_firm=True, pull=-6.0, log_ratio=None):
    return {
        "kind": kind,
        "about": "a",
        "says": f"{kind} fails",
        "p_value": p_value,
        "is_firm": is_firm,
        "pull": pull,
        "log_ratio": log_ratio,
    }


FINE = {
    "volume": 512,
    "non_finite": 0,
    "non_finite_p": 0,
    "excluded": 0,
    "floor": 5e-5,
    "pareto_k": 0.2,
    "ess": {"value": 0.98, "error": 1e-3, "n": 100_000, "n_eff": 98_000.0},
    "ess_forward": {"value": 0.97, "error": 4e-3},
    "covered": {"value": 1e-4, "error": 2e-3},
    "overlap": 0.99,
    "missed": {
        "nis": {"shift": 1e-6, "mass": 1e-3, "expected": 5.0},
        "p_estimator": {"shift": 1e-2, "mass": 1e-2, "expected": 0.1},
    },
    "p_samples": {
        "kernel": "hmc+cluster",
        "n": 8192,
        "visits_every_mode": True,
        "slowest": {
            "observable": "abs_mag",
            "n_eff": 6100.0,
            "n_eff_least": 6000.0,
            "is_resolved": True,
        },
    },
    "uncovered": [{"threshold": 0.01, "value": 0.0, "error": 1e-4}],
    "acceptance": {"hmc+cluster": {"value": 0.8}, "nmcmc": {"value": 0.95}},
    "integrator": {
        "shift_log_z": 2e-5,
        "shift_error": 1e-6,
        "statistical_error": 5e-4,
    },
    "log_z": {"nis": LOG_Z, "bar": {**LOG_Z, "checked_to": 2e-4}},
    "unchecked": [],
    "checks": [
        check("agreement", 0.2, pull=1.3),
        check("agreement", 0.9, pull=-0.1),
        check("coverage", 0.5, pull=0.7, log_ratio=1e-4),
        check("equilibrium", 0.3, pull=None),
    ],
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


def verdict(content):
    return judge.judge(Diagnostics.of(content))


def with_check(*args, **kwargs):
    return {"checks": [*FINE["checks"], check(*args, **kwargs)]}


def test_yes_needs_everything_and_says_what():
    trust, reasons = verdict(FINE)
    assert trust == "yes"
    text = " ".join(reasons)
    # 3/6000, of what was seen and no more
    assert "no part of p that its samples have seen, of more than 0.0005" in text
    assert "8,192 by hmc+cluster" in text
    assert "worth 6,000 by abs_mag at least" in text
    assert "would not be seen" in text
    assert "ESS 0.98" in text
    assert "0.97 on samples of p" in text
    # two pulls, three families: 0.01/6 two-sided
    assert "the largest of 2 differences is 1.3 errors, and 3.1 are reached" in text
    assert "ln Z rests on nis, bar" in text
    assert "not checked to its error: nis to 0.002 (error 0.0002)" in text


# What is below one in a thousand among all tests refuses, if it is firm


@pytest.mark.parametrize("kind", ["agreement", "coverage", "equilibrium"])
def test_a_test_that_a_right_run_fails_once_in_a_thousand_is_a_no(kind):
    n_tests = 3 * (1 + sum(x["kind"] == kind for x in FINE["checks"]))
    for factor, expected in ((0.9, "no"), (1.1, "unknown"), (11.0, "yes")):
        p_value = factor * 1e-3 / n_tests
        content = case(**with_check(kind, p_value, log_ratio=-0.1))
        assert verdict(content).trust == expected
        soft = case(**with_check(kind, p_value, log_ratio=-0.1, is_firm=False))
        softened = "unknown" if expected == "no" else expected
        assert verdict(soft).trust == softened


MISSED = [{"threshold": 0.01, "value": 0.5, "error": 0.2}]


def test_a_mode_that_is_missing_is_named():
    content = case(**with_check("coverage", 1e-30, log_ratio=-0.693), uncovered=MISSED)
    trust, reasons = verdict(content)
    assert trust == "no"
    assert "not 1: the model covers 50% of p and misses the rest" in reasons[0]
    # p lies where q does: it is the other way round
    _, reasons = verdict(case(**with_check("coverage", 1e-30, log_ratio=-0.693)))
    assert "q has mass where samples of p do not go" in reasons[0]
    above = with_check("coverage", 1e-30, log_ratio=0.2, pull=9.0)
    _, reasons = verdict(case(**above))
    assert "contradict each other" in reasons[0]
    # a chain that is no proof of absence is still proof of presence
    content["p_samples"]["visits_every_mode"] = False
    assert verdict(content).trust == "no"


def test_many_failures_are_counted():
    failed = [check("agreement", 1e-9 * (k + 1)) for k in range(7)]
    trust, reasons = verdict(case(checks=[*FINE["checks"], *failed]))
    assert trust == "no"
    assert len(reasons) == 4
    assert reasons[3] == "4 more of 9 tests of agreement fail"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"non_finite": 3}, "3 log-weights are not finite"),
        ({"non_finite_p": 2}, "2 log-weights of samples of p"),
        ({"excluded": 4}, "excludes 4 samples of p"),
        ({"ess": None}, "all weights are zero"),
        ({"overlap": 1e-3}, "overlap by 0.001"),
        ({"integrator__shift_log_z": -7e-5}, "moves ln Z by -7e-05 ± 1e-06"),
        # its own error may be what is wrong
        ({"integrator__shift_error": 3e-5}, "moves ln Z by 2e-05 ± 3e-05"),
        ({"integrator__shift_log_z": float("nan")}, "moves ln Z by nan"),
        ({"acceptance__hmc": {"value": 0.0}}, "hmc: every proposal was rejected"),
    ],
)
def test_each_fault_is_a_no_with_its_reason(changes, words):
    trust, reasons = verdict(case(**changes))
    assert trust == "no"
    assert len(reasons) == 1
    assert words in reasons[0]


def test_faults_add_up():
    trust, reasons = verdict(case(non_finite=1, excluded=2))
    assert trust == "no"
    assert len(reasons) == 2


SLOWEST = FINE["p_samples"]["slowest"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"covered": None}, "no samples of p to hold the model against"),
        ({"p_samples": None}, "no samples of p to hold the model against"),
        (
            {"p_samples__visits_every_mode": False},
            "by hmc+cluster, which does not provably visit every mode",
        ),
        (
            {"covered": {"value": 0.1, "error": None, "unusable": "one draw"}},
            "cannot be compared: one draw",
        ),
        ({"covered": {"value": 0.2, "error": 0.11}}, "too uncertain to"),
        (
            {"p_samples__slowest": {**SLOWEST, "is_resolved": False}},
            "autocorrelation of the samples of p is not resolved",
        ),
        (
            {"p_samples__slowest": {**SLOWEST, "n_eff": 61.0}},
            "worth 61 independent ones by abs_mag",
        ),
        (
            {"missed__nis": {"shift": 1.1e-3, "mass": 2e-3, "expected": 0.67}},
            "0.002 of p lies where 0.7 draws of q are to be expected",
        ),
        (
            {"log_z": {"nis": {**LOG_Z, "is_relied_upon": False}}},
            "no estimate of ln Z has an error to rely upon",
        ),
        ({"ess__n": 50_000}, "50,000 draws: an ESS is quoted from 100,000"),
        (
            {"outside": {"kappa": {"value": 0.31, "first": 0.2, "last": 0.3}}},
            "kappa = 0.31 lies outside of 0.2 to 0.3",
        ),
    ],
)
def test_each_gap_is_an_unknown_with_its_reason(changes, words):
    trust, reasons = verdict(case(**changes))
    assert trust == "unknown"
    assert len(reasons) == 1
    assert words in reasons[0]


def test_a_chain_alone_is_unknown():
    trust, reasons = verdict({"acceptance": {"hmc": {"value": 0.8}}})
    assert trust == "unknown"
    assert "chain only" in reasons[0]


def test_a_chain_alone_that_drifts_is_a_no():
    content = {
        "acceptance": {"hmc": {"value": 0.8}},
        "checks": [check("equilibrium", 0.0)],
    }
    assert verdict(content).trust == "no"


def test_nothing_at_all_is_unknown():
    trust, reasons = verdict({})
    assert trust == "unknown"
    assert "neither a chain nor a model" in reasons[0]


@pytest.mark.parametrize(
    "changes",
    [
        # limits belong to estimators: these are marks of theirs
        {"pareto_k": 3.0},
        {"ess_forward": {"value": None, "error": None, "unusable": "one draw"}},
        {"log_z": {"nis": {**LOG_Z, "is_relied_upon": False}, "bar": LOG_Z}},
        {"integrator": None},
        # less than the floor of rounding
        {
            "integrator": {
                "shift_log_z": 3e-5,
                "shift_error": 5e-6,
                "statistical_error": 1e-10,
            },
            "log_z": {"nis": {**LOG_Z, "error": 5e-5}},
        },
        # few samples lie anywhere
        {"overlap": 1e-3, "p_samples__slowest": {**SLOWEST, "n_eff": 900.0}},
        {"missed__nis": {"shift": 9e-4, "mass": 2e-3, "expected": 0.67}},
        {"uncovered": MISSED},
    ],
)
def test_what_is_no_fault(changes):
    changes = {"integrator": None, **changes}
    assert verdict(case(**changes)).trust == "yes"


def test_rounding_excuses_the_integrator_and_nothing_else_does():
    """A shift below what float32 leaves of ln Z, where the error is smaller still."""
    integrator = Choice(8, 2e-6, 1e-7, 1e-5)
    assert judge.is_shift_hidden(integrator, 1e-7, 3e-6)
    assert not judge.is_shift_hidden(integrator, 1e-7, 1e-6)
    assert not judge.is_shift_hidden(integrator, 1e-7, None)
    assert judge.is_shift_hidden(integrator, 1e-5, None)
