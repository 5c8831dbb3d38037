"""Draws of a PyTorch model, and its ln q at samples of p, for `genlat judge`.

    python examples/judge_pytorch.py FIRST/samples.npz OUT
    genlat judge FILE.toml --draws OUT/draws.npz --samples OUT/samples.npz --out judged

`FIRST/samples.npz` is what a first `genlat judge FILE.toml --draws ...` with a `[mcmc]`
leaves behind: samples of p by a chain of genlat's own. The model here is a diagonal
Gaussian, as wide as the samples are; put your flow in its place: `sample` and
`log_prob` are all it needs.
"""

import sys
from pathlib import Path

import numpy as np
import torch


def main(samples, out, n_draws=100_000):
    of_p = dict(np.load(samples))
    phi_p = torch.from_numpy(of_p["phi"]).double()
    width = phi_p.std(dim=(0, 1))
    normal = torch.distributions.Normal(torch.zeros_like(width), width)
    model = torch.distributions.Independent(normal, width.ndim)
    with torch.no_grad():
        phi = model.sample((n_draws,))
        log_q = model.log_prob(phi)  # natural logarithm, normalised
        log_q_p = model.log_prob(phi_p)  # of the same model, at samples of p
    np.savez(out / "draws.npz", phi=phi.numpy(), log_q=log_q.numpy())
    of_p["log_q"] = log_q_p.numpy()
    np.savez(out / "samples.npz", **of_p)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
