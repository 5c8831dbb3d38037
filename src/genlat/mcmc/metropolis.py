"""Local Metropolis updates in checkerboard order."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, PRNGKeyArray, ScalarLike

from genlat import lattice
from genlat.actions.base import AbstractScalarInField, AnyScalar
from genlat.actions.declared import require_couplings, without_field
from genlat.mcmc.base import AbstractTunableKernel, ChainInfo, ChainState
from genlat.mcmc.loops import repeat
from genlat.mcmc.noise import uniform


class Metropolis(AbstractTunableKernel):
    """φ_x → φ_x + `step_size` · u, u uniform in [-1, 1), all even sites, then all odd.

    The unit of Monte Carlo time is one sweep: every site proposed once. Local, and
    blind to the other sign in the broken phase.

    **Source:** Metropolis et al., J. Chem. Phys. 21, 1087 (1953).

    **Arguments:**

    - `action`: a scalar theory with nearest-neighbour hopping, in a field or not;
      extents even or 1.
    - `step_size`: half width of the proposal, > 0. The default is a start for tuning.
    - `target_acceptance`: what thermalisation tunes `step_size` to, in (0, 1); 0.5 is
      near the optimum of one-dimensional random walks and the optimum is flat.

    **Raises:** `ValueError` for an odd extent, an argument out of its range or an S
    that is not that of the couplings alone.
    """

    action: AnyScalar
    step_size: Float[Array, ""]
    target_acceptance: float = eqx.field(static=True)

    def __init__(
        self,
        action: AnyScalar,
        step_size: ScalarLike = 1.0,
        target_acceptance: float = 0.5,
    ):
        require_couplings(without_field(action), "Metropolis")
        lattice.checkerboard_mask(action.lattice_shape, 0)  # raises for odd extents
        if not isinstance(step_size, Tracer) and not np.asarray(step_size) > 0:
            raise ValueError(f"step_size must be positive, got {step_size}")
        if not 0 < target_acceptance < 1:
            raise ValueError(
                f"target_acceptance must be in (0, 1), got {target_acceptance}"
            )
        self.action = action
        self.step_size = jnp.asarray(step_size, dtype=float)
        self.target_acceptance = target_acceptance

    def init(self, phi: Float[Array, "*lattice"]) -> ChainState:
        return ChainState(phi, self.action(phi))

    def step(
        self, key: PRNGKeyArray, state: ChainState
    ) -> tuple[ChainState, ChainInfo]:
        key_proposal, key_accept = jr.split(key)
        phi = state.phi
        unit = 2 * uniform(key_proposal, phi.shape, phi.dtype) - 1
        shift = self.step_size.astype(phi.dtype) * unit
        log_u = jnp.log(uniform(key_accept, phi.shape, phi.dtype))
        masks = [lattice.checkerboard_mask(phi.shape, parity) for parity in (0, 1)]
        phi, acceptance = repeat(
            _update_half,
            (phi, jnp.zeros_like(phi)),
            (self.action, shift, log_u),
            np.stack(masks),
        )
        mean = jnp.sum(acceptance, dtype=state.action.dtype) / phi.size
        return self.init(phi), ChainInfo(mean, jnp.zeros_like(mean))


def _update_half(
    carry: tuple[Float[Array, "*lattice"], Float[Array, "*lattice"]],
    parameters: tuple[AnyScalar, Float[Array, "*lattice"], Float[Array, "*lattice"]],
    mask: Bool[Array, "*lattice"],
) -> tuple[Float[Array, "*lattice"], Float[Array, "*lattice"]]:
    """Propose at the sites of `mask`, whose neighbours are all outside it."""
    phi, acceptance = carry
    action, shift, log_u = parameters
    proposal = phi + shift
    change = local_change(action, phi, proposal)
    accepted = mask & (log_u < -change)  # False for NaN: the old value stays
    probability = jnp.where(jnp.isnan(change), 0, jnp.exp(jnp.minimum(-change, 0)))
    return (
        jnp.where(accepted, proposal, phi),
        jnp.where(mask, probability, acceptance),
    )


def local_change(
    action: AnyScalar,
    phi: Float[Array, "*lattice"],
    proposal: Float[Array, "*lattice"],
) -> Float[Array, "*lattice"]:
    """S with only φ_x replaced by the proposal at x, less S(φ): one number per site.

    The two neighbours along an axis of extent 1 are the site itself and move with it.
    """
    if isinstance(action, AbstractScalarInField):
        gain = action.field.astype(phi.dtype) * (proposal - phi)
        return local_change(action.even, phi, proposal) - gain
    h, a, b = (
        coupling.astype(phi.dtype)
        for coupling in (action.hopping, action.quadratic, action.quartic)
    )
    n_self = sum(extent == 1 for extent in phi.shape)
    neighbours = lattice.neighbour_sum(phi) - 2 * n_self * phi
    new2, old2 = proposal * proposal, phi * phi
    potential = (a - 2 * h * n_self + b * (new2 + old2)) * (new2 - old2)
    return potential - 2 * h * (proposal - phi) * neighbours
