"""What may be estimated with which likelihood: every cell, against Gaussians.

p is a Gaussian of V sites of variance 1, q one of another variance: all is known.
"""

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from config_for_tests import GOOD, load, refusals
from genlat import cli
from genlat.actions.phi4 import Phi4
from genlat.errors import RequestError
from genlat.estimators import requirements
from genlat.families.cnf import CnfSection
from genlat.likelihood import EVERY, EXACT, Likelihood
from genlat.mcmc.independence import Independence
from genlat.models.gaussian import GaussianPair
from genlat.runs.file import catalogue
from genlat.verdict import evidence, findings, results
from genlat.verdict.data import Draws, Proposed, Samples

V, WIDTH, N = 4, 1.1, 40_000
LOG_Z = V / 2 * math.log(2 * math.pi)
FACTOR = 7.0  # what q is too large by, where it is not normalised
NOISE = 0.3  # of log q, where it is approximate
METHODS = ("nis", "variational", "p_estimator", "bar")
NAMES = ("action_density",)
# from the talk: q exact, approximate or none, for what is free of Z and what is not
TABLE = {
    ("exact", True): ("unbiased", "unbiased", "unbiased"),
    ("exact", False): ("unbiased", "refused", "refused"),
    ("path", True): ("unbiased", "unbiased", "unbiased"),
    ("path", False): ("unbiased", "refused", "refused"),
    ("approximate", True): ("biased", "biased", "refused"),
    ("approximate", False): ("biased", "refused", "refused"),
    ("none", False): ("refused", "refused", "refused"),
}


def log_q(phi, likelihood, rng):
    found = -np.sum(phi**2, axis=-1) / (2 * WIDTH**2)
    found -= V / 2 * math.log(2 * math.pi * WIDTH**2)
    if not likelihood.normalized:
        found = found + math.log(FACTOR)
    if likelihood.kind == "approximate":
        found = found + NOISE * rng.normal(size=found.shape)
    return found


def ensembles(likelihood, seed=1):
    rng = np.random.default_rng(seed)

    def side(phi):
        action = np.sum(phi**2, axis=-1) / 2
        log_w = -action - log_q(phi, likelihood, rng)
        return log_w, {"action_density": action / V}

    draws = Draws(*side(WIDTH * rng.normal(size=(N, V))), 0.0, likelihood)
    samples = Samples(*side(rng.normal(size=(40, 200, V))), "hmc", True)
    return draws, samples


def found_with(likelihood, methods, seed=1):
    draws, samples = ensembles(likelihood, seed)
    rng, shape = np.random.default_rng(seed), (V,)
    parts = [findings.of_draws(draws, methods, NAMES, shape, 1.0)]
    parts.append(evidence.of_samples(draws, samples, methods, NAMES, shape, rng))
    return {k: x for part in parts for k, x in part.by_method.items()}, parts


def test_every_likelihood_is_in_the_table():
    assert {tuple(x) for x in EVERY} == TABLE.keys()
    assert EXACT == ("exact", True)
    assert requirements.GIVES.keys() <= catalogue.METHODS.keys()


@pytest.mark.parametrize("likelihood", EVERY, ids=str)
def test_every_cell(likelihood):
    answers = [requirements.answer(x, likelihood) for x in requirements.QUANTITIES]
    assert tuple(x.status for x in answers) == TABLE[tuple(likelihood)]
    assert all(bool(x.reason) == (x.status != "unbiased") for x in answers)
    for method, quantities in requirements.GIVES.items():
        all_refused = all(
            requirements.answer(x, likelihood).status == "refused" for x in quantities
        )
        assert (requirements.refusal(method, likelihood) is not None) == all_refused


@pytest.mark.parametrize("likelihood", EVERY[:-1], ids=str)
def test_what_is_given_is_right_and_what_is_not_is_left_out(likelihood):
    """Numbers of every method that is admitted, and no other, against closed forms."""
    statuses = dict(zip(requirements.QUANTITIES, TABLE[tuple(likelihood)], strict=True))
    for method in METHODS:
        if requirements.refusal(method, likelihood):
            with pytest.raises(ValueError, match=f"^{method}: its "):
                found_with(likelihood, (method,))
            continue
        by_method, _ = found_with(likelihood, (method,))
        names = by_method[method].keys()
        has_z = statuses["ln Z, F, S"] != "refused"
        assert ("log_z" in names) == (has_z and method != "nmcmc")
        assert bool(names & requirements.OF_Z) == ("log_z" in names)
        has_bound = statuses["bound on F"] != "refused"
        gives = "bound on F" in requirements.GIVES[method]
        assert bool(names & requirements.BOUNDS) == (
            has_bound and gives and method != "variational"
        )
        if method == "variational":
            continue
        for name, truth in {"log_z": LOG_Z, "action_density": 0.5}.items():
            if name not in names:
                continue
            estimate = by_method[method][name]
            is_biased = likelihood.kind == "approximate"
            assert (estimate.caution == requirements.BIASED) == is_biased
            if not is_biased:
                assert abs(estimate.value - truth) < 5 * estimate.error


def test_a_factor_of_q_would_be_in_ln_z():
    """Negative control: declared normalised, what is not has ln Z off by its factor."""
    factored = Likelihood("exact", normalized=False)
    draws, _ = ensembles(factored)
    lying = Draws(draws.log_w, draws.measured, 0.0, EXACT)
    found = findings.of_draws(lying, ("nis",), NAMES, (V,), 1.0).by_method["nis"]
    assert found["log_z"].value == pytest.approx(LOG_Z - math.log(FACTOR), abs=0.01)


def test_noise_in_log_q_is_a_bias():
    """Of ln Z by half its variance on draws: what the mark says."""
    by_method, parts = found_with(Likelihood("approximate", normalized=True), ("nis",))
    off = by_method["nis"]["log_z"].value - LOG_Z
    assert off == pytest.approx(NOISE**2 / 2, abs=0.015)
    # neither better errors nor the judge take the mark away
    assembled = results.assemble(parts, {}, {"volume": V})
    assert assembled.estimates["log_z"]["nis"]["caution"] == requirements.BIASED
    assert assembled.diagnostics["ess"]["caution"] == requirements.BIASED
    assert assembled.verdict.trust != "yes"


@pytest.mark.parametrize("method", [*requirements.GIVES, None])
def test_who_is_refused_is_named(method):
    """Not another, of which nobody spoke; and nothing is made of nothing."""
    draws, _ = ensembles(EXACT)
    nothing = dataclasses.replace(draws, likelihood=EVERY[-1])
    methods = () if method is None else (method,)
    with pytest.raises(ValueError, match=f"^{method or 'nis'}: it has no likelihood"):
        findings.of_draws(nothing, methods, NAMES, (V,), 1.0)


@pytest.mark.parametrize("likelihood", EVERY, ids=str)
def test_proposals_of_a_kernel_are_exact(likelihood):
    """Whose log q of a configuration is that of another path each time is refused."""
    action = Phi4((2,), 0.1, 0.3)
    model = GaussianPair(np.ones(2))
    kind = type("Proposing", (GaussianPair,), {"likelihood": likelihood})
    if likelihood.kind == "exact":
        assert Independence(action, kind(np.ones(2))).proposal.likelihood == likelihood
        return
    with pytest.raises(ValueError, match=f"Proposing .*its likelihood is {likelihood}"):
        Independence(action, kind(np.ones(2)))
    assert Independence(action, model)


def test_proposals_without_a_likelihood_are_none():
    draws, _ = ensembles(EXACT)
    index = np.arange(N).reshape(10, -1)
    proposed = Proposed(index, np.ones(index.shape))
    nothing = Draws(
        draws.log_w, draws.measured, 0.0, Likelihood("none", normalized=False)
    )
    with pytest.raises(ValueError, match="nmcmc: it has no likelihood"):
        findings.of_proposed(nothing, proposed, NAMES, (V,), 1.0)


def test_a_run_file_that_asks_too_much_has_one_line(tmp_path, monkeypatch):
    factored = Likelihood("exact", normalized=False)
    monkeypatch.setattr(CnfSection, "LIKELIHOOD", factored)
    run = load(tmp_path, GOOD)
    assert run.methods == ("nis", "nmcmc")  # by default what is admitted
    with pytest.raises(RequestError) as caught:
        load(tmp_path, GOOD, ['estimate.methods=["nis", "variational"]'])
    (line,) = caught.value.lines
    assert line.endswith(
        "variational of a cnf: its q has a factor that nobody knows, which ln Z would "
        "contain"
    )


@pytest.mark.parametrize("asked", ["default", "variational", "hmc_integration"])
def test_a_model_without_a_likelihood_is_one_line(tmp_path, monkeypatch, asked):
    """Before any work, by the estimator that was asked for, if there is one."""
    monkeypatch.setattr(CnfSection, "LIKELIHOOD", EVERY[-1])
    (line,) = refusals(tmp_path, GOOD, [f'estimate.methods=["{asked}"]'])
    who = "variational" if asked == "variational" else "no estimator is left"
    assert line.endswith(
        f': estimate.methods = ["{asked}"]: {who} of a cnf: it has no likelihood, and '
        "nothing weighs its draws"
    )


@pytest.mark.parametrize("likelihood", EVERY[:-1], ids=str)
def test_by_default_samples_of_p_are_made_use_of(tmp_path, monkeypatch, likelihood):
    """The mode weight is of both sides: a factor of q falls out of it."""
    monkeypatch.setattr(CnfSection, "LIKELIHOOD", likelihood)
    assert load(tmp_path, GOOD).needs_samples
    assert not load(tmp_path, GOOD, ["estimate.methods='nis'"]).needs_samples
    assert not load(tmp_path, GOOD.replace("[mcmc]\n", "")).needs_samples
    _, parts = found_with(likelihood, ("nis",))
    weight = parts[1].diagnostics["mode_weight"]
    is_right = abs(weight["value"] - 1) < 5 * weight["error"]
    assert is_right == (likelihood.kind != "approximate")


def test_the_table_is_listed_without_jax():
    found = CliRunner().invoke(cli.app, ["list", "admissible"])
    assert found.exit_code == 0
    for likelihood in EVERY:
        assert f"{likelihood}  " in found.output
    assert "forward_kl, reinforce" in found.output
    code = "import sys, genlat.runs.file.listing; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
