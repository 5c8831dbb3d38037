"""The estimators of a run: what each is made of and gives. One table. No JAX here.

What is said of methods elsewhere follows from it, or names every one of them
(`tests/test_methods.py`).
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Quantity = Literal["averages", "ln Z, F, S", "bound on F"]
Ensemble = Literal["draws", "samples", "line"]
"""Draws of the model, samples of p with their log q, chains along a line of theories.
"""


class Method(NamedTuple):
    """An estimator by what it needs, gives, and does.

    - `needs`: those that need draws alone share them, as those do that need samples.
    - `gives`: what its likelihood is asked for; nothing of one without a model.
    - `is_biased`: whether it says what q is, and not p.
    """

    says: str
    needs: frozenset[Ensemble]
    gives: tuple[Quantity, ...]
    is_biased: bool = False

    @property
    def is_of_a_model(self) -> bool:
        """Whether a model is estimated with, or estimated."""
        return "line" not in self.needs


DRAWS: frozenset[Ensemble] = frozenset({"draws"})
SAMPLES: frozenset[Ensemble] = frozenset({"samples"})
LINE: frozenset[Ensemble] = frozenset({"line"})

METHODS: Mapping[str, Method] = {
    "nis": Method(
        "draws of the model, reweighted by e^(-S)/q",
        DRAWS,
        ("averages", "ln Z, F, S", "bound on F"),
    ),
    "variational": Method(
        "draws of the model as they are: biased, beside those corrected",
        DRAWS,
        ("bound on F",),
        is_biased=True,
    ),
    "nmcmc": Method(
        "a Markov chain that takes the model's draws as proposals",
        DRAWS,
        ("averages",),
    ),
    "p_estimator": Method(
        "ln Z and the mode weight from samples of p with their log q",
        SAMPLES,
        ("ln Z, F, S", "bound on F"),
    ),
    "bar": Method(
        "ln Z by Bennett's ratio, from draws of the model and samples of p together",
        DRAWS | SAMPLES,
        ("ln Z, F, S",),
    ),
    "hmc_integration": Method(
        "ln Z by chains along the hopping, from independent sites on",
        LINE,
        (),
    ),
}

BIASED = tuple(name for name, x in METHODS.items() if x.is_biased)
ON_DRAWS = frozenset(
    name for name, x in METHODS.items() if x.needs == DRAWS and not x.is_biased
)
"""No check of each other: they share all their draws."""
ON_SAMPLES = tuple(name for name, x in METHODS.items() if "samples" in x.needs)
"""They hold a model against samples of p, which they share."""
OF_LOG_Z = frozenset(name for name, x in METHODS.items() if "ln Z, F, S" in x.gives)
"""ln Z from a model."""
