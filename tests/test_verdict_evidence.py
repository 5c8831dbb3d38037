"""What samples of p say of a model, on ensembles of known truth."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

from genlat.verdict import evidence, results
from genlat.verdict.data import Draws, Samples

FOLDER = Path(__file__).parents[1] / "benchmarks" / "verdict"
sys.path.insert(0, str(FOLDER))
from ensembles import SHAPE, VOLUME, Law, Part, Run, make  # noqa: E402

METHODS = ("nis", "p_estimator", "bar")


SMALL = Run(n=20_000, length=200)


def found(law, run=SMALL, seed=5):
    made = make(law, run, np.random.default_rng(seed))
    rng = np.random.default_rng(1)
    return evidence.of_samples(made.draws, made.samples, METHODS, SHAPE, rng)


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

    draws = Draws(*side(20_000), roundoff=2.0**-24)
    samples = Samples(*side((64, 60)), "hmc+cluster", True)
    # rounding that is not the same on both sides, as of two code paths
    samples = dataclasses.replace(samples, log_w=samples.log_w + 3e-5)
    part = evidence.of_samples(draws, samples, METHODS, SHAPE, rng)
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


def test_samples_that_nothing_can_be_said_of():
    law = Law((Part(1.0, 1.0, 0.1),))
    made = make(law, Run(n=2000, length=40), np.random.default_rng(2))
    log_w = made.samples.log_w.copy()
    log_w[3, 2] = np.nan
    broken = dataclasses.replace(made.samples, log_w=log_w)
    rng = np.random.default_rng(1)
    part = evidence.of_samples(made.draws, broken, METHODS, SHAPE, rng)
    assert part.by_method == {}
    assert part.diagnostics["non_finite_p"] == 1
    assert results.assemble([part], {}, {"volume": VOLUME}).verdict.trust == "no"
    log_w[3, 2] = np.inf
    excluded = dataclasses.replace(made.samples, log_w=log_w)
    part = evidence.of_samples(made.draws, excluded, METHODS, SHAPE, rng)
    assert part.diagnostics["excluded"] == 1
    assert results.assemble([part], {}, {"volume": VOLUME}).verdict.trust == "no"


def test_sides_that_do_not_meet_are_a_no():
    """3000 apart: no traceback, overlap 0."""
    law = Law((Part(1.0, 1.0, 0.1),))
    made = make(law, Run(n=2000, length=200, every=1), np.random.default_rng(2))
    far = dataclasses.replace(made.samples, log_w=made.samples.log_w + 3000)
    rng = np.random.default_rng(1)
    part = evidence.of_samples(made.draws, far, METHODS, SHAPE, rng)
    assert part.diagnostics["overlap"] < 1e-100
    verdict = results.assemble([part], {}, {"volume": VOLUME}).verdict
    assert verdict.trust == "no"
    assert any("overlap by" in reason for reason in verdict.reasons)
