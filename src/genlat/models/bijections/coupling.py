"""Coupling layers: half of the sites move, told how by the other half."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from genlat.models.bijections.base import AbstractBijection, Direction
from genlat.models.bijections.splitting import active_sites
from genlat.models.bijections.transformers import AbstractTransformer

Conditioner = Callable[[Float[Array, "*lattice"]], Float[Array, "n *lattice"]]


class Coupling(AbstractBijection):
    r"""y_x = x_x on frozen sites, y_x = T(x_x; net(frozen)_x) on active ones.

    **Arguments:**

    - `lattice_shape`.
    - `transformer`: T.
    - `conditioners`: networks of one configuration, whose outputs, one after another,
      are the parameters of T; one odd and one even network make an equivariant layer.
    - `splitting`, `parity`, `axis`: as `active_sites`.

    **Raises:** `ValueError` for a bad splitting or a wrong number of outputs.
    """

    transformer: AbstractTransformer
    conditioners: tuple[Conditioner, ...]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    splitting: str = eqx.field(static=True)
    parity: int = eqx.field(static=True)
    axis: int = eqx.field(static=True)

    def __init__(
        self,
        lattice_shape: tuple[int, ...],
        transformer: AbstractTransformer,
        conditioners: tuple[Conditioner, ...],
        splitting: str,
        parity: int,
        axis: int = 0,
    ):
        active_sites(lattice_shape, splitting, parity, axis)
        self.transformer = transformer
        self.conditioners = tuple(conditioners)
        self.lattice_shape = tuple(lattice_shape)
        self.splitting = splitting
        self.parity = parity
        self.axis = axis
        wanted = (transformer.n_odd + transformer.n_even, *lattice_shape)
        found = eqx.filter_eval_shape(self._parameters, jnp.zeros(lattice_shape)).shape
        if found != wanted:
            raise ValueError(
                f"{type(transformer).__name__} wants parameters of shape {wanted}, "
                f"the conditioners give {found}"
            )

    def apply(
        self, x: Float[Array, "*lattice"], direction: Direction
    ) -> tuple[Float[Array, "*lattice"], Float[Array, ""]]:
        active = self._active()
        parameters = self._parameters(jnp.where(active, 0, x))
        y, log_slope = self.transformer.apply(x, parameters, direction)
        return jnp.where(active, y, x), _log_det(active, log_slope)

    def apply_with_score(
        self,
        x: Float[Array, "*lattice"],
        score: Float[Array, "*lattice"],
        direction: Direction,
    ) -> tuple[Float[Array, "*lattice"], Float[Array, ""], Float[Array, "*lattice"]]:
        """One pass through the networks and one back, to their input.

        J is triangular and its active block diagonal, so Jᵀ is solved by hand: first
        the active part of the score, then the frozen one.
        """
        active = self._active()
        parameters, pull_network = jax.vjp(self._parameters, jnp.where(active, 0, x))
        y, _ = self.transformer.apply(x, parameters, direction)

        frozen, x_still, parameters = lax.stop_gradient(
            (self.transformer, x, parameters)
        )
        (_, log_slope), pull = jax.vjp(
            lambda x, parameters: frozen.apply(x, parameters, direction),
            x_still,
            parameters,
        )
        every = active.astype(x.dtype)
        score = lax.stop_gradient(score).astype(x.dtype)
        own, _ = pull((jnp.zeros_like(x), every))
        moved = every * (score - own) * jnp.exp(-log_slope)
        _, parameters_bar = pull((moved, every))
        (frozen_bar,) = pull_network(parameters_bar)
        score = jnp.where(active, moved, score - frozen_bar)
        log_det, score = lax.stop_gradient((_log_det(active, log_slope), score))
        return jnp.where(active, y, x), log_det, score

    def _active(self) -> Array:
        return jnp.asarray(
            active_sites(self.lattice_shape, self.splitting, self.parity, self.axis)
        )

    def _parameters(
        self, frozen: Float[Array, "*lattice"]
    ) -> Float[Array, "n_parameters *lattice"]:
        return jnp.concatenate([net(frozen) for net in self.conditioners])


def _log_det(active: Array, log_slope: Float[Array, "*lattice"]) -> Float[Array, ""]:
    wide = jax.dtypes.canonicalize_dtype(jnp.float64)
    return jnp.sum(jnp.where(active, log_slope, 0), dtype=wide)
