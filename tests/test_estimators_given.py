"""What estimators make of lists and of other shapes, called as users do.

That is without the hook under which this suite checks every annotation.
"""

import subprocess
import sys

PROGRAM = """
import numpy as np
from genlat.estimators import autocorrelation, weights

def same(function, *arrays):
    lists = [array.tolist() for array in arrays]
    assert repr(function(*lists)) == repr(function(*arrays)), function.__name__

def refused(function, *given):
    try:
        function(*given)
    except ValueError as error:
        print(f"{function.__name__}: {error}")

rng = np.random.default_rng(3)
chains, log_w, values = (rng.normal(size=n) for n in ((3, 40), 50, 50))
for function in (autocorrelation.mean, autocorrelation.tau_int, autocorrelation.analyse,
                 autocorrelation.between_chains, autocorrelation.is_stuck):
    same(function, chains)
for function in (weights.ess, weights.ess_estimate, weights.n_eff, weights.log_z,
                 weights.largest_share, weights.check):
    same(function, log_w)
same(lambda x: autocorrelation.autocorrelation_function(x, 3), chains)
same(weights.reweighted_mean, log_w, values)
same(lambda *x: weights.entropy_density(*x, 8), log_w, values)
same(lambda x: weights.kl_reverse(x, 8), log_w)

for function in (autocorrelation.mean, autocorrelation.tau_int, autocorrelation.analyse,
                 autocorrelation.between_chains):
    refused(function, chains[0])
    refused(function, chains[0].tolist())
refused(autocorrelation.mean, 1.5)
refused(weights.log_z, 1.5)
refused(weights.reweighted_mean, log_w, values[:-1])
"""
CHAINS = "expected (chains, n) or (chains, n, ...), one chain being values[None]; got"


def test_lists_are_arrays_and_other_shapes_are_one_line():
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert not found.stderr
    lines = found.stdout.splitlines()
    names = ("mean", "tau_int", "analyse", "between_chains")
    expected = [f"{name}: {CHAINS} shape (40,)" for name in names for _ in range(2)]
    assert lines[:8] == expected
    assert lines[8:] == [
        f"mean: {CHAINS} shape ()",
        "log_z: expected log-weights (n,), got a single number",
        "reweighted_mean: expected values (n, ...) of n = 50 draws, got shape (49,)",
    ]
