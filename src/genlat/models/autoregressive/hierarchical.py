"""HAN: a frame of spins, then crosses that cut what is inside into four, and so on."""

import dataclasses
import functools
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Int8, Key, Num, PRNGKeyArray, ScalarLike

from genlat import lattice
from genlat.likelihood import EXACT, Likelihood
from genlat.models.autoregressive import spins
from genlat.models.autoregressive.masked_dense import MaskedDense
from genlat.models.base import AbstractModel


class HAN(AbstractModel):
    r"""Hierarchical autoregressive network on a square torus of extent L = 2^k.

    One row and one column leave an open square of extent L - 1. A cross through its
    middle, given the spins around, leaves four squares of extent L/2 - 1, and so on to
    single spins, which are drawn by heat bath:
    $P(s) \propto e^{\beta s \sum_{nn} s'}$. Each level has a `MaskedDense` of its own,
    the same for all its squares, that sees the sides of a square. Spins of the theory
    interact with nearest neighbours, so its squares are independent given their sides,
    as they are here; that and the heat bath are exact, the rest is learned. For any
    other theory, or any other β, this is a density none the less.

    **Source:** Białas, Korcyl, Stebel, arXiv:2203.10989.

    **Arguments:**

    - `lattice_shape`: (L, L), L = 2, 4, 8, ...
    - `key`, `depth`, `width`: of the networks, as `MaskedDense`.
    - `beta`: β of the heat bath, an array that is not trained; J = 1, no field.

    **Raises:** `ValueError` for another lattice, β that is not finite, a depth or a
    width smaller than 1.
    """

    nets: tuple[MaskedDense, ...]
    beta: Float[Array, ""]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    likelihood: ClassVar[Likelihood] = EXACT

    def __init__(
        self,
        lattice_shape: tuple[int, ...],
        key: PRNGKeyArray,
        *,
        beta: ScalarLike,
        depth: int,
        width: int,
    ):
        lattice.check_shape(lattice_shape)
        extent = lattice_shape[0]
        is_power = extent >= 2 and extent & (extent - 1) == 0
        if tuple(lattice_shape) != (extent, extent) or not is_power:
            raise ValueError(
                f"lattice_shape must be (L, L), L = 2, 4, 8, ..., got {lattice_shape}"
            )
        if not np.isfinite(beta):
            raise ValueError(f"beta must be finite, got {beta}")
        levels = _levels(extent)
        self.nets = tuple(
            MaskedDense(*level.sizes, key_net, depth=depth, width=width)
            for level, key_net in zip(levels, jr.split(key, len(levels)), strict=True)
        )
        self.beta = jnp.asarray(beta, jnp.float32)
        self.lattice_shape = tuple(lattice_shape)

    def with_networks_of(self, other: "HAN") -> "HAN":
        """The heat bath of this model with the networks of another."""
        return eqx.tree_at(lambda model: model.nets, self, other.nets)

    def log_prob_batch(self, phis: Num[Array, "n *lattice"]) -> Float[Array, " n"]:
        """log q of given spins.

        **Raises:** `ValueError` for another lattice, or, outside of jit, for values
        that are not ±1.
        """
        spins.check(phis, self.lattice_shape)
        flat = phis.reshape(len(phis), -1)
        extent = self.lattice_shape[0]
        log_q = self._last_log_q(flat, self._last_logits(flat))
        for net, level in zip(self.nets, _levels(extent), strict=True):
            drawn = _of_squares(flat, level.cross)
            logits = net.logits(_of_squares(flat, level.sides), drawn)
            log_q += _per_configuration(spins.log_conditionals(drawn, logits), flat)
        return log_q

    def sample_batch(
        self, keys: Key[Array, " n"]
    ) -> tuple[Int8[Array, "n *lattice"], Float[Array, " n"]]:
        """One configuration of spins ±1 per key, int8, and log q."""
        extent = self.lattice_shape[0]
        uniform = spins.uniforms(keys, extent**2)
        flat = jnp.zeros(uniform.shape, jnp.int8)
        log_q = jnp.zeros(len(keys))
        for net, level in zip(self.nets, _levels(extent), strict=True):
            drawn, logits = net.sample(
                _of_squares(flat, level.sides), _of_squares(uniform, level.cross)
            )
            by_square = drawn.reshape(len(keys), *level.cross.shape)
            flat = flat.at[:, level.cross].set(by_square)
            log_q += _per_configuration(spins.log_conditionals(drawn, logits), flat)
        logits = self._last_logits(flat)
        drawn = spins.draw(uniform[:, _last_sites(extent)], logits)
        flat = flat.at[:, _last_sites(extent)].set(drawn)
        log_q += self._last_log_q(flat, logits)
        return flat.reshape(-1, *self.lattice_shape), log_q

    def _last_logits(self, flat: Num[Array, "n sites"]) -> Float[Array, "n last"]:
        """Of the heat bath of the spins that are left."""
        around = flat[:, _last_neighbours(self.lattice_shape[0])]
        total = jnp.sum(around, axis=-1, dtype=self.beta.dtype)
        return 2 * lax.stop_gradient(self.beta) * total

    def _last_log_q(
        self, flat: Num[Array, "n sites"], logits: Float[Array, "n last"]
    ) -> Float[Array, " n"]:
        last = flat[:, _last_sites(self.lattice_shape[0])]
        return jnp.sum(spins.log_conditionals(last, logits), axis=1)


@dataclasses.dataclass(frozen=True)
class Level:
    """Sites, in row-major order, of all squares of one level, in the order drawn."""

    cross: Int[np.ndarray, "squares spins"]
    sides: Int[np.ndarray, "squares context"]

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of spins and size of their context, in each square."""
        return self.cross.shape[1], self.sides.shape[1]


@functools.cache
def _levels(extent: int) -> tuple[Level, ...]:
    """One row and column of the torus; then crosses, from squares of extent L - 1."""

    def numbers(sites: list[tuple[int, int]]) -> list[int]:
        """Each site once: the largest square has the same side left and right."""
        return list(dict.fromkeys(i % extent * extent + j % extent for i, j in sites))

    first = [(0, j) for j in range(extent)] + [(i, 0) for i in range(1, extent)]
    levels = [Level(np.array([numbers(first)]), np.empty((1, 0), int))]
    size = extent
    while size >= 4:
        crosses, sides = [], []
        inner, middle = range(1, size), size // 2
        for i, j in _corners(extent, size):
            cross = [(i + middle, j + b) for b in inner]
            cross += [(i + a, j + middle) for a in inner if a != middle]
            around = [(i, j + b) for b in inner] + [(i + a, j) for a in inner]
            around += [(i + size, j + b) for b in inner]
            around += [(i + a, j + size) for a in inner]
            crosses.append(numbers(cross))
            sides.append(numbers(around))
        levels.append(Level(np.array(crosses), np.array(sides)))
        size //= 2
    return tuple(levels)


def _corners(extent: int, size: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(0, extent, size) for j in range(0, extent, size)]


def _last_sites(extent: int) -> Int[np.ndarray, " last"]:
    """Those with two odd coordinates."""
    return np.array([(i + 1) * extent + j + 1 for i, j in _corners(extent, 2)])


def _last_neighbours(extent: int) -> Int[np.ndarray, "last 4"]:
    i, j = np.divmod(_last_sites(extent), extent)
    steps = [(-1, 0), (0, -1), (1, 0), (0, 1)]
    around = [(i + a) % extent * extent + (j + b) % extent for a, b in steps]
    return np.stack(around, axis=1)


def _of_squares(
    flat: Num[Array, "n sites"], places: Int[np.ndarray, "squares places"]
) -> Num[Array, "all places"]:
    """Squares of all configurations, as one batch."""
    return flat[:, places].reshape(len(flat) * len(places), places.shape[1])


def _per_configuration(
    of_squares: Float[Array, "all places"], flat: Num[Array, "n sites"]
) -> Float[Array, " n"]:
    return jnp.sum(of_squares.reshape(len(flat), -1), axis=1)
