"""Crossings: where, how sure, and that noise is none."""

import numpy as np
import pytest

from genlat.estimators.crossings import crossings
from genlat.estimators.thermodynamics import Points

X = np.linspace(0.2, 0.3, 11)
CROSSING = 0.2637


def binder(x, slope):
    """Rises from 0 to 2/3 around the crossing, the steeper the larger the lattice."""
    return (2 / 3) / (1 + np.exp(-slope * (x - CROSSING) + 0.4))


def measured(slope, error, rng=None, x=X):
    noise = 0.0 if rng is None else error * rng.normal(size=x.size)
    return Points(binder(x, slope) + noise, np.full(x.size, error))


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_exact_curves_cross_once(order):
    x = X[order]
    (row,) = crossings(x, measured(40, 0.0, x=x), measured(90, 0.0, x=x))
    assert (row.start, row.stop) == pytest.approx((0.26, 0.27))
    assert row.error == 0
    assert abs(row.value - CROSSING) < 2 * row.rule_error < 1e-3


def test_the_error_is_calibrated():
    """Pulls of many measurements: unit width, and about zero after the rule's error."""
    rng, pulls = np.random.default_rng(5), []
    for _ in range(400):
        rows = crossings(X, measured(40, 0.01, rng), measured(90, 0.01, rng))
        assert len(rows) == 1
        (row,) = rows
        assert row.start < CROSSING < row.stop
        pulls.append((row.value - CROSSING) / np.hypot(row.error, row.rule_error))
    # the rule's error widens them: never narrower errors than the scatter
    assert 0.6 < np.std(pulls) < 1.1
    assert abs(np.mean(pulls)) < 0.5


def test_noise_does_not_cross():
    """Equal curves: not one crossing in a hundred measurements of eleven points."""
    rng = np.random.default_rng(6)
    found = [
        crossings(X, measured(40, 0.01, rng), measured(40, 0.01, rng))
        for _ in range(100)
    ]
    assert sum(map(len, found)) == 0
    # negative control: without the demand of significance there would be hundreds
    one, other = measured(40, 0.01, rng), measured(40, 0.01, rng)
    sure = [Points(points.value, points.error / 100) for points in (one, other)]
    assert len(crossings(X, *sure)) > 2


def test_two_points_leave_the_whole_interval():
    x = np.array([0.2, 0.3])
    one, other = Points(np.array([0.3, 0.4]), np.full(2, 0.01)), None
    other = Points(np.array([0.2, 0.5]), np.full(2, 0.01))
    (row,) = crossings(x, one, other)
    assert row.value == pytest.approx(0.25)
    # σ of a difference is 0.01√2, at equal distance from two ends 1/√2 of it
    assert row.error == pytest.approx(0.01 / (0.2 / 0.1))
    assert row.rule_error == pytest.approx(0.05)


@pytest.mark.parametrize("x", [[0.2, 0.21, 0.25, 0.28], [-0.4, -0.1, 0.5, 0.7]])
def test_a_cubic_is_found_exactly_by_one_more_point_on_either_side(x):
    x = np.array(x)
    root = x[1] + 0.3 * (x[2] - x[1])
    rises = (x - root) * (1 + 3 * (x - root) + 7 * (x - root) ** 2)
    for sign in (1, -1):
        nothing, cubic = (Points(y, np.zeros(4)) for y in (0 * x, sign * rises))
        (row,) = crossings(x, nothing, cubic)
        assert (row.start, row.stop) == (x[1], x[2])
        assert row.value == pytest.approx(root, abs=1e-12)
        # of the straight line through the two nearest
        line = x[1] - rises[1] * (x[2] - x[1]) / (rises[2] - rises[1])
        assert row.rule_error == pytest.approx(abs(line - root), abs=1e-12)
