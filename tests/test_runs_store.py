"""Blocks, checkpoints and small files survive kills and notice damage."""

import signal
import subprocess
import sys
import textwrap

import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat.errors import DamagedError, RequestError
from genlat.runs import records
from genlat.runs.disk import checkpoint, directory, files, metrics, store
from genlat.runs.file import begun
from genlat.runs.file.sections import RunConfig
from genlat.theories.phi4 import Phi4Section


def block(seed=0, n=50):
    generator = np.random.default_rng(seed)
    arrays = {
        "log_q": generator.normal(size=n),
        "observables/two_point": generator.normal(size=(n, 3)),
        "phi": generator.normal(size=(4, 6, 5)).astype(np.float32),
        "empty": np.zeros((0, 6, 5)),
    }
    attributes: dict[str, store.Attribute] = {
        "fingerprint": "abc",
        "seconds": 1.25,
        "integrator_steps": 12,
    }
    return store.Block(arrays, attributes)


def assert_same(a: store.Block, b: store.Block):
    assert a.attributes == b.attributes
    assert a.arrays.keys() == b.arrays.keys()
    for name, array in a.arrays.items():
        assert array.dtype == b.arrays[name].dtype
        np.testing.assert_array_equal(array, b.arrays[name])


def test_block_round_trip_and_partial_reading(tmp_path):
    path = tmp_path / "flow-00000.h5"
    store.write(path, block())
    assert_same(store.read(path), block())
    assert store.read(path, ["log_q"]).arrays.keys() == {"log_q"}
    assert [p.name for p in tmp_path.iterdir()] == ["flow-00000.h5"]


def test_no_flipped_bit_changes_a_block(tmp_path):
    """Whatever bit is flipped, reading gives the same content or refuses."""
    path = tmp_path / "flow-00000.h5"
    store.write(path, block())
    content = path.read_bytes()
    generator = np.random.default_rng(1)
    refused = 0
    for position in generator.integers(len(content), size=120):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        try:
            found = store.read(path)
        except DamagedError:
            refused += 1
        else:
            assert_same(found, block())
    assert refused > 5


def test_a_block_in_the_place_of_another_is_refused(tmp_path):
    """Two of one run are sound, and their order is part of the record."""
    first, second = (tmp_path / f"flow-0000{k}.h5" for k in range(2))
    store.write(first, block(0))
    store.write(second, block(1))
    first.rename(tmp_path / "kept")
    second.rename(first)
    (tmp_path / "kept").rename(second)
    for path, other in ((first, second), (second, first)):
        with pytest.raises(DamagedError, match=f"is {other.stem} under another name"):
            store.read(path)


def test_a_block_of_before_names_were_noted_is_read(tmp_path):
    path = tmp_path / "flow-00000.h5"
    store.write(path, block())
    with h5py.File(path, "a") as file:
        del file.attrs["record"]
        digests = {name: str(file[name].attrs["sha256"]) for name in block().arrays}
        file.attrs["sha256"] = store._root_digest(digests, block().attributes)
    assert_same(store.read(path), block())


def test_a_flipped_value_and_a_forged_attribute_are_refused(tmp_path):
    """Negative control of the two digests, with HDF5's own checksum out of the way."""
    path = tmp_path / "flow-00000.h5"
    for forge in (
        lambda file: file["phi"].__setitem__((0, 0, 0), 1.0),
        lambda file: file.attrs.__setitem__("seconds", 1.5),
    ):
        store.write(path, block())
        with h5py.File(path, "r+") as file:
            forge(file)
        with pytest.raises(DamagedError):
            store.read(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_block_is_refused(tmp_path, share):
    path = tmp_path / "flow-00000.h5"
    store.write(path, block())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DamagedError, match="damaged; delete it"):
        store.read(path)


def test_blocks_of_another_run_are_refused(tmp_path):
    (tmp_path / "ensembles").mkdir()
    for index in range(2):
        store.write(store.path(tmp_path, "flow", index), block(index))
    blocks = store.read_all(tmp_path, "flow", "abc")
    joined = store.joined(blocks, sample_axis=0)
    assert joined["log_q"].shape == (100,)
    assert joined["phi"].shape == (8, 6, 5)
    with pytest.raises(DamagedError, match="another run"):
        store.read_all(tmp_path, "flow", "abd")


class State(eqx.Module):
    """A tree with every kind of leaf a training state has."""

    weights: dict[str, jax.Array]
    step: jax.Array
    key: jax.Array
    n_steps: int = eqx.field(static=True)


def state(seed=0, width=7):
    weights = {
        "kernel": jr.normal(jr.key(seed), (3, width), jnp.float32),
        "wide": jr.normal(jr.key(seed + 1), (2,), jnp.float64),
    }
    return State(weights, jnp.asarray(seed, jnp.int32), jr.key(5 + seed), n_steps=6)


def assert_equal_states(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        x, y = (jr.key_data(leaf) if is_key else leaf for leaf in (x, y))
        np.testing.assert_array_equal(x, y)


def test_checkpoints_round_trip_and_three_are_kept(tmp_path):
    assert checkpoint.load_newest(tmp_path, state()) is None
    for step in range(5):
        checkpoint.save(tmp_path, step, state(step))
    assert len(checkpoint.paths(tmp_path)) == 3
    assert_equal_states(checkpoint.load_newest(tmp_path, state()), state(4))


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, damage):
    for step in (10, 20):
        checkpoint.save(tmp_path, step, state(step))
    newest = checkpoint.paths(tmp_path)[-1]
    content = newest.read_bytes()
    damaged = {
        "flip": content[:200] + bytes([content[200] ^ 4]) + content[201:],
        "truncate": content[: len(content) // 2],
        "empty": b"",
    }[damage]
    newest.write_bytes(damaged)
    assert_equal_states(checkpoint.load_newest(tmp_path, state()), state(10))


def test_a_checkpoint_in_the_place_of_another_is_refused(tmp_path):
    for step in (10, 20):
        checkpoint.save(tmp_path, step, state(step))
    older, newest = checkpoint.paths(tmp_path)
    newest.write_bytes(older.read_bytes())
    with pytest.raises(DamagedError, match="is step-00000010 under another name"):
        checkpoint.load(newest, state())
    assert_equal_states(checkpoint.load_newest(tmp_path, state()), state(10))


def test_every_flipped_bit_of_a_checkpoint_is_noticed(tmp_path):
    checkpoint.save(tmp_path, 1, state())
    (path,) = checkpoint.paths(tmp_path)
    content = path.read_bytes()
    for position in range(0, len(content), 37):
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        with pytest.raises(DamagedError):
            checkpoint.load(path, state())


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    checkpoint.save(tmp_path, 1, state())
    with pytest.raises(ValueError, match="holds another model"):
        checkpoint.load_newest(tmp_path, state(width=8))


def test_a_killed_writer_leaves_no_file(tmp_path):
    """SIGKILL between the write and the rename: the old content stays."""
    path = tmp_path / "results.json"
    files.write_json(path, {"old": 1})
    script = f"""
        import os, pathlib, signal
        from genlat.runs.disk import files
        with files.whole(pathlib.Path({str(path)!r})) as temporary:
            temporary.write_text("half of")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)])
    assert killed.returncode == -signal.SIGKILL
    assert files.read_json(path) == {"old": 1}
    files.write_json(path, {"new": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_an_error_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    files.write_bytes(path, b"old")

    def fail():
        with files.whole(path) as temporary:
            temporary.write_bytes(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"old"


def test_metrics_forget_what_is_made_again_and_half_lines(tmp_path):
    lines = [{"step": step, "seconds": 0.5 * step, "loss": -1.5} for step in range(6)]
    metrics.append(tmp_path, lines[:4])
    metrics.append(tmp_path, [{**lines[4], "loss": float("nan")}])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "seco')
    found = metrics.read(tmp_path)
    assert found[:4] == lines[:4]
    assert found[4]["loss"] is None
    assert metrics.truncate(tmp_path, 3) == lines[:3]
    assert metrics.read(tmp_path) == lines[:3]


THEORY = Phi4Section(name="phi4", shape=(6, 4), kappa=0.2, lam=0.1)


def test_a_run_directory_is_made_once_and_held_by_one(tmp_path):
    path, config = tmp_path / "run", RunConfig(seed=3, theory=THEORY)
    directory.create(path, config)
    with pytest.raises(RequestError, match="exists"):
        directory.create(path, config)
    assert begun.read(path) == config
    script = f"""
        import pathlib, sys
        from genlat.runs.disk import directory
        from genlat.errors import RequestError
        try:
            with directory.held(pathlib.Path({str(path)!r})): pass
        except RequestError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with directory.held(path):
        other = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "another process is running here" in other.stdout
    with directory.held(path):
        pass


def test_an_edited_configuration_is_refused(tmp_path):
    path = tmp_path / "run"
    directory.create(path, RunConfig(seed=3, theory=THEORY))
    text = (path / "config.toml").read_text()
    (path / "config.toml").write_text(text.replace("seed = 3", "seed = 4"))
    with pytest.raises(RequestError, match="not the one the run began with"):
        begun.read(path)
    (path / "config.toml").write_text("seed = ")
    with pytest.raises(RequestError, match="edited or damaged"):
        begun.read(path)
    with pytest.raises(RequestError, match="not a run directory"):
        begun.read(tmp_path)


def test_fingerprints_depend_on_seed_and_every_section():
    other = Phi4Section(name="phi4", shape=(6, 4), kappa=0.2, lam=0.11)
    prints = {
        directory.fingerprint(1, THEORY),
        directory.fingerprint(2, THEORY),
        directory.fingerprint(1, other),
        directory.fingerprint(1, THEORY, None),
    }
    assert len(prints) == 4


def test_a_record_reads_an_unfinished_run(tmp_path):
    path = tmp_path / "run"
    directory.create(path, RunConfig(seed=3, theory=THEORY))
    metrics.append(path, [{"step": 0, "seconds": 1.0, "loss": float("inf")}])
    store.write(store.path(path, "flow", 0), block())
    record = records.read(path)
    assert record.config["theory"]["kappa"] == 0.2
    assert record.results == {}
    assert np.isnan(record.metrics["loss"][0])
    assert record.flow["log_q"].shape == (50,)
    assert record.chain == {}
    with pytest.raises(FileNotFoundError):
        records.read(tmp_path)
