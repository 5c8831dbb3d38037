"""The prior of a run: what the theory may contain, unless the file says more."""

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
import pytest

from config_for_tests import load
from genlat.actions.phi4 import Phi4
from genlat.errors import RequestError
from genlat.families import gaussian_prior
from genlat.families.cnf import CnfSection
from genlat.families.coupling import CouplingSection
from genlat.models.gaussian import GaussianPair
from genlat.models.phase_mixture import PhaseMixture
from genlat.runs import pipeline
from genlat.runs.stages import prior_stage
from genlat.runs.stages.screen import Screen
from genlat.theories.phi4 import Phi4Section
from genlat.training.objectives import PathForwardKL, PathReverseKL

QUIET = Screen(quiet=True)
NEAR = """
seed = 1
[theory]
name = "phi4"
shape = [16, 8]
kappa = 0.28
lam = 0.022
[model]
[train]
steps = 1
"""


def near(kappa, shape=(16, 8)):
    return Phi4(shape, kappa, 0.022)


@pytest.mark.parametrize("section", [CnfSection(), CouplingSection(name="realnvp")])
@pytest.mark.parametrize(
    ("kappa", "wells"), [(0.25, "none"), (0.28, "mixed"), (0.30, "both")]
)
def test_by_default_it_has_the_phases_of_the_theory(section, kappa, wells):
    found = gaussian_prior.choose(section, near(kappa))
    named = section.model_copy(update={"wells": wells})
    wanted = gaussian_prior.choose(named, near(kappa))
    assert found.is_derived
    assert not wanted.is_derived
    for leaf, like in zip(
        jax.tree.leaves(found.model()), jax.tree.leaves(wanted.model()), strict=True
    ):
        np.testing.assert_array_equal(leaf, like)
    prior = found.model()
    assert isinstance(prior, PhaseMixture) is (wells == "mixed")
    assert isinstance(prior, PhaseMixture) or (prior.mean is None) is (wells == "none")


def test_independent_sites_have_no_phases():
    section = CouplingSection(name="realnvp", prior="normal")
    assert gaussian_prior.choose(section, near(0.28)).symmetric is None


@pytest.mark.parametrize(
    ("nodes", "wells"),
    [
        ({"kappa": (0.20, 0.25)}, "none"),
        ({"kappa": (0.30, 0.32)}, "both"),
        ({"kappa": (0.30, 0.28)}, "mixed"),
        ({"kappa": (0.20, 0.30)}, "mixed"),  # either side, none in between
        ({"kappa": (0.20, 0.25), "lam": (0.0, 0.022)}, "none"),
    ],
)
def test_all_nodes_have_one_prior(nodes, wells):
    section = CnfSection(nodes=nodes)
    assert gaussian_prior.settled(section, near(0.2)).wells == wells


def test_what_the_file_names_stays():
    for wells in ("both", "one", "none", "mixed"):
        section = CnfSection(wells=wells)
        assert gaussian_prior.settled(section, near(0.28)) is section
        assert not gaussian_prior.choose(section, near(0.28)).is_derived


@pytest.mark.parametrize(
    ("overrides", "use"),
    [
        (["train.gradient=total"], "use path or reinforce"),
        (["train.objective=alpha", "train.gradient=total"], "use path or reinforce"),
        (
            ["model.name=realnvp", "train.objective=forward_kl", "mcmc.samples=10"],
            "use total",
        ),
    ],
)
def test_a_gradient_that_is_not_for_it_is_refused_before_any_work(
    tmp_path, overrides, use
):
    run = load(tmp_path, NEAR, overrides)
    with pytest.raises(RequestError, match=f"may contain both phases.*{use}"):
        pipeline.start(run, tmp_path / "run", QUIET)
    assert not (tmp_path / "run").exists()
    for other in ("model.wells=both", "theory.kappa=0.25"):
        prior_stage.refuse_unfit(load(tmp_path, NEAR, [*overrides, other]))


def test_path_and_reinforce_are_for_it(tmp_path):
    for gradient in ("path", "reinforce"):
        run = load(tmp_path, NEAR, [f"train.gradient={gradient}"])
        prior_stage.refuse_unfit(run)


def test_a_trained_prior_of_both_phases_is_kept_unless_another_is_named():
    trained = gaussian_prior.choose(CnfSection(), near(0.28)).model()
    trained = eqx.tree_at(lambda prior: prior.logit, trained, trained.logit + 1)
    for kappa in (0.25, 0.28, 0.30):
        derived = gaussian_prior.choose(CnfSection(), near(kappa))
        assert gaussian_prior.carried(trained, derived) is trained
        named = gaussian_prior.choose(CnfSection(wells="both"), near(kappa))
        assert isinstance(gaussian_prior.carried(trained, named), GaussianPair)
    pair = gaussian_prior.choose(CnfSection(), near(0.30)).model()
    derived = gaussian_prior.choose(CnfSection(), near(0.28))
    assert isinstance(gaussian_prior.carried(pair, derived), PhaseMixture)


def test_coupling_flows_start_from_both_phases():
    section = CouplingSection(
        name="realnvp", layers=2, hidden=(2,), conditioner="dense"
    )
    action = near(0.28, (4, 4))
    flow = section.build(action, jr.key(0))
    assert isinstance(flow.prior, PhaseMixture)
    keys = jr.split(jr.key(1), 8)
    phis, log_q, score = eqx.filter_jit(flow.sample_batch_with_score)(keys)
    again = eqx.filter_jit(flow.log_prob_batch)
    np.testing.assert_allclose(again(phis), log_q, rtol=2e-5, atol=2e-3)
    total = eqx.filter_jit(
        eqx.filter_grad(lambda phis: flow.log_prob_batch(phis).sum())
    )
    slope = total(phis)
    np.testing.assert_allclose(score, slope, rtol=2e-3, atol=2e-3)
    data = np.ones((3, 4, 4))
    assert PathReverseKL().why_unfit(flow) is None
    assert "use total" in PathForwardKL(data).why_unfit(flow)
    theory = Phi4Section(name="phi4", shape=(4, 4), kappa=0.28, lam=0.022)
    blank = section.skeleton(theory, gaussian_prior.static_of(flow.prior))
    assert jax.tree.structure(blank) == jax.tree.structure(flow)
    assert isinstance(
        gaussian_prior.skeleton((4, 4), gaussian_prior.static_of(flow.prior)),
        PhaseMixture,
    )
