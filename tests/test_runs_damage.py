"""Whatever is damaged, edited or lost of a finished run is named, never passed on."""

import json
import shutil

import jax
import numpy as np
import pytest

from genlat.errors import DamagedError, RequestError
from genlat.runs import pipeline, records
from genlat.runs.disk import directory, files, inventory, metrics, store
from genlat.runs.export import export, fluctuations
from genlat.runs.file import config, continuation, source
from genlat.runs.stages import (
    flow_model,
    stored_chains,
)
from genlat.runs.stages.screen import Screen
from pieces_for_tests import in_small_pieces

TINY = """
seed = 5
[theory]
name = "ising"
shape = [3, 2]
beta = 0.3
[mcmc]
kernel = "heatbath"
chains = 4
samples = 60
therm = 20
keep = 80
[model]
name = "made"
depth = 1
[train]
steps = 20
batch = 8
[estimate]
samples = 600
batch = 100
chains = 6
keep = 20
"""
QUIET = Screen(quiet=True)
KINDS = ("chain", "flow", "nmcmc", "target")


small_pieces = pytest.fixture(autouse=True, scope="module")(in_small_pieces)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    root = tmp_path_factory.mktemp("damage")
    (root / "tiny.toml").write_text(TINY)
    pipeline.start(config.load(root / "tiny.toml"), root / "run", QUIET)
    return root / "run"


@pytest.fixture
def run(original, tmp_path):
    return shutil.copytree(original, tmp_path / "run")


def arrays(path):
    """Everything that later commands read of a run, as one flat dictionary."""
    record = records.read(path)
    found = {
        f"{kind}/{name}": array
        for kind in ("chain", "flow", "nmcmc", "target")
        for name, array in getattr(record, kind).items()
    }
    found |= {f"metrics/{name}": column for name, column in record.metrics.items()}
    return found, record.results, record.config


def weights(model):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(model)])


def assert_same(found, expected, but=()):
    assert found[1:] == expected[1:]
    assert found[0].keys() == expected[0].keys()
    for name, array in expected[0].items():
        if name not in but:
            np.testing.assert_array_equal(found[0][name], array)


def read_everything(path):
    """As resume, report and export, init, p_samples and fluctuations do."""
    pipeline.resume(path, QUIET)
    section = source.read_config(path)
    assert section.model is not None
    if reason := source.why_unfit(path, section.theory, section.model):
        raise RequestError(reason)
    model = flow_model.read(path)
    for block in stored_chains.paths(path):
        stored_chains.read(block, section.theory)
    return arrays(path), weights(model)


def records_of(path):
    """The files that hold what a finished run found."""
    older = sorted(path.glob("checkpoints/*"))[:-1]  # for accidents alone
    found = [x for x in sorted(path.rglob("[!.]*")) if x.is_file()]
    return [x for x in found if x not in older]


def test_no_flipped_bit_and_no_truncation_passes_for_a_record(run, original):
    expected = read_everything(run)
    generator = np.random.default_rng(1)
    said: list[tuple[str, str]] = []
    paths = records_of(run)
    assert {x.suffix for x in paths} >= {".toml", ".json", ".jsonl", ".h5"}
    for path in paths:
        content = path.read_bytes()
        damaged = bytearray(content)
        damaged[generator.integers(len(content))] ^= 1 << int(generator.integers(8))
        for bad in (damaged, content[: generator.integers(len(content))]):
            path.write_bytes(bad)
            try:
                found, kernel = read_everything(run)
            except (DamagedError, RequestError) as error:
                said.append((path.name, str(error)))
            else:
                assert_same(found, expected[0])
                np.testing.assert_array_equal(kernel, expected[1])
        path.write_bytes(content)
    assert len(said) > 1.2 * len(paths)
    assert all(name in line and "\n" not in line for name, line in said)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("results.json", '"n": 600', '"n": 601'),
        ("results.json", '"sha256"', '"sha257"'),
        ("notes.json", '"steps": 20', '"steps": 21'),
        ("metrics.jsonl", '"step": 7', '"step": 6'),
        ("metrics.jsonl", '"loss": -', '"loss": '),
        ("config.toml", "seed = 5", "seed = 6"),
    ],
)
def test_a_record_that_was_edited_is_named(run, name, before, after):
    path = run / name
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises((DamagedError, RequestError)) as caught:
        read_everything(run)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"sha256": 3}', "\xff"])
def test_torn_and_foreign_json_is_named(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DamagedError, match=r"results\.json: damaged.*; delete it"):
        files.read_json(path)


def test_json_is_known_by_what_it_says(tmp_path):
    """However it is spelt: keys that are numbers, tuples, another indentation."""
    path = tmp_path / "a.json"
    files.write_json(path, {"φ": (1, 2.5), "x": {10: None, 9: float("inf")}})
    expected = {"φ": [1, 2.5], "x": {"10": None, "9": float("inf")}}
    assert files.read_json(path) == expected
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert files.read_json(path) == expected


def test_a_log_has_every_step(run):
    path = run / "metrics.jsonl"
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    # what a killed run leaves behind its last chunk
    path.write_bytes(content + lines[3][:20])
    assert len(metrics.read(run)) == 20
    for bad, expected in (
        (lines[:5] + lines[6:], "line 6 is damaged"),
        (lines[:-1], "has 19 of 20 steps"),
        ([], "has 0 of 20 steps"),
    ):
        path.write_bytes(b"".join(bad))
        with pytest.raises(DamagedError, match=expected):
            records.read(run)
    with pytest.raises(DamagedError, match=r"has 0 of 10 steps; delete it and all of"):
        metrics.truncate(run, 10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_block_is_missed_and_made_again(run, original, kind):
    """The last of each kind, which no gap betrays."""
    expected = arrays(original)
    path = store.paths(run, kind)[-1]
    path.unlink()
    with pytest.raises(DamagedError, match=f"{path}: gone; `genlat resume {run}`"):
        arrays(run)
    with pytest.raises(DamagedError, match="gone"):
        export.write(run, run.with_name("out.nc"))
    if kind == "flow":
        with pytest.raises(DamagedError, match="gone"):
            fluctuations.study([run], 4)
    if kind == "chain":
        with pytest.raises(DamagedError, match="gone"):
            stored_chains.paths(run)
        theory = source.read_config(run).theory
        assert "gone" in str(source.why_no_samples(run, theory))
    assert pipeline.resume(run, QUIET) == expected[1]
    assert_same(arrays(run), expected)


def test_a_lost_checkpoint_is_missed_and_made_again(run, original):
    expected = weights(flow_model.read(original))
    for path in sorted(run.glob("checkpoints/*"))[1:]:
        path.unlink()
    section = source.read_config(run)
    with pytest.raises(DamagedError, match=r"step-00000020\.checkpoint: gone"):
        flow_model.read(run)
    with pytest.raises(DamagedError, match=r"step-00000020\.checkpoint: gone"):
        source.why_unfit(run, section.theory, section.model)
    pipeline.resume(run, QUIET)
    np.testing.assert_array_equal(weights(flow_model.read(run)), expected)
    assert_same(
        arrays(run),
        arrays(original),
        but=("metrics/seconds", "metrics/compile_seconds"),
    )


@pytest.mark.parametrize("kind", ["chain", "flow"])
def test_a_block_of_another_run_is_none_of_this_one(run, original, tmp_path, kind):
    """Sound, under its own name, and of another seed."""
    path = store.paths(run, kind)[0]
    block = store.read(path)
    theirs = {**block.attributes, "fingerprint": "another"}
    store.write(path, block._replace(attributes=theirs))
    with pytest.raises(DamagedError, match=f"{path}: belongs to another run"):
        arrays(run)
    if kind == "flow":
        with pytest.raises(DamagedError, match="belongs to another run"):
            fluctuations.study([run], 4)
    else:
        with pytest.raises(DamagedError, match="belongs to another run"):
            stored_chains.paths(run)


@pytest.mark.parametrize("theirs", [{"seed": 6}, {"spare": {"a": 1}}])
def test_results_of_another_run_are_none_of_this_one(run, theirs):
    """Of other values, or of a section that this one lacks."""
    content = files.read_json(run / "results.json")
    content["config"] |= theirs
    files.write_json(run / "results.json", content)
    for reader in (records.read, lambda path: pipeline.resume(path, QUIET)):
        with pytest.raises(DamagedError, match=r"\.json: of another run, whose s"):
            reader(run)


@pytest.mark.parametrize("kind", ["ensembles", "checkpoints"])
def test_a_folder_that_is_gone_is_made_again(run, original, kind):
    """As the advice for a damaged log says: delete all of checkpoints."""
    shutil.rmtree(run / kind)
    pipeline.resume(run, QUIET)
    but = ("metrics/seconds", "metrics/compile_seconds")
    assert_same(arrays(run), arrays(original), but=but)


def test_a_model_is_that_of_the_newest_checkpoint_or_none(run):
    """Its own training may fall back; whoever takes its model may not."""
    section = source.read_config(run)
    *_, older, newest = sorted(run.glob("checkpoints/*"))
    newest.write_bytes(older.read_bytes()[:-1])
    init = f"model.init={run}"
    (run.parent / "tiny.toml").write_text(TINY)
    with pytest.raises(RequestError, match=f"model.init = .*{newest}: damaged; delete"):
        config.load(run.parent / "tiny.toml", [init])
    with pytest.raises(DamagedError, match=f"{newest}: damaged"):
        flow_model.read(run)
    state = flow_model.read_state(run, section)
    assert state is not None
    assert int(state.step) == 10


def test_blocks_of_a_chain_are_those_asked_for(run):
    """A run that goes on never takes a part of its chain for the whole."""
    (run / "results.json").unlink()
    fingerprint = store.read(store.path(run, "chain", 0)).attributes["fingerprint"]
    assert len(store.read_all(run, "chain", str(fingerprint), 3)) == 3
    with pytest.raises(DamagedError, match=r"chain-00003\.h5: gone"):
        store.read_all(run, "chain", str(fingerprint), 4)
    with pytest.raises(DamagedError, match=r"chain-00002\.h5: not of this run"):
        store.read_all(run, "chain", str(fingerprint), 2)


def test_notes_that_are_gone_are_said_to_be(run):
    (run / "notes.json").unlink()
    with pytest.raises(DamagedError, match=r"notes\.json: is gone"):
        pipeline.resume(run, QUIET)


def test_the_inventory_is_of_a_finished_run(run):
    noted = directory.notes(run)[inventory.NOTE]
    assert noted["steps"] == 20
    assert [len(noted[kind]) for kind in KINDS] == [3, 3, 1, 3]
    assert noted["checkpoint"] == ["checkpoints/step-00000020.checkpoint"]
    assert inventory.missing(run) == []
    # of the records that are there, whatever was noted before
    directory.note(run, inventory.NOTE, noted | {"steps": 7})
    inventory.note(run, store.look_into)
    assert directory.notes(run)[inventory.NOTE] == noted
    # of an unfinished one nothing is missing yet
    directory.create(run.with_name("new"), source.read_config(run))
    assert inventory.missing(run.with_name("new")) == []


def test_an_init_that_is_gone_is_one_line(run, tmp_path):
    head, _, rest = TINY.partition("[mcmc]")
    text = head + rest[rest.index("[model]") :]
    (tmp_path / "tiny.toml").write_text(text)
    new = config.load(tmp_path / "tiny.toml", [f"model.init={run}"])
    directory.create(tmp_path / "new", new)
    run.rename(tmp_path / "moved")
    with pytest.raises(RequestError, match=f"model.init: {run}: no run directory any"):
        pipeline.resume(tmp_path / "new", QUIET)


@pytest.mark.parametrize("kind", ["model", "log"])
def test_a_sound_record_of_another_run_is_named(run, tmp_path, kind):
    """Of a run of another seed: it fits, it is whole, and it is not this run's."""
    file, other = tmp_path / "other.toml", tmp_path / "other"
    file.write_text(TINY.replace("seed = 5", "seed = 6"))
    pipeline.start(config.load(file), other, QUIET)
    name = {
        "model": "checkpoints/step-00000020.checkpoint",
        "log": metrics.NAME,
    }[kind]
    shutil.copy(other / name, run / name)
    with pytest.raises(DamagedError, match=f"{name}: of another run; delete it"):
        read_everything(run)
    with pytest.raises(DamagedError, match=f"{name}: of another run"):
        continuation.plan(run, ["train.steps=30"])


def test_runs_without_digests_of_old_are_read(run):
    noted = directory.notes(run)[inventory.NOTE]
    del noted["digests"]
    directory.note(run, inventory.NOTE, noted)
    assert source.checkpoint(run) is not None
    assert len(records.read(run).metrics["step"]) == 20


def test_results_that_are_no_file_are_not_there(run):
    (run / "results.json").unlink()
    (run / "results.json").mkdir()
    reason = source.why_no_samples(run, source.read_config(run).theory)
    assert reason == "is not finished: genlat resume it first"
