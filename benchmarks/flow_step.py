"""One training step of the continuous flow against bijx's lattice CNF, side by side.

φ⁴ form B, 12x12, batch 64, one core: the same action, 8 sine features and a linear
one, 4 mixed channels, 6 Runge-Kutta steps, full-lattice kernels, float32 fields, Adam;
gradients of reverse KL. bijx differentiates by its adjoint, the total gradient; genlat
is timed with the total and the path gradient. Compile time excluded, minimum over
repeats, in one process.

    pip install -e .[bench] && python benchmarks/flow_step.py
"""

import os
import time
from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from genlat.actions.gap import best_gaussian
from genlat.actions.phi4 import Phi4
from genlat.models import cnf
from genlat.training import loop
from genlat.training.objectives import PathReverseKL, ReverseKL

SHAPE, BATCH, N_STEPS, FEATURES, CHANNELS, KERNEL_TERMS = (12, 12), 64, 6, 8, 4, 6
REPEATS = 20


def theory() -> Phi4:
    return Phi4.form_b(SHAPE, -4.0, 5.276)


def seconds(step, state):
    """Fastest of `REPEATS` calls of `step(state) -> state`, after compiling."""
    state = jax.block_until_ready(step(state))
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        state = jax.block_until_ready(step(state))
        times.append(time.perf_counter() - start)
    return min(times)


def genlat_step(objective):
    action = theory()
    gaussian = best_gaussian(action)
    model = cnf.build(
        gaussian.variance,
        gaussian.mean,
        jr.key(0),
        n_features=FEATURES,
        n_channels=CHANNELS,
        n_kernel_terms=KERNEL_TERMS,
        n_steps=N_STEPS,
    )
    settings = loop.Settings(steps=10_000, batch=BATCH)
    chunk = 5

    def step(state):
        return loop.run_chunk(state, action, objective, settings, chunk)[0]

    return seconds(step, loop.init(model, settings, jr.key(1))) / chunk


def bijx_step():
    import bijx
    from bijx.bijections.continuous import ContFlowRK4
    from bijx.bijections.conv_cnf import ConvVF
    from bijx.nn import embeddings
    from bijx.nn.features import FourierFeatures, PolynomialFeatures
    from flax import nnx

    field = ConvVF.build(
        SHAPE,
        # an odd number is asked for; one less than ours, in its favour
        time_kernel=embeddings.KernelFourier(KERNEL_TERMS - 1),
        time_kernel_reduced=None,
        features=(
            partial(FourierFeatures, FEATURES),
            partial(PolynomialFeatures, (1,)),
        ),
        features_reduced=CHANNELS,
        rngs=nnx.Rngs(0),
    )
    action = theory()
    flow = ContFlowRK4(field, steps=N_STEPS)
    prior = bijx.IndependentNormal(SHAPE, rngs=nnx.Rngs(1))
    graph, params, rest = nnx.split(flow, nnx.Param, ...)
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)
    optimizer = optax.adam(1e-4)

    @jax.jit
    def step(state):
        params, optimizer_state, key = state
        key, key_draw = jr.split(key)
        z = jr.normal(key_draw, (BATCH, *SHAPE), jnp.float32)
        log_prior = prior.log_density(z)

        def loss(params):
            phi, log_q = nnx.merge(graph, params, rest).forward(z, log_prior)
            return jnp.mean(log_q + jax.vmap(action)(phi))

        gradient = jax.grad(loss)(params)
        updates, optimizer_state = optimizer.update(gradient, optimizer_state)
        return optax.apply_updates(params, updates), optimizer_state, key

    return seconds(step, (params, optimizer.init(params), jr.key(0)))


def main() -> None:
    """Print milliseconds per step and ratios."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # JAX has not started yet
    jax.config.update("jax_enable_x64", True)
    total, path = genlat_step(ReverseKL()), genlat_step(PathReverseKL())
    with jax.enable_x64(False):  # its constants would lift everything to float64
        theirs = bijx_step()
    sites = 4 * N_STEPS * BATCH * int(np.prod(SHAPE))
    print(f"{'':32}{'ms/step':>9}{'ns per site and evaluation':>30}")
    for name, value in [
        ("genlat, total gradient", total),
        ("genlat, path gradient", path),
        ("bijx ConvVF + ContFlowRK4", theirs),
    ]:
        print(f"{name:32}{1e3 * value:9.2f}{1e9 * value / sites:30.1f}")
    print(
        f"bijx / genlat total {theirs / total:.1f}, path {theirs / path:.1f}; ", end=""
    )
    print(f"path / total {path / total:.2f}")


if __name__ == "__main__":
    main()
