"""Training one conditional model at all couplings of its interval."""

import math
from typing import ClassVar, Literal, TypeVar

import equinox as eqx
import jax
import jax.random as jr
from jaxtyping import Array, Float, Key, ScalarLike

from genlat.actions.base import AbstractAction
from genlat.models.conditional import Conditional, Trainable
from genlat.training.objectives import AbstractObjective

A = TypeVar("A", bound=AbstractAction)


class AcrossCouplings(AbstractObjective):
    """An objective on draws of q at random couplings, others in every slice of a batch.

    Uniform over the intervals between the nodes of a `Conditional`, so its gradient is
    that of the mean loss over them, and unbiased where the objective's is.

    **Arguments:**

    - `objective`: of a model at fixed couplings, on draws of q.
    - `names`: the arrays of the action that are the couplings, such as `kappa`; the
      first is that of the outermost `Conditional`.

    **Raises:** `ValueError` for an objective on samples of p: they are of one coupling.
    """

    objective: AbstractObjective
    names: tuple[str, ...] = eqx.field(static=True)
    side: ClassVar[Literal["q", "p"]] = "q"
    # whatever the objective: every slice is a batch at couplings of its own
    is_additive: ClassVar[bool] = True

    def __check_init__(self):
        if self.objective.side != "q":
            raise ValueError(
                f"{type(self.objective).__name__} trains on samples of p, which are of "
                "one coupling: a conditional model needs draws of its own"
            )

    def __call__(
        self, model: Trainable, action: AbstractAction, keys: Key[Array, " n"]
    ) -> tuple[Float[Array, ""], Float[Array, " n"]]:
        positions = jr.uniform(jr.fold_in(keys[0], 1), (len(self.names),))
        for name, position in zip(self.names, positions, strict=True):
            assert isinstance(model, Conditional)
            coupling = model.coupling(position)
            action, model = with_coupling(action, name, coupling), model.at(coupling)
        assert not isinstance(model, Conditional)
        loss, log_w = self.objective(model, action, keys)
        # relative to the mean weight: other slices are of another Z
        return loss, log_w - jax.nn.logsumexp(log_w) + math.log(len(keys))

    def why_unfit(self, model: Trainable) -> str | None:
        for _ in self.names:
            if not isinstance(model, Conditional):
                return f"{type(model).__name__} is not conditional on a coupling"
            model = model.at(model.nodes[0])
        if isinstance(model, Conditional):
            return "the model is conditional on more couplings than are named"
        return self.objective.why_unfit(model)


def with_coupling(action: A, name: str, value: ScalarLike) -> A:
    """The same theory at another coupling, an array of the action by its name."""
    return eqx.tree_at(lambda action: getattr(action, name), action, value)
