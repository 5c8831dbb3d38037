"""One training step of RealNVP against the same network in PyTorch, side by side.

φ⁴ form A, λ = 0.022, κ = 0.25, batch 1024, 16 affine couplings of sites of the other
colour, convolutions [16, 16, 16] of size 3 with tanh, float32, Adam; total gradient of
reverse KL, and genlat's path gradient too. genlat accumulates the gradient over slices
of 2048 sites, as runs do by default; PyTorch in eager mode (conv2d with circular
padding) takes the batch at once. Prior: unit Gaussian, white in PyTorch, learned mode
by mode in genlat. One core, CPU seconds, compile time excluded; contestants take turns,
minimum over repeats.

    pip install -e .[bench] && python benchmarks/coupling_step.py
"""

import itertools
import math
import os
import time

import jax
import jax.random as jr
import numpy as np

from genlat.actions.phi4 import Phi4
from genlat.models import coupling_flow
from genlat.models.gaussian import GaussianPair
from genlat.training import loop
from genlat.training.objectives import PathReverseKL, ReverseKL

SHAPES, BATCH, N_LAYERS = [(8, 8), (16, 8), (16, 16)], 1024, 16
HIDDEN, KERNEL = (16, 16, 16), 3
KAPPA, LAM, REPEATS, SITES = 0.25, 0.022, 5, 2048


def coloured(shape, parity):
    return (np.indices(shape).sum(0) + parity) % 2


def genlat_step(shape, objective):
    """A training step, a function of nothing that keeps its own state."""
    action = Phi4(shape, KAPPA, LAM)
    model = coupling_flow.build(
        GaussianPair(np.ones(shape)),
        jr.key(0),
        n_layers=N_LAYERS,
        hidden=HIDDEN,
        kernel_size=KERNEL,
    )
    settings = loop.Settings(
        steps=10_000, batch=BATCH, micro_batch=SITES // math.prod(shape)
    )
    state = loop.init(model, settings, jr.key(1))

    def step():
        nonlocal state
        state, _ = jax.block_until_ready(
            loop.run_chunk(state, action, objective, settings, 1)
        )

    return step


def torch_step(shape):
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            sizes = (1, *HIDDEN, 2)
            self.layers = torch.nn.ModuleList(
                torch.nn.Conv2d(
                    a, b, KERNEL, padding=KERNEL // 2, padding_mode="circular"
                )
                for a, b in itertools.pairwise(sizes)
            )
            for parameter in self.layers[-1].parameters():
                torch.nn.init.zeros_(parameter)

        def forward(self, h):
            for number, layer in enumerate(self.layers):
                h = layer(torch.tanh(h) if number else h)
            return h

    nets = torch.nn.ModuleList(Net() for _ in range(N_LAYERS))
    optimizer = torch.optim.Adam(nets.parameters(), lr=1e-3)
    masks = [torch.tensor(coloured(shape, p), dtype=torch.float32) for p in (0, 1)]

    def once():
        optimizer.zero_grad()
        phis = torch.randn(BATCH, *shape)
        log_q = -0.5 * (phis**2).sum((1, 2))
        for number, net in enumerate(nets):
            frozen = masks[number % 2]
            scale, shift = net((frozen * phis)[:, None]).unbind(1)
            scale = torch.tanh(scale) * (1 - frozen)
            phis = phis * torch.exp(scale) + shift * (1 - frozen)
            log_q = log_q - scale.sum((1, 2))
        neighbours = torch.roll(phis, 1, 1) + torch.roll(phis, 1, 2)
        action = (
            -2 * KAPPA * phis * neighbours + (1 - 2 * LAM) * phis**2 + LAM * phis**4
        )
        (log_q + action.sum((1, 2))).mean().backward()
        optimizer.step()

    return once


def fastest(steps):
    """CPU seconds of each step, the fastest of `REPEATS` in turn, after a first one."""
    times = [[] for _ in steps]
    for step in steps:
        step()
    for _ in range(REPEATS):
        for step, record in zip(steps, times, strict=True):
            start = time.process_time()
            step()
            record.append(time.process_time() - start)
    return [min(t) for t in times]


def main() -> None:
    """Print milliseconds per step, rates and ratios."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # JAX has not started yet
    jax.config.update("jax_enable_x64", True)
    print(f"{'':24}{'ms/step':>9}{'GFLOP/s':>9}{'/ PyTorch':>11}")
    for shape in SHAPES:
        steps = [
            genlat_step(shape, ReverseKL()),
            genlat_step(shape, PathReverseKL()),
            torch_step(shape),
        ]
        total, path, theirs = fastest(steps)
        channels = (1, *HIDDEN, 2)
        pairs = sum(a * b for a, b in itertools.pairwise(channels))
        # the products of the total gradient: forward, and two backward
        flops = 6 * KERNEL**2 * pairs * np.prod(shape) * BATCH * N_LAYERS
        size = "x".join(map(str, shape))
        for name, value in [("total", total), ("path", path), ("PyTorch", theirs)]:
            rate = "" if name == "path" else f"{flops / value / 1e9:.1f}"
            print(
                f"{size + ' ' + name:24}{1e3 * value:9.0f}{rate:>9}"
                f"{value / theirs:11.2f}"
            )
        print(f"{size} path / total {path / total:.2f}", flush=True)


if __name__ == "__main__":
    main()
