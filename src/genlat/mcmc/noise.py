"""Random numbers by the million, fused by XLA into one loop.

JAX's own `normal` costs more than ten leapfrog steps on CPU: its generator writes every
round to memory and its inverse error function is long. Here a number is one block of
the same generator, from counter to result in registers.
"""

import math

import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
# sin(πt/2) / t in powers of t², within a relative 6e-9 for |t| ≤ 1
_SINE = (
    1.570796318,
    -0.6459637096,
    0.07968967439,
    -0.004673759597,
    0.0001514817189,
)


def uniform(
    key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike
) -> Float[Array, "*shape"]:
    """Independent uniform numbers in [0, 1), of 53 bits in float64, otherwise of 24."""
    x, y = _blocks(key, jnp.uint32(0), math.prod(shape))
    if dtype == jnp.float64:
        u = (x >> 5).astype(dtype) * 2.0**-27 + (y >> 6).astype(dtype) * 2.0**-53
    else:
        u = (x >> 8).astype(dtype) * 2.0**-24
    return u.reshape(shape)


def words(
    key_data: UInt32[Array, "words *chains"], n: int
) -> UInt32[Array, "n *chains"]:
    """Independent words of 32 random bits.

    For what needs many and looks at each once: of 13 rounds, the fewest with which the
    generator passes all of TestU01's batteries, and both words of a block are used.

    **Arguments:** `key_data` as from `jax.random.key_data`, with the chains, if any, on
    the last axis: where many chains are next to each other, their numbers are made so.
    """
    x, y = _threefry(key_data, jnp.uint32(0), (n + 1) // 2, rounds=13)
    return jnp.concatenate([x, y])[:n]


def folded(
    key_data: UInt32[Array, "words *chains"], t: Int[Array, ""]
) -> UInt32[Array, "two *chains"]:
    """Data of another key for every t, with chains as in `words`."""
    x, y = _threefry(key_data, t.astype(jnp.uint32), 1, rounds=20)
    # apart from what it is used for: XLA would make it again for every number
    return lax.optimization_barrier(jnp.concatenate([x, y]))


def gaussian(
    key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike
) -> Float[Array, "*shape"]:
    r"""Independent standard normal numbers.

    In float32 $\sqrt{-2\ln u}\,\sin(\pi t/2)$ with u uniform in (0, 1] and t in
    [-1, 1], one number of Box and Muller's pair; both have 32 bits, so the tail ends at
    6.7. Other dtypes take JAX's `normal`.

    **Source:** Box and Muller, Ann. Math. Stat. 29, 610 (1958).
    """
    if dtype != jnp.float32:
        return jr.normal(key, shape, dtype)
    size = math.prod(shape)
    half = (size + 1) // 2
    # a loop, if only of two trips, because XLA would compute the numbers anew for every
    # use that it fuses them into, but fuses nothing out of a loop
    halves = lax.map(
        lambda start: _normal_from_bits(*_blocks(key, start, half)),
        jnp.array([0, half], jnp.uint32),
    )
    return halves.ravel()[:size].reshape(shape)


def _normal_from_bits(
    x: UInt32[Array, " n"], y: UInt32[Array, " n"]
) -> Float[Array, " n"]:
    u = (x.astype(jnp.float32) + 0.5) * 2.0**-32
    t = lax.bitcast_convert_type(y, jnp.int32).astype(jnp.float32) * 2.0**-31
    t2 = t * t
    ratio = jnp.full_like(t2, _SINE[-1])
    for coefficient in reversed(_SINE[:-1]):
        ratio = ratio * t2 + coefficient
    return jnp.sqrt(-2 * jnp.log(u)) * (t * ratio)


def _blocks(
    key: PRNGKeyArray, start: UInt32[Array, ""], n_blocks: int
) -> tuple[UInt32[Array, " blocks"], UInt32[Array, " blocks"]]:
    return _threefry(jr.key_data(key), start, n_blocks, rounds=20)


def _threefry(
    key_data: UInt32[Array, "words *chains"],
    start: UInt32[Array, ""],
    n_blocks: int,
    rounds: int,
) -> tuple[UInt32[Array, "blocks *chains"], UInt32[Array, "blocks *chains"]]:
    """Threefry-2x32 at counters (`start`, 0), (`start` + 1, 0), ...

    **Source:** Salmon et al., SC'11, doi:10.1145/2063384.2063405.
    """
    # two words for JAX's default generator, four for the others
    first, last = key_data[:1], key_data[-1:]
    schedule = (first, last, first ^ last ^ jnp.uint32(0x1BD11BDA))
    shape = (n_blocks, *first.shape[1:])
    x = lax.broadcasted_iota(jnp.uint32, shape, 0) + (start + schedule[0])
    y = jnp.broadcast_to(schedule[1], shape)
    for step in range(rounds):
        group, place = divmod(step, 4)
        rotation = _ROTATIONS[group % 2][place]
        x = x + y
        y = (y << rotation) | (y >> (32 - rotation))
        y = y ^ x
        if place == 3:
            x = x + schedule[(group + 1) % 3]
            y = y + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return x, y
