"""Training one conditional model at all couplings of its interval."""

import equinox as eqx
import jax.random as jr
from jaxtyping import Array, Float, Key

from genlat.actions.base import AbstractAction
from genlat.models.conditional import Conditional
from genlat.training.objectives import AbstractObjective


class AcrossCouplings(AbstractObjective):
    """An objective at a random coupling, another in every step.

    **Arguments:**

    - `objective`: of a model at one coupling.
    - `name`: the array of the action that is the coupling, such as `kappa`.
    """

    objective: AbstractObjective
    name: str = eqx.field(static=True)

    def __call__(
        self, model: Conditional, action: AbstractAction, keys: Key[Array, " n"]
    ) -> tuple[Float[Array, ""], Float[Array, " n"]]:
        coupling = model.coupling(jr.uniform(jr.fold_in(keys[0], 1)))
        there = with_coupling(action, self.name, coupling)
        return self.objective(model.at(coupling), there, keys)


def with_coupling(
    action: AbstractAction, name: str, value: Float[Array, ""]
) -> AbstractAction:
    """The same theory at another coupling."""
    return eqx.tree_at(lambda action: getattr(action, name), action, value)
