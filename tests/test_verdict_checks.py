"""Tests of a run as families, how far methods are apart, and what that checks."""

import dataclasses
import math

import jax.random as jr
import numpy as np
import pytest
from scipy import stats

from genlat.estimators import autocorrelation, nmcmc, weights
from genlat.likelihood import EXACT
from genlat.verdict import agreement, checks, estimates, findings, limits, results
from genlat.verdict.checks import Check, Side
from genlat.verdict.data import Draws
from genlat.verdict.findings import Findings


def test_bounds_of_the_documentation():
    assert checks.bound(48, 1e-2) == pytest.approx(3.7, abs=0.02)
    assert checks.bound(48, 1e-3) == pytest.approx(4.26, abs=0.02)
    assert checks.bound(3 * 48, 1e-2) == pytest.approx(4.0, abs=0.05)


def test_a_family_counts_its_tests_and_the_families():
    every = [
        Check("agreement", "a", "", 0.004),
        Check("agreement", "b", "", 0.0001),
        Check("coverage", "c", "", 0.5),
    ]
    first, second = checks.family(every, "agreement")
    assert (first.check.about, second.check.about) == ("b", "a")
    assert first.p_run == pytest.approx(0.0001 * 2 * 2)
    (alone,) = checks.family(every, "coverage")
    assert alone.p_run == 1.0
    assert checks.family(every, "equilibrium") == []


def test_the_worst_of_several_is_times_their_number():
    """Where it is neither 0 nor 1: one p = 0.03 of four is no surprise, nor of 40."""
    named = {"drift of mag": 0.2, "memory of mag": 0.03, "drift of phi2": 0.5, "x": 0.9}
    tests = tuple(Check("equilibrium", about, "", p) for about, p in named.items())
    found = findings.worst(tests)
    assert found["worst"] == "memory of mag"
    assert found["p_value"] == pytest.approx(4 * 0.03)
    assert findings.worst(tests[:2])["p_value"] == pytest.approx(2 * 0.03)
    assert findings.worst(tests * 10)["p_value"] == 1
    assert findings.worst(()) == {}


def test_a_pull_of_gaussian_numbers():
    assert checks.of_pull(1.96) == pytest.approx(0.05, abs=1e-4)
    assert checks.of_pull(-1.96, Side(0.3), Side(0.4)) == pytest.approx(0.05, abs=1e-4)
    assert checks.of_pull(math.nan) == 0.0


def test_degrees_of_freedom_are_pooled():
    """Satterthwaite: of two equal errors twice as many, of one alone its own."""
    one = checks.of_pull(3.0, Side(1.0, 10.0))
    assert one == pytest.approx(2 * stats.t(10).sf(3.0))
    both = checks.of_pull(3.0, Side(1.0, 10.0), Side(1.0, 10.0))
    assert both == pytest.approx(2 * stats.t(20).sf(3.0))
    assert checks.of_pull(3.0, Side(1.0, 10.0), Side(1e-9)) == pytest.approx(one)


def test_skewness_counts_for_a_and_against_b():
    """Pulls are skew the other way: low values come with low errors."""
    skew = Side(1.0, skewness=0.2)
    assert checks.of_pull(-5.0, skew) > 100 * checks.of_pull(-5.0)
    assert checks.of_pull(5.0, skew) < checks.of_pull(5.0)
    assert checks.of_pull(5.0, Side(1e-9), skew) == pytest.approx(
        checks.of_pull(-5.0, skew), rel=1e-6
    )


@pytest.mark.parametrize("sigma", [0.5, 0.7])
def test_probabilities_of_skew_means_are_right(sigma):
    """Means of 400 log-normal numbers: as often below a level as it says."""
    x = np.exp(np.random.default_rng(5).normal(size=(8000, 400)) * sigma)
    off = x - x.mean(axis=1, keepdims=True)
    square = np.sum(off**2, axis=1)
    error = np.sqrt(square / (400 * 399))
    g = np.sum(off**3, axis=1) / square**1.5
    pulls = (x.mean(axis=1) - math.exp(sigma**2 / 2)) / error
    right = np.array(
        [checks.of_pull(*one) for one in zip(pulls, map(_side, error, g), strict=True)]
    )
    plain = 2 * stats.norm.sf(np.abs(pulls))
    assert np.mean(right < 0.05) == pytest.approx(0.05, abs=0.015)
    # to second order, so not exactly
    assert np.mean(right < 0.003) < 0.006
    assert np.mean(plain < 0.003) > 1.4 * np.mean(right < 0.003)


def _side(error, g):
    return Side(float(error), 400.0, float(g))


# Agreement


def number(value, error, **more):
    return {"value": value, "error": error, "n_eff": 1e4, **more}


def test_every_pair_is_tested_once():
    found = {
        "mag": {"nis": number(1.0, 0.3), "hmc": number(0.0, 0.4), "x": number(0, None)},
        "log_z": {"nis": number(5.0, 0.1), "bar": number(5.2, 0.1)},
        "free_energy_density": {"nis": number(5.0, 0.1), "bar": number(9.0, 0.1)},
    }
    tests = {test.about: test for test in agreement.tests(found, 0.0)}
    assert set(tests) == {"mag: nis - hmc", "log_z: nis - bar"}
    assert tests["mag: nis - hmc"].pull == pytest.approx(2.0)
    assert tests["mag: nis - hmc"].p_value == pytest.approx(0.0455, abs=1e-4)
    assert tests["mag: nis - hmc"].is_firm


def test_a_mark_does_not_hide_that_two_numbers_are_of_two_densities():
    """Draws that may miss .01 of p, deviations of 10: averages move by 1 at most."""
    marked = number(2.0, 0.1, caution="few draws", freedom=20.0)
    found = {"nis": marked, "hmc": number(0.0, 0.1)}
    (test,) = agreement.tests({"mag": found}, 0.01)
    most = 10 * math.sqrt(0.01 / 0.99)
    assert test.pull == pytest.approx(2 / math.hypot(0.1, 0.1, most))
    assert "of the largest errors" in test.says
    (test,) = agreement.tests({"mag": found}, 0.0)
    assert test.pull == pytest.approx(2 / math.hypot(0.1, 0.1))
    # an error of few draws has few degrees of freedom
    (few,) = agreement.tests({"mag": found | {"nis": marked | {"freedom": 2.0}}}, 0.0)
    assert few.p_value > 10 * test.p_value


@pytest.mark.parametrize(
    ("observable", "methods"),
    [
        ("log_z", {"nis": number(1.0, 0.1, caution="x"), "bar": number(0.0, 0.1)}),
        ("mag", {"nis": number(1.0, 0.1), "hmc": number(0.0, 0.1, caution="x")}),
        (
            "mag",
            {
                "nis": number(1.0, 0.1, caution="x"),
                "hmc": number(0.0, 0.1, caution="x"),
            },
        ),
        ("mag", {"nis": number(1.0, 0.1, caution="x"), "nmcmc": number(0.0, 0.1)}),
    ],
)
def test_what_is_marked_otherwise_is_not_tested(observable, methods):
    assert list(agreement.tests({observable: methods}, 0.0)) == []


def test_few_samples_do_not_refuse():
    few = {"nis": number(1.0, 0.1), "hmc": {**number(0.0, 0.1), "n_eff": 99.0}}
    (test,) = agreement.tests({"mag": few}, 0.0)
    assert not test.is_firm


def test_numbers_without_errors_are_compared_with_rounding():
    same = {"a": number(0.3, 0.0), "b": number(0.1 + 0.2, 0.0)}
    assert abs(agreement.pulls(same)["a - b"]) < 1
    other = {"a": number(0.3, 0.0), "b": number(0.3 + 1e-12, 0.0)}
    assert abs(agreement.pulls(other)["a - b"]) > 100
    assert agreement.pulls({"a": number(0.0, 0.0), "b": number(0.0, 0.0)}) == {
        "a - b": 0.0
    }


def test_a_number_is_checked_by_the_sharpest_of_other_samples():
    found = agreement.checked_to(
        {
            "nis": number(0.0, 0.1),
            "nmcmc": number(0.0, 0.01),  # the same draws
            "hmc": number(0.0, 0.3),
            "path": number(0.0, 0.2, caution="short"),  # nothing rests on it
            "exact": number(0.0, 0.0),
        }
    )
    assert found["nis"] == pytest.approx(0.1)
    assert found["hmc"] == pytest.approx(0.3)
    assert "exact" not in found
    alone = agreement.checked_to({"nis": number(0.0, 0.1), "nmcmc": number(0.0, 0.1)})
    assert alone == {}


def test_checked_means_that_five_errors_would_be_seen():
    assert agreement.is_checked({"error": 0.1, "checked_to": 0.13}, 48)
    assert not agreement.is_checked({"error": 0.1, "checked_to": 0.14}, 48)
    assert not agreement.is_checked({"error": 0.1}, 48)


# Rounding


def exact_draws(roundoff):
    """Equal weights, but for the rounding of a float32 sum of 1000 terms."""
    rng = np.random.default_rng(3)
    action = 500 + rng.normal(size=2000)
    log_q = np.float32(-action - 20.0).astype(float)
    measured = {"action_density": action / 64}
    return Draws(-action - log_q, measured, roundoff, EXACT)


def test_ln_z_has_the_floor_of_its_arithmetic():
    """20 exactly; without the floor the printed error is below what rounding leaves."""
    for roundoff in (0.0, 2.0**-24):
        found = estimates.nis(exact_draws(roundoff), (), (8, 8))
        floor = exact_draws(roundoff).floor(64)
        assert floor == pytest.approx(roundoff * 1020, rel=0.01)
        assert found["log_z"].error >= floor
        assert found["free_energy_density"].error >= floor / 64
        assert found["entropy_density"].error >= floor / 64
    bare = weights.log_z(exact_draws(0.0).log_w).error
    assert found["log_z"].error > 10 * bare
    assert abs(found["log_z"].value - 20) < found["log_z"].error


# Together


def draws_part(log_z, error):
    """Findings of draws as `assemble` sees them."""
    estimate = weights.log_z(np.zeros(10))
    fields = {"value": log_z, "error": error, "n_eff": 1e4}
    return {"log_z": dataclasses.replace(estimate, **fields)}


def test_ln_z_is_checked_no_better_than_its_samples_are_many():
    """Of 200 samples a part of 1/200 is missing by chance, however they agree."""
    missed = {
        "nis": {"shift": 0.0, "mass": 0.0, "expected": 0.0},
        "p_estimator": {"shift": 0.03, "mass": 0.1, "expected": 1.0},
    }
    slowest = {
        "observable": "mag",
        "n_eff": 900.0,
        "n_eff_least": 200.0,
        "is_resolved": True,
    }
    diagnostics = {"p_samples": {"slowest": slowest}, "missed": missed}
    by_method = {"nis": draws_part(5.0, 1e-3), "p_estimator": draws_part(5.0, 4e-3)}
    found = results.assemble([Findings(by_method, diagnostics, {})], {}, {"volume": 8})
    expected = math.hypot(1e-3, 4e-3, 0.03, 1 / 200)
    assert found.estimates["log_z"]["nis"]["checked_to"] == pytest.approx(expected)
    # per site what is missing weighs as much less
    per_site = {
        name: {"free_energy_density": draws_part(-5 / 8, error / 8)["log_z"]}
        for name, error in (("nis", 1e-3), ("p_estimator", 4e-3))
    }
    found = results.assemble([Findings(per_site, diagnostics, {})], {}, {"volume": 8})
    density = found.estimates["free_energy_density"]["nis"]["checked_to"]
    assert density == pytest.approx(expected / 8)
    known = {"log_z": {"exact": {"value": 5.0, "error": 1e-9}}}
    found = results.assemble(
        [Findings(by_method, diagnostics, {})], known, {"volume": 8}
    )
    assert found.estimates["log_z"]["nis"]["checked_to"] == pytest.approx(1e-3)


def test_draws_that_may_have_missed_more_than_their_error_are_marked():
    missed = {
        "nis": {"shift": 2e-3, "mass": 3e-3, "expected": 0.7},
        "p_estimator": {"shift": 0.0, "mass": 0.0, "expected": 0.0},
    }
    slowest = {
        "observable": "mag",
        "n_eff": 8000.0,
        "n_eff_least": 8000.0,
        "is_resolved": True,
    }
    diagnostics = {"p_samples": {"slowest": slowest}, "missed": missed}
    by_method = {"nis": draws_part(5.0, 1e-3), "bar": draws_part(5.0, 1e-3)}
    part = Findings(by_method, diagnostics, {})
    found = results.assemble([part], {}, {"volume": 8}).estimates["log_z"]
    assert "0.003 of p lies where 0.7 draws" in found["nis"]["caution"]
    assert "caution" not in found["bar"]
    missed["nis"]["shift"] = 9e-4
    found = results.assemble([part], {}, {"volume": 8}).estimates["log_z"]
    assert "caution" not in found["nis"]


# Limits of estimators


def proposals(log_w, chains):
    """A neural chain over draws of mag = z, log w = σ z, and its estimate."""
    steps = log_w.size // chains
    chain = nmcmc.run(jr.key(1), log_w.reshape(chains, steps))
    return chain.index


@pytest.mark.parametrize("chains", [1, 40])
def test_a_neural_chain_has_the_larger_of_two_errors(chains):
    z = np.random.default_rng(8).normal(size=8000)
    index = proposals(1.3 * z, chains)
    values = z[index]
    plain = autocorrelation.mean(values)
    found = limits.of_proposals(plain, values, index)
    assert found.value == plain.value
    assert found.error >= plain.error
    if chains > 1:
        between = autocorrelation.between_chains(values)
        assert found.error == max(plain.error, between.error)
        assert found.freedom <= 39 or found.error == plain.error


def test_a_draw_that_is_held_for_long_marks_a_neural_chain():
    z = np.random.default_rng(9).normal(size=4000)
    fine = proposals(0.3 * z, 40)
    estimate = autocorrelation.mean(z[fine])
    assert limits.of_proposals(estimate, z[fine], fine).caution == ""
    log_w = 0.3 * z
    log_w[7] += 7.0  # about a thousand steps
    z[7] = 4.0
    held = proposals(log_w, 40)
    estimate = autocorrelation.mean(z[held])
    found = limits.of_proposals(estimate, z[held], held)
    assert "rests on" in found.caution or "not resolved" in found.caution


def test_the_error_of_an_ess_needs_the_fourth_moment():
    ess = weights.ess_estimate(np.random.default_rng(2).normal(size=1000) * 0.1)
    assert limits.of_ess(ess, 0.25).caution == ""
    assert "Pareto k = 0.26 > 1/4" in limits.of_ess(ess, 0.26).caution
