"""What there is, for `genlat list`: names, sections, fields and what they may be."""

import json
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from rich.console import Console

from genlat.errors import RequestError
from genlat.estimators import requirements
from genlat.likelihood import EVERY
from genlat.runs.file import catalogue, sections
from genlat.training import admissible


def _with_owners(table: dict[str, str]) -> dict[str, str]:
    """With the theories that have it, where not all do."""
    return {
        name: f"{text} ({owners})" if (owners := catalogue.owners(name)) else text
        for name, text in table.items()
    }


def _admissible() -> dict[str, str]:
    """What may be estimated with which likelihood, and which gradients there are."""
    found = {}
    for likelihood in EVERY:
        words = {}
        for quantity in requirements.QUANTITIES:
            by = [x for x, gives in requirements.GIVES.items() if quantity in gives]
            status = requirements.answer(quantity, likelihood).status
            words.setdefault(status, []).append(f"{quantity} ({', '.join(by)})")
        found[str(likelihood)] = "; ".join(
            f"{status}: {', '.join(what)}" for status, what in words.items()
        )
    for objective in admissible.OBJECTIVES:
        for gradient in admissible.GRADIENTS:
            reason = admissible.refusal(objective, gradient)
            found[f"{objective}, {gradient}"] = f"no: {reason}" if reason else "yes"
    return found


TOPICS = {
    "theories": catalogue.THEORIES,
    "kernels": _with_owners(catalogue.KERNELS),
    "models": {
        name: f"{text} (of {catalogue.model_facts(name)})"
        for name, text in catalogue.MODELS.items()
    },
    "objectives": catalogue.OBJECTIVES,
    "gradients": catalogue.GRADIENTS,
    "methods": catalogue.METHODS,
    "admissible": _admissible(),
    "observables": {
        name: f"{text}; in units of {catalogue.OBSERVED[name].unit}"
        for name, text in (
            catalogue.FREE_ENERGY | _with_owners(catalogue.PRIMARY) | catalogue.DERIVED
        ).items()
    },
}
_OF_FIELD = {
    "mcmc.kernel": "kernels",
    "train.objective": "objectives",
    "train.gradient": "gradients",
}


def show(topic: str | None) -> None:
    """Print one topic or one section, or everything.

    **Raises:** `RequestError` for another topic.
    """
    known = [*TOPICS, *sections.SECTIONS]
    if topic is not None and topic not in known:
        raise RequestError(
            f"{topic}: nothing of that name; there are {known_as(known)}"
        )
    console = Console(highlight=False)
    for title, rows in tables(topic):
        console.print(title, style="bold", markup=False, soft_wrap=True)
        width = max([20, *(len(name) + 2 for name in rows)])
        for name, description in rows.items():
            line = f"  {name:<{width}}{description}"
            console.print(line, markup=False, soft_wrap=True)


def known_as(names: list[str]) -> str:
    """Names in a sentence."""
    return ", ".join(names)


def tables(topic: str | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Title and rows of one topic or section, or of all."""
    for title, names in TOPICS.items():
        if topic in (None, title):
            yield title, names
    for section, models in sections.SECTIONS.items():
        if topic not in (None, section):
            continue
        for model in models:
            fields = {
                name: f"{field.description or ''}{_choice(section, name, field)}"
                f"{_default(field)}"
                for name, field in model.model_fields.items()
                if name != "name"
            }
            names = (
                choices(model.model_fields["name"].annotation)
                if ("name" in model.model_fields)
                else []
            )
            whose = f" name = {' | '.join(names)}:" if names else ""
            yield f"[{section}]{whose} {model.__doc__}", fields


def choices(annotation: Any) -> list[str]:
    """The words that a field of this type may be, or be made of."""
    if get_origin(annotation) is Literal:
        return [json.dumps(word) for word in get_args(annotation)]
    if get_origin(annotation) in (Annotated, Union, UnionType, tuple):
        inner = get_args(annotation)
        inner = inner[:1] if get_origin(annotation) is Annotated else inner
        return [word for part in inner for word in choices(part)]
    return []


def _choice(section: str, name: str, field: Any) -> str:
    words = choices(field.annotation)
    if topic := _OF_FIELD.get(f"{section}.{name}"):
        words = [json.dumps(word) for word in TOPICS[topic]]
    return f" [{' | '.join(words)}]" if words else ""


def _default(field: Any) -> str:
    if field.is_required():
        return " (no default)"
    return "" if field.default is None else f" (default {json.dumps(field.default)})"
