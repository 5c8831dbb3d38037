"""Draws of PixelCNN against one full forward pass per site in PyTorch, as VAN does it.

Ising spins on 16x16: 3 masked convolutions, 64 channels, PReLU, half kernels 3 and 6
(VAN's), bias, float32, batch 64. Both draw all sites of the batch; genlat returns log q
with it, PyTorch does not. One core, CPU seconds, compile time excluded; contestants
take turns, minimum over repeats.

**Source:** Wu, Wang, Zhang, Phys. Rev. Lett. 122, 080602, arXiv:1809.10606.

    pip install -e .[bench] && python benchmarks/autoregressive_sampling.py
"""

import os
import time
from collections.abc import Callable

import jax
import jax.random as jr

SHAPE, BATCH, DEPTH, WIDTH, HALF_KERNELS = (16, 16), 64, 3, 64, (3, 6)
REPEATS, REPEATS_TORCH = 5, 1


def genlat_draw(half_kernel: int) -> Callable[[], object]:
    """Incremental: each site costs one column of every layer."""
    import equinox as eqx

    from genlat.models.autoregressive.pixel_cnn import PixelCNN

    model = PixelCNN(
        SHAPE,
        jr.key(0),
        half_kernel=half_kernel,
        depth=DEPTH,
        width=WIDTH,
        block="plain",
    )
    draw = eqx.filter_jit(lambda model, keys: model.sample_batch(keys))
    keys = jr.split(jr.key(1), BATCH)
    return lambda: jax.block_until_ready(draw(model, keys))


def torch_draw(half_kernel: int) -> Callable[[], object]:
    """The network on the whole lattice, once for every site."""
    import torch
    from torch import nn

    torch.set_num_threads(1)

    class MaskedConvolution(nn.Conv2d):
        def __init__(self, n_in: int, n_out: int, *, sees_itself: bool):
            size = 2 * half_kernel + 1
            super().__init__(n_in, n_out, size, padding=half_kernel)
            mask = torch.zeros(size, size)
            mask[:half_kernel] = 1
            mask[half_kernel, : half_kernel + sees_itself] = 1
            self.mask = nn.Parameter(mask, requires_grad=False)

        def forward(self, x):
            weight = self.mask * self.weight
            return nn.functional.conv2d(x, weight, self.bias, padding=half_kernel)

    layers: list[nn.Module] = [MaskedConvolution(1, WIDTH, sees_itself=False)]
    for n_out in (WIDTH,) * (DEPTH - 2) + (1,):
        layers += [nn.PReLU(WIDTH, init=0.5)]
        layers += [MaskedConvolution(WIDTH, n_out, sees_itself=True)]
    net = nn.Sequential(*layers, nn.Sigmoid())

    @torch.no_grad()
    def draw():
        spins = torch.zeros(BATCH, 1, *SHAPE)
        for i in range(SHAPE[0]):
            for j in range(SHAPE[1]):
                probability = net(spins)[:, :, i, j]
                spins[:, :, i, j] = 2 * torch.bernoulli(probability) - 1
        return spins

    return draw


def seconds(draw: Callable[[], object], repeats: int) -> float:
    """Fastest of some calls."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        draw()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    """Print the table."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    jax.config.update("jax_enable_x64", True)
    print(f"{SHAPE[0]}x{SHAPE[1]}, batch {BATCH}, CPU seconds per batch")
    for half_kernel in HALF_KERNELS:
        ours, theirs = genlat_draw(half_kernel), torch_draw(half_kernel)
        ours()  # compiles
        before = seconds(ours, REPEATS)
        theirs_seconds = seconds(theirs, REPEATS_TORCH)
        ours_seconds = min(before, seconds(ours, REPEATS))
        print(
            f"half kernel {half_kernel}: genlat {ours_seconds:.3f}, PyTorch "
            f"{theirs_seconds:.1f}: {theirs_seconds / ours_seconds:.0f}x",
            flush=True,
        )


if __name__ == "__main__":
    main()
