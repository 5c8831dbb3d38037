"""Whether the model fits the lattice, and the run it starts from. No JAX here."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from genlat.errors import DamagedError
from genlat.families.base import AbstractModelSection
from genlat.runs.file import memory, source
from genlat.schema import Problem
from genlat.theories.base import AbstractTheorySection, Moves


def problems(
    theory: AbstractTheorySection, model: AbstractModelSection
) -> Iterator[Problem]:
    """What is wrong with a model for this theory."""
    if theory.SPACE not in model.SPACES:
        whose = " or ".join(space.title for space in model.SPACES)
        allowed = f"is for {whose}, {theory.name} has {theory.SPACE.title}"
        yield "model.name", model.name, allowed
        return
    if model.init != "scratch":
        try:
            reason = source.why_unfit(Path(model.init), theory, model)
        except DamagedError as error:
            reason = str(error)
        if reason is not None:
            yield "model.init", model.init, reason
    if len(set(model.symmetrize)) < len(model.symmetrize):
        yield "model.symmetrize", list(model.symmetrize), "names a group twice"
    elif model.symmetrize and _order(theory, model) == 1:
        allowed = f"changes nothing on the shape {list(theory.shape)}: leave it out"
        yield "model.symmetrize", list(model.symmetrize), allowed
    yield from model.problems(theory)
    yield from asymmetric(theory, "model.symmetrize", model.symmetrize)
    yield from _nodes(theory, model)


def _order(theory: AbstractTheorySection, model: AbstractModelSection) -> int:
    return memory.group_order(theory.shape, model.symmetrize, theory.n_components)


def asymmetric(
    theory: AbstractTheorySection, field: str, names: tuple[Moves, ...]
) -> Iterator[Problem]:
    """Symmetries that this theory does not declare."""
    if broken := [name for name in names if name not in theory.symmetries]:
        allowed = f"{broken[0]} is no symmetry of this theory"
        if broken[0] == "sign" and theory.ODD:
            allowed += f": a {' or '.join(theory.ODD)} breaks it"
        yield field, list(names), allowed


def _nodes(
    theory: AbstractTheorySection, model: AbstractModelSection
) -> Iterator[Problem]:
    """A conditional model: couplings of the theory, in increasing order."""
    for name, nodes in model.nodes.items():
        field, value = f"model.nodes.{name}", list(nodes)
        if name not in theory.arrays:
            known = ", ".join(theory.arrays) or "none in this form of the theory"
            yield field, value, f"a model can be a function of {known}"
            continue
        steps = [after - before for before, after in pairwise(nodes)]
        is_triple = any(a == b == 0 for a, b in pairwise(steps))
        if not any(steps) or min(steps) < 0 or is_triple or 0 in (steps[0], steps[-1]):
            allowed = "wants couplings in increasing order; one inside may come twice"
            yield field, value, allowed
        elif 0 in steps and (reason := model.why_no_node_twice()):
            yield field, value, reason
