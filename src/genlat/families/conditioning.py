"""Models that are functions of a coupling: how a run makes them, and takes them."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Literal

from genlat.models.base import AbstractModel
from genlat.models.conditional import Conditional, Trainable
from genlat.theories.base import AbstractTheorySection

Side = Literal["below", "above"] | None
"""Of the transition, the node given twice; None where there is none."""

Build = Callable[[dict[str, float], Side], AbstractModel]
"""The model of one node: couplings by name, and where it stands."""


def tabulate(nodes: Mapping[str, tuple[float, ...]], build: Build) -> Trainable:
    """What `build` makes at every node, as one model; without nodes that of none."""
    if not nodes:
        return build({}, None)
    return _along(list(nodes.items()), build, {}, None)


def at(
    model: Trainable, nodes: Mapping[str, object], theory: AbstractTheorySection
) -> Trainable:
    """The model at the couplings of a theory."""
    for name in nodes:
        assert isinstance(model, Conditional)
        model = model.at(getattr(theory, name))
    return model


def outside(
    nodes: Mapping[str, tuple[float, ...]], theory: AbstractTheorySection
) -> dict[str, dict[str, float]]:
    """Couplings of a theory that lie outside of the nodes, with the interval's ends."""
    values = {name: float(getattr(theory, name)) for name in nodes}
    return {
        name: {"value": value, "first": nodes[name][0], "last": nodes[name][-1]}
        for name, value in values.items()
        if not nodes[name][0] <= value <= nodes[name][-1]
    }


def _along(
    axes: list[tuple[str, tuple[float, ...]]],
    build: Build,
    couplings: dict[str, float],
    side: Side,
) -> Trainable:
    if not axes:
        return build(couplings, side)
    (name, nodes), *rest = axes
    sides: list[Side] = [side] * len(nodes)
    for index, (before, after) in enumerate(pairwise(nodes), start=1):
        if before == after:
            below: list[Side] = ["below"]
            above: list[Side] = ["above"]
            sides = below * index + above * (len(nodes) - index)
    models = [
        _along(rest, build, {**couplings, name: node}, own)
        for node, own in zip(nodes, sides, strict=True)
    ]
    return Conditional(models, nodes)
