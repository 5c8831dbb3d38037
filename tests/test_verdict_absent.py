"""An absent diagnostic never reads as a good one: no yes survives the loss of any."""

import copy
import dataclasses

import pytest

from genlat.estimators.support import Missed
from genlat.verdict import results
from genlat.verdict.checks import KINDS
from genlat.verdict.diagnostics import Diagnostics, LogZ, Number, OfP, Slowest
from genlat.verdict.integrator import Choice
from test_verdict_judge import FINE, verdict
from test_verdict_unchecked import judged, made_of

NOT_NEEDED = {  # as the docstring of `verdict.diagnostics` says
    *("acceptance", "floor", "outside", "ess_forward", "pareto_k", "uncovered"),
    *("ess/value", "ess/error", "ess/n_eff", "log_z/nis/checked_to", "integrator"),
    *("missed/p_estimator", "covered/n", "covered/n_eff", "missed_of_q"),
    *("p_samples/kernel", "p_samples/n", "p_samples/slowest/observable"),
}
READ = {x.name for x in dataclasses.fields(Diagnostics)} | {"p_samples"}
FIELDS = {"nis", "slowest"}.union(
    *(x._fields for x in (Number, OfP, Slowest, LogZ, Missed, Choice))
)


def places(content, before=""):
    """The path of everything in nested dictionaries, and whether it is a number."""
    for name, value in content.items():
        yield f"{before}{name}", not isinstance(value, dict | list)
        if isinstance(value, dict):
            yield from places(value, f"{before}{name}/")


def without(content, place, *, as_null=False):
    """The same without one entry; or with null, as JSON has what is not finite."""
    found = copy.deepcopy({**content})
    *parents, name = place.split("/")
    target = found
    for parent in parents:
        target = target[parent]
    if target.pop(name, None) is not None and as_null:
        target[name] = None
    return found


def is_needed(place):
    """Whether it is read, and neither it nor what it is in documented as not needed."""
    parts = place.split("/")
    if len(parts) > 1 and parts[-1] not in FIELDS:
        return False
    return NOT_NEEDED.isdisjoint("/".join(parts[: k + 1]) for k in range(len(parts)))


@pytest.fixture(scope="module")
def parts():
    """Findings of a run with verdict yes, as they are put together."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        assemble = results.assemble

        def seen(parts, *arguments, **options):
            found.extend(parts)
            return assemble(parts, *arguments, **options)

        patch.setattr(results, "assemble", seen)
        assert judged(made_of()).verdict.trust == "yes"
    return found


def assembled(parts):
    return results.assemble(parts, {}, {"volume": 8})


def alone(content):
    """With one estimate of ln Z: of several one is enough."""
    return {**content, "log_z": {"nis": content["log_z"]["nis"]}}


def test_no_yes_survives_the_loss_of_a_diagnostic(parts):
    real = assembled(parts).diagnostics
    absent = {"integrator", "outside", "samples", "missed_of_q", "given"}
    assert READ - absent <= {*real}
    for found in (FINE, real):
        content = alone({name: found[name] for name in found if name in READ})
        assert verdict(content).trust == "yes"
        every = dict(places(content))
        survivors = {*every}
        for place, is_number in every.items():
            outcomes = [verdict(without(content, place))]
            if is_number:
                outcomes.append(verdict(without(content, place, as_null=True)))
            if not all(outcome.trust == "yes" for outcome in outcomes):
                survivors.remove(place)
            assert not is_needed(place) or all(x.trust != "yes" for x in outcomes)
        assert NOT_NEEDED & {*every} <= survivors
        assert {"missed/nis/expected", "checks"} <= {*every} - survivors


@pytest.mark.parametrize("kind", KINDS)
def test_no_yes_without_a_test_of_each_kind(kind):
    checks = [check for check in FINE["checks"] if check["kind"] != kind]
    outcome = verdict({**FINE, "checks": checks})
    assert outcome.trust == "unknown"
    assert outcome.reasons == [
        f"no test of {kind} could be made: nothing can have failed it"
    ]


def test_what_is_not_known_is_named():
    for name, says in {
        "non_finite": "whether all log-weights are finite",
        "overlap": "how far model and samples of p overlap",
        "unchecked": "what the numbers were checked to",
    }.items():
        outcome = verdict({key: x for key, x in FINE.items() if key != name})
        assert outcome == ("unknown", [f"it is not known {says}"])


def test_ln_z_that_nothing_checked_says_so():
    content = copy.deepcopy(FINE)
    content["log_z"]["bar"]["checked_to"] = None
    trust, reasons = verdict(content)
    assert trust == "yes"
    assert reasons[-1] == "nothing has checked ln Z by bar"


def test_no_yes_survives_the_loss_of_a_finding(parts):
    """Before they are put together; what is never read by the verdict may go."""
    every = {name for part in parts for name in part.diagnostics}
    for name in every:
        others = [
            part._replace(diagnostics=without(part.diagnostics, name)) for part in parts
        ]
        is_yes = assembled(others).verdict.trust == "yes"
        assert is_yes == (name not in READ or not is_needed(name)), name
    assert {"ess", "p_samples", "covered", "missed", "excluded"} <= every


def test_without_what_samples_may_miss_of_q_they_check_nothing(parts):
    *others, last = parts
    found = copy.deepcopy(last.diagnostics)
    del found["missed"]["p_estimator"]
    before, after = (
        assembled(x).estimates["log_z"]["p_estimator"].get("checked_to")
        for x in (parts, [*others, last._replace(diagnostics=found)])
    )
    assert before > 0
    assert after is None
