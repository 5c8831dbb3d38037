"""A conditional model in run files and scans: trained once, then taken anywhere."""

import numpy as np
import pytest

from genlat.errors import RequestError
from genlat.families import conditioning
from genlat.runs import pipeline
from genlat.runs.disk import directory, files
from genlat.runs.file import config
from genlat.runs.scan import scan, scan_request
from genlat.runs.stages import flow_model, train_stage
from genlat.runs.stages.job import Job
from genlat.runs.stages.screen import Screen

TINY = """
seed = 3
[theory]
name = "phi4"
shape = [4, 2]
kappa = 0.15
lam = 0.3
[model]
features = 3
channels = 2
kernel_terms = 2
mixing_terms = 2
n_steps = 3
nodes = {kappa = [0.1, 0.2, 0.3]}
[train]
steps = 120
batch = 32
[estimate]
samples = 4000
batch = 500
methods = ["nis"]
n_steps = 8
keep = 6
"""
QUIET = Screen(quiet=True)


@pytest.fixture(autouse=True, scope="module")
def small_pieces():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENLAT_NO_CACHE", "1")
        patch.setattr(train_stage, "LONGEST_CHUNK", 60)
        yield


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "run.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def scanned(run_file, tmp_path_factory):
    """Trained at the first point for all of them; the last is outside."""
    out = tmp_path_factory.mktemp("scan") / "scan"
    over = "theory.kappa=0.15,0.3,0.24,0.33"
    request = scan_request.plan(run_file, over, [], 0)
    return out, scan.start(request, out, QUIET, lambda point: None)


def test_one_training_serves_every_coupling(scanned):
    out, found = scanned
    for k, point in enumerate(found["points"]):
        results = files.read_json(out / point / "results.json")
        log_z = results["estimates"]["log_z"]
        pull = (log_z["nis"]["value"] - log_z["exact"]["value"]) / log_z["nis"]["error"]
        assert abs(pull) < 5
        assert log_z["nis"]["error"] < 0.02
        assert (results["cost"]["train_seconds"] > 0) == (k == 0)
    models = [flow_model.read(out / point) for point in found["points"]]
    for model in models[1:]:
        np.testing.assert_array_equal(
            model.table.field.kernel, models[0].table.field.kernel
        )


def test_outside_of_its_interval_the_verdict_warns(scanned):
    _, found = scanned
    warned = [
        any("lies outside of 0.1 to 0.3" in reason for reason in verdict["reasons"])
        for verdict in found["verdicts"]
    ]
    assert warned == [False, False, False, True]
    assert found["verdicts"][3]["trust"] != "yes"


def test_an_ordinary_run_can_start_from_it(scanned, run_file, tmp_path):
    """The flow at this coupling, without the table."""
    out, found = scanned
    start = str(out / found["points"][0])
    overrides = [f"model.init={start}", "theory.kappa=0.25", "train.steps=0",
                 "model.nodes={}"]  # fmt: skip
    pipeline.start(config.load(run_file, overrides), tmp_path / "run", QUIET)
    alone = flow_model.read(tmp_path / "run")
    table = flow_model.read(out / found["points"][0])
    np.testing.assert_allclose(
        alone.field.kernel, table.at(0.25).field.kernel, rtol=1e-6
    )


def test_a_killed_training_ends_with_the_same_parameters(
    scanned, run_file, tmp_path, monkeypatch
):
    out, found = scanned
    save = train_stage.checkpoint.save

    def killed(directory, step, tree):
        save(directory, step, tree)
        if step == 60:
            raise KeyboardInterrupt

    monkeypatch.setattr(train_stage.checkpoint, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        pipeline.start(config.load(run_file), tmp_path / "run", QUIET)
    monkeypatch.undo()
    monkeypatch.setattr(train_stage, "LONGEST_CHUNK", 60)
    pipeline.resume(tmp_path / "run", QUIET)
    whole, resumed = (
        flow_model.read(path) for path in (out / found["points"][0], tmp_path / "run")
    )
    np.testing.assert_array_equal(whole.table.field.kernel, resumed.table.field.kernel)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.nodes={m2 = [0.1, 0.2]}", "a model can be a function of kappa, lam"),
        ("model.nodes={kappa = [0.3, 0.2]}", "couplings in increasing order"),
        ("model.nodes={kappa = [0.2]}", "couplings in increasing order"),
        ("model.nodes={kappa = [0.2, 0.2, 0.3]}", "one inside may come twice"),
        ("model.wells=one", "a conditional model has no single well"),
        ("train.objective=forward_kl", "samples of p, which are of one coupling"),
        ("train.anneal={kappa = 0.2}", "trains at all values of kappa"),
    ],
)
def test_refusals(run_file, override, expected):
    with pytest.raises(RequestError) as caught:
        config.load(run_file, [override])
    assert any(expected in line for line in caught.value.lines)


def test_it_starts_only_from_one_with_the_same_nodes(scanned, run_file):
    out, found = scanned
    start = f"model.init={out / found['points'][0]}"
    config.load(run_file, [start])
    for override, expected in [
        ("model.nodes={kappa = [0.1, 0.3]}", "other model.nodes"),
        ("theory.shape=[8, 2]", "stays on its lattice"),
    ]:
        with pytest.raises(RequestError, match=expected):
            config.load(run_file, [start, override])


def test_the_transition_changes_the_prior():
    seen = []
    conditioning.tabulate(
        {"kappa": (0.1, 0.2, 0.2, 0.3)},
        lambda c, side: seen.append((c, side)) or _flow(),
    )
    sides = [side for _, side in seen]
    assert sides == ["below", "below", "above", "above"]
    assert [c["kappa"] for c, _ in seen] == [0.1, 0.2, 0.2, 0.3]


def test_training_goes_on_with_other_integration_steps(scanned, run_file, tmp_path):
    """As the run file says, and not as the run it starts from was integrated."""
    out, found = scanned
    source = out / found["points"][0]
    overrides = [f"model.init={source}", "model.n_steps=5"]
    given = config.load(run_file, overrides)
    directory.create(tmp_path / "run", given)
    job = Job(tmp_path / "run", given, given.theory.theory(), QUIET)
    model = flow_model.initial(job)
    assert model.table.n_steps == 5
    trained = flow_model.read(source)
    assert trained.table.n_steps == 3
    np.testing.assert_array_equal(model.table.field.kernel, trained.table.field.kernel)


def test_both_phases_are_a_prior_at_every_node(run_file, tmp_path):
    """Trained, read back, taken at a coupling; the shares move."""
    overrides = ["model.wells=mixed", "train.steps=60",
                 "estimate.samples=1000"]  # fmt: skip
    given = config.load(run_file, overrides)
    pipeline.start(given, tmp_path / "run", QUIET)
    model = flow_model.read(tmp_path / "run")
    logits = np.asarray(model.table.prior.logit)
    assert logits.shape == (3,)
    untrained = np.log((0.9 - 0.02) / (0.1 - 0.02))
    assert np.all(np.abs(logits - untrained) > 1e-4)
    # by another run: the trained prior is kept, not made anew
    start = [f"model.init={tmp_path / 'run'}", "train.steps=0", "model.nodes={}"]
    alone = config.load(run_file, [*overrides[:1], *start, "theory.kappa=0.2"])
    pipeline.start(alone, tmp_path / "alone", QUIET)
    carried = flow_model.read(tmp_path / "alone").prior
    np.testing.assert_allclose(carried.logit, logits[1], rtol=1e-6)


def _flow():
    from models_for_tests import a_model

    return a_model((5,))
