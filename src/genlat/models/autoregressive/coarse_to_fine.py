"""Ising spins from coarse to fine: every scale fills in what lies between the last."""

import math
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int8, Key, Num, PRNGKeyArray, ScalarLike

from genlat.likelihood import EXACT, Likelihood
from genlat.models.autoregressive import classes, spins
from genlat.models.autoregressive.blocks import (
    AbstractBlock,
    HeatBath,
    HeatBathOfFour,
    Learned,
)
from genlat.models.autoregressive.classes import Site
from genlat.models.base import AbstractModel


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
    likelihood: ClassVar[Likelihood] = EXACT

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
        extents = classes.coarsest(lattice_shape)
        if min(width, depth) < 1 or not reach >= 1:
            raise ValueError(
                f"width, depth and reach must be at least 1, got {width}, {depth}, "
                f"{reach}"
            )
        for name, coupling in (("beta", beta), ("field", field)):
            if not np.all(np.isfinite(np.asarray(coupling))):
                raise ValueError(f"couplings must be finite, got {name} = {coupling}")
        couplings = {
            "beta": jnp.asarray(beta, float),
            "field": jnp.asarray(field, float),
        }
        network = {"width": width, "depth": depth, "biased": biased}
        first = Learned(
            classes.seeing(
                classes.one_by_one(extents),
                extents,
                extents,
                known=False,
                reach=math.inf,
            ),
            **network,
            key=jr.fold_in(key, 0),
        )
        levels: list[tuple[AbstractBlock, ...]] = [(first,)]
        while extents != tuple(lattice_shape):
            extents = (2 * extents[0], 2 * extents[1])
            stride = classes.stride_on(extents)
            starts, exact = classes.between(stride), ()
            if extents == tuple(lattice_shape):
                starts, exact = _with_heat_baths(starts, stride, extents, couplings)
            learned = Learned(
                classes.seeing(starts, stride, extents, known=True, reach=reach),
                **network,
                key=jr.fold_in(key, len(levels)),
            )
            levels.append((learned, *exact))
        self.levels = tuple(levels)
        self.lattice_shape = tuple(lattice_shape)

    @property
    def is_biased(self) -> bool:
        """Whether the networks have biases."""
        first = self.levels[0][0]
        return isinstance(first, Learned) and bool(first.biases)

    def sample_batch(
        self, keys: Key[Array, " n"]
    ) -> tuple[Int8[Array, "n *lattice"], Float[Array, " n"]]:
        u = spins.uniforms(keys, math.prod(self.lattice_shape)).T
        u, log_q = u.reshape(*self.lattice_shape, -1), jnp.zeros(len(keys), u.dtype)
        canvas = jnp.zeros(
            (*classes.coarsest(self.lattice_shape), len(keys)), jnp.float32
        )
        for level, blocks in enumerate(self.levels):
            if level > 0:
                canvas = _refined(canvas)
            rows, own_u = _rows(canvas), self._at_level(level, u)
            for block in blocks:
                rows, log_p = block.draw(rows, own_u.reshape(-1, len(keys)))
                log_q += log_p
            canvas = rows[:-1].reshape(canvas.shape)
        return jnp.moveaxis(canvas.astype(jnp.int8), -1, 0), log_q

    def log_prob_batch(self, phis: Num[Array, "n *lattice"]) -> Float[Array, " n"]:
        return jnp.sum(jnp.stack(self.log_prob_of_levels(phis)), axis=0)

    def log_prob_of_levels(
        self, phis: Num[Array, "n *lattice"]
    ) -> list[Float[Array, " n"]]:
        """ln of the density of every level given those before; their sum is log q.

        **Raises:** `ValueError` for another lattice, or, outside of jit, for values
        that are not ±1.
        """
        spins.check(phis, self.lattice_shape)
        canvas = jnp.moveaxis(phis, 0, -1).astype(jnp.float32)
        found = []
        for level, blocks in enumerate(self.levels):
            rows = _rows(self._at_level(level, canvas))
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


def _rows(spins: Float[Array, "m0 m1 n"]) -> Float[Array, "rows n"]:
    """One row per site, and one of zeros."""
    flat = spins.reshape(-1, spins.shape[-1])
    return jnp.concatenate([flat, jnp.zeros_like(flat[:1])])
