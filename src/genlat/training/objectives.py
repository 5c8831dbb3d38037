"""What training minimises: objectives whose autodiff gradient is the one wanted."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from genlat.actions.base import AbstractAction
from genlat.models.base import AbstractFlow


class AbstractObjective(eqx.Module):
    """A scalar loss of a batch, one key per configuration."""

    @abstractmethod
    def __call__(
        self, model: AbstractFlow, action: AbstractAction, keys: Key[Array, " n"]
    ) -> tuple[Float[Array, ""], Float[Array, " n"]]:
        """The loss, and the batch's log-weights -S - log q."""


class ReverseKL(AbstractObjective):
    """E_q[S + log q] = KL(q||p) - ln Z with the total (reparametrised) gradient.

    Differentiates the integrated divergence too, which lets coarse integrators be
    exploited; `PathReverseKL` does not.
    """

    def __call__(
        self, model: AbstractFlow, action: AbstractAction, keys: Key[Array, " n"]
    ) -> tuple[Float[Array, ""], Float[Array, " n"]]:
        phis, log_q = model.sample_batch(keys)
        log_w = -jax.vmap(action, in_axes=1)(phis) - log_q
        return -jnp.mean(log_w), log_w


class PathReverseKL(AbstractObjective):
    r"""The same loss with the path gradient, of lower variance near the optimum.

    Of the total derivative it keeps the part through the configurations,
    E[(∂_φ log q + ∂_φ S) · ∂φ/∂θ], and drops the score term ∂_θ log q(φ), whose mean is
    zero. At q = p it vanishes configuration by configuration.

    **Source:** Roeder et al., arXiv:1703.09194; Vaitl et al., arXiv:2206.09016.
    """

    def __call__(
        self, model: AbstractFlow, action: AbstractAction, keys: Key[Array, " n"]
    ) -> tuple[Float[Array, ""], Float[Array, " n"]]:
        phis, log_q, score = model.sample_batch_with_score(keys)
        still = lax.stop_gradient(phis)
        log_w = -jax.vmap(action, in_axes=1)(still) - log_q
        gradient = score - jax.vmap(action.force, in_axes=1, out_axes=1)(still)
        along_path = jnp.sum(phis * gradient) / len(keys)
        loss = -jnp.mean(log_w) + along_path - lax.stop_gradient(along_path)
        return loss, log_w
