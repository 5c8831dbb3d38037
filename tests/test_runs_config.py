"""Run files: what is accepted, and one line for everything that is not."""

import io
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from config_for_tests import GOOD, load, refusals
from genlat import observables
from genlat.actions.phi4 import Phi4
from genlat.runs.disk import files
from genlat.runs.file import catalogue, config, memory, sections
from genlat.theories.phi4 import Phi4Section

ROOT = pathlib.Path(__file__).parents[1]


def test_a_good_file_gets_its_defaults(tmp_path):
    run = load(tmp_path, GOOD)
    assert run.theory.shape == (6, 4)
    assert run.mcmc is not None
    assert run.mcmc.kernel == ("hmc", "cluster")
    expected = (*run.theory.observables, *catalogue.DERIVED)
    assert run.observable_names == expected


def test_sections_are_optional(tmp_path):
    run = load(tmp_path, GOOD.split("[mcmc]")[0])
    assert run.mcmc is None
    assert run.model is None


def test_all_problems_come_at_once_with_file_field_value_and_advice(tmp_path):
    lines = refusals(
        tmp_path,
        """
[theory]
name = "phi4"
shape = [6, 0]
kappa = 0.21
lam = -0.031
[mcmc]
kernel = ["hcm", "overrelaxation"]
chain = 3
[model]
name = "gauge"
[train]
steps = 5
minutes = 2.5
batch = 0
[estimate]
observables = ["absmag"]
""",
    )
    text = "\n".join(lines)
    assert all(line.startswith(f"{tmp_path}/run.toml: ") for line in lines)
    for expected in (
        "seed: missing",
        "theory.shape = 0: should be greater than 0",
        "theory.lam = -0.031: should be greater than or equal to 0",
        'mcmc.kernel = "hcm": unknown kernel; did you mean hmc?',
        'mcmc.kernel = "overrelaxation": not available in this version',
        "mcmc.chain = 3: unknown field; did you mean chains?",
        'model.name = "gauge": not available in this version; this version has cnf',
        "train.minutes = 2.5: give either steps or minutes",
        "train.batch = 0: should be",
        'estimate.observables = "absmag": unknown observable; did you mean abs_mag?',
    ):
        assert expected in text
    assert len(lines) == 10


PHI4 = 'seed = 1\n[theory]\nname = "phi4"\nshape = [6, 5]\n'
WELL = 'seed = 1\n[theory]\nname = "double_well"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed = 1", "theory: missing"),
        ("seed = 1\n[theory]\nshape = [6]", "theory.name: missing; one of phi4"),
        ('seed = 1\n[theory]\nname = "u1"', "not available in this version"),
        ('seed = 1\n[theory]\nname = "phi"', "did you mean phi4?"),
        (PHI4, "couplings have no default: give (kappa, lam)"),
        (f"{PHI4}kappa = 0.2", "theory.lam: missing"),
        (f"{PHI4}m2 = 0.2", "couplings have no default"),
        (f"{PHI4}kappa = 0.2\nm2 = 1.0", "kappa, m2 do not go together"),
        (f"{PHI4}kappa = 0.25\nlam = 0.0", "|kappa| must be < 0.25 when lam = 0"),
        (f"{PHI4}kappa = -0.3\nlam = 0.0", "|kappa| must be < 0.25 when lam = 0"),
        (f"{PHI4}m2 = 0.0\nlam_b = 0.0", "theory.m2 = 0.0: must be > 0 when lam_b = 0"),
        (f"{PHI4}m2 = -1.0\ng = 0.0", "must be > 0 when g = 0"),
        (f"{PHI4}kappa = nan\nlam = 0.1", "theory.kappa = NaN: should be a finite"),
        (f'{PHI4}kappa = "0.2"\nlam = 0.1', "should be a valid number"),
        (f"{PHI4}kapa = 0.2\nlam = 0.1", "did you mean kappa?"),
        (f"{PHI4}kappa = 0.2\nlam = 0.1\n[mcm]", "unknown section; did you mean mcmc?"),
        (f"{PHI4}kappa = 0.2\nlam = 0.1\n[mcmc]\nkernel = []", "mcmc.kernel = []"),
        (
            f'{PHI4}kappa = 0.2\nlam = 0.1\n[mcmc]\nkernel = "metropolis"',
            "metropolis needs even extents, shape is [6, 5]",
        ),
        (
            f'{PHI4}kappa = 0.2\nlam = 0.1\n[mcmc]\nkernel = "cluster"',
            "only signs change: add hmc",
        ),
        (
            f'{PHI4}kappa = 0.2\nlam = 0.1\n[estimate]\nmethods = ["br"]',
            'estimate.methods = "br": unknown method; did you mean bar?',
        ),
        (
            f'{PHI4}kappa = 0.2\nlam = 0.1\n[model]\n[estimate]\nmethods = ["bar"]',
            "bar need samples of p: add [mcmc] or p_samples",
        ),
        (
            f'{PHI4}kappa = 0.2\nlam = 0.1\n[mcmc]\n[estimate]\nmethods = ["bar"]',
            "bar need a model: add [model]",
        ),
        (
            PHI4 + "kappa = 0.2\nlam = 0.1\n[mcmc]\nkeep = 0\n[model]\n"
            '[estimate]\nmethods = ["p_estimator"]',
            "mcmc.keep = 0: p_estimator need stored samples of p",
        ),
        (
            f'{PHI4}kappa = 0.2\nlam = 0.1\n[mcmc]\n[estimate]\nmethods = ["nis"]',
            "nis need a model: add [model]",
        ),
        (
            f"{PHI4}kappa = 0.2\nlam = 0.1\n[model]\n[estimate]\nmethods = []",
            "estimate.methods = []: ",
        ),
        (
            f'{PHI4}kappa = 0.2\nlam = 0.1\n[model]\nwells = "left"',
            'model.wells = "left": should be',
        ),
        (
            f"{PHI4}kappa = 0.2\nlam = 0.1\n[integration]\ntarget_error = 0.0",
            "integration.target_error = 0.0: should be greater than 0",
        ),
        (
            f"{PHI4}kappa = 0.2\nlam = 0.1\n[model]\n[estimate]\nsamples = 200",
            "leaves fewer than 10 of samples = 200",
        ),
        ("seed = ", "not a TOML file"),
        (
            f"{WELL}shape = [8, 4]\nm0 = 0.0\nmu2 = -1.0\nlam = 0.5",
            "theory.m0 = 0.0: should be greater than 0",
        ),
        (
            f"{WELL}shape = [8]\nm0 = 1.0\nmu2 = -1.0\nlam = 0.0",
            "theory.mu2 = -1.0: must be > 0 when lam = 0",
        ),
    ],
)
def test_refusals(tmp_path, text, expected):
    assert any(expected in line for line in refusals(tmp_path, text))


@pytest.mark.parametrize(
    ("couplings", "form"),
    [
        ("kappa = 0.3\nlam = 0.02", "A"),
        ("m2 = -4.0\nlam_b = 5.3", "B"),
        ("m2 = -4\ng = 30", "C"),
        ("kappa = -0.2\nlam = 0.0", "A"),
    ],
)
def test_forms(tmp_path, couplings, form):
    theory = load(tmp_path, PHI4 + couplings).theory
    assert isinstance(theory, Phi4Section)
    assert theory.form == form


def test_refused_couplings_are_those_the_action_refuses():
    """The two checks of |κ| at λ = 0 must not drift apart."""
    Phi4((6, 5), 0.2499, 0.0)
    with pytest.raises(ValueError, match=r"< 0\.25"):
        Phi4((6, 5), 0.25, 0.0)


def test_overrides(tmp_path):
    run = load(
        tmp_path,
        GOOD,
        ["seed=7", "train.steps=12", "model.init=scratch", "mcmc.kernel=['hmc']"],
    )
    assert (run.seed, run.train.steps) == (7, 12)
    assert run.mcmc is not None
    assert run.mcmc.kernel == ("hmc",)
    assert "did you mean steps" in refusals(tmp_path, GOOD, ["train.stops=12"])[0]
    for bad in ("train", "train.steps", "a.b.c=1", "seed.x=1"):
        assert bad in refusals(tmp_path, GOOD, [bad])[0]


def test_missing_file_is_one_line(tmp_path):
    with pytest.raises(config.RequestError, match="cannot be read: No such file"):
        config.load(tmp_path / "none.toml")


def test_memory_is_estimated_before_any_work(tmp_path):
    (line,) = refusals(tmp_path, GOOD, ["train.batch=1000000000"])
    assert "needs about" in line
    assert "at most" in line
    (line,) = refusals(tmp_path, GOOD, ["mcmc.keep=100000000000"])
    assert "mcmc.keep = 100000000000: needs about" in line
    assert memory.spelt(3 * 2**30) == "3 GiB"


def test_nothing_is_refused_for_a_model_that_is_not_there(tmp_path):
    """Chains over its draws, and the draws that it would be trained on."""
    chain = GOOD.replace("[model]\n", "")
    overrides = ["estimate.chains=100", "estimate.samples=200"]
    assert load(tmp_path, chain, overrides).model is None
    (line,) = refusals(tmp_path, GOOD, overrides)
    assert "estimate.chains = 100: leaves fewer than 10" in line
    overrides = [
        "train.data=own",
        "train.objective=forward_kl",
        f"train.draws={2**31 - 1}",
    ]
    assert load(tmp_path, chain, overrides).model is None
    assert any("train.draws" in line for line in refusals(tmp_path, GOOD, overrides))


def test_init_must_be_a_fitting_run(tmp_path):
    def why(overrides):
        init = f"model.init={tmp_path / 'source'}"
        (line,) = refusals(tmp_path, GOOD, [init, *overrides])
        return line

    assert "not a readable run directory" in why([])
    source = tmp_path / "source"
    (source / "checkpoints").mkdir(parents=True)
    (source / "config.toml").write_text("colour = 'red'")
    assert "not a run directory of genlat" in why([])
    (source / "config.toml").write_text(GOOD.split("[mcmc]")[0])
    assert "holds no model" in why([])
    (source / "config.toml").write_text(GOOD)
    assert "has no checkpoint" in why([])
    newest = source / "checkpoints" / "step-00000001.checkpoint"
    newest.touch()
    files.write_json(source / "notes.json", {})
    assert f"{newest}: damaged; delete it" in why([])
    files.write_sealed(newest, b"")
    assert f"{newest}: damaged; delete it" in why([])
    archive = io.BytesIO()
    np.savez(archive)
    files.write_sealed(newest, archive.getvalue())
    assert "cannot be made smaller" in why(["theory.shape=[6, 3]"])
    assert "another number of dimensions" in why(["theory.shape=[6, 4, 4]"])
    assert "features = 8, this file says 6" in why(["model.features=6"])
    form_b = GOOD.replace("kappa", "m2").replace("lam =", "lam_b =")
    (source / "config.toml").write_text(form_b)
    assert "by m2, lam_b, this is by kappa, lam" in why([])
    (source / "config.toml").write_text(GOOD)
    assert "less symmetric" in why(["theory.shape=[8, 8]"])
    run = load(tmp_path, GOOD, [f"model.init={source}", "theory.shape=[8, 6]"])
    assert run.model is not None


def test_default_methods_are_what_there_are_samples_for(tmp_path):
    def methods(overrides=(), text=GOOD):
        return load(tmp_path, text, overrides).methods

    both = ("nis", "nmcmc", "p_estimator", "bar")
    assert methods() == both
    assert methods(["mcmc.keep=0"]) == both[:2]
    assert methods(["estimate.methods=['default','hmc_integration']"]) == (
        *both,
        "hmc_integration",
    )
    assert methods(["estimate.methods=['nis']"]) == ("nis",)


def test_samples_of_p_must_be_of_this_theory(tmp_path):
    source = tmp_path / "source"

    def why():
        (line,) = refusals(tmp_path, GOOD, [f"estimate.p_samples={source}"])
        return line

    assert "not a readable run directory" in why()
    source.mkdir()
    (source / "config.toml").write_text("colour = 'red'")
    assert "not a run directory of genlat" in why()
    (source / "config.toml").write_text(GOOD.split("[mcmc]")[0])
    assert "holds no stored samples" in why()
    other = GOOD.replace("kappa = ", "kappa = 1")
    (source / "config.toml").write_text(other)
    assert "samples of another theory: kappa = 1" in why()
    (source / "config.toml").write_text(GOOD.replace("shape = [6", "shape = [8"))
    assert "another theory: shape = [8" in why()
    (source / "config.toml").write_text(GOOD)
    assert "is not finished" in why()
    (source / "results.json").write_text("{}")
    assert load(tmp_path, GOOD, [f"estimate.p_samples={source}"]).methods[2:] == (
        "p_estimator",
        "bar",
    )


def test_observable_names_are_those_measured():
    assert set(observables.DERIVED) == set(catalogue.DERIVED)


def test_every_field_is_documented():
    for models in sections.SECTIONS.values():
        for model in models:
            for name, field in model.model_fields.items():
                assert field.description or name == "name", (model, name)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")))
def test_examples_are_valid_but_for_runs_they_start_from(path):
    try:
        config.load(path)
    except config.RequestError as error:
        (line,) = error.lines
        assert "model.init" in line
        assert "not a readable run directory" in line


def test_checking_does_not_import_jax(tmp_path):
    (tmp_path / "run.toml").write_text(GOOD)
    code = (
        "import sys, pathlib; from genlat.runs.file import config;"
        f"config.load(pathlib.Path({str(tmp_path / 'run.toml')!r}));"
        "sys.exit('jax' in sys.modules or 'h5py' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
