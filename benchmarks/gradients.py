"""Path against total gradient: the same training, ESS against CPU seconds.

φ⁴ form B on 12x12. All start from the same weights and see the same noise; ESS is
measured on fresh samples at 32 steps of integration, compile time excluded. The total
gradient differentiates the integrated divergence too, and with few steps learns to
exploit its error: it needs a fine integrator where the path gradient does not.

    python benchmarks/gradients.py            # prints, writes docs/gradients.svg
"""

import os
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.random as jr
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from genlat.actions.base import AbstractScalarAction
from genlat.actions.gap import best_gaussian
from genlat.actions.phi4 import Phi4
from genlat.estimators import weights
from genlat.models import cnf
from genlat.training import loop
from genlat.training.objectives import PathReverseKL, ReverseKL

STEPS, BATCH, POINTS, SAMPLES = 600, 64, 10, 20_000
CASES = {
    "path gradient, 6 steps": (PathReverseKL(), 6),
    "total gradient, 24 steps": (ReverseKL(), 24),
    "total gradient, 6 steps": (ReverseKL(), 6),
}


@eqx.filter_jit
def log_weights(model, action, keys):
    phis, log_q = model.sample_batch(keys)
    return -jax.vmap(action)(phis) - log_q


def curve(action: AbstractScalarAction, objective, n_steps: int) -> np.ndarray:
    """Rows of (CPU seconds of training, ESS)."""
    gaussian = best_gaussian(action)
    model = cnf.build(gaussian.variance, gaussian.mean, jr.key(0), n_steps=n_steps)
    settings = loop.Settings(steps=STEPS, batch=BATCH)
    state = loop.init(model, settings, jr.key(1))
    chunk = STEPS // POINTS
    jax.block_until_ready(loop.run_chunk(state, action, objective, settings, chunk))
    seconds, rows = 0.0, []
    for _ in range(POINTS):
        start = time.process_time()
        state, _ = jax.block_until_ready(
            loop.run_chunk(state, action, objective, settings, chunk)
        )
        seconds += time.process_time() - start
        batches = jr.split(jr.key(2), (SAMPLES // 1000, 1000))
        fine = state.model.with_steps(32)
        log_w = np.concatenate([log_weights(fine, action, keys) for keys in batches])
        rows.append((seconds, weights.ess(log_w)))
    return np.asarray(rows)


def main() -> None:
    """Print the curves and draw them."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    jax.config.update("jax_enable_x64", True)
    action = Phi4.form_b((12, 12), -4.0, 5.276)
    mpl.rcParams["svg.hashsalt"] = "genlat"
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, (objective, n_steps) in CASES.items():
        rows = curve(action, objective, n_steps)
        print(name)
        for seconds, ess in rows:
            print(f"  {seconds:7.1f} s   ESS {ess:.4f}")
        axes.plot(*rows.T, label=name, marker="o", markersize=3)
    axes.set(xlabel="CPU seconds of training", ylabel="ESS", ylim=(0, 1.02))
    axes.set_title("φ⁴ on 12², ξ = L/4, from random weights", fontsize=10)
    axes.legend(frameon=False, loc="center right")
    out = Path(__file__).parent.parent / "docs" / "gradients.svg"
    figure.savefig(out, metadata={"Date": None})
    print(out)


if __name__ == "__main__":
    main()
