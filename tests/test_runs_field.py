"""φ⁴ in a field, from run file to results: refusals, a run, a scan."""

import json

import pytest
from typer.testing import CliRunner

from config_for_tests import load, refusals
from genlat import cli, exact
from genlat.errors import RequestError
from genlat.report import page
from genlat.runs import pipeline
from genlat.runs.scan import scan_results
from genlat.runs.stages import flow_model, trace
from genlat.runs.stages.screen import Screen

QUIET = Screen(quiet=True)
TEXT = """
seed = 5
[theory]
name = "phi4"
shape = [6]
kappa = 0.31
lam = 0.4
field = -0.3
[mcmc]
chains = 16
samples = 500
therm = 100
n_leapfrog = 5
keep = 1024
[model]
name = "realnvp"
layers = 4
hidden = [8]
[train]
steps = 120
batch = 32
[estimate]
samples = 4000
methods = ["default", "hmc_integration"]
[integration]
couplings = 3
chains = 16
samples = 500
target_error = 0.05
"""


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["theory.field=nan"], "theory.field = NaN: should be a finite number"),
        (["theory.field=inf"], "theory.field = Infinity: should be a finite number"),
        (['theory.field="up"'], "theory.field"),
        (
            ["mcmc.kernel=['hmc','reflection']"],
            "reflection carries φ to -φ, which field = -0.3 of phi4 breaks: use",
        ),
        (["mcmc.kernel='cluster'"], "only signs change: add hmc"),
        (
            ["model.equivariant=true"],
            "makes q even, and field = -0.3 breaks φ → -φ: leave it out",
        ),
        (
            ["model.symmetrize='sign'"],
            "sign is no symmetry of phi4: field = -0.3 breaks it",
        ),
        (
            ["train.augment='sign'", "train.objective='forward_kl'"],
            'train.augment = ["sign"]: sign is no symmetry of phi4: field = -',
        ),
        *(
            (
                [f"model.wells='{wells}'"],
                'with field = -0.3 the prior is one Gaussian: "auto"',
            )
            for wells in ("both", "one", "none", "mixed")
        ),
        (
            ["model.nodes={field=[-0.4,-0.3,-0.3,-0.1]}"],
            "the prior is one Gaussian: each once",
        ),
        (
            ["theory.field=0", "model.nodes={field=[-0.1,0.1]}"],
            "a model can be a function of kappa, lam",
        ),
        (["train.anneal={field=0}"], "starts without field, which the theory has"),
        (["theory.field=0", "train.anneal={field=0.3}"], "ends without field"),
        (["theory.m2=1"], "theory: kappa, lam, m2 do not go together"),
    ],
)
def test_what_does_not_go_is_said(tmp_path, overrides, says):
    lines = refusals(tmp_path, TEXT, overrides)
    assert any(says in line for line in lines), lines


def test_an_odd_flow_is_refused(tmp_path):
    bare = TEXT.split("[model]")[0] + "[model]\n[train]\n"
    (line,) = refusals(tmp_path, bare)
    assert 'model.name = "cnf": is odd, and field = -0.3 breaks φ → -φ: use' in line
    load(tmp_path, bare, ["theory.field=0"])


def test_couplings_beyond_floating_point_are_one_line(tmp_path):
    run = load(tmp_path, TEXT, ["theory.field=1e300"])
    with pytest.raises(RequestError, match=r"field = 1e\+300: couplings so large"):
        pipeline.start(run, tmp_path / "run", QUIET)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.prior='normal'"],
        ["model.name='nice'", "train.anneal={field=-0.9}"],
        ["model.nodes={field=[-0.4,0.1]}", "model.name='realnvp'"],
        ["model.nodes={kappa=[0.2,0.4]}", "model.symmetrize='translations'"],
        ["theory={name='phi4',shape=[4,4],m2=-1.3,lam_b=2.1,field=0.2}"],
    ],
)
def test_what_goes_is_built_and_traced(tmp_path, overrides):
    run = load(tmp_path, TEXT, overrides)
    trace.refuse_untraceable(run)


def test_a_scan_through_zero_finds_its_points():
    """At 0 the field is not written; what another point has is not taken for it."""
    written = {"theory": {"name": "phi4", "kappa": 0.31}}
    assert scan_results._scanned(written, "theory.field") == 0.0
    assert scan_results._scanned(written, "theory.kappa") == 0.31


def test_a_run_from_file_to_page(tmp_path):
    """ln Z by draws, from both sides and along κ is that of the exact ring."""
    run = load(tmp_path, TEXT)
    assert run.mcmc.kernel == ("hmc", "cluster")
    out = tmp_path / "run"
    results = pipeline.start(run, out, QUIET)
    found = results["estimates"]
    known = exact.known(run.theory.theory().action)
    bounds = {"nis": 0.015, "bar": 0.015, "hmc_integration": 0.051}
    for method, bound in bounds.items():
        number = found["log_z"][method]
        assert 0 < number["error"] < bound
        pull = (number["value"] - known["log_z"].value) / number["error"]
        assert abs(pull) < 5, method
    for name in ("mag", "phi2", "action_density"):
        for method in ("hmc+cluster", "nis"):
            number = found[name][method]
            assert abs(number["value"] - known[name].value) < 5 * number["error"]
    assert found["mag"]["nis"]["value"] < -0.2
    assert results["diagnostics"]["ess"]["value"] > 0.5
    assert results["config"]["theory"]["field"] == -0.3
    assert "h = -0.3" in page.write(out).read_text(encoding="utf-8")
    # the model comes back as the first guess of another field, in the same well or not
    for field in (-0.2, 0.2, 0.0):
        other = load(tmp_path, TEXT, [f"theory.field={field}", f"model.init='{out}'"])
        flow_model.make(other, other.theory.theory().action)


def test_a_scan_over_the_field(tmp_path):
    """The slope of ln Z is V⟨m⟩; the point without field is one of them."""
    text = TEXT.split("[model]")[0]
    load(tmp_path, text)
    out = tmp_path / "scan"
    arguments = ["scan", str(tmp_path / "run.toml"), "--out", str(out), "--quiet"]
    over = ["--over", "theory.field=-0.2:0.2:0.2"]
    result = CliRunner().invoke(cli.app, [*arguments, *over])
    assert result.exit_code == 0, result.output
    found = json.loads((out / "scan.json").read_text())
    assert found["values"] == [-0.2, 0.0, 0.2]
    mag = found["estimates"]["mag"]
    for k, (value, error) in enumerate(
        zip(mag["hmc+cluster"]["value"], mag["hmc+cluster"]["error"], strict=True)
    ):
        assert abs(value - mag["exact"]["value"][k]) < 5 * error
    assert mag["exact"]["value"][1] == 0
    assert load(tmp_path, text).theory.slope("field") == ("mag", 6.0)
