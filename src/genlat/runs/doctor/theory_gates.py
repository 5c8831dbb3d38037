"""What must hold of a theory, whatever its couplings: exact identities, by number."""

import math
from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from genlat import symmetry
from genlat.actions.base import AbstractAction, AbstractContinuousAction
from genlat.estimators import autocorrelation
from genlat.mcmc import runner
from genlat.mcmc.base import ChainState
from genlat.mcmc.hmc import HMC
from genlat.runs.doctor.gate import Gate, below, of_pull
from genlat.theories.base import Options, Theory

CHAINS, SAMPLES, THERM = 64, 100, 200
STEP = 1e-4  # of a difference, relative to the field
SHARP = 0.1  # error of an average that is known
N_LEAPFROG = 10


def gates(theory: Theory) -> Iterator[Gate]:
    """One after another, the cheap ones first."""
    action = theory.action
    phis = theory.start(jr.key(0), 4, jnp.dtype(float))
    yield _types(action, phis)
    yield _alone(action, phis)
    yield from _symmetries(action, phis)
    if not isinstance(action, AbstractContinuousAction):
        return
    yield _force(action, phis)
    kernel, state = _thermalised(theory)
    yield _reversible(kernel, state.phi[:4])
    yield from _averages(kernel, state)


def _types(action: AbstractAction, phis: Array) -> Gate:
    """S in float64 whatever the field; the force in the type of the field."""
    narrow = jax.ShapeDtypeStruct(phis.shape[1:], action.space.dtype)
    found = jax.eval_shape(lambda phi: action(phi), narrow).dtype
    says, is_passed = f"S is {found}", found == jnp.float64
    if isinstance(action, AbstractContinuousAction):
        found = jax.eval_shape(lambda phi: action.force(phi), narrow).dtype
        says += f", the force of a {narrow.dtype} field is {found}"
        is_passed = is_passed and found == narrow.dtype
    return Gate("types", says, bool(is_passed))


def _alone(action: AbstractAction, phis: Array) -> Gate:
    """A configuration has the same S alone and in a batch."""
    batch = np.asarray(jax.jit(jax.vmap(lambda phi: action(phi)))(phis))
    alone = np.array([float(action(phi)) for phi in phis])
    off = float(np.max(np.abs(batch - alone)) / np.max(np.abs(alone) + 1))
    return below("batch", off, 1e-12, "S in a batch and alone differ by a relative")


def _symmetries(action: AbstractAction, phis: Array) -> Iterator[Gate]:
    """Random elements of every group that is declared leave S."""
    rng = np.random.default_rng(1)
    values = [float(action(phi)) for phi in phis]
    scale = max(1.0, *map(abs, values))
    n = math.prod(action.components)
    for name in action.symmetries:
        if name not in symmetry.FINITE:
            continue  # rotations are of the theories shipped, and tested there
        group = symmetry.group(action.lattice_shape, (name,), n)
        chosen = [group[k] for k in rng.integers(len(group), size=12)]
        off = max(
            abs(float(action(g.apply(phi))) - value)
            for g in chosen
            for phi, value in zip(phis[-1:], values[-1:], strict=True)
        )
        what = "S changes under its elements by a relative"
        yield below(f"symmetry {name}", off / scale, 1e-9, what)


def _force(action: AbstractContinuousAction, phis: Array) -> Gate:
    """Against a fourth-order difference of S along random directions."""
    size = float(jnp.sqrt(jnp.mean(phis**2)))
    h = STEP * max(size, 1e-3) * 30
    directions = jr.normal(jr.key(3), phis.shape)

    @jax.jit
    @jax.vmap
    def both(
        phi: Float[Array, "*lattice"], along: Float[Array, "*lattice"]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        def s(t: int) -> Float[Array, ""]:
            return action(phi + t * h * along)

        slope = (8 * (s(1) - s(-1)) - (s(2) - s(-2))) / (12 * h)
        return -jnp.sum(action.force(phi) * along), slope

    given, found = (np.asarray(x) for x in both(phis, directions))
    off = float(np.max(np.abs(given - found) / (np.abs(found) + 1)))
    return below("force", off, 1e-5, "from differences of S it is off by a relative")


def _thermalised(theory: Theory) -> tuple[HMC, ChainState]:
    kernel = theory.kernels["hmc"](Options(n_leapfrog=N_LEAPFROG))
    phis = theory.start(jr.key(4), CHAINS, jnp.dtype(float))
    tuned, state = runner.thermalise(kernel, phis, jr.key(5), n_therm=THERM)
    assert isinstance(tuned, HMC)
    # shorter than a chain wants: at a fifth of rejections e^(-ΔH) has a heavy tail
    return eqx.tree_at(lambda x: x.step_size, tuned, tuned.step_size / 2), state


def _reversible(kernel: HMC, phis: Array) -> Gate:
    """A trajectory with its momentum turned round leads back."""
    momenta = jr.normal(jr.key(6), phis.shape)

    @jax.jit
    @jax.vmap
    def there_and_back(
        phi: Float[Array, "*field"], pi: Float[Array, "*field"]
    ) -> Float[Array, ""]:
        there, turned = kernel.trajectory(phi, pi)
        back, _ = kernel.trajectory(there, -turned)
        return jnp.max(jnp.abs(back - phi)) / (jnp.max(jnp.abs(phi)) + 1)

    off = float(jnp.max(there_and_back(phis, momenta)))
    return below("reversible", off, 1e-9, "a trajectory there and back ends off by")


def _averages(kernel: HMC, state: ChainState) -> Iterator[Gate]:
    """⟨e^(-ΔH)⟩ = 1 of a chain in equilibrium, and ⟨φ ∂S/∂φ⟩ of every component."""
    action = kernel.action
    size = math.prod(action.field_shape)

    def measure(phi: Float[Array, "*field"]) -> dict[str, Float[Array, ""]]:
        return {"virial": -jnp.sum(phi * action.force(phi)) / size}

    _, history = runner.run_chunk(
        kernel, state, jr.key(7), 0, n_samples=SAMPLES, thin=1, measure=measure
    )
    delta_h = np.asarray(history["delta_h"], dtype=float)
    # a trajectory that diverged, and was rejected, ended infinitely high
    energy = np.exp(-np.where(np.isfinite(delta_h), delta_h, np.inf))
    virial = np.asarray(history["virial"], dtype=float)
    for name, values, says in (
        ("⟨e^(-ΔH)⟩", energy, "of HMC"),
        ("⟨φ ∂S/∂φ⟩", virial, "per number of the field"),
    ):
        found = autocorrelation.mean(values)
        with np.errstate(all="ignore"):  # a chain that stands still has no error
            pull = float(np.divide(float(found.value) - 1, float(found.error)))
        text = f"{found} {says}, must be 1"
        yield of_pull(name, text, pull, float(found.error), SHARP)
