"""Runs from Python: the pipeline, and what it left behind, opened again."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import genlat as gl
from genlat.errors import RequestError
from genlat.runs.stages import sampling
from pieces_for_tests import in_small_pieces

pieces = pytest.fixture(in_small_pieces, scope="module", autouse=True)

RUN = {
    "seed": 5,
    "theory": {"name": "phi4", "shape": [4, 2], "kappa": 0.11, "lam": 0.3},
    "model": {
        "name": "cnf",
        "features": 2,
        "channels": 1,
        "n_steps": 3,
        "symmetrize": ["translations"],
    },
    "train": {"steps": 10, "batch": 16},
    "estimate": {"samples": 400, "chains": 10, "keep": 400, "n_steps": 5},
}


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def run(tmp_path_factory, told):
    path = tmp_path_factory.mktemp("api") / "run"
    return gl.run(RUN, path, progress=lambda *x: told.append(x))


def test_run_is_what_the_pipeline_does(run, told):
    assert ("training", 10, 10) in told
    assert (run.directory / "report.html").exists()
    assert run.record.flow["log_q"].shape == (400,)
    assert run.results["log_z"]["nis"].n == 400
    with pytest.raises(RequestError, match="exists"):
        gl.run(RUN, run.directory)


def test_model_is_that_of_the_estimates(run):
    """With the steps of the estimates, symmetrised: the same ln q at the same draws."""
    phi = jnp.asarray(run.record.flow["phi"][:50])
    log_q = np.asarray(run.model.log_prob_batch(phi))
    np.testing.assert_allclose(log_q, run.record.flow["log_q"][:50], atol=1e-4)


def test_draws_do_not_depend_on_pieces(run):
    draws = run.sample(300, jr.key(3))
    assert isinstance(draws, sampling.Draws)
    assert draws.phis.shape == (300, 4, 2)
    first = next(run.pieces(20, jr.key(3)))
    np.testing.assert_array_equal(first.phis, draws.phis[:20])


def test_plans_and_dictionaries_are_the_same(run, tmp_path):
    plan = gl.Plan.model_validate(RUN)
    again = gl.run(plan, tmp_path / "again")
    mine, theirs = (x.results.to_json()["estimates"] for x in (run, again))
    assert mine == theirs
    with pytest.raises(RequestError, match="kappa"):
        gl.run({**RUN, "theory": RUN["theory"] | {"kappa": "x"}}, tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(RequestError, match="not a run directory"):
        gl.load(tmp_path)
