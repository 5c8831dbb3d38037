"""What samples of p say of a model, on ensembles of known truth."""

import dataclasses

import numpy as np
import pytest

from cases import sigma_of
from ensembles import LOG_Z, NAMES, SHAPE, VOLUME, Law, Part, Run, make
from genlat.estimators import weights
from genlat.estimators.estimate import Estimate
from genlat.likelihood import EXACT
from genlat.verdict import evidence, foreseen, limits, results
from genlat.verdict.data import Draws, Samples
from genlat.verdict.foreseen import Foreseen

METHODS = ("nis", "p_estimator", "bar")


SMALL = Run(n=20_000, length=200)


def found(law, run=SMALL, seed=5):
    made = make(law, run, np.random.default_rng(seed))
    rng = np.random.default_rng(1)
    return evidence.of_samples(made.draws, made.samples, METHODS, NAMES, SHAPE, rng)


def test_a_wasteful_model_marks_what_needs_one_over_w():
    """2 % of q where p is 1000 times less: samples of p do not go there."""
    part = found(Law((Part(1 - 2e-5, 0.98, 0.1), Part(2e-5, 0.02, 0.1, 1.0))))
    missed = part.diagnostics["missed"]
    assert missed["p_estimator"]["mass"] == pytest.approx(0.02, rel=0.2)
    assert missed["nis"]["shift"] < 1e-3
    assert "of q, where p is small" in part.by_method["p_estimator"]["log_z"].caution
    assert "caution" in part.diagnostics["mode_weight"]
    assert part.by_method["bar"]["log_z"].caution == ""
    about = [test.about for test in part.checks if test.kind == "coverage"]
    assert about == ["Ẑ_q over Bennett's Z"]


def test_a_model_that_lacks_something_does_not():
    part = found(Law((Part(0.99, 1.0, 0.1), Part(0.01, 1e-7, 0.1, 1.0))))
    missed = part.diagnostics["missed"]
    # five errors of 3200 samples
    assert missed["nis"]["mass"] == pytest.approx(0.01, abs=0.009)
    assert "of q, where p is small" not in (
        part.by_method["p_estimator"]["log_z"].caution
    )


def test_an_exact_model_is_not_refused_by_rounding():
    """log q of float32: what is left of a mode weight of 1 is no deviation."""
    rng = np.random.default_rng(3)

    def side(shape):
        action = 500 + rng.normal(size=shape)
        log_q = np.float32(-action - 20.0 + 2e-5).astype(float)
        return -action - log_q, {"action_density": action / VOLUME}

    draws = Draws(*side(20_000), 2.0**-24, EXACT)
    samples = Samples(*side((64, 60)), "hmc+cluster", True)
    # rounding that is not the same on both sides, as of two code paths
    samples = dataclasses.replace(samples, log_w=samples.log_w + 3e-5)
    part = evidence.of_samples(draws, samples, METHODS, NAMES, SHAPE, rng)
    assert part.diagnostics["mode_weight"]["error"] >= 2**0.5 * draws.floor(VOLUME)
    coverage = [test for test in part.checks if test.kind == "coverage"]
    assert len(coverage) == 2
    assert all(abs(test.pull) < 2 for test in coverage)
    assembled = results.assemble([part], {}, {"volume": VOLUME})
    assert not any("mode weight" in x for x in assembled.verdict.reasons)


def test_the_claim_rests_on_the_slowest_observable():
    law = Law((Part(0.5, 0.5, 0.1, 2.0), Part(0.5, 0.5, 0.1, -2.0)))
    slow = found(law, Run(n=20_000, length=400, stay=0.97))
    slowest = slow.diagnostics["p_samples"]["slowest"]
    assert slowest["observable"] == "mag"
    # 64 chains, parts are kept for 33 steps, every fourth of them stored
    assert slowest["n_eff"] == pytest.approx(64 * 400 / (2 * 33), rel=0.3)
    assert slowest["is_resolved"]
    # 390 visits know it well
    assert 0.7 < slowest["n_eff_least"] / slowest["n_eff"] < 1


def test_a_claim_knows_how_few_visits_it_rests_on():
    """1 % dropped, visited for 200 steps by 64 chains of 500: once, with luck twice.

    The autocorrelation of so few is short (`n_eff` 668), and 3/668 of p was claimed.
    """
    law = Law((Part(0.99, 1.0, 0.3), Part(0.01, 1e-30, 0.1, 1.0)), slope=1.0, noise=3.0)
    seen = wrong = by_point = 0
    for seed in range(24):
        made = make(law, Run(n=2000, stay=0.995), np.random.default_rng([6, seed]))
        if np.any(made.parts == 1):
            seen += 1
            slowest = evidence.slowest(made.samples)
            wrong += 3 / slowest["n_eff_least"] < 0.01
            by_point += 3 / slowest["n_eff"] < 0.01
    assert seen > 12
    assert wrong <= 1
    assert by_point >= 3  # negative control


@pytest.mark.parametrize("is_slow", [False, True])
def test_one_observable_that_is_not_resolved_leaves_the_samples_unresolved(is_slow):
    """One that drifts on all of a chain of 400, beside two that forget at once."""
    rng = np.random.default_rng(4)
    log_w, action, noise = rng.normal(size=(3, 64, 400))
    walk = np.cumsum(noise, axis=1)
    measured = {"action_density": action, "mag": walk if is_slow else noise}
    found = evidence.slowest(Samples(log_w, measured, "hmc", True))
    assert found["is_resolved"] is not is_slow


def test_samples_that_nothing_can_be_said_of():
    law = Law((Part(1.0, 1.0, 0.1),))
    made = make(law, Run(n=2000, length=40), np.random.default_rng(2))
    log_w = made.samples.log_w.copy()
    log_w[3, 2] = np.nan
    broken = dataclasses.replace(made.samples, log_w=log_w)
    rng = np.random.default_rng(1)
    part = evidence.of_samples(made.draws, broken, METHODS, NAMES, SHAPE, rng)
    assert part.by_method == {}
    assert part.diagnostics["non_finite_p"] == 1
    assert results.assemble([part], {}, {"volume": VOLUME}).verdict.trust == "no"
    log_w[3, 2] = np.inf
    excluded = dataclasses.replace(made.samples, log_w=log_w)
    part = evidence.of_samples(made.draws, excluded, METHODS, NAMES, SHAPE, rng)
    assert part.diagnostics["excluded"] == 1
    assert results.assemble([part], {}, {"volume": VOLUME}).verdict.trust == "no"


def test_sides_that_do_not_meet_are_a_no():
    """3000 apart: no traceback, overlap 0."""
    law = Law((Part(1.0, 1.0, 0.1),))
    made = make(law, Run(n=2000, length=200, every=1), np.random.default_rng(2))
    far = dataclasses.replace(made.samples, log_w=made.samples.log_w + 3000)
    rng = np.random.default_rng(1)
    part = evidence.of_samples(made.draws, far, METHODS, NAMES, SHAPE, rng)
    assert part.diagnostics["overlap"] < 1e-100
    verdict = results.assemble([part], {}, {"volume": VOLUME}).verdict
    assert verdict.trust == "no"
    assert any("overlap by" in reason for reason in verdict.reasons)


def test_the_better_known_of_two_errors_stands_with_its_mark():
    """By hand: of each number, component and mark."""
    one = Estimate(1.0, 0.1, 0.0, 100, 50.0, "nis", caution="few", skewness=0.2)
    # 200 and 50 degrees of freedom: errors² scatter by .1 and .2, their ratio by .224
    known = Foreseen(0.12, 200.0, 50.0, 0.1, "")
    found = limits.foreseen(one, known)
    assert (found.error, found.caution, found.freedom) == (0.12, "", 200.0)
    assert found.n_eff == pytest.approx(50 / 1.44)
    # the value is as skew, and not correlated with its error
    assert found.skewness == -0.05
    assert limits.foreseen(one, known._replace(caution="so")).caution == "so"
    # that which is less known stands where it is far above: 1.29² is 1 + 3 x .224
    for ratio, error in ((1.28, 0.1), (1.31, 0.1 * 1.31)):
        lower = dataclasses.replace(one, error=0.1 * ratio)
        found = limits.foreseen(lower, known._replace(error=0.1))
        assert found.error == pytest.approx(error)
        assert found.caution == ("few" if error > 0.1 else "")
        wider = known._replace(error=0.1 * ratio, freedom=50.0, of_draws=200.0)
        assert limits.foreseen(one, wider).error == pytest.approx(error)
        assert limits.foreseen(one, wider).caution == ("" if error > 0.1 else "few")
    stuck = dataclasses.replace(one, flaw="flaw")
    assert limits.foreseen(stuck, known) == stuck
    for kept in ({"is_resolved": False}, {"is_biased": True}):
        found = limits.foreseen(dataclasses.replace(one, caution="x", **kept), known)
        assert (found.error, found.caution) == (0.12, "x")
    several = dataclasses.replace(one, value=np.ones(2), error=np.array([0.1, 0.3]))
    of_both = Foreseen(np.array([0.12, 0.12]), 200.0, 50.0, 0.0, "")
    found = limits.foreseen(several, of_both)
    assert found.error.tolist() == [0.12, 0.3]
    assert found.caution == "few"


def test_draws_that_meet_what_samples_do_not_keep_their_error():
    """A chain that is stuck where q is right, and draws that know of the other well."""
    wells = Law((Part(0.5, 0.9, 0.05), Part(0.5, 0.1, 0.05, 1.0)))
    made = make(wells, SMALL, np.random.default_rng(3))
    draws = made.draws
    stuck = make(Law((Part(1, 1, 0.05),)), SMALL, np.random.default_rng(4)).samples
    u = foreseen.of_weights(draws, stuck, LOG_Z, 1000.0)
    known = foreseen.by_method(u, stuck, ("action_density",), SHAPE, 0.0)["nis"][
        "log_z"
    ]
    own = weights.log_z(draws.log_w)
    assert known.freedom < known.of_draws
    assert known.error < own.error / 10
    assert limits.foreseen(own, known) == own
    # and where samples say that they know better
    sure = known._replace(freedom=2 * known.of_draws)
    assert limits.foreseen(own, sure) == own


def test_what_is_not_marked_holds_the_truth_at_a_low_ess():
    """Selection: those of small error are the lucky ones, their intervals too short.

    At ESS .2 and n = 2·10⁴ a third of the intervals of ⟨S⟩ was marked, and of the
    others 85 % held it where 95 should.
    """
    law = Law((Part(1, 1, sigma_of(0.2)),))
    truth, run = law.truth()["action_density"], Run(n=20_000)
    inside, own, n = 0, 0, 0
    for k in range(150):
        made = make(law, run, np.random.default_rng([8, k]))
        draws, samples = made.draws, made.samples
        alone = weights.reweighted_mean(draws.log_w, draws.measured["action_density"])
        u = foreseen.of_weights(draws, samples, LOG_Z, samples.log_w.size / 3)
        known = foreseen.by_method(u, samples, ("action_density",), SHAPE, 0.0)
        estimate = limits.foreseen(alone, known["nis"]["action_density"])
        if not estimate.caution:
            n += 1
            inside += abs(estimate.value - truth) < 1.96 * estimate.error
            own += abs(alone.value - truth) < 1.96 * alone.error
    assert n > 75
    assert inside / n > 0.95 - 3 * np.sqrt(0.95 * 0.05 / n)
    # negative control: their own errors
    assert own / n < inside / n


def test_a_missed_part_is_marked_and_its_error_left_alone():
    """Half of p where q is a millionth: 10⁴ errors would say nothing."""
    law = Law((Part(0.5, 1, 0.3), Part(0.5, 1e-6, 0.3, 2.0)))
    made = make(law, SMALL, np.random.default_rng(2))
    part = evidence.of_samples(
        made.draws, made.samples, METHODS, NAMES, SHAPE, np.random.default_rng(1)
    )
    assert not part.foreseen
