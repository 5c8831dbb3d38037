"""Whether the model fits the lattice, and the run it starts from. No JAX here."""

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from genlat.errors import DamagedError
from genlat.families.model_sections import (
    AbstractFlowSection,
    AbstractSpinSection,
    CoarseToFineSection,
    CouplingSection,
    ModelSection,
    PixelCnnSection,
)
from genlat.models.autoregressive import classes
from genlat.runs.file import memory, source
from genlat.schema import Problem
from genlat.theories.base import AbstractTheorySection, Group


def problems(theory: AbstractTheorySection, model: ModelSection) -> Iterator[Problem]:
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
    elif model.symmetrize and memory.group_order(theory.shape, model.symmetrize) == 1:
        allowed = f"changes nothing on the shape {list(theory.shape)}: leave it out"
        yield "model.symmetrize", list(model.symmetrize), allowed
    if isinstance(model, CouplingSection):
        yield from _coupling(theory, model)
    if isinstance(model, AbstractSpinSection):
        yield from _spins(theory, model)
    yield from asymmetric(theory, "model.symmetrize", model.symmetrize)
    yield from _nodes(theory, model)


def asymmetric(
    theory: AbstractTheorySection, field: str, names: tuple[Group, ...]
) -> Iterator[Problem]:
    """Symmetries that this theory does not declare."""
    if broken := [name for name in names if name not in theory.symmetries]:
        allowed = f"{broken[0]} is no symmetry of this theory"
        if broken[0] == "sign" and theory.ODD:
            allowed += f": a {' or '.join(theory.ODD)} breaks it"
        yield field, list(names), allowed


def _nodes(theory: AbstractTheorySection, model: ModelSection) -> Iterator[Problem]:
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
        elif 0 in steps and isinstance(model, AbstractSpinSection):
            yield field, value, "names a coupling twice: spins have no prior to change"
    is_flow = isinstance(model, AbstractFlowSection)
    if model.nodes and is_flow and model.wells == "one":
        yield "model.wells", model.wells, "a conditional model has no single well"


def _spins(
    theory: AbstractTheorySection, model: AbstractSpinSection
) -> Iterator[Problem]:
    """What the networks of spins ask of a lattice, and of a field."""
    shape, extent = list(theory.shape), theory.shape[0]
    is_flat = len(shape) == 2
    if model.name != "made" and not is_flat:
        yield "model.name", model.name, f"wants two extents, shape is {shape}: use made"
    elif isinstance(model, CoarseToFineSection):
        try:
            classes.coarsest(theory.shape)
        except ValueError as error:
            yield "theory.shape", shape, str(error)
    elif isinstance(model, PixelCnnSection):
        k = model.half_kernel
        if k >= shape[0] or 2 * k + 1 > shape[1]:
            allowed = f"kernels of {2 * k + 1} do not fit the shape {shape}"
            yield "model.half_kernel", k, allowed
    elif model.name == "hierarchical":
        if shape != [extent, extent] or extent < 2 or extent & (extent - 1):
            allowed = f"wants a square of extent 2, 4, 8, ..., shape is {shape}"
            yield "model.name", model.name, allowed
        for name in theory.ODD:
            if (value := getattr(theory, name)) or name in model.nodes:
                allowed = f"hierarchical has heat baths without {name}: use another"
                yield f"theory.{name}", value, f"{allowed} model"
    odd = [name for name in theory.ODD if name in model.nodes]
    if odd and "sign" in model.symmetrize and "sign" in theory.symmetries:
        allowed = f"a {odd[0]} breaks the symmetry sign"
        yield "model.symmetrize", list(model.symmetrize), allowed


def _coupling(
    theory: AbstractTheorySection, model: CouplingSection
) -> Iterator[Problem]:
    shape = list(theory.shape)
    if model.prior == "normal" and model.wells in ("one", "none", "mixed"):
        yield "model.wells", model.wells, 'prior = "normal" has no wells: leave it out'
    if math.prod(shape) < 2:
        yield "model.name", model.name, "a coupling needs at least two sites"
    if model.splitting != "even_odd" and any(n % 2 and n > 1 for n in shape):
        allowed = f"a {model.splitting} needs even extents, shape is {shape}"
        yield "model.splitting", model.splitting, allowed
    if model.conditioner == "conv":
        yield from _convolution(shape, model)


def _convolution(shape: list[int], model: CouplingSection) -> Iterator[Problem]:
    if len(shape) > 3:
        allowed = f"convolutions have at most 3 axes, shape is {shape}: use dense"
        yield "model.conditioner", model.conditioner, allowed
    if min(shape) < 3:  # what they move on must reach a neighbour
        allowed = f"convolutions want extents of 3 or more, shape is {shape}: use dense"
        yield "model.conditioner", model.conditioner, allowed
    elif model.kernel_size == 1:
        yield (
            "model.kernel_size",
            model.kernel_size,
            "must reach a neighbour: 3, 5, ...",
        )
    elif model.kernel_size % 2 == 0:
        yield "model.kernel_size", model.kernel_size, "must be odd"
    elif model.kernel_size > min(shape):
        allowed = f"must be at most the smallest extent, shape is {shape}"
        yield "model.kernel_size", model.kernel_size, allowed
