"""A Gaussian prior carried by a bijection."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from genlat import lattice
from genlat.likelihood import EXACT, Likelihood
from genlat.models import fourier
from genlat.models.bijections.base import AbstractBijection
from genlat.models.gaussian import GaussianPair
from genlat.models.prior import AbstractPrior, AbstractPriorFlow


class Flow(AbstractPriorFlow):
    r"""φ = f(z), z ~ q₀: log q(φ) = log q₀(z) - ln |∂φ/∂z|.

    **Raises:** `ValueError` for a prior and a bijection of different lattices.
    """

    prior: AbstractPrior
    bijection: AbstractBijection
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    likelihood: ClassVar[Likelihood] = EXACT

    def __init__(self, prior: AbstractPrior, bijection: AbstractBijection):
        if prior.lattice_shape != bijection.lattice_shape:
            raise ValueError(
                f"prior on {prior.lattice_shape}, bijection on "
                f"{bijection.lattice_shape}"
            )
        self.prior = prior
        self.bijection = bijection
        self.lattice_shape = prior.lattice_shape

    def sample_batch(
        self, keys: Key[Array, " n"]
    ) -> tuple[Float[Array, "n *lattice"], Float[Array, " n"]]:
        zs, log_q = self.prior.sample_batch(keys)
        phis, log_det = jax.vmap(self.bijection.forward_and_log_det)(zs)
        return phis, log_q - log_det

    def sample_batch_with_score(
        self, keys: Key[Array, " n"]
    ) -> tuple[
        Float[Array, "n *lattice"],
        Float[Array, " n"],
        Float[Array, "n *lattice"],
    ]:
        """`sample_batch` and the score ∂ log q/∂φ, carried along from the prior's.

        Only φ depends differentiably on the parameters.

        **Source:** Vaitl et al., arXiv:2403.15881.
        """
        zs, log_q, score = self.prior.sample_batch_with_score(keys)
        phis, log_det, score = jax.vmap(self.bijection.forward_with_score)(zs, score)
        return phis, log_q - log_det, score

    def log_prob_batch(self, phis: Float[Array, "n *lattice"]) -> Float[Array, " n"]:
        zs, log_det = jax.vmap(self.bijection.inverse_and_log_det)(phis)
        return self.prior.log_prob_batch(zs) + log_det

    def pull_back_batch(
        self,
        phis: Float[Array, "n *lattice"],
        score: Float[Array, "n *lattice"],
    ) -> tuple[
        Float[Array, "n *lattice"],
        Float[Array, " n"],
        Float[Array, "n *lattice"],
    ]:
        r"""z = f⁻¹(φ), log q(φ), and ∂_z ln p_z - ∂_z ln q₀ from `score` = ∂_φ ln p.

        p_z is the density of z for φ ~ p. Only z is differentiable, in the parameters
        of the prior too: z is measured in units of q₀ as it is, so that where the prior
        widens, z shrinks. Thus E_p of Σ_x z_x times the difference has the gradient of
        KL(p_z||q₀).

        **Source:** Vaitl et al., arXiv:2403.15881.
        """
        assert isinstance(self.prior, GaussianPair)  # asked for by `why_unfit`
        zs, log_det, score = jax.vmap(self.bijection.inverse_with_score)(phis, score)
        frozen, still = lax.stop_gradient((self.prior, zs))
        modes = fourier.enter(still)
        log_q = frozen.log_prob_modes(modes) + log_det
        mismatch = score - fourier.leave(frozen.score_modes(modes))
        zs = zs - fourier.leave(_prior_motion(self.prior, fourier.enter(zs)))
        return zs, *lax.stop_gradient((log_q, mismatch))


def _prior_motion(
    prior: GaussianPair, modes: Float[Array, "time n *space"]
) -> Float[Array, "time n *space"]:
    r"""0, with the derivative in the prior's parameters of its draws at `modes`.

    The flow that carries q₀ along when a parameter changes moves a mode z = σε by
    z dln σ. The zero mode ±μ + σε of a pair moves by ⟨±⟩ dμ + (z - ⟨±⟩ μ) dln σ with
    ⟨±⟩ = tanh(μz/σ²), the mean sign of those that are at z.
    """
    index, _ = lattice.momentum_orbits(prior.lattice_shape)
    change = prior.log_std - lax.stop_gradient(prior.log_std)
    if prior.mean is None:
        return modes * change[index][:, None]
    zero = (0, slice(None), *(0,) * (modes.ndim - 2))
    root = math.sqrt(lattice.volume(prior.lattice_shape))
    mean, log_std = lax.stop_gradient((prior.mean, prior.log_std[0]))
    slope = mean * root * jnp.exp(-2 * log_std)
    is_pair = prior.wells == "both"
    side = jnp.tanh(modes[zero] * slope) if is_pair else jnp.ones_like(modes[zero])
    around = modes.at[zero].add(-side * mean * root)
    motion = around * change[index][:, None]
    return motion.at[zero].add(side * root * (prior.mean - mean))
