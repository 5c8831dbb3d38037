"""How the spins of classes of sites follow from what is known: learned, or exactly."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from genlat.models.autoregressive import spins
from genlat.models.autoregressive.classes import NEIGHBOURS, Classes, Site


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

    **Arguments:** `classes`, and what they see; `width` and `depth` of the hidden
    layers.
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
        classes: Classes,
        *,
        width: int,
        depth: int,
        biased: bool,
        key: PRNGKeyArray,
    ):
        # one that knows nothing sees a zero
        offsets = classes.offsets
        n_classes, n_seen = len(offsets), max(1, *map(len, offsets))
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
        self.starts, self.stride, self.extents, self.offsets = classes

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
    new = spins.draw(u, logits).astype(logits.dtype)
    return new, _log_prob(new, logits)


def _log_prob(
    values: Float[Array, "classes sites n"], logits: Float[Array, "classes sites n"]
) -> Float[Array, " n"]:
    return jnp.sum(spins.log_conditionals(values, logits), axis=(0, 1))


def _constant(
    beta: Float[Array, ""], field: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Couplings in the networks' precision, which no training moves."""
    beta, field = lax.stop_gradient((beta, field))
    return beta.astype(jnp.float32), field.astype(jnp.float32)


def _log_cosh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    size = jnp.abs(x)
    return size + jnp.log1p(jnp.exp(-2 * size)) - math.log(2)
