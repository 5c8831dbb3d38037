"""The attack of `benchmarks/verdict`, reduced: one constructed run of every family."""

import pytest

import attack
import cases

FAMILIES = [family.__name__ for family in cases.FAMILIES]
SEEDS = (11,)


@pytest.fixture(scope="module")
def outcomes():
    """By family: what became of a case of every seed."""
    found = {}
    for seed in SEEDS:
        for name, case, rng in cases.every(1, seed=seed):
            found.setdefault(name, []).append(attack.carry_out(name, case, rng))
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_no_lie_is_trusted(outcomes, family):
    for outcome in outcomes[family]:
        if outcome.case.truth == "lie":
            assert not (outcome.trust == "yes" and outcome.lies), outcome.lies


def test_truths_are_trusted(outcomes):
    """But for the one in a hundred that chance may doubt."""
    honest = [x for found in outcomes.values() for x in found]
    honest = [x for x in honest if x.case.truth == "honest"]
    assert not any(x.lies for x in honest)
    left = [(x.family, x.reasons) for x in honest if x.trust != "yes"]
    assert len(left) <= 1, left


@pytest.mark.parametrize(
    ("family", "trust"),
    [
        ("unthermalised", "no"),
        ("creeping", "no"),
        ("other_theory", "no"),
        ("scaled", "no"),
        ("corrupted", "no"),
        ("corrupted_samples", "no"),
        ("coarse_integrator", "no"),
        ("no_guarantee", "unknown"),
        ("hidden_tail", "unknown"),
    ],
)
def test_lies_that_are_always_seen(outcomes, family, trust):
    assert {outcome.trust for outcome in outcomes[family]} == {trust}


def test_what_cannot_be_seen_is_not_claimed(outcomes):
    """The first sentence of such a yes says what it does not say."""
    for outcome in outcomes["nobody_there"]:
        assert outcome.lies
        assert outcome.trust == "yes"
        assert (
            "that neither they nor the model reach would not be seen"
            in (outcome.reasons[0])
        )


def test_wrong_numbers_are_counted_as_such(outcomes):
    """Negative control: the count of lies is not empty by construction."""
    for family in ("unthermalised", "corrupted", "no_guarantee"):
        assert all(outcome.lies for outcome in outcomes[family])
