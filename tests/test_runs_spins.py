"""Models of spins in run files: what is refused, and runs against exact values."""

import pytest

from config_for_tests import load, refusals
from genlat.runs import pipeline
from genlat.runs.stages import flow_model
from genlat.runs.stages.job import Job
from genlat.runs.stages.screen import Screen

ISING = """
seed = 3
[theory]
name = "ising"
shape = [4, 4]
beta = 0.4
[mcmc]
chains = 16
samples = 200
therm = 20
keep = 3200
[model]
name = "coarse_to_fine"
width = 8
[train]
objective = "forward_kl"
gradient = "total"
augment = ["sign", "translations", "point_group"]
steps = 150
batch = 64
learning_rate = 0.01
[estimate]
samples = 4000
chains = 20
"""
QUIET = Screen(quiet=True)
REINFORCE = ["train.objective=reverse_kl", "train.gradient=reinforce"]


def changed(**lines):
    text = ISING
    for old, new in lines.values():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["theory.shape=[4, 4, 4]"], "wants two extents, shape is [4, 4, 4]: use made"),
        (["theory.shape=[14, 14]"], "theory.shape = [14, 14]: halving (14, 14) while"),
        (
            ["train.gradient=path"],
            "forward_kl: the spins ±1 that a coarse_to_fine dr",
        ),
        (["train.objective=reverse_kl"], "have no derivative; use reinforce"),
        (["train.objective=symmetric_kl"], "use forward_kl with total, or reverse_kl"),
        (["model.wells=one"], 'model.wells = "one": not a field of this model; it'),
        (["estimate.n_steps=8"], "a coarse_to_fine is not integrated: leave it out"),
        (
            ["model={name = 'pixelcnn', half_kernel = 2}"],
            "model.half_kernel = 2: kernels of 5 do not fit the shape [4, 4]",
        ),
        (
            ["model={name = 'hierarchical'}", "theory.shape=[4, 8]"],
            "wants a square of extent 2, 4, 8, ..., shape is [4, 8]",
        ),
        (
            ["model={name = 'hierarchical'}", "theory.field=0.1"],
            "theory.field = 0.1: hierarchical has heat baths without field",
        ),
        (["model.nodes={kappa = [0.2, 0.3]}"], "a model can be a function of beta, fi"),
        (
            ["model.nodes={beta = [0.3, 0.4, 0.4, 0.5]}", *REINFORCE],
            "names a coupling twice: spins have no prior to change",
        ),
        (["theory.field=0.1"], 'train.augment = ["sign", "translations", "point_group'),
        (
            ["theory.field=0.1", 'model.symmetrize=["sign"]'],
            "sign is no symmetry of ising: field = 0.1 breaks it",
        ),
        (
            ["model={name = 'hierarchical', nodes = {field = [0.0, 0.1]}}"],
            "theory.field = 0.0: hierarchical has heat baths without field",
        ),
        (
            ["model={name = 'made', depth = 3}", "theory.shape=[64, 64]"],
            "model.width = 32: its weights need 408 GiB of memory",
        ),
        (["train.anneal={field = 0.2}"], "ends without field, where models are even"),
    ],
)
def test_refusals(tmp_path, overrides, expected):
    assert expected in " ".join(refusals(tmp_path, ISING, overrides))


def test_the_default_gradient_is_one_that_spins_have(tmp_path):
    start, _, _ = ISING.partition("[train]")
    assert load(tmp_path, start).train.gradient == "reinforce"
    on_data = f"{start}[train]\nobjective = 'forward_kl'"
    assert load(tmp_path, on_data).train.gradient == "total"


def test_one_model_for_an_interval_of_fields(tmp_path):
    """Biases at all nodes, though one of them is 0."""
    overrides = ["model.nodes={field = [0.0, 0.1]}", "train.steps=0", *REINFORCE]
    run = load(tmp_path, ISING, [*overrides, "train.augment=[]"])
    model = flow_model.initial(Job(tmp_path, run, run.theory.theory(), QUIET))
    assert model.at(0.0).is_biased


def test_models_of_spins_are_for_ising_alone(tmp_path):
    phi4 = 'seed = 1\n[theory]\nname = "phi4"\nshape = [4, 4]\nkappa = 0.2\nlam = 0.1\n'
    (line,) = refusals(tmp_path, f'{phi4}[model]\nname = "made"')
    assert 'model.name = "made": is for spins ±1, phi4 has a continuous field' in line


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run by forward KL, whose results the tests share."""
    root = tmp_path_factory.mktemp("trained")
    out = root / "run"
    return out, pipeline.start(load(root, ISING), out, QUIET)


def agrees(results, names, methods):
    for name in names:
        exact = results["estimates"][name]["exact"]["value"]
        for method in methods:
            found = results["estimates"][name][method]
            assert abs(found["value"] - exact) < 4 * found["error"], (name, method)


def test_forward_kl_on_the_chains_gives_the_exact_thermodynamics(trained):
    _, results = trained
    assert results["diagnostics"]["ess"]["value"] > 0.97
    assert abs(results["diagnostics"]["mode_weight"]["value"] - 1) < 0.02
    agrees(results, ["log_z", "entropy_density"], ["nis", "p_estimator", "bar"])
    agrees(results, ["energy_density", "abs_mag", "mag2"], ["nis", "nmcmc"])
    assert results["estimates"]["log_z"]["nis"]["error"] < 0.01


def test_reinforce_goes_on_from_it_at_another_coupling(trained, tmp_path):
    source, _ = trained
    start = [f"model.init={source}", "theory.beta=0.42", "train.steps=60", *REINFORCE]
    run = load(tmp_path, ISING, [*start, "train.augment=[]", "train.batch=128"])
    results = pipeline.start(run, tmp_path / "run", QUIET)
    assert results["diagnostics"]["ess"]["value"] > 0.97
    agrees(results, ["log_z"], ["nis", "bar"])


def test_one_model_of_spins_for_an_interval_of_couplings(tmp_path):
    overrides = ["model.nodes={beta = [0.2, 0.45]}", "train.steps=100", *REINFORCE]
    run = load(tmp_path, ISING, [*overrides, "train.augment=[]", "train.batch=128"])
    results = pipeline.start(run, tmp_path / "run", QUIET)
    assert results["diagnostics"]["ess"]["value"] > 0.8
    agrees(results, ["log_z"], ["nis", "bar"])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("made", "width = 3"),
        ("hierarchical", "width = 3"),
        pytest.param("pixelcnn", "width = 4", marks=pytest.mark.slow),
    ],
)
def test_every_family_trains_from_a_run_file(tmp_path, name, settings):
    text = changed(
        model=('name = "coarse_to_fine"\nwidth = 8', f'name = "{name}"\n{settings}'),
        steps=("steps = 150", "steps = 40"),
    )
    kernel = ["model.half_kernel=1"] if name == "pixelcnn" else []
    symmetry = ['model.symmetrize=["sign"]'] if name == "made" else []
    methods = ['estimate.methods=["default", "variational"]']
    run = load(tmp_path, text, [*kernel, *symmetry, *methods])
    results = pipeline.start(run, tmp_path / "run", QUIET)
    assert results["diagnostics"]["ess"]["value"] > 0.2
    agrees(results, ["log_z"], ["nis"])
    # averages over q as they are do not: that is what reweighting is for
    log_z = results["estimates"]["log_z"]
    missed = log_z["exact"]["value"] - log_z["variational"]["value"]
    assert missed > 5 * log_z["variational"]["error"]
    kl = 16 * results["diagnostics"]["kl_per_site"]["value"]
    assert missed == pytest.approx(kl, abs=4 * log_z["nis"]["error"])
    # its entropy is that of q: -E_q[ln q]
    entropy, action, free_energy = (
        results["estimates"][name]["variational"]["value"]
        for name in ("entropy_density", "action_density", "free_energy_density")
    )
    assert entropy == pytest.approx(action - free_energy, rel=1e-9)
    assert not any("variational" in x for x in results["diagnostics"]["pulls"]["log_z"])
