"""One model for an interval of couplings: parameters interpolated between nodes."""

from collections.abc import Sequence
from typing import Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, ScalarLike

from genlat.models.base import AbstractModel

M = TypeVar("M", bound=eqx.Module)


class Conditional(eqx.Module, Generic[M]):
    r"""q(φ | c): at every coupling c a model of one architecture.

    Models of a conditional model make one of two couplings.

    Its parameters are those at the nodes, θ_i, interpolated linearly,

    $$\theta(c) = \frac{(c_{i+1} - c)\,\theta_i + (c - c_i)\,\theta_{i+1}}
                       {c_{i+1} - c_i}, \qquad c_i \le c \le c_{i+1},$$

    so that every c has an exact likelihood and training at c teaches its two
    neighbours. A node given twice is a jump: there the model changes its kind, as
    across a phase transition. Outside of the nodes the model is that of the last one.

    **Arguments:**

    - `models`: one for every node, equal but for the values of their arrays.
    - `nodes`: couplings, at least two, in increasing order; those inside may come
      twice. (Of one that came twice at an end, a model would never be asked.)

    **Raises:** `ValueError` for nodes or models that do not fit.
    """

    table: M
    nodes: tuple[float, ...] = eqx.field(static=True)

    def __init__(self, models: Sequence[M], nodes: Sequence[float]):
        steps = np.diff(nodes)
        is_triple = np.any((steps[1:] == 0) & (steps[:-1] == 0))
        is_wrong = len(nodes) < 2 or np.any(steps < 0) or is_triple
        if is_wrong or 0 in (steps[0], steps[-1]):
            raise ValueError(
                f"nodes must increase, at least two; one inside may come twice: {nodes}"
            )
        structures = {jax.tree.structure(model) for model in models}
        if len(models) != len(nodes) or len(structures) != 1:
            raise ValueError(
                f"{len(nodes)} nodes need as many models of one architecture, got "
                f"{len(models)} of {len(structures)}"
            )
        self.table = jax.tree.map(lambda *leaves: jnp.stack(leaves), *models)
        self.nodes = tuple(float(node) for node in nodes)

    def at(self, coupling: ScalarLike) -> M:
        """The model at one coupling."""
        weights = self.weights(coupling)
        trainable, fixed = eqx.partition(self.table, eqx.is_inexact_array)
        between = jax.tree.map(
            lambda leaf: jnp.tensordot(weights.astype(leaf.dtype), leaf, 1), trainable
        )
        return eqx.combine(between, jax.tree.map(lambda leaf: leaf[0], fixed))

    def weights(self, coupling: ScalarLike) -> Float[Array, " nodes"]:
        """The share of every node in the model at a coupling; they sum to 1."""
        nodes = jnp.asarray(self.nodes)
        c = jnp.clip(jnp.asarray(coupling, nodes.dtype), nodes[0], nodes[-1])
        # the interval that holds c; never one of no length
        right = jnp.searchsorted(nodes, c, side="right")
        right = jnp.minimum(right, len(self.nodes) - 1)
        left = right - 1
        share = (c - nodes[left]) / (nodes[right] - nodes[left])
        index = jnp.arange(len(self.nodes))
        return jnp.where(index == right, share, 0) + jnp.where(
            index == left, 1 - share, 0
        )

    def coupling(self, position: ScalarLike) -> Float[Array, ""]:
        """The coupling at a position in [0, 1], the intervals being equally long.

        A uniform position visits all nodes equally often, however dense they are.
        """
        lengths = np.diff(self.nodes)
        ends = np.concatenate([[0.0], np.cumsum(lengths > 0)])
        keep = np.concatenate([[True], lengths > 0])
        return jnp.interp(
            jnp.asarray(position, float) * ends[-1],
            jnp.asarray(ends[keep]),
            jnp.asarray(np.asarray(self.nodes)[keep]),
        )


Trainable = AbstractModel | Conditional
"""What a training loop changes the parameters of."""
