"""Which estimator may be asked of which model, by its likelihood. No JAX here.

An estimator gives averages, of which the factor of q falls out, or ln Z and what
contains it, which that factor would be a part of, or a bound. Weights of an approximate
log q are weights of another density: what is made of them is biased, and a bound is
none.

**Source:** Nicoli et al., Phys. Rev. E 101, 023304 (2020), arXiv:1910.13496, table I:
for networks without, with an approximate and with an exact likelihood.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from genlat.estimators.methods import METHODS, Quantity
from genlat.likelihood import Likelihood

QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)

GIVES: Mapping[str, tuple[Quantity, ...]] = {
    name: method.gives for name, method in METHODS.items() if method.gives
}
"""What estimators of a model give, by their names in a run file."""

BOUNDS = frozenset({"free_energy_density_upper", "free_energy_density_lower"})
"""Estimates that are bounds by Jensen's inequality."""

OF_Z = BOUNDS | {"log_z", "free_energy_density", "entropy_density"}
"""Estimates that contain ln Z."""

BIASED = "its log q is an approximation, so that its weights are those of another q"


class Answer(NamedTuple):
    """`unbiased`, `biased` or `refused`, and why it is not the first."""

    status: Literal["unbiased", "biased", "refused"]
    reason: str = ""


def answer(quantity: Quantity, likelihood: Likelihood) -> Answer:
    """Whether a model of this likelihood supports estimates of a quantity.

    `unbiased` is meant asymptotically, of a q that covers p.
    """
    if likelihood.kind == "none":
        return Answer("refused", "it has no likelihood, and nothing weighs its draws")
    if quantity != "averages" and not likelihood.normalized:
        reason = "its q has a factor that nobody knows, which ln Z would contain"
        return Answer("refused", reason)
    if likelihood.kind != "approximate":
        return Answer("unbiased")
    if quantity == "bound on F":
        return Answer("refused", "its log q is an approximation, which bounds nothing")
    return Answer("biased", BIASED)


def refusal(method: str, likelihood: Likelihood) -> str | None:
    """Why a model of this likelihood supports nothing that a method gives, if so."""
    answers = [answer(quantity, likelihood) for quantity in GIVES.get(method, ())]
    if not answers or any(x.status != "refused" for x in answers):
        return None
    return answers[0].reason


def of_estimate(method: str, name: str) -> Quantity:
    """What an estimate by a method is an estimate of, by its name."""
    if name not in OF_Z:
        return "averages"
    is_bound = name in BOUNDS or method == "variational"
    return "bound on F" if is_bound else "ln Z, F, S"
