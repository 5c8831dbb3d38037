"""Exact mixtures of a density's images under a finite group of symmetries."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key, Num

from genlat import symmetry
from genlat.likelihood import EXACT, Likelihood
from genlat.models.base import AbstractFlow, AbstractModel


class AbstractSymmetrized(AbstractModel):
    r"""q_s(φ) = (1/|G|) Σ_{g ∈ G} q(g⁻¹ φ): a draw of q moved by a random element of G.

    Exactly invariant under G, and as well normalised as q. A q that fits one of the
    modes which G permutes gives a q_s that fits them all; a q that is symmetric already
    is left as it is. log q_s costs |G| evaluations of log q, batched into one, a draw
    |G| - 1: the images of a configuration and of what it was moved from are the same.

    **Source:** Hackett et al., arXiv:2107.00734 (mixtures); Nicoli et al.,
    arXiv:2302.14082 (Z₂, and what is lost without); symmetric by construction instead:
    Köhler et al., arXiv:2006.02425.
    """

    model: eqx.AbstractVar[AbstractModel]
    group: eqx.AbstractVar[tuple[symmetry.Symmetry, ...]]

    @property
    def components(self) -> tuple[int, ...]:
        return self.model.components

    def sample_batch(
        self, keys: Key[Array, " n"]
    ) -> tuple[Num[Array, "n *lattice"], Float[Array, " n"]]:
        key_draw, key_element = _split(keys)
        phis, log_q = self.model.sample_batch(key_draw)
        log_others = self.model.log_prob_batch(_images(phis, self._others()))
        log_q_s = self._log_mean(jnp.concatenate([log_q, log_others]))
        return self._move_randomly(key_element, phis), log_q_s

    def log_prob_batch(self, phis: Num[Array, "n *lattice"]) -> Float[Array, " n"]:
        return self._log_mean(self.model.log_prob_batch(_images(phis, self.group)))

    def _others(self) -> tuple[symmetry.Symmetry, ...]:
        """Every element but the identity."""
        return tuple(g for g in self.group if g @ g != g)

    def _log_mean(self, log_qs: Float[Array, " all"]) -> Float[Array, " n"]:
        """log of the mean over elements, which are the slower index."""
        by_element = log_qs.reshape(len(self.group), -1)
        total = jax.scipy.special.logsumexp(by_element, axis=0)
        return total - math.log(len(self.group))

    def _move_randomly(
        self, keys: Key[Array, " n"], phis: Num[Array, "n *lattice"]
    ) -> Num[Array, "n *lattice"]:
        """A random element applied to every configuration, the same for equal keys."""
        draw = jax.vmap(lambda key: jr.randint(key, (), 0, len(self.group)))
        drawn = draw(keys)
        places, signs = _tables(self.group, _n_components(phis, self.group))
        return jax.vmap(_move)(
            phis, jnp.asarray(places)[drawn], jnp.asarray(signs)[drawn]
        )


class Symmetrized(AbstractSymmetrized, AbstractFlow):
    """A symmetrised flow: see `AbstractSymmetrized`.

    **Arguments:**

    - `model`: any flow with an exact, normalised density.
    - `group`: `symmetry.group(lattice_shape, names)`, or any finite group of
      symmetries of the lattice.

    **Raises:** `ValueError` for a density that is not exact and normalised, elements
    of another lattice or elements that are not a group.
    """

    model: AbstractFlow
    group: tuple[symmetry.Symmetry, ...] = eqx.field(static=True)
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    likelihood: ClassVar[Likelihood] = EXACT

    def __init__(self, model: AbstractFlow, group: tuple[symmetry.Symmetry, ...]):
        _check(model, group)
        self.model = model
        self.group = group
        self.lattice_shape = model.lattice_shape

    def sample_batch_with_score(
        self, keys: Key[Array, " n"]
    ) -> tuple[
        Float[Array, "n *lattice"],
        Float[Array, " n"],
        Float[Array, "n *lattice"],
    ]:
        r"""`sample_batch` and the score Σ_g w_g g·(∂ log q)(g⁻¹ φ).

        w_g ∝ q(g⁻¹ φ), the share of an image in q_s, sums to 1. The choice of g is the
        same whatever the parameters; those of q keep their derivative.
        """
        key_draw, key_element = _split(keys)
        phis, log_q, own_score = self.model.sample_batch_with_score(key_draw)
        still, frozen = lax.stop_gradient((phis, self.model))
        others = self._others()
        log_others, pull = jax.vjp(frozen.log_prob_batch, _images(still, others))
        log_qs = jnp.concatenate([log_q, log_others]).reshape(len(self.group), -1)
        share = jax.nn.softmax(log_qs, axis=0)
        # an image's log q depends on that image alone: one pullback weighs them all
        (image_scores,) = pull(share[1:].ravel())
        score = jax.vmap(jnp.multiply)(share[0].astype(own_score.dtype), own_score)
        score += _sum_moved_back(image_scores, others)
        log_q_s = lax.stop_gradient(self._log_mean(log_qs.ravel()))
        log_q_s += log_q - lax.stop_gradient(log_q)
        moved = self._move_randomly(key_element, phis)
        moved_score = self._move_randomly(key_element, score)
        return moved, log_q_s, lax.stop_gradient(moved_score)


class SymmetrizedSpins(AbstractSymmetrized):
    """A symmetrised density whose draws have no derivative: `AbstractSymmetrized`.

    **Arguments** and **Raises:** as `Symmetrized`, for any model.
    """

    model: AbstractModel
    group: tuple[symmetry.Symmetry, ...] = eqx.field(static=True)
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    likelihood: ClassVar[Likelihood] = EXACT

    def __init__(self, model: AbstractModel, group: tuple[symmetry.Symmetry, ...]):
        _check(model, group)
        self.model = model
        self.group = group
        self.lattice_shape = model.lattice_shape


def _check(model: AbstractModel, group: tuple[symmetry.Symmetry, ...]) -> None:
    if model.likelihood != EXACT:
        raise ValueError(
            f"symmetrising needs a density that is {EXACT}, got "
            f"{type(model).__name__}: {model.likelihood}"
        )
    symmetry.check_group(group)
    if len(group) == 1:
        raise ValueError("symmetrising needs more than the identity, got it alone")
    if group[0].lattice_shape != model.lattice_shape:
        raise ValueError(
            f"group on {group[0].lattice_shape}, model on {model.lattice_shape}"
        )
    orders = {len(g.order) for g in group if g.order}
    if orders - {math.prod(model.components)}:
        raise ValueError(
            f"group of {max(orders)} components, model of {model.components or 'one'}"
        )


def _split(
    keys: Key[Array, " n"],
) -> tuple[Key[Array, " n"], Key[Array, " n"]]:
    """Of every key, one for the draw and one for the element."""
    pairs = jax.vmap(jr.split)(keys)
    return pairs[:, 0], pairs[:, 1]


def _tables(
    elements: tuple[symmetry.Symmetry, ...], n_components: int
) -> tuple[Int[np.ndarray, "elements numbers"], Int[np.ndarray, " elements"]]:
    """Numbers read from, and signs: one row for each element.

    A number of a configuration is a component of a site.
    """
    places = []
    for g in elements:
        order = np.arange(n_components) if not g.order else np.array(g.order)
        places.append(g.sites().ravel()[:, None] * n_components + order)
    return np.stack(places).reshape(len(elements), -1), np.array(
        [g.sign for g in elements]
    )


def _move(
    phi: Num[Array, "*field"], places: Int[Array, " numbers"], sign: Int[Array, ""]
) -> Num[Array, "*field"]:
    """g φ for the element of one row."""
    image = phi.ravel().at[places].get(unique_indices=True, mode="promise_in_bounds")
    return sign.astype(phi.dtype) * image.reshape(phi.shape)


def _images(
    phis: Num[Array, "n *lattice"], elements: tuple[symmetry.Symmetry, ...]
) -> Num[Array, "images *lattice"]:
    """All images of a batch: those under the first element first."""
    move_batch = jax.vmap(_move, in_axes=(0, None, None))
    move = jax.vmap(move_batch, in_axes=(None, 0, 0))
    tables = _tables(elements, _n_components(phis, elements))
    images = move(phis, *map(jnp.asarray, tables))
    return images.reshape(-1, *phis.shape[1:])


def _sum_moved_back(
    images: Float[Array, "images *lattice"], elements: tuple[symmetry.Symmetry, ...]
) -> Float[Array, "n *lattice"]:
    """Σ_g g⁻¹ of fields that are ordered as `_images` orders them."""
    by_element = images.reshape(len(elements), -1, *images.shape[1:])
    move = jax.vmap(jax.vmap(_move, in_axes=(0, None, None)))
    inverses = tuple(g.inverse() for g in elements)
    tables = _tables(inverses, _n_components(images, elements))
    return jnp.sum(move(by_element, *map(jnp.asarray, tables)), axis=0)


def _n_components(
    phis: Num[Array, "n *field"], elements: tuple[symmetry.Symmetry, ...]
) -> int:
    """Numbers of a value of the field."""
    return math.prod(phis.shape[1 + len(elements[0].lattice_shape) :])
