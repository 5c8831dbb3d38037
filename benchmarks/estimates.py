"""Everything that log-weights give: CPU seconds for 10⁶ of them. Target: 1 s a side.

Log-weights are Gaussian of width 0.3; the p side has 64 chains.

    python benchmarks/estimates.py
"""

import time
from collections.abc import Callable

import numpy as np

from genlat.estimators import tails, two_sided, weights

N, N_P, CHAINS, REPEATS = 1_000_000, 8192, 64, 3


def seconds(function: Callable[[], object]) -> float:
    """Fastest of `REPEATS` calls."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def q_side(log_w: np.ndarray, action: np.ndarray) -> None:
    """All estimates from draws of q alone."""
    weights.log_z(log_w)
    weights.ess_estimate(log_w)
    weights.kl_reverse(log_w, 512)
    weights.entropy_density(log_w, action, 512)
    weights.reweighted_mean(log_w, action)
    two_sided.lower_log_z(log_w).estimate("")
    tails.pareto_k(log_w)
    weights.largest_share(log_w)


def p_side(log_w: np.ndarray) -> None:
    """All estimates from samples of p alone."""
    two_sided.log_z_p(log_w).estimate("")
    two_sided.upper_log_z(log_w).estimate("")
    two_sided.kl_forward(log_w, 512).estimate("")
    two_sided.ess_forward(log_w).estimate("")
    two_sided.uncovered(log_w, 0.0, 0.01).estimate("")


def main() -> None:
    """Print the table."""
    random = np.random.default_rng(1)
    log_w, action = 0.3 * random.normal(size=N), random.normal(size=N)
    few = 0.3 * random.normal(size=(CHAINS, N_P // CHAINS))
    many = log_w.reshape(CHAINS, -1)
    cases = {
        f"q side, {N:,} draws": lambda: q_side(log_w, action),
        f"BAR, {N:,} draws and {N_P:,} samples": lambda: two_sided.bar(log_w, few),
        f"mode weight, {N_P:,} samples": lambda: two_sided.mode_weight(log_w, few),
        f"p side, {N:,} samples": lambda: p_side(many),
    }
    print(f"{'':44}{'CPU s':>8}")
    for name, function in cases.items():
        print(f"{name:44}{seconds(function):8.3f}")


if __name__ == "__main__":
    main()
