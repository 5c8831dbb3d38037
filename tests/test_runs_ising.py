"""Ising run files: what is refused, and a chain alone from run file to report."""

import json

import jax.random as jr
import numpy as np
import pytest

from config_for_tests import load, refusals
from genlat.mcmc import runner
from genlat.mcmc.sequence import Sequence
from genlat.mcmc.spin_clusters import Wolff
from genlat.mcmc.spins import IsingHeatBath
from genlat.report import page
from genlat.runs import pipeline
from genlat.runs.disk import store
from genlat.runs.file import memory
from genlat.runs.stages import chain_stage, keys
from genlat.runs.stages.job import Job
from genlat.runs.stages.screen import Screen

ISING = """
seed = 3
[theory]
name = "ising"
shape = [4, 3]
beta = 0.4
[mcmc]
chains = 8
samples = 60
therm = 20
keep = 64
"""
QUIET = Screen(quiet=True)


def test_defaults(tmp_path):
    run = load(tmp_path, ISING)
    assert run.mcmc is not None
    assert run.mcmc.kernel == ("swendsen_wang",)
    assert "energy_density" in run.observable_names
    assert not {"phi2", "hopping", "schwinger_dyson"} & set(run.observable_names)
    # φ⁴ keeps its own, and a named kernel is not replaced
    assert load(tmp_path, ISING, ["mcmc.kernel=wolff"]).mcmc.kernel == ("wolff",)
    for kernel in ("metropolis", "heatbath"):  # odd extents are fine
        load(tmp_path, ISING, [f"mcmc.kernel={kernel}", "theory.beta=-0.4"])


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            'mcmc.kernel=["hmc"]',
            'mcmc.kernel = ["hmc"]: hmc is not for ising, which has metropolis',
        ),
        ("theory.kappa=0.2", "theory.kappa = 0.2: not a field of this theory; it has"),
        ("theory.beta=nan", "theory.beta"),
        ("theory.shape=[4, 0]", "theory.shape = 0: should be greater than 0"),
        ('model.name="cnf"', 'model.name = "cnf": is for a continuous field or'),
        ('estimate.observables=["phi2"]', "phi2 is not an observable of ising"),
        ('estimate.methods=["hmc_integration"]', "no line of couplings leads from a s"),
        ("mcmc.n_leapfrog=5", "mcmc.n_leapfrog = 5: is of hmc, which is not among th"),
        ('mcmc.integrator="minimum_norm"', "is of hmc, which is not among the kernels"),
        ("train.anneal={kappa = 0.2}", "not a coupling of this theory: it has beta, f"),
    ],
)
def test_refusals(tmp_path, override, expected):
    (line,) = refusals(tmp_path, ISING, [override])
    assert expected in line


@pytest.mark.parametrize("kernels", [("heatbath",), ("heatbath", "wolff")])
def test_thinned_sweeps_are_one_step(tmp_path, monkeypatch, kernels):
    """Where there is nothing but sweeps; and the chain is that of the steps."""
    monkeypatch.setenv("GENLAT_NO_CACHE", "1")
    asked = ["mcmc.thin=3", f"mcmc.kernel={list(kernels)}", "mcmc.samples=10"]
    run = load(tmp_path, ISING, asked)
    pipeline.start(run, tmp_path / "run", QUIET)
    found = store.read(store.path(tmp_path / "run", "chain", 0)).arrays
    action = run.theory.theory().action
    heat_bath = IsingHeatBath(action, n_sweeps=3 if len(kernels) == 1 else 1)
    parts = (heat_bath,) if len(kernels) == 1 else (heat_bath, Wolff(action))
    steps = 1 if len(kernels) == 1 else 3
    start, therm, key = jr.split(keys.make(3, keys.Purpose.CHAIN), 3)
    kernel, state = runner.thermalise(
        parts[0] if len(parts) == 1 else Sequence(parts),
        runner.init_spins(action, start, 8),
        therm,
        n_therm=7 if len(kernels) == 1 else 20,
    )
    state, _ = runner.run_chunk(
        kernel, state, key, 0, n_samples=10, thin=steps, measure=lambda _: {}
    )
    np.testing.assert_array_equal(found["state/phi"], state.phi)


@pytest.mark.parametrize(
    ("shape", "beta", "field", "expected"),
    [
        ("[4, 3]", 0.4, 0.0, True),
        ("[4, 3]", 0.4, 0.1, True),
        ("[4, 3]", -0.4, 0.0, False),  # frustrated
        ("[4, 4]", -0.4, 0.0, True),
        ("[4, 4]", -0.4, 0.1, False),  # the field and the bonds disagree
    ],
)
def test_which_chains_are_evidence_of_all_modes(tmp_path, shape, beta, field, expected):
    overrides = [
        f"theory.shape={shape}",
        f"theory.beta={beta}",
        f"theory.field={field}",
    ]
    run = load(tmp_path, ISING, overrides)
    job = Job(tmp_path, run, run.theory.theory(), QUIET)
    assert chain_stage._label(job)["visits_every_mode"] == expected
    for kernel in ("metropolis", "heatbath"):
        run = load(tmp_path, ISING, [*overrides, f"mcmc.kernel={kernel}"])
        job = Job(tmp_path, run, run.theory.theory(), QUIET)
        assert chain_stage._label(job)["visits_every_mode"] == 0


def test_a_stored_spin_is_a_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 2 * 12 * 1000)
    lines = refusals(tmp_path, ISING, ["mcmc.keep=1001"])
    assert any("mcmc.keep = 1001" in x and "at most 1000 fit" in x for x in lines)
    lines = refusals(tmp_path, ISING, ["mcmc.keep=1000"])
    assert not any("mcmc.keep" in x for x in lines)


def test_spins_kernels_are_not_for_fields(tmp_path):
    phi4 = 'seed = 1\n[theory]\nname = "phi4"\nshape = [4]\nkappa = 0.2\nlam = 0.1\n'
    (line,) = refusals(tmp_path, f'{phi4}[mcmc]\nkernel = "wolff"')
    assert "wolff is not for phi4, which has hmc, metropolis, cluster, refl" in line
    assert "missing" in refusals(tmp_path, ISING.replace("beta = 0.4", ""))[0]


def test_a_chain_from_run_file_to_report(tmp_path, monkeypatch):
    """Exact values beside, spins stored as bytes, and resumed to the same numbers."""
    monkeypatch.setattr(chain_stage, "BLOCK", 30)
    monkeypatch.setenv("GENLAT_NO_CACHE", "1")
    out = tmp_path / "run"
    results = pipeline.start(load(tmp_path, ISING), out, QUIET)
    found = results["estimates"]
    for name in ("energy_density", "abs_mag", "specific_heat", "binder"):
        chain, exact = (found[name][key] for key in ("swendsen_wang", "exact"))
        assert 0 < chain["error"] < 0.3
        assert abs(chain["value"] - exact["value"]) < 5 * chain["error"], name
    assert {"log_z", "entropy_density", "susceptibility"} <= set(found)
    assert results["verdict"]["trust"] == "unknown"
    block = store.read(store.path(out, "chain", 1))
    assert block.arrays["phi"].dtype == block.arrays["state/phi"].dtype == np.int8
    assert set(np.unique(block.arrays["phi"])) == {-1, 1}
    assert block.attributes["visits_every_mode"] == 1
    text = page.write(out).read_text(encoding="utf-8")
    assert "Ising model, 4 × 3 lattice" in text
    assert "⟨H⟩ / V" in text
    store.path(out, "chain", 1).unlink()
    (out / "results.json").unlink()
    again = pipeline.resume(out, QUIET)
    assert json.dumps(again["estimates"]) == json.dumps(found)
