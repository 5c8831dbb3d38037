"""What `print` shows of results that hold a million numbers."""

import numpy as np
import pytest

from genlat.estimators import autocorrelation, nmcmc, two_sided
from genlat.estimators.estimate import Estimate
from genlat.likelihood import EXACT
from genlat.runs.disk import store
from genlat.verdict.data import Chain, Draws, Proposed, Samples
from genlat.verdict.findings import Findings
from genlat.verdict.integrator import Choice

MANY = np.linspace(0.0, 1.0, 12_000).reshape(12, 1000)
MEASURED = {f"observable_{k}": MANY for k in range(9)}
TEXTS = {
    "NMCMC(index=int64[12, 1000], accepted=bool[12, 1000])": nmcmc.NMCMC(
        MANY.astype(np.int64), MANY > 0.5
    ),
    "Choice(steps=12, shift_log_z=1.2345678e-05, shift_error=2e-06, "
    "statistical_error=0.0003)": Choice(12, 1.23456780123e-05, 2e-06, 3e-4),
    "Proposed(index=int64[12, 1000], is_accepted=float64[12, 1000])": Proposed(
        MANY.astype(np.int64), MANY
    ),
    "Chain(name='hmc', measured={mag}, acceptance=float64[12, 1000])": Chain(
        "hmc", {"mag": MANY}, MANY
    ),
    "Block(arrays={phi}, attributes={seconds})": store.Block(
        {"phi": MANY}, {"seconds": 1.5}
    ),
    "Estimate(value=-1.2346, error=0.0021, bias=0, n=100, n_eff=98.5, "
    "method='nis')": Estimate(-1.2346, 0.0021, 0.0, 100, 98.5, "nis"),
    "Estimate(value=float64[7], error=0.5, bias=0, n=9, n_eff=9, method='nis', "
    "caution='few')": Estimate(np.ones(7), 0.5, 0.0, 9, 9.0, "nis", caution="few"),
}


@pytest.mark.parametrize("text", TEXTS)
def test_one_line_says_what_it_is(text):
    assert repr(TEXTS[text]) == text


def test_every_large_result_is_short():
    rng = np.random.default_rng(1)
    log_w = rng.normal(size=2000)
    results = [
        Draws(log_w, MEASURED, 0.0, EXACT),
        Samples(MANY, MEASURED, "hmc+cluster", visits_every_mode=True),
        autocorrelation.analyse(rng.normal(size=(4, 500, 8))),
        two_sided.bar(log_w, log_w + 0.1),
        two_sided.log_z_p(log_w[None]),
        Findings({}, {"volume": 8, **MEASURED}, {}),
    ]
    for result in results:
        text = repr(result)
        assert text.startswith(f"{type(result).__name__}(")
        assert "\n" not in text
        assert len(text) < 400, text
    assert "observable_5, ... 9 in all}" in repr(results[0])
    assert "spreads=[8 of Spread]" in repr(results[2])
