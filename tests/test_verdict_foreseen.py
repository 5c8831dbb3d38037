"""What samples of p foresee of a run, and what it may and may not be used for."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ensembles
from cases import sigma_of
from ensembles import LOG_Z, NAMES, SHAPE, VOLUME, Law, Part, Run, make
from genlat.estimators import foreseen as errors
from genlat.estimators import support, two_sided, weights
from genlat.estimators.estimate import Estimate
from genlat.likelihood import EXACT
from genlat.verdict import agreement, checks, evidence, foreseen, limits, results
from genlat.verdict.data import Draws, Foreseen, Samples
from genlat.verdict.findings import Findings

METHODS = ("nis", "nmcmc", "p_estimator", "bar")


def of_law(law, run, seed):
    return make(law, run, np.random.default_rng(seed))


def judged(made):
    rng = np.random.default_rng(1)
    return evidence.of_samples(made.draws, made.samples, METHODS, NAMES, SHAPE, rng)


def test_they_are_the_errors_of_many_draws():
    """At ESS .8 both sides know every error to a few per cent."""
    law = Law((Part(1, 1, sigma_of(0.8)),))
    made = of_law(law, Run(), 3)
    draws, samples = made.draws, made.samples
    u = foreseen.of_weights(draws, samples, LOG_Z, 4000.0)
    found = foreseen.by_method(u, samples, NAMES, SHAPE, 0.0)["nis"]
    log_w, measured = draws.log_w, draws.measured
    log_z = weights.log_z(log_w)
    own = {
        "log_z": log_z,
        "free_energy_density": weights.free_energy_density(log_z, VOLUME),
        "entropy_density": weights.entropy_density(
            log_w, VOLUME * measured["action_density"], VOLUME
        ),
        **{name: weights.reweighted_mean(log_w, measured[name]) for name in NAMES},
    }
    assert found.keys() == own.keys()
    for name, estimate in own.items():
        assert found[name].error == pytest.approx(estimate.error, rel=0.08), name
        assert not found[name].caution
    ess = foreseen.of_ess(u, log_w)
    assert ess.error == pytest.approx(weights.ess_estimate(log_w).error, rel=0.15)


def test_of_components_every_one_has_its_error_and_the_least_freedom_is_theirs():
    rng = np.random.default_rng(4)
    few = np.where(rng.random((8, 500)) < 0.005, 30.0, 0.0)
    values = np.stack([rng.normal(size=(8, 500)), few], axis=-1)
    samples = Samples(
        np.zeros((8, 500)), {"x": values, "action_density": few}, "", True
    )
    draws = Draws(np.zeros(1000), {}, 0.0, EXACT)
    u = foreseen.of_weights(draws, samples, 0.0, 4000.0)
    found = foreseen.by_method(u, samples, ("x", "not measured"), SHAPE, 0.0)["nis"]
    expected = values.reshape(-1, 2).std(axis=0) / math.sqrt(1000)
    np.testing.assert_allclose(found["x"].error, expected, rtol=1e-9)
    alone = errors.importance(np.ones(4000), np.ravel(few - few.mean()), 1000, 4000.0)
    assert found["x"].freedom == pytest.approx(alone.freedom)
    assert "not measured" not in found


def test_weights_that_draws_lack_leave_a_mark():
    """A hundredth of p where q is 10⁻⁶ of it: 10³ draws do not fluctuate by it."""
    log_w = np.zeros((10, 1000))
    log_w[:, :10] = math.log(1e6)
    samples = Samples(log_w, {"action_density": np.zeros_like(log_w)}, "", True)
    u = foreseen.of_weights(Draws(np.zeros(1000), {}, 0.0, EXACT), samples, 0.0, 1e4)
    # the cut leaves a constant: nothing fluctuates, and `missed` is what marks it
    assert np.all(u.met == 1)
    log_w[:, :100] += np.log(np.linspace(1.5, 3, 100))
    samples = Samples(log_w, {"action_density": log_w}, "", True)
    u = foreseen.of_weights(Draws(np.zeros(1000), {}, 0.0, EXACT), samples, 0.0, 1e4)
    found = foreseen.by_method(u, samples, (), SHAPE, 0.0)["nis"]["entropy_density"]
    assert "too few for the weights" in found.caution


def test_a_skew_value_is_skew_the_way_it_is():
    """Large a where u is large: sums of draws, held for long, have a tail above."""
    u = np.exp(np.random.default_rng(5).normal(0.3, 0.7, 5000))
    a = u - u.mean()
    for error in (errors.importance, errors.chain):
        assert error(u, a, 1000, 5000).skewness > 0.05
        assert error(u, -a, 1000, 5000).skewness < -0.05


@pytest.mark.parametrize("lower", [8.0, 16.0, 30.0, 700.0, 1e4])
def test_one_sample_in_waste_of_the_model_moves_no_error(lower):
    """Its 1/u is all of Σ 1/u, and nothing of q."""
    made = of_law(Law((Part(1, 1, 0.3),)), Run(n=20_000, length=200), 6)
    samples = made.samples
    log_w = samples.log_w.copy()
    log_w.ravel()[5] -= lower
    found = []
    for one in (samples, dataclasses.replace(samples, log_w=log_w)):
        u = foreseen.of_weights(made.draws, one, LOG_Z, 1000.0)
        found.append(foreseen.by_method(u, one, ("mag",), SHAPE, 0.0))
    for method in ("nis", "nmcmc"):
        assert found[1][method]["mag"].error == pytest.approx(
            found[0][method]["mag"].error, rel=0.02
        )


def test_no_number_of_samples_and_no_weight_breaks_it():
    for log_w in (np.full((1, 2), 1e4), np.array([[-1e4, 1e4]]), np.zeros((2, 1))):
        samples = Samples(log_w, {"action_density": 0.0 * log_w}, "", True)
        u = foreseen.of_weights(Draws(np.zeros(10), {}, 0.0, EXACT), samples, 0.0, 0.0)
        found = foreseen.by_method(u, samples, ("action_density",), SHAPE, 0.0)
        assert all(
            math.isfinite(x.error)
            for by_name in found.values()
            for x in by_name.values()
        )


def test_they_are_not_the_errors_that_a_run_is_tested_with():
    """A chain of another theory foresees large errors, with which it would agree."""
    nis = Estimate(1.0, 0.01, 0.0, 10_000, 8000.0, "nis", freedom=8000.0)
    chain = dataclasses.replace(nis, value=0.9, method="hmc")
    part = Findings({"nis": {"mag": nis}, "hmc": {"mag": chain}}, {}, {})
    wide = {"nis": {"mag": Foreseen(1.0, 1000.0, 100.0, 0.0, "")}}
    found = results.assemble([part._replace(foreseen=wide)], {}, {"volume": VOLUME})
    assert found.estimates["mag"]["nis"]["error"] == 1.0
    (test,) = found.diagnostics["checks"]
    assert test["pull"] == pytest.approx(0.1 / math.hypot(0.01, 0.01))
    assert test["is_firm"]
    assert found.estimates["mag"]["nis"]["checked_to"] == pytest.approx(0.01 * 2**0.5)


def test_what_is_missed_counts_independent_samples():
    made = of_law(Law((Part(1, 1, sigma_of(0.3)),)), Run(n=20_000, memory=0.9), 10)
    part, draws, samples = judged(made), made.draws, made.samples
    n_eff = part.diagnostics["p_samples"]["slowest"]["n_eff"]
    assert n_eff < samples.log_w.size / 2
    log_z = two_sided.bar(draws.log_w, samples.log_w).log_z.value
    missed = support.missed(log_z - draws.log_w, n_eff)
    assert part.diagnostics["missed"]["p_estimator"] == missed._asdict()


def test_the_ess_has_the_error_that_samples_know_better():
    for seed in range(4):
        made = of_law(Law((Part(1, 1, sigma_of(0.5)),)), Run(n=20_000), [10, seed])
        part, draws, samples = judged(made), made.draws, made.samples
        n_eff = part.diagnostics["p_samples"]["slowest"]["n_eff"]
        log_z = two_sided.bar(draws.log_w, samples.log_w).log_z.value
        own = weights.ess_estimate(draws.log_w).error
        u = foreseen.of_weights(draws, samples, log_z, n_eff)
        theirs = foreseen.of_ess(u, draws.log_w)
        assert theirs.freedom > 1.5 * theirs.of_draws
        assert own != pytest.approx(theirs.error, rel=0.01)
        assert part.diagnostics["ess"]["error"] == pytest.approx(theirs.error)


def test_coverage_is_tested_with_the_skewness_of_its_number():
    made = of_law(Law((Part(1, 1, sigma_of(0.3)),)), Run(n=2000), 11)
    part, log_w = judged(made), (made.draws.log_w, made.samples.log_w)
    weight = two_sided.mode_weight(*log_w).estimate("").to_json()
    (test,) = (x for x in part.checks if x.about == "mode weight")
    assert abs(weight["skewness"]) > 0.01
    pull = (weight["value"] - 1) / weight["error"]
    assert test.p_value == pytest.approx(checks.of_pull(pull, checks.side(weight)))


@pytest.mark.parametrize("sides", [(0.3, 0.2), (0.3, -0.2), (0.0, 0.2), (0.3, 0.3)])
def test_the_mode_weight_is_as_skew_as_the_difference_of_its_sides(sides):
    """Third cumulants add: of ln Z from draws, and of minus that from samples."""
    one, other = (
        Foreseen(error, 100.0, 50.0, skewness, "")
        for error, skewness in zip((0.3, 0.4), sides, strict=True)
    )
    known = {"nis": {"log_z": one}, "p_estimator": {"log_z": other}}
    found = foreseen.of_ratio(known, Estimate(0.8, 0.1, 0.0, 1000, 1000.0, ""))
    third = 0.3**3 * sides[0] - 0.4**3 * sides[1]
    assert found.skewness == pytest.approx(third / 0.5**3)
    assert found.error == pytest.approx(0.8 * 0.5)


def test_the_difference_of_two_numbers_alike_is_not_skew():
    one = checks.Side(1.0, 50.0, 0.2)
    for pull in (1.0, 4.0):
        both = [checks.of_pull(sign * pull, one, one) for sign in (-1, 1)]
        assert both[0] == pytest.approx(both[1])
        assert checks.of_pull(pull, one) < checks.of_pull(-pull, one)


def test_methods_of_the_same_samples_do_not_check_each_other():
    number = {"value": 1.0, "error": 0.1, "n_eff": 1e4}
    for pair in (("nis", "nmcmc"), ("p_estimator", "bar")):
        assert agreement.checked_to(dict.fromkeys(pair, number)) == {}
    assert agreement.checked_to(dict.fromkeys(("nis", "bar"), number))


def test_values_that_are_held_for_long_are_skew_as_they_are():
    index = np.repeat(np.arange(2000), 2)
    index[100:160] = 100
    values = np.random.default_rng(12).normal(size=2000)
    values[100] = 9.0
    chain = values[index].reshape(40, 100)
    estimate = Estimate(0.0, 1.0, 0.0, 4000, 1000.0, "gamma")
    found = limits.of_proposals(estimate, chain, index.reshape(40, 100))
    assert found.skewness > 0.1


def test_the_claim_is_of_the_observable_that_may_be_worth_least():
    """One of few visits hides behind one that is slow and well known."""
    rng = np.random.default_rng(13)
    slow = np.repeat(rng.normal(size=(40, 10)), 10, axis=1)
    rare = np.zeros((40, 100))
    rare[3, 20:27] = rare[17, 60:66] = 1
    log_w = rng.normal(size=(40, 100))
    measured = {"slow": slow, "rare": rare, "action_density": log_w}
    found = evidence.slowest(Samples(log_w, measured, "", True))
    alone = evidence.slowest(
        Samples(log_w, {"slow": slow, "action_density": log_w}, "", True)
    )
    assert alone["observable"] == "slow"
    assert found["observable"] == "rare"
    assert found["n_eff_least"] < 0.7 * alone["n_eff_least"]


@pytest.mark.parametrize("share", [0.01, 0.03])
def test_what_is_missing_is_not_claimed_to_be_there(share):
    """Dropped, seen by the samples, and less than five errors of a poor model."""
    sigma = sigma_of(0.1)
    law = Law((Part(1 - share, 1, sigma), Part(share, 1e-130, 0.3, 1.0)))
    for seed in range(5):
        made = of_law(law, Run(), [14, seed])
        found = ensembles.judged(law, Run(), made, seed)
        missed = found.diagnostics["missed"]["nis"]
        assert missed["mass"] == pytest.approx(share, rel=0.5)
        text = " ".join(found.verdict.reasons)
        if "of more than" in text:
            claim = float(text.split("of more than ")[1].split(",")[0])
            assert claim > share


def test_every_module_can_be_imported_first():
    names = [path.stem for path in Path(results.__file__).parent.glob("[a-z]*.py")]
    for name in ("foreseen", "limits", "data"):
        assert name in names
        code = f"import genlat.verdict.{name}"
        subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_errors_of_samples_are_those_of_many(memory):
    """Of replicas of whole runs; correlated chains are worth fewer samples."""
    law, run = Law((Part(1, 1, sigma_of(0.6)),)), Run(n=20_000, memory=memory)
    values, errors = [], []
    for k in range(60):
        part = judged(of_law(law, run, [21, k]))
        own = part.by_method["p_estimator"]["log_z"]
        known = part.foreseen["p_estimator"]["log_z"]
        values.append(own.value)
        errors.append(known.error)
        weight = part.diagnostics["mode_weight"]["error"]
        both = math.hypot(known.error, part.foreseen["nis"]["log_z"].error)
        assert weight == pytest.approx(both, rel=0.1)
    # 60 values: their standard deviation is known to 9 %
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.3)


def test_a_number_that_fewer_than_two_samples_carry_is_a_count():
    """2 % of q where 2·10⁻⁴ of p is: of 8000 samples 1.6 are there, however sure."""
    law = Law((Part(1 - 2e-4, 0.98, 0.2), Part(2e-4, 0.02, 0.3, 1.0)))
    part = judged(of_law(law, Run(), 22))
    known = part.foreseen["p_estimator"]["log_z"]
    assert known.freedom > 500
    assert "it is a count" in known.caution
    even = judged(of_law(Law((Part(1, 1, 0.2),)), Run(), 22))
    assert not even.foreseen["p_estimator"]["log_z"].caution
