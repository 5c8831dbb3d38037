"""Whether the model fits the lattice, and the run it starts from. No JAX here."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from genlat.errors import DamagedError
from genlat.estimators import requirements
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
    lacking = list(asymmetric(theory, "model.symmetrize", model.symmetrize))
    if len(set(model.symmetrize)) < len(model.symmetrize):
        yield "model.symmetrize", list(model.symmetrize), "names a group twice"
    elif model.symmetrize and not lacking and _order(theory, model) == 1:
        allowed = f"changes nothing {_where(theory, model)}: leave it out"
        yield "model.symmetrize", list(model.symmetrize), allowed
    yield from model.problems(theory)
    yield from lacking
    yield from _nodes(theory, model)


def _order(theory: AbstractTheorySection, model: AbstractModelSection) -> int:
    return memory.group_order(theory.shape, model.symmetrize, theory.n_components)


def _where(theory: AbstractTheorySection, model: AbstractModelSection) -> str:
    """What there is too little of for its groups to have a second element."""
    moved = {*model.symmetrize}
    places = [f"on the shape {list(theory.shape)}"] if moved - {"permutations"} else []
    return " ".join(places + ["of one component"] * ("permutations" in moved))


def asymmetric(
    theory: AbstractTheorySection, field: str, names: tuple[Moves, ...]
) -> Iterator[Problem]:
    """Symmetries that this theory does not declare, each with what is against it."""
    has = theory.symmetries
    reasons = [theory.why_no_symmetry(name) for name in names if name not in has]
    if reasons:
        yield field, list(names), "; ".join(dict.fromkeys(reasons))


def likelihood(
    model: AbstractModelSection, methods: tuple[str, ...], named: list[str]
) -> Iterator[Problem]:
    """What is asked of a model must be what its likelihood gives, and something.

    **Arguments:** `named`: the estimators among the methods of a run file.
    """
    field, value = "estimate.methods", list(methods)
    refusals = {x: requirements.refusal(x, model.LIKELIHOOD) for x in named}
    for method, reason in refusals.items():
        if reason is not None:
            yield field, value, f"{method} of a {model.name}: {reason}"
    of_averages = requirements.answer("averages", model.LIKELIHOOD)
    if of_averages.status == "refused" and not any(refusals.values()):
        allowed = f"no estimator is left of a {model.name}: {of_averages.reason}"
        yield field, value, allowed


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
