"""Whether the errors of repeated estimates are what they claim to be."""

import contextlib
import math

import jaxtyping
import numpy as np
import pytest
from scipy import stats


@contextlib.contextmanager
def unchecked():
    """For thousands of calls: twice as fast without a look at every shape."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


class Pulls:
    """(estimate - bias - exact)/error of one estimator over repetitions."""

    def __init__(self, estimates, exact):
        values, errors, biases = (
            np.array([getattr(estimate, field) for estimate in estimates])
            for field in ("value", "error", "bias")
        )
        self.off, self.errors = values - biases - exact, errors

    def assert_calibrated(self, slack=0.0, quantile=stats.norm.ppf):
        """Mean, width and coverage; `quantile` is of the distribution of the pulls."""
        n, pulls = self.off.size, self.off / self.errors
        assert abs(self.off.mean()) < 5 * self.off.std() / math.sqrt(n)
        assert abs(pulls.mean()) < 5 / math.sqrt(n) + slack
        # the error of a width, four moments being what they are
        kurtosis = np.mean((pulls - pulls.mean()) ** 4) / pulls.var() ** 2
        tolerance = 5 * math.sqrt((kurtosis - 1) / (4 * n))
        assert pulls.std() == pytest.approx(1, abs=tolerance + slack / 2)
        ratio = self.off.std() / math.sqrt(np.mean(self.errors**2))
        assert ratio == pytest.approx(1, abs=tolerance + slack / 4)
        for coverage in (0.6827, 0.95):
            tolerance = 5 * math.sqrt(coverage * (1 - coverage) / n) + slack / 8
            inside = np.mean(np.abs(pulls) < quantile(0.5 + coverage / 2))
            assert inside == pytest.approx(coverage, abs=tolerance)


def assert_caught(pulls):
    """The check above fails: for negative controls."""
    with pytest.raises(AssertionError):
        pulls.assert_calibrated()
