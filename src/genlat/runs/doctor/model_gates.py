"""What must hold of a model, trained or not: log q is a density, and its draws's."""

import itertools
import math
from collections.abc import Iterator
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key, Num

from genlat.actions.base import AbstractAction
from genlat.likelihood import EXACT, Likelihood
from genlat.models.base import AbstractIntegratedFlow, AbstractModel
from genlat.models.prior import AbstractPrior, AbstractPriorFlow, Pad
from genlat.runs.doctor.gate import Gate, below, of_pull

DRAWS = 20_000
FEW = 8
ENUMERATED = 16  # spins, of which all configurations are counted
NOISE = 0.03  # of the parameters: an untrained flow may be the identity
STEPS = 12  # of an integrator; twice as many must be eight times better, or exact
EXACTLY = 1e-6
SHARP = 0.05


def gates(model: AbstractModel, action: AbstractAction) -> Iterator[Gate]:
    """Of a model on a tiny lattice, with parameters moved off what they begin with."""
    model = _moved(model)
    keys = jr.split(jr.key(0), FEW)
    phis, log_q = _drawn(model, keys)
    yield _types(model, action, phis, log_q)
    yield _alone(model, keys, log_q)
    yield _round_trip(model, phis, log_q)
    if isinstance(model, AbstractPriorFlow):
        yield _jacobian(model)
    yield _normalised(model)


def _moved(model: AbstractModel) -> AbstractModel:
    """With generic parameters in float64: what is left is no rounding of networks."""
    rng = np.random.default_rng(2)

    def wide(x: Array) -> Array:
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        noise = NOISE * rng.standard_normal(x.shape) if x.ndim else 0.0
        return x.astype(jnp.float64) + noise

    arrays, rest = eqx.partition(model, eqx.is_array)
    return eqx.combine(jax.tree.map(wide, arrays), rest)


def _types(
    model: AbstractModel, action: AbstractAction, phis: Array, log_q: Array
) -> Gate:
    """log q in float64, configurations of the lattice."""
    is_passed = (
        log_q.dtype == jnp.float64
        and log_q.shape == (FEW,)
        and phis.shape == (FEW, *action.field_shape)
        and bool(jnp.all(jnp.isfinite(log_q)))
        and bool(jnp.all(jnp.isfinite(phis.astype(float))))
    )
    says = f"{FEW} draws are {phis.shape} {phis.dtype}, log q is {log_q.dtype}"
    return Gate("draws", says, is_passed)


def _alone(model: AbstractModel, keys: Key[Array, " n"], log_q: Array) -> Gate:
    """A draw depends on its own key alone."""
    backwards = np.asarray(_drawn(model, keys[::-1])[1])[::-1]
    off = float(np.max(np.abs(backwards - np.asarray(log_q))))
    return below("batch", off, EXACTLY, "in another order log q differs by")


def _round_trip(model: AbstractModel, phis: Array, log_q: Array) -> Gate:
    """log q of a draw, asked for again."""
    again = _asked(model, phis)
    off = float(jnp.max(jnp.abs(again - log_q)))
    return below("round trip", off, 1e-5, "log q of draws, and asked for, differ by")


def _jacobian(model: AbstractPriorFlow) -> Gate:
    """The change of log q against the determinant of the map's derivatives."""
    if not isinstance(model, AbstractIntegratedFlow):
        what = "log det differs from that of the Jacobian by"
        return below("log-determinant", _off_determinant(model), EXACTLY, what)
    coarse, fine = (_off_determinant(model.with_steps(n)) for n in (STEPS, 2 * STEPS))
    says = (
        f"log det differs from that of the Jacobian by {coarse:.2g} in {STEPS} steps, "
        f"{fine:.2g} in {2 * STEPS}: at most {EXACTLY:.0e}, or an eighth"
    )
    is_passed = fine <= max(EXACTLY, coarse / 8) and fine < 1e-2
    return Gate("log-determinant", says, is_passed)


def _off_determinant(model: AbstractModel) -> float:
    assert isinstance(model, AbstractPriorFlow)
    prior = model.prior

    def of_modes(
        start: Float[Array, "time n *space"],
    ) -> tuple[Float[Array, " numbers"], Float[Array, ""]]:
        given = eqx.tree_at(lambda m: m.prior, model, _Given(start, prior))
        phis, log_q = given.sample_batch(jr.split(jr.key(0), 1))
        return phis.ravel(), -log_q[0]

    @jax.jit
    def off(start: Float[Array, "time n *space"]) -> Float[Array, ""]:
        matrix, gain = jax.jacrev(of_modes, has_aux=True)(start)
        log_det = jnp.linalg.slogdet(matrix.reshape(start.size, start.size))[1]
        return jnp.abs(log_det - gain)

    starts = [prior.sample_modes(key[None])[0] for key in jr.split(jr.key(1), 3)]
    return max(float(off(start)) for start in starts)


class _Given(AbstractPrior):
    """Modes that are given, of density 1: what is left of log q is the map's."""

    modes: Float[Array, "time *modes"]
    like: AbstractPrior
    likelihood: ClassVar[Likelihood] = EXACT

    def __init__(self, modes: Float[Array, "time *modes"], like: AbstractPrior):
        self.modes, self.like = modes, like

    @property
    def lattice_shape(self) -> tuple[int, ...]:
        return self.like.lattice_shape

    @property
    def components(self) -> tuple[int, ...]:
        return self.like.components

    def sample_modes(
        self, keys: Key[Array, " n"]
    ) -> tuple[Float[Array, "time *modes"], Float[Array, " n"]]:
        return self.modes, jnp.zeros(len(keys))

    def log_prob_modes(self, modes: Float[Array, "time *modes"]) -> Float[Array, " n"]:
        return jnp.zeros(modes.shape[-len(self.lattice_shape)])

    def score_modes(
        self, modes: Float[Array, "time *modes"]
    ) -> Float[Array, "time *modes"]:
        return jnp.zeros_like(modes)

    def log_choice(self, keys: Key[Array, " n"]) -> Float[Array, " n"]:
        return jnp.zeros(len(keys))

    def as_pair(self) -> AbstractPrior:
        return self

    def on(self, lattice_shape: tuple[int, ...], pad: Pad) -> AbstractPrior:
        return self.like.on(lattice_shape, pad)


def _normalised(model: AbstractModel) -> Gate:
    """q integrates to 1: over all spins, or by what a known density is on its draws."""
    volume = math.prod(model.field_shape)
    keys = jr.split(jr.key(2), DRAWS)
    phis, log_q = _drawn(model, keys)
    if jnp.issubdtype(phis.dtype, jnp.integer):
        return _counted(model, phis.dtype, volume)
    flat = np.asarray(phis, dtype=float).reshape(DRAWS, volume)
    seen, weighed = flat[::2], flat[1::2]  # what is fitted weighs no draw of its own
    w = np.exp(_log_gaussian(seen, weighed) - np.asarray(log_q)[1::2])
    value, error = float(np.mean(w)), float(np.std(w) / math.sqrt(w.size))
    says = f"∫q = {value:.4f} ± {error:.1g} by importance sampling"
    return of_pull("normalisation", says, (value - 1) / error, error, SHARP)


def _log_gaussian(
    seen: Float[np.ndarray, "n numbers"], at: Float[np.ndarray, "m numbers"]
) -> Float[np.ndarray, " m"]:
    """Of a Gaussian inside of q, as draws have it: that of their half on one side.

    Of all directions the one in which they are widest, where there may be two modes;
    and narrower than they are, by as much as keeps weights within e of their mean.
    """
    off = seen - seen.mean(axis=0)
    along = np.linalg.svd(off[: DRAWS // 10], full_matrices=False)[2][0]
    half = seen[off @ along > 0]
    narrower = 1 - min(0.5, 1.5 / math.sqrt(seen.shape[1]))
    cov = narrower * np.cov(half.T).reshape(2 * seen.shape[1:])
    off = at - half.mean(axis=0)
    squares = np.sum(off * np.linalg.solve(cov, off.T).T, axis=1)
    return -0.5 * (squares + np.linalg.slogdet(2 * np.pi * cov)[1])


@eqx.filter_jit
def _drawn(
    model: AbstractModel, keys: Key[Array, " n"]
) -> tuple[Num[Array, "n *field"], Float[Array, " n"]]:
    return model.sample_batch(keys)


@eqx.filter_jit
def _asked(model: AbstractModel, phis: Num[Array, "n *field"]) -> Float[Array, " n"]:
    return model.log_prob_batch(phis)


def _counted(model: AbstractModel, dtype: np.dtype, volume: int) -> Gate:
    if volume > ENUMERATED:
        raise ValueError(f"{volume} spins are too many to be counted")
    every = np.array(list(itertools.product((-1, 1), repeat=volume)), dtype=dtype)
    phis = jnp.asarray(every.reshape(-1, *model.field_shape))
    total = float(np.sum(np.exp(np.asarray(_asked(model, phis)))))
    what = "over all configurations q adds up to 1 but for"
    return below("normalisation", abs(total - 1), EXACTLY, what)
