"""Ising spins from coarse to fine: every scale fills in what lies between the last."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import (
    Array,
    Bool,
    Float,
    Int,
    Key,
    PRNGKeyArray,
    PyTree,
    ScalarLike,
    Shaped,
)

from genlat.mcmc.noise import uniform
from genlat.models.base import AbstractModel

Site = tuple[int, int]

NEIGHBOURS: tuple[Site, ...] = ((1, 0), (-1, 0), (0, 1), (0, -1))
LARGEST_BASE = 36  # sites; each has a network of its own, that sees all before it


class AbstractBlock(eqx.Module):
    """Classes of sites of one level, and how their spins follow from what is known.

    A class is `start` + `stride` · ℤ² on the level's lattice of `extents`; its spins
    are independent, given what is known. Spins are rows, one per site of the level and
    a last one of zeros, where there is nothing.
    """

    starts: eqx.AbstractVar[tuple[Site, ...]]
    stride: eqx.AbstractVar[Site]
    extents: eqx.AbstractVar[Site]

    @abstractmethod
    def logits(self, rows: Float[Array, "rows n"]) -> Float[Array, "classes sites n"]:
        """ln P(+)/P(-) at every site of every class, given all other spins."""

    @abstractmethod
    def draw(
        self, rows: Float[Array, "rows n"], u: Float[Array, "volume n"]
    ) -> tuple[Float[Array, "rows n"], Float[Array, " n"]]:
        """The rows with the classes filled, and ln of the probability of that.

        **Arguments:** `u`, a uniform number for every site.
        """

    def log_prob(self, rows: Float[Array, "rows n"]) -> Float[Array, " n"]:
        """ln of the probability of the classes' spins, given all before."""
        return _log_prob(rows[self.sites()], self.logits(rows))

    def sites(self, steps: Sequence[Site] = ((0, 0),)) -> Int[np.ndarray, "*shape"]:
        """Row numbers of what lies these steps away, `(steps ·) classes sites`."""
        numbers = [
            [self._one_class(start, step) for start in self.starts] for step in steps
        ]
        return np.array(numbers if len(steps) > 1 else numbers[0])

    def _one_class(self, start: Site, step: Site) -> Int[np.ndarray, " sites"]:
        first, second = (
            (np.arange(begin, extent, stride) + along) % extent
            for begin, along, stride, extent in zip(
                start, step, self.stride, self.extents, strict=True
            )
        )
        return (first[:, None] * self.extents[1] + second).ravel()


class Learned(AbstractBlock):
    """A network per class of the known spins around a site, the same at all its sites.

    ℓ = w·s + v·tanh(W₂ tanh(W₁ s)) is odd in s, so that q(-s) = q(s); with `biased`
    every layer has a bias and it is not. Classes are drawn one after the other, in
    parallel evaluated.

    **Arguments:** `offsets`: for every class, where what it sees is, relative to the
    site; `width` and `depth` of the hidden layers.
    """

    weights: tuple[Float[Array, "classes out in"], ...]
    biases: tuple[Float[Array, "classes out"], ...]
    direct: Float[Array, "classes in"]
    starts: tuple[Site, ...] = eqx.field(static=True)
    stride: Site = eqx.field(static=True)
    extents: Site = eqx.field(static=True)
    offsets: tuple[tuple[Site, ...], ...] = eqx.field(static=True)

    def __init__(
        self,
        starts: tuple[Site, ...],
        stride: Site,
        extents: Site,
        offsets: tuple[tuple[Site, ...], ...],
        *,
        width: int,
        depth: int,
        biased: bool,
        key: PRNGKeyArray,
    ):
        # one that knows nothing sees a zero
        n_classes, n_seen = len(starts), max(1, *map(len, offsets))
        sizes = [n_seen, *[width] * depth, 1]
        fan_in = jnp.array([max(len(seen), 1) for seen in offsets], jnp.float32)
        weights = []
        for index, (into, out) in enumerate(pairwise(sizes)):
            shape = (n_classes, out, into)
            scale = fan_in**-0.5 if index == 0 else jnp.full(n_classes, into**-0.5)
            # what is put out starts at zero: uniform spins
            scale = scale if index < depth else 0 * scale
            noise = jr.normal(jr.fold_in(key, index), shape, jnp.float32)
            weights.append(scale[:, None, None] * noise)
        self.weights = tuple(weights)
        self.biases = tuple(
            jnp.zeros((n_classes, n), jnp.float32) for n in sizes[1:] if biased
        )
        self.direct = jnp.zeros((n_classes, n_seen), jnp.float32)
        self.starts, self.stride, self.extents = starts, stride, extents
        self.offsets = offsets

    def logits(self, rows: Float[Array, "rows n"]) -> Float[Array, "classes sites n"]:
        arrays = (self.weights, self.biases, self.direct)
        return jax.vmap(_network)(arrays, rows[self._seen()])

    def draw(
        self, rows: Float[Array, "rows n"], u: Float[Array, "volume n"]
    ) -> tuple[Float[Array, "rows n"], Float[Array, " n"]]:
        def fill(
            carry: tuple[Float[Array, "rows n"], Float[Array, " n"]], one: PyTree
        ) -> tuple[tuple[Float[Array, "rows n"], Float[Array, " n"]], None]:
            (rows, log_p), (arrays, seen, sites) = carry, one
            logits = _network(arrays, rows[seen])
            new, log_p_new = _drawn(logits[None], u[sites][None])
            return (rows.at[sites].set(new[0]), log_p + log_p_new), None

        arrays = (self.weights, self.biases, self.direct)
        each = (arrays, jnp.asarray(self._seen()), jnp.asarray(self.sites()))
        start = (rows, jnp.zeros(rows.shape[1], u.dtype))
        return lax.scan(fill, start, each)[0]

    def _seen(self) -> Int[np.ndarray, "classes in sites"]:
        """Row numbers of what every site sees, the last row where it is less."""
        n_seen, nothing = self.direct.shape[1], math.prod(self.extents)
        sites = self.sites()
        seen = np.full((len(self.starts), n_seen, sites.shape[1]), nothing)
        for place, (start, offsets) in enumerate(
            zip(self.starts, self.offsets, strict=True)
        ):
            for index, offset in enumerate(offsets):
                seen[place, index] = self._one_class(start, offset)
        return seen


class AbstractHeatBath(AbstractBlock):
    """Exact probabilities from the couplings; all classes at once."""

    beta: eqx.AbstractVar[Float[Array, ""]]
    field: eqx.AbstractVar[Float[Array, ""]]

    def draw(
        self, rows: Float[Array, "rows n"], u: Float[Array, "volume n"]
    ) -> tuple[Float[Array, "rows n"], Float[Array, " n"]]:
        sites = self.sites()
        new, log_p = _drawn(self.logits(rows), u[sites])
        return rows.at[sites].set(new), log_p


class HeatBath(AbstractHeatBath):
    """Where all four neighbours are known: ℓ = 2β (Σ s' + h)."""

    beta: Float[Array, ""]
    field: Float[Array, ""]
    starts: tuple[Site, ...] = eqx.field(static=True)
    stride: Site = eqx.field(static=True)
    extents: Site = eqx.field(static=True)

    def logits(self, rows: Float[Array, "rows n"]) -> Float[Array, "classes sites n"]:
        beta, field = _constant(self.beta, self.field)
        return 2 * beta * (jnp.sum(rows[self.sites(NEIGHBOURS)], axis=0) + field)


class HeatBathOfFour(AbstractHeatBath):
    """At the centre of four known spins, once its four neighbours are summed.

    A neighbour has three known spins around it besides the centre's s, of sum a, and
    contributes cosh β(a + s + h).
    """

    beta: Float[Array, ""]
    field: Float[Array, ""]
    starts: tuple[Site, ...] = eqx.field(static=True)
    stride: Site = eqx.field(static=True)
    extents: Site = eqx.field(static=True)

    def logits(self, rows: Float[Array, "rows n"]) -> Float[Array, "classes sites n"]:
        beta, field = _constant(self.beta, self.field)
        total = 2 * beta * field
        for x, y in NEIGHBOURS:
            corners = ((x + y, y + x), (x - y, y - x), (2 * x, 2 * y))
            rest = jnp.sum(rows[self.sites(corners)], axis=0) + field
            total += _log_cosh(beta * (rest + 1)) - _log_cosh(beta * (rest - 1))
        return total


class CoarseToFine(AbstractModel):
    r"""Ising spins on a torus, drawn on ever finer sublattices; log q is exact.

    The coarsest sublattice, extents halved as often as both are even, is drawn site by
    site. Every level then doubles both extents: spins at the centres of four known
    ones, then at the middles of the bonds, class by class. Each class has a network of
    the known spins within `reach`, the same at every site of it. Its spins are
    independent given all before: an approximation, and a good one, because what lies
    between them is known already.

    On the finest level half of the spins have all neighbours known, and half of the
    rest interact through these alone: both follow exactly from β and h, nothing is
    learned there but every eighth spin.

    Networks are local, so those of one level fit lattices of any size, and the other
    levels approximately.

    **Source:** in the manner of the renormalisation-group samplers of arXiv:2503.08918;
    heat baths of what is separated as in Białas et al., arXiv:2203.10989.

    **Arguments:**

    - `lattice_shape`: two extents.
    - `beta`, `field`: couplings of S = -β (Σ s s' + h Σ s), not trained.
    - `width`, `depth`: hidden layers of the networks.
    - `reach`: known spins within this distance are seen, in units of a level's lattice.
    - `biased`: whether q(-s) may differ from q(s), as it must in a field.

    **Raises:** `ValueError` for other than two extents, a lattice whose coarsest
    sublattice has more than `LARGEST_BASE` sites, or numbers out of their range.
    """

    levels: tuple[tuple[AbstractBlock, ...], ...]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    likelihood: ClassVar[Literal["exact", "approximate", "none"]] = "exact"
    normalized: ClassVar[bool] = True

    def __init__(
        self,
        lattice_shape: tuple[int, ...],
        beta: ScalarLike,
        field: ScalarLike = 0.0,
        *,
        width: int = 32,
        depth: int = 2,
        reach: float = 3.5,
        biased: bool = False,
        key: PRNGKeyArray,
    ):
        extents = coarsest(lattice_shape)
        if min(width, depth) < 1 or not reach >= 1:
            raise ValueError(
                f"width, depth and reach must be at least 1, got {width}, {depth}, "
                f"{reach}"
            )
        couplings = {
            "beta": jnp.asarray(beta, float),
            "field": jnp.asarray(field, float),
        }
        network = {"width": width, "depth": depth, "biased": biased}
        first = Learned(
            **_classes(_base(extents), extents, extents, known=False, reach=math.inf),
            **network,
            key=jr.fold_in(key, 0),
        )
        levels: list[tuple[AbstractBlock, ...]] = [(first,)]
        while extents != tuple(lattice_shape):
            extents = (2 * extents[0], 2 * extents[1])
            stride = _stride(extents)
            starts, exact = _between(stride), ()
            if extents == tuple(lattice_shape):
                starts, exact = _with_heat_baths(starts, stride, extents, couplings)
            learned = Learned(
                **_classes(starts, stride, extents, known=True, reach=reach),
                **network,
                key=jr.fold_in(key, len(levels)),
            )
            levels.append((learned, *exact))
        self.levels = tuple(levels)
        self.lattice_shape = tuple(lattice_shape)

    def sample_batch(
        self, keys: Key[Array, " n"]
    ) -> tuple[Shaped[Array, "time n *space"], Float[Array, " n"]]:
        dtype = jax.dtypes.canonicalize_dtype(jnp.float64)
        draw = jax.vmap(lambda key: uniform(key, self.lattice_shape, dtype), 0, -1)
        u, log_q = draw(keys), jnp.zeros(len(keys), dtype)
        spins = jnp.zeros((*coarsest(self.lattice_shape), len(keys)), jnp.float32)
        for level, blocks in enumerate(self.levels):
            if level > 0:
                spins = _refined(spins)
            rows, own_u = _rows(spins), self._at_level(level, u)
            for block in blocks:
                rows, log_p = block.draw(rows, own_u.reshape(-1, len(keys)))
                log_q += log_p
            spins = rows[:-1].reshape(spins.shape)
        return jnp.moveaxis(spins.astype(jnp.int8), -1, 1), log_q

    def log_prob_batch(
        self, phis: Shaped[Array, "time n *space"]
    ) -> Float[Array, " n"]:
        return jnp.sum(jnp.stack(self.log_prob_of_levels(phis)), axis=0)

    def log_prob_of_levels(
        self, phis: Shaped[Array, "time n *space"]
    ) -> list[Float[Array, " n"]]:
        """ln of the density of every level given those before; their sum is log q."""
        spins = jnp.moveaxis(phis, 1, -1).astype(jnp.float32)
        found = []
        for level, blocks in enumerate(self.levels):
            rows = _rows(self._at_level(level, spins))
            parts = [block.log_prob(rows) for block in blocks]
            found.append(jnp.sum(jnp.stack(parts), axis=0))
        return found

    def _at_level(
        self, level: int, values: Float[Array, "l0 l1 n"]
    ) -> Float[Array, "m0 m1 n"]:
        """The values on the sublattice of a level."""
        spacing = 2 ** (len(self.levels) - 1 - level)
        return values[::spacing, ::spacing]


def _refined(coarse: Float[Array, "m0 m1 n"]) -> Float[Array, "l0 l1 n"]:
    """Twice the extents, with 0 where nothing is known yet."""
    m0, m1, n = coarse.shape
    return jnp.zeros((2 * m0, 2 * m1, n), coarse.dtype).at[::2, ::2].set(coarse)


def coarsest(lattice_shape: tuple[int, ...]) -> Site:
    """The extents, halved as often as both are even.

    **Raises:** `ValueError` for other than two extents, or too many sites left.
    """
    if len(lattice_shape) != 2:
        raise ValueError(f"wanted two extents, got {lattice_shape}")
    first, second = lattice_shape
    while first % 2 == 0 and second % 2 == 0:
        first, second = first // 2, second // 2
    if first * second > LARGEST_BASE:
        raise ValueError(
            f"halving {lattice_shape} while both are even leaves {first} x {second}: "
            f"at most {LARGEST_BASE} sites are drawn one by one"
        )
    return first, second


def _base(extents: Site) -> tuple[Site, ...]:
    """Every site of the coarsest lattice, one by one."""
    return tuple((i, j) for i in range(extents[0]) for j in range(extents[1]))


def _between(stride: Site) -> tuple[Site, ...]:
    """The classes of new sites of a level: centres, then middles of bonds.

    The classes of a kind come in an order that keeps early ones far from each other.
    """
    places = sorted(
        ((i, j) for i in range(0, stride[0], 2) for j in range(0, stride[1], 2)),
        key=lambda place: (sum(place) // 2 % 2, place),
    )
    kinds = ((1, 1), (0, 1), (1, 0))
    return tuple((i + x, j + y) for x, y in kinds for i, j in places)


def _stride(extents: Site) -> Site:
    """Between sites of a class: twice the least divisor of half an extent above 1."""
    first, second = (
        2 * next((n for n in range(2, half + 1) if half % n == 0), 1)
        for half in (extents[0] // 2, extents[1] // 2)
    )
    return first, second


def _with_heat_baths(
    starts: tuple[Site, ...],
    stride: Site,
    extents: Site,
    couplings: dict[str, Float[Array, ""]],
) -> tuple[tuple[Site, ...], tuple[AbstractBlock, ...]]:
    """The classes of the finest level that are learned, and the exact blocks."""
    place = {"stride": stride, "extents": extents, **couplings}
    middles = tuple(start for start in starts if sum(start) % 2)
    centres = tuple(start for start in starts if not sum(start) % 2)
    blocks = (HeatBath(starts=middles, **place),)
    if any(extent % 4 for extent in extents):
        return centres, blocks
    # centres interact with their four next ones through the middles: a bipartite graph
    second = tuple((i, j) for i, j in centres if (i // 2 + j // 2) % 2)
    first = tuple(centre for centre in centres if centre not in second)
    return first, (HeatBathOfFour(starts=second, **place), *blocks)


def _classes(
    starts: tuple[Site, ...], stride: Site, extents: Site, *, known: bool, reach: float
) -> dict[str, Any]:
    """Arguments of `Learned`: classes that each see all before them within reach.

    **Arguments:** `known`, whether every other site of both axes is filled already.
    """
    filled = np.zeros(extents, bool)
    filled[::2, ::2] = known
    offsets = []
    for start in starts:
        offsets.append(_known_around(filled, start, reach))
        filled[start[0] :: stride[0], start[1] :: stride[1]] = True
    return {
        "starts": starts,
        "stride": stride,
        "extents": extents,
        "offsets": tuple(offsets),
    }


def _known_around(
    known: Bool[np.ndarray, "m0 m1"], site: Site, reach: float
) -> tuple[Site, ...]:
    """Offsets of the known sites within `reach` of a site, each site once."""
    ranges = [range(-((extent - 1) // 2), extent // 2 + 1) for extent in known.shape]
    return tuple(
        (x, y)
        for x in ranges[0]
        for y in ranges[1]
        if known[(site[0] + x) % known.shape[0], (site[1] + y) % known.shape[1]]
        and math.hypot(x, y) <= reach
    )


def _network(
    arrays: tuple[
        tuple[Float[Array, "_ _"], ...],
        tuple[Float[Array, " _"], ...],
        Float[Array, " in"],
    ],
    seen: Float[Array, "in sites n"],
) -> Float[Array, "sites n"]:
    """ln P(+)/P(-) from what every site sees, by weights, biases and direct terms."""
    weights, biases, direct = arrays
    hidden = seen.reshape(len(direct), -1)
    total = direct @ hidden
    for index, weight in enumerate(weights):
        hidden = weight @ (jnp.tanh(hidden) if index else hidden)
        if biases:
            hidden = hidden + biases[index][:, None]
    return (total + hidden[0]).reshape(seen.shape[1:])


def _drawn(
    logits: Float[Array, "classes sites n"], u: Float[Array, "classes sites n"]
) -> tuple[Float[Array, "classes sites n"], Float[Array, " n"]]:
    """Spins of these odds, and ln of their probability."""
    spins = jnp.where(u < jax.nn.sigmoid(logits.astype(u.dtype)), 1, -1)
    spins = spins.astype(logits.dtype)
    return spins, _log_prob(spins, logits)


def _log_prob(
    spins: Float[Array, "classes sites n"], logits: Float[Array, "classes sites n"]
) -> Float[Array, " n"]:
    dtype = jax.dtypes.canonicalize_dtype(jnp.float64)
    return jnp.sum(jax.nn.log_sigmoid(spins * logits), axis=(0, 1), dtype=dtype)


def _rows(spins: Float[Array, "m0 m1 n"]) -> Float[Array, "rows n"]:
    """One row per site, and one of zeros."""
    flat = spins.reshape(-1, spins.shape[-1])
    return jnp.concatenate([flat, jnp.zeros_like(flat[:1])])


def _constant(
    beta: Float[Array, ""], field: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Couplings in the networks' precision, which no training moves."""
    beta, field = lax.stop_gradient((beta, field))
    return beta.astype(jnp.float32), field.astype(jnp.float32)


def _log_cosh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    size = jnp.abs(x)
    return size + jnp.log1p(jnp.exp(-2 * size)) - math.log(2)
