"""Quantities: errors of sums and functions contain what their parts share."""

import math

import numpy as np
import pytest

from genlat.estimators import autocorrelation, derived, quantity
from genlat.estimators.quantity import Quantity, constant

RNG = np.random.default_rng(5)
NOISE = RNG.normal(size=(6, 803))
X = 1.7 + 0.3 * sum(NOISE[:, k : k + 800] for k in range(4))
Y = 0.4 + 0.6 * X**2 + RNG.normal(size=(6, 800))
Z = 2.1 + RNG.normal(size=300)


def mean(values, name="chain"):
    return quantity.mean(values, name)


def test_a_mean_of_chains_is_that_of_the_gamma_method():
    ours, theirs = mean(X).estimate("gamma"), autocorrelation.mean(X)
    assert ours.value == pytest.approx(theirs.value)
    assert ours.error == pytest.approx(theirs.error, rel=1e-12)
    assert ours.n_eff == pytest.approx(theirs.n_eff)
    assert ours.n == 4800


def test_independent_draws_have_the_textbook_error():
    found = mean(Z, "draws").estimate("")
    assert found.error == pytest.approx(np.std(Z, ddof=1) / math.sqrt(300))
    assert found.n_eff == 300


def test_sums_on_one_ensemble_are_means_of_sums():
    """Correlation included: x - x has no error, x + y that of the sums."""
    combined = (mean(X) * 2 - mean(Y) / 4 + 3).estimate("")
    direct = autocorrelation.mean(2 * X - Y / 4 + 3)
    assert combined.value == pytest.approx(direct.value)
    assert combined.error == pytest.approx(direct.error, rel=1e-12)
    assert (mean(X) - mean(X)).estimate("").error == 0
    parts = mean(2 * X).estimate("").error, mean(Y / 4).estimate("").error
    uncorrelated = math.hypot(*parts)
    assert abs(uncorrelated / direct.error - 1) > 0.1  # the correlation matters


def test_errors_of_different_ensembles_add_in_quadrature():
    total = (mean(X) + mean(Z, "draws")).estimate("")
    parts = mean(X).estimate("").error, mean(Z, "draws").estimate("").error
    assert total.error == pytest.approx(math.hypot(*parts))
    assert total.n == 5100
    assert total.n_eff == min(mean(X).estimate("").n_eff, 300)


def test_a_function_has_the_error_of_its_linearisation():
    """Against `derived.mean`, which does the same on one ensemble."""

    def ratio(means):
        return means["y"] / means["x"] ** 2

    ours = quantity.propagate(ratio, {"x": mean(X), "y": mean(Y)}).estimate("")
    theirs = derived.mean({"x": X, "y": Y}, ratio)
    assert ours.value == pytest.approx(theirs.value)
    assert ours.error == pytest.approx(theirs.error, rel=1e-2)


def test_bias_of_a_function_is_that_of_its_curvature():
    """E[exp(m)] - exp(μ) for the mean of n normal numbers, over many of them."""
    rng, n, repeats = np.random.default_rng(1), 12, 20_000
    values = 0.3 + rng.normal(size=(repeats, n))
    measured = np.exp(values.mean(axis=1)).mean() - math.exp(0.3)
    predicted = [
        quantity.propagate(lambda m: np.exp(m["x"]), {"x": mean(x, "q")}).bias
        for x in values[:400]
    ]
    error = np.exp(values.mean(axis=1)).std() / math.sqrt(repeats)
    assert abs(np.mean(predicted) - measured) < 5 * error + 0.1 * measured
    assert measured > 5 * error


def test_bias_of_a_function_knows_the_memory_of_its_chain():
    """⟨x⟩² is too large by error², four times as large for sums of four steps."""
    x, y = mean(X), mean(X**3)
    square = quantity.propagate(lambda m: m["x"] ** 2, {"x": x})
    assert square.bias == pytest.approx(float(x.estimate("").error) ** 2, rel=1e-6)
    # ¼ [(x + y)² - (x - y)²], and of its correlation the bias of a product is made
    product = quantity.propagate(lambda m: m["x"] * m["y"], {"x": x, "y": y})
    plus, minus = (float(z.estimate("").error) ** 2 for z in (x + y, x - y))
    assert product.bias == pytest.approx((plus - minus) / 4, rel=0.1)
    assert square.bias == pytest.approx(4 * 0.3**2 * 4 / X.size, rel=0.2)


def test_a_constant_is_free_of_error():
    total = (mean(Z, "draws") + constant(3.0)).estimate("")
    assert total.error == mean(Z, "draws").estimate("").error
    assert constant(2.0).estimate("").error == 0


def test_flaws_are_inherited_and_stuck_series_have_one():
    stuck = mean(np.full((3, 10), 1.5))
    assert autocorrelation.STUCK in stuck.estimate("").flaw
    assert autocorrelation.STUCK in (stuck + mean(Z, "draws")).estimate("").flaw
    bad = Quantity(1.0, {"q": Z - Z.mean()}, flaw="one draw carries all")
    assert (bad * 2 - mean(X)).estimate("").flaw == "one draw carries all"
    content = bad.estimate("nis").to_json()
    assert content["error"] is None
    assert content["unusable"] == "one draw carries all"
    assert "unusable" not in mean(Z, "draws").estimate("").to_json()


def test_an_unresolved_window_is_said():
    walk = np.random.default_rng(2).normal(size=(2, 60)).cumsum(axis=1)
    found = (mean(walk) + mean(Z, "draws")).estimate("bar")
    assert found.method == "bar"
    assert found.caution == autocorrelation.UNRESOLVED


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="NaN or infinite"):
        mean(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="at least 2"):
        mean(np.ones(1))
    with pytest.raises(ValueError, match="different draws"):
        mean(X) + mean(X[:, :-1])
