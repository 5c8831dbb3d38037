"""Who answers for a theory or a family, what anybody may ask of it, who may ask more.

Everything in the rooms of a kind is of one of it, unless it is in the list of what
serves them all.
"""

import ast
import dataclasses
from collections.abc import Iterator, Mapping

from rooms_for_tests import File


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a kind of thing is asked by those outside of its rooms.

    - `rooms`: whose files may name one; `held`: rooms that the names are in.
    - `serves_all`: modules, functions and interfaces that are of none.
    - `excused`: file to what it asks of the types of some, each with its reason: the
      places that answer for one outside of its file.
    """

    rooms: frozenset[str]
    held: frozenset[str]
    serves_all: frozenset[str]
    excused: Mapping[str, str]


KINDS = {
    "theories": Kind(
        words("theories actions exact mcmc"),
        words("theories actions exact mcmc"),
        words(
            # the interface, and the one list of those that there are
            "theories.base theories.named.AnyTheory theories.named.THEORIES "
            "theories.named.section_of theories.named.theory_name "
            # of any field, and of lines between any two
            "actions.base.AbstractAction actions.base.AbstractContinuousAction "
            "actions.declared.require actions.path actions.field "
            "exact.known exact.answer exact.value "
            "mcmc.base mcmc.runner mcmc.sequence mcmc.hmc"
        ),
        {
            # 1: the best Gaussian of a hopping, where that is solved for
            "families.gaussian_prior": "actions.base actions.declared actions.gap "
            "actions.phases actions.sampled_gap",
            "runs.stages.prior_stage": "actions.base.AbstractScalarAction actions.gap",
            # 2: spins, whose β and h a network is a function of
            "families.spins": "actions.base.AbstractSpinAction",
        },
    ),
    "families": Kind(
        words("families models training"),
        words("families models"),
        words(
            "families.base families.named.AnyModel families.named.FAMILIES "
            "families.named.section_of families.named.DEFAULT families.conditioning "
            "models.base models.prior models.conditional models.symmetrized"
        ),
        {
            # 1: a flow has a prior, which is settled and reported before it is built
            "runs.pipeline": "families.flows.AbstractFlowSection",
            "runs.stages.flow_model": "families.flows.AbstractFlowSection "
            "families.gaussian_prior",
            "runs.stages.prior_stage": "families.flows.AbstractFlowSection "
            "families.gaussian_prior",
        },
    ),
}


def _is_in(name: str, among: frozenset[str]) -> bool:
    """Whether a dotted name is one of these, in one of them, or leads to one."""
    return any(
        name == x or name.startswith(f"{x}.") or x.startswith(f"{name}.") for x in among
    )


def concrete(files: list[File], kind: str) -> set[str]:
    """Names of the classes that are one of a kind, by the files that define them."""
    about = KINDS[kind]
    return {
        node.name
        for file in files
        for inside in [file.module.partition("genlat.")[2]]
        if inside.split(".")[0] in about.held - {"mcmc", "exact"}
        and not _is_in(inside, about.serves_all)
        for node in file.tree.body
        if isinstance(node, ast.ClassDef)
        and node.bases
        and not node.name.lstrip("_").startswith("Abstract")
    }


def names_one(file: File, kind: str, names: set[str]) -> Iterator[str]:
    """By importing it, by an attribute of what is imported, or in a string.

    **Arguments:** `names`: of its classes, and those that run files have.
    """
    about = KINDS[kind]
    inside = file.module.partition("genlat.")[2]
    if file.room in about.rooms or not inside:  # the package lists what is public
        return
    allowed = about.serves_all | words(about.excused.get(inside, ""))
    for used in sorted(file.uses):
        _, _, name = used.partition("genlat.")
        if name.split(".")[0] in about.held and not _is_in(name, allowed):
            yield f"{file.module} names one of the {kind}: {used}"
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Constant) and node.value in names:
            yield f"{file.module}:{node.lineno} names {node.value}, of the {kind}"
