"""What nothing has checked says so, and what only a whole run can see is seen."""

import dataclasses

import jax.random as jr
import numpy as np
import pytest
from scipy.signal import lfilter

from cases import sigma_of
from ensembles import NAMES, SHAPE, VOLUME, Law, Part, Run, make
from genlat.estimators import nmcmc, stationarity
from genlat.verdict import agreement, checks, estimates, evidence, findings, results
from genlat.verdict.data import Proposed

GOOD = Law((Part(1.0, 1.0, sigma_of(0.95)),))
METHODS = ("nis", "nmcmc", "p_estimator", "bar")


def judged(made, *, names=NAMES, chain=True, noted=None, exact=None):
    draws = made.draws
    parts = [findings.of_chain(made.chain, names, SHAPE, 1.0)] if chain else []
    parts.append(findings.of_draws(draws, METHODS, names, SHAPE, 1.0))
    found = nmcmc.run(jr.key(1), draws.log_w.reshape(100, -1))
    proposed = Proposed(found.index, found.accepted.astype(np.float64))
    parts.append(findings.of_proposed(draws, proposed, names, SHAPE, 1.0))
    rng = np.random.default_rng(1)
    parts.append(evidence.of_samples(draws, made.samples, METHODS, names, SHAPE, rng))
    return results.assemble(parts, exact or {}, {"volume": VOLUME, **(noted or {})})


def made_of(law=GOOD, run=None, seed=3):
    return make(law, run or Run(), np.random.default_rng(seed))


def with_measured(side, **more):
    return dataclasses.replace(side, measured={**side.measured, **more})


def with_vectors(made, *, off=0.0, drift=0.0):
    """An observable of three components, of draws or in time not what it should be."""

    def of(side):
        return np.stack([side.measured["mag"] * k for k in (1.0, 0.5, 0.25)], axis=-1)

    moved = drift * 0.99 ** np.arange(made.chain.acceptance.shape[1])
    made.draws = with_measured(made.draws, vector=of(made.draws) + off)
    made.chain = with_measured(made.chain, vector=of(made.chain) + moved[None, :, None])
    made.samples = with_measured(made.samples, vector=of(made.samples))
    return made


def test_several_components_are_held_against_each_other():
    names = (*NAMES, "vector")
    good = judged(with_vectors(made_of()), names=names)
    assert good.verdict.trust == "yes"
    pulls = good.diagnostics["pulls"]["vector"]
    assert 0 < abs(pulls["hmc+cluster - nis"]) < 4
    checked = good.estimates["vector"]["nis"]["checked_to"]
    errors = good.estimates["vector"]["nis"]["error"]
    assert all(b > a for a, b in zip(errors, checked, strict=True))

    off = judged(with_vectors(made_of(), off=0.05), names=names)
    assert off.verdict.trust == "no"
    assert any(
        "vector[2]: hmc+cluster - nis differ by" in x for x in off.verdict.reasons
    )
    truth = GOOD.truth()["mag"] * np.array([1.0, 0.5, 0.25]) + 0.05
    exact = {"vector": {"exact": {"value": truth.tolist(), "error": [0.0] * 3}}}
    wrong = judged(with_vectors(made_of()), names=names, exact=exact)
    assert wrong.verdict.trust == "no"


def test_several_components_may_not_drift():
    found = judged(with_vectors(made_of(), drift=1.5), names=(*NAMES, "vector"))
    assert found.verdict.trust == "no"
    assert any("vector drifts with time" in text for text in found.verdict.reasons)


def test_samples_of_p_check_draws_where_there_is_no_chain():
    good = judged(made_of(), chain=False)
    assert good.verdict.trust == "yes"
    assert "nis - samples of p" in good.diagnostics["pulls"]["mag"]
    assert "samples of p" not in good.estimates["mag"]
    made = made_of()
    made.draws = with_measured(made.draws, mag=made.draws.measured["mag"] + 0.3)
    found = judged(made, chain=False)
    assert found.verdict.trust == "no"
    assert "mag: nis - samples of p differ" in " ".join(found.verdict.reasons)
    # with a chain they have nothing to add
    assert "nis - samples of p" not in judged(made_of()).diagnostics["pulls"]["mag"]


def test_a_number_that_nothing_checked_is_named():
    made = made_of()
    made.draws = with_measured(made.draws, energy=made.draws.measured["mag"])
    made.chain = with_measured(made.chain, energy=made.chain.measured["mag"])
    found = judged(made, names=(*NAMES, "energy"))
    alone = [x for x in found.diagnostics["unchecked"] if x["errors"] is None]
    assert not [x for x in alone if x["observable"] == "energy"]

    chain = findings.of_chain(made.chain, NAMES, SHAPE, 1.0)
    found = results.assemble([chain], {}, {"volume": VOLUME})
    assert found.diagnostics["unchecked"] == []  # nothing was compared at all
    draws = findings.of_draws(made.draws, ("nis",), (*NAMES, "energy"), SHAPE, 1.0)
    found = results.assemble([chain, draws], {}, {"volume": VOLUME})
    alone = [x for x in found.diagnostics["unchecked"] if x["errors"] is None]
    assert {"observable": "energy", "method": "nis", "errors": None} in alone
    assert found.estimates["energy"]["nis"]["is_checked"] is False


def test_the_verdict_says_how_sharply_averages_were_checked():
    """Draws by the ten times more than the chain is worth."""
    made = made_of(run=Run(chains=32, length=400, every=4))
    found = judged(made)
    assert found.verdict.trust == "yes"
    loose = [x for x in found.diagnostics["unchecked"] if x["observable"] == "mag"]
    assert {x["method"] for x in loose} >= {"nis"}
    text = " ".join(found.verdict.reasons)
    assert "other numbers are checked to" in text
    for entry in loose:
        estimate = found.estimates["mag"][entry["method"]]
        ratio = estimate["checked_to"] / estimate["error"]
        assert entry["errors"] == pytest.approx(ratio)


def test_what_an_integrator_shifts_is_held_against_the_sharper_errors():
    """A third of the error of importance sampling is ten errors by Bennett's ratio."""
    law = Law((Part(0.97, 1 - 2e-5, 0.05), Part(0.03, 2e-5, 0.05)))
    shift = {"steps": 8, "shift_log_z": 0.006, "shift_error": 1e-4}
    noted = {"integrator": {**shift, "statistical_error": 0.02}}
    made = made_of(law, Run(chains=64, length=2000, every=1, memory=0.0))
    found = judged(made, noted=noted).estimates["log_z"]
    assert found["bar"]["error"] < 0.3 * found["nis"]["error"]
    for method in ("bar", "p_estimator"):
        assert "finer integrator" in found[method]["caution"]
    assert "finer integrator" not in found["nis"].get("caution", "")
    tiny = {**noted["integrator"], "shift_log_z": 2e-5, "shift_error": 1e-6}
    still = judged(made, noted={"integrator": tiny})
    for name in ("log_z", "free_energy_density", "entropy_density"):
        assert "finer" not in still.estimates[name]["bar"].get("caution", "")
    per_site = judged(made, noted=noted).estimates
    assert "finer" in per_site["free_energy_density"]["bar"]["caution"]


def test_an_action_that_never_changed_says_nothing_of_the_entropy():
    """Cold spins of which no sample is excited: the error of ⟨S⟩ is not 0."""
    made = made_of()
    density = np.full_like(made.samples.measured["action_density"], -2.0)
    made.samples = with_measured(made.samples, action_density=density)
    samples = estimates.from_both(made.draws, made.samples, VOLUME)
    assert "the same S" in samples["entropy_density"].caution
    assert samples["log_z"].caution == ""
    other = estimates.from_p(made.samples, VOLUME, 0.0)
    assert "the same S" in other["entropy_density"].caution


@pytest.mark.parametrize("n", [20, 57, 125, 200, 399])
def test_rare_events_are_no_drift(n):
    """Chains that are alike but for one value: contrasts differ by rounding alone."""
    values = np.full((64, n), -2.0)
    values[17, n // 2] = -1.5
    assert stationarity.drift(values) == 1.0
    rng = np.random.default_rng(n)
    rare = (rng.random((64, n)) < 0.002).astype(float)
    assert stationarity.drift(rare) > 1e-4
    # all chains alike, and not at the end what they were: that is certain
    assert stationarity.drift(np.where(np.arange(n) < n // 2, 1.0, 0.0) * values) < 1e-9


def slow(rng, rho, chains=512, n=90):
    """A stationary AR(1) sequence, from its own law on."""
    noise = rng.normal(size=(chains, n)) * np.sqrt(1 - rho**2)
    noise[:, 0] = rng.normal(size=chains)
    return lfilter([1.0], [1.0, -rho], noise, axis=1)


def places(rng):
    return rng.normal(size=(512, 1))


def test_slow_chains_remember_and_forget():
    """They are a doubt at most; chains that are stuck are refused."""
    rng = np.random.default_rng(0)
    for rho in (0.95, 0.97):
        values = slow(rng, rho, chains=2048)
        assert stationarity.memory(values) < 1e-3
        assert stationarity.fades(values)
        (drift, memory) = findings.equilibrium("hmc", {"mag": values})
        assert drift.p_value > 1e-3
        assert not memory.is_firm
    # few chains: nothing fades, and nothing is resolved
    *_, memory = findings.equilibrium("hmc", {"mag": slow(rng, 0.99, 64)})
    assert not memory.is_firm
    # stuck, and hidden by noise so that the autocorrelation seems to be short
    stuck = 0.1 * rng.normal(size=(512, 1)) + rng.normal(size=(512, 90))
    assert not stationarity.fades(stuck)
    *_, memory = findings.equilibrium("hmc", {"mag": stuck})
    assert memory.is_firm
    assert memory.p_value < 1e-4
    # plainly stuck: the run says itself that it is not resolved
    *_, memory = findings.equilibrium("hmc", {"mag": stuck + 9 * places(rng)})
    assert memory.p_value < 1e-9
    never = np.repeat(places(rng), 90, axis=1)
    *_, memory = findings.equilibrium("hmc", {"mag": never})
    assert memory.is_firm
    # one stuck component of two is enough
    both = np.stack([slow(rng, 0.97), stuck], axis=-1)
    assert all(stationarity.memory(both[..., k]) < 1e-3 for k in range(2))
    *_, memory = findings.equilibrium("hmc", {"vector": both})
    assert memory.is_firm
    assert not stationarity.fades(stuck[:5])
    assert not stationarity.fades(np.ones((64, 90)))


def test_an_error_of_nothing_hides_nothing():
    """Components without an error, or without a number, leave the others in view."""
    by_method = {
        "nis": {"value": [0.0, 1.0, 2.0], "error": [0.0, 0.1, None]},
        "hmc": {"value": [0.0, 2.0, 5.0], "error": [0.0, 0.1, 0.1]},
    }
    (test,) = agreement.tests({"v": by_method}, 0.0)
    pull = 1 / np.hypot(0.1, 0.1)
    assert test.about == "v[1]: nis - hmc"
    assert test.pull == pytest.approx(-pull)
    assert test.p_value == pytest.approx(2 * checks.of_pull(pull), rel=1e-6)
    alone = [*agreement.unchecked({"v": {"nis": {**by_method["nis"]}}}, 48)]
    assert alone == [("v", "nis", None)]
    # exact values may be whole numbers, and partly unknown
    exact = {"value": [1, None], "error": [0, None]}
    found = {"hmc": {"value": [1.5, 7.0], "error": [0.1, 0.1]}, "exact": exact}
    (test,) = agreement.tests({"v": found}, 0.0)
    assert test.pull == pytest.approx(5.0)
    shorter = {"hmc": found["hmc"], "exact": {"value": [1.0], "error": [0.0]}}
    assert [*agreement.tests({"v": shorter}, 0.0)] == []


def test_more_components_are_checked_less_sharply():
    ratio = 5 / checks.bound(48, checks.DOUBTED) * 0.99
    one = {"error": 0.1, "checked_to": 0.1 * ratio}
    many = {"error": [0.1] * 33, "checked_to": [0.1 * ratio] * 33}
    assert agreement.is_checked(one, 48)
    assert not agreement.is_checked(many, 48)


def test_draws_that_are_all_alike_are_marked():
    """A rare event that no draw met: 0 ± 0 is no estimate of its chance."""
    made = made_of()
    never = np.zeros_like(made.draws.log_w)
    made.draws = with_measured(made.draws, event=never)
    found = estimates.nis(made.draws, ("event", "mag"), SHAPE)
    assert "all draws have the same value" in found["event"].caution
    assert found["mag"].caution == ""


def test_model_alone_is_checked_by_nothing():
    made = made_of()
    draws = findings.of_draws(made.draws, ("nis",), ("mag",), SHAPE, 1.0)
    found = results.assemble([draws], {}, {"volume": VOLUME}).diagnostics["unchecked"]
    assert {"observable": "mag", "method": "nis", "errors": None} in found


def test_memory_of_rare_events_is_counted():
    """Independent values: p-values are those that they say, to the counts' grain."""
    rng = np.random.default_rng(4)
    found = np.array(
        [
            stationarity.memory((rng.random((64, 60)) < 1e-3).astype(float))
            for _ in range(1500)
        ]
    )
    for level in (0.05, 0.01):
        assert np.mean(found <= level) < level + 3 * np.sqrt(level / 1500)
    assert np.min(found) > 1e-5
    stuck = np.zeros((64, 60))
    stuck[:6] = 1.0 + 1e-3 * rng.normal(size=(6, 60))
    assert stationarity.memory(stuck) < 1e-6
