"""Every estimator is spoken of wherever estimators are, or excused there by name.

A new one that fell through would count as a check of numbers whose draws it shares.
"""

from typing import get_args

import pytest

from genlat.estimators import requirements
from genlat.estimators.methods import METHODS
from genlat.report import house, study_drawings
from genlat.runs.file import catalogue, sections
from genlat.verdict import agreement, costs, findings, foreseen

SECONDS = {"sample": 1.0, "steps": 1.0, "p": 1.0, "nmcmc": 1.0, "integration": 1.0}
BLUE = house.colour("a chain")


def asked():
    annotation = sections.EstimateSection.model_fields["methods"].annotation
    (name, _) = get_args(annotation)
    return set(get_args(name)) - {"default"}


def priced():
    found = {name: {name: {"error": 0.1}} for name in METHODS}
    cost = {f"{stage}_seconds": seconds for stage, seconds in SECONDS.items()}
    return set(costs.at_unit_error(found, cost, chain=None)["seconds_at_unit_error"])


# where they are spoken of, and who is excused there
PLACES = {
    "catalogue": (set(catalogue.METHODS), ""),
    "estimate.methods": (asked(), ""),
    "requirements": (set(requirements.GIVES), "hmc_integration"),  # has no model
    "agreement": (
        set().union(*agreement.SHARING, agreement.BIASED),
        "hmc_integration",  # of chains that nobody else has
    ),
    # it is of no ensemble but q's, or its error is foreseen elsewhere
    "foreseen": (set(foreseen.METHODS), "variational p_estimator bar hmc_integration"),
    # nmcmc is of proposals; the others of samples, and of chains
    "findings of draws": (
        set(findings.ON_DRAWS),
        "nmcmc p_estimator bar hmc_integration",
    ),
    "costs": (priced(), "variational"),  # no estimate of p at any price
    "curves of a study": (set(study_drawings.OF_MODELS), ""),
    # the chain's colour: it is one
    "colours": ({x for x in METHODS if house.colour(x) != BLUE}, "hmc_integration"),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_method_is_spoken_of(place):
    names, excused = PLACES[place]
    assert names | {*excused.split()} == METHODS.keys()
    assert not names & {*excused.split()}


def test_what_follows_from_the_table():
    """The sets that the verdict rests on, written out."""
    assert {"nis", "nmcmc"} == agreement.ON_DRAWS
    assert ({"nis", "nmcmc"}, {"p_estimator", "bar"}) == agreement.SHARING
    assert agreement.BIASED == ("variational",)
    assert {"nis", "p_estimator", "bar"} == agreement.FROM_P
    assert sections.FROM_P == ("p_estimator", "bar")


def test_seconds_with_training_are_those_of_a_model():
    found = {name: {name: {"error": 1.0}} for name in METHODS}
    cost = {f"{stage}_seconds": seconds for stage, seconds in SECONDS.items()}
    prices = costs.at_unit_error(found, cost | {"train_seconds": 100.0}, chain=None)
    whole, trained = prices.values()
    for name, method in METHODS.items():
        if name in whole:
            rise = whole[name][name] - trained[name][name]
            assert rise == pytest.approx(100.0 if method.is_of_a_model else 0.0)
