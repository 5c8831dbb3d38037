"""Two Gaussian phases at once: ±v and fluctuations around 0, shares learned."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Array, Bool, Float, Key, PyTree, Shaped

from genlat.likelihood import EXACT, Likelihood
from genlat.models.gaussian import GaussianPair
from genlat.models.prior import AbstractPrior, Pad

# m: what the share of a phase never falls below
_LEAST = 0.02


class PhaseMixture(AbstractPrior):
    r"""q₀ = (1 - s) q_broken + s q_symmetric, s = m + (1 - 2m) σ(`logit`), m = 0.02.

    Near a transition in a finite volume both phases have their share, and neither
    Gaussian reaches the other's: ±v has no domain walls, and a flow of one Gaussian
    around 0 makes too few of them. The shares are learned: which phase a draw is of is
    a discrete choice, so gradients through draws need a score term (`log_choice`). No
    share falls below m: a phase that is never drawn would learn nothing, and where p
    has any of it the weights are bounded by 1/m times those of that phase alone.

    **Source:** a floor under the shares is the defensive mixture of Hesterberg,
    Technometrics 37, 185 (1995).

    **Arguments:**

    - `broken`: the pair ±v.
    - `symmetric`: centred at 0, on the same lattice.
    - `share`: initial s, m < s < 1 - m.

    **Raises:** `ValueError` for other Gaussians or shares.
    """

    broken: GaussianPair
    symmetric: GaussianPair
    logit: Float[Array, ""]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    likelihood: ClassVar[Likelihood] = EXACT

    def __init__(self, broken: GaussianPair, symmetric: GaussianPair, share: float):
        if broken.lattice_shape != symmetric.lattice_shape:
            raise ValueError(
                f"phases on {broken.lattice_shape} and {symmetric.lattice_shape}"
            )
        if broken.mean is None or symmetric.mean is not None:
            raise ValueError("wanted a pair ±v and a Gaussian around 0")
        if not _LEAST < share < 1 - _LEAST:
            allowed = f"between {_LEAST} and {1 - _LEAST}"
            raise ValueError(f"share must be {allowed}, got {share}")
        self.broken = broken
        self.symmetric = symmetric
        free = jnp.asarray((share - _LEAST) / (1 - 2 * _LEAST), jnp.float32)
        self.logit = jax.scipy.special.logit(free)
        self.lattice_shape = broken.lattice_shape

    def share(self) -> Float[Array, ""]:
        """s, float64."""
        wide = jax.dtypes.canonicalize_dtype(jnp.float64)
        return _LEAST + (1 - 2 * _LEAST) * jax.nn.sigmoid(self.logit.astype(wide))

    def as_pair(self) -> "PhaseMixture":
        """Itself."""
        return self

    def on(self, lattice_shape: tuple[int, ...], pad: Pad) -> "PhaseMixture":
        phases = (x.on(lattice_shape, pad) for x in (self.broken, self.symmetric))
        mixture = PhaseMixture(*phases, share=0.5)
        return eqx.tree_at(lambda prior: prior.logit, mixture, self.logit)

    def sample_modes(
        self, keys: Key[Array, " n"]
    ) -> tuple[Float[Array, "time n *space"], Float[Array, " n"]]:
        """As those of `GaussianPair`, whose noise both phases share."""
        broken, _ = self.broken.sample_modes(keys)
        symmetric, _ = self.symmetric.sample_modes(keys)
        modes = jnp.where(_as_factor(self._choose(keys), broken), symmetric, broken)
        return modes, self.log_prob_modes(modes)

    def log_prob_modes(
        self, modes: Float[Array, "time n *space"]
    ) -> Float[Array, " n"]:
        share = self.share()
        return jnp.logaddexp(
            jnp.log1p(-share) + self.broken.log_prob_modes(modes),
            jnp.log(share) + self.symmetric.log_prob_modes(modes),
        )

    def score_modes(
        self, modes: Float[Array, "time n *space"]
    ) -> Float[Array, "time n *space"]:
        """∂ log q/∂modes: those of the phases, by their shares of q at `modes`."""
        log_ratio = self.symmetric.log_prob_modes(modes) - self.broken.log_prob_modes(
            modes
        )
        logit = jax.scipy.special.logit(self.share())
        share = _as_factor(jax.nn.sigmoid(logit + log_ratio).astype(modes.dtype), modes)
        symmetric, broken = (
            phase.score_modes(modes) for phase in (self.symmetric, self.broken)
        )
        return share * symmetric + (1 - share) * broken

    def log_choice(self, keys: Key[Array, " n"]) -> Float[Array, " n"]:
        share = self.share()
        log_p = jnp.where(self._choose(keys), jnp.log(share), jnp.log1p(-share))
        return log_p - lax.stop_gradient(log_p)

    def _choose(self, keys: Key[Array, " n"]) -> Bool[Array, " n"]:
        """Whether the draw of a key is of the symmetric phase."""
        share = lax.stop_gradient(self.share())
        # a stream of its own beside those that `GaussianPair` splits from a key
        draw = jax.vmap(lambda key: jr.uniform(jr.fold_in(key, 2)))
        return draw(keys) < share


def makes_choices(model: PyTree) -> bool:
    """Whether drawing from a model involves discrete choices that depend on parameters.

    Gradients through draws then miss the derivative of their probabilities.
    """
    leaves = jax.tree.leaves(model, is_leaf=lambda node: isinstance(node, PhaseMixture))
    return any(isinstance(leaf, PhaseMixture) for leaf in leaves)


def _as_factor(values: Shaped[Array, " n"], modes: Array) -> Array:
    """One number per configuration, in the layout of a batch."""
    return values.reshape(1, -1, *(1,) * (modes.ndim - 2))
