"""How often a command reads, and hashes, what is on disk: every array once."""

import shutil
from collections import Counter

import numpy as np
import pytest

from genlat.report import page
from genlat.runs import pipeline
from genlat.runs.disk import store
from genlat.runs.export import export
from genlat.runs.file import config
from genlat.runs.stages import training_data
from genlat.runs.stages.job import Job
from genlat.runs.stages.screen import Screen
from pieces_for_tests import in_small_pieces

TINY = """
seed = 5
[theory]
name = "phi4"
shape = [4, 2]
kappa = 0.11
lam = 0.031
[mcmc]
kernel = ["hmc", "cluster"]
chains = 8
samples = 40
therm = 40
thin = 10
n_leapfrog = 4
keep = 320
[model]
features = 2
channels = 1
kernel_terms = 1
mixing_terms = 1
n_steps = 2
[train]
steps = 20
batch = 16
[estimate]
samples = 600
batch = 200
chains = 6
n_steps = 4
methods = ["default", "hmc_integration"]
[integration]
couplings = 2
rounds = 2
chains = 6
samples = 40
therm = 30
n_leapfrog = 4
target_error = 1e-6
"""
ON_CHAINS = ["train.objective=forward_kl", "train.gradient=total"]
QUIET = Screen(quiet=True)
KINDS = {"chain", "flow", "nmcmc", "target", "path"}


small_pieces = pytest.fixture(autouse=True, scope="module")(in_small_pieces)


class Count:
    """How often each block was opened, and each of its arrays read and hashed."""

    def __init__(self, patch):
        self.headers, self.arrays = Counter(), Counter()
        header, array = store._header, store._array

        def opened(path):
            self.headers[path.stem] += 1
            return header(path)

        def read(path, name, digest):
            self.arrays[path.stem, name] += 1
            return array(path, name, digest)

        patch.setattr(store, "_header", opened)
        patch.setattr(store, "_array", read)

    def take(self):
        """Those since the last time."""
        found = dict(self.headers), dict(self.arrays)
        self.headers.clear()
        self.arrays.clear()
        return found


def kinds(names):
    return {name.partition("-")[0] for name in names}


def assert_once(found):
    headers, arrays = found
    assert set(headers.values()) == {1}
    assert set(arrays.values()) == {1}


def checked(tmp_path, overrides=()):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return config.load(path, list(overrides))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run, and what was read in making it."""
    root = tmp_path_factory.mktemp("reading")
    with pytest.MonkeyPatch.context() as patch:
        count = Count(patch)
        pipeline.start(checked(root), root / "run", QUIET)
    return root / "run", count.take()


def test_a_run_reads_every_array_once(finished):
    _, found = finished
    headers, arrays = found
    assert kinds(headers) == KINDS
    assert sum(stem.startswith("path") for stem in headers) == 2
    assert_once(found)
    # log q on samples of p, of their configurations; of those of draws nobody asks
    assert {stem for stem, name in arrays if name == "phi"} == {
        "chain-00000",
        "chain-00001",
    }


def test_a_resumed_run_reads_every_array_once(finished, monkeypatch):
    path, _ = finished
    count = Count(monkeypatch)
    pipeline.resume(path, QUIET)
    assert count.take() == ({}, {})
    (path / "results.json").unlink()
    pipeline.resume(path, QUIET)
    found = count.take()
    assert kinds(found[0]) == KINDS
    assert_once(found)
    assert not [stem for stem, name in found[1] if name == "phi"]
    # one of every kind that is gone is made again from the others
    (path / "results.json").unlink()
    for kind in KINDS:
        store.paths(path, kind)[-1].unlink()
    pipeline.resume(path, QUIET)
    found = count.take()
    assert kinds(found[0]) == KINDS
    assert_once(found)


@pytest.mark.filterwarnings("ignore:`scipy.odr` is deprecated:DeprecationWarning")
def test_page_and_export_read_every_array_once(finished, monkeypatch, tmp_path):
    """A page is drawn from what is on disk alone, also at the end of a run.

    So `genlat run` reads once for the results and once for the page: between the two
    only numbers are in memory, and the page of `genlat report` is the same.
    """
    path, _ = finished
    count = Count(monkeypatch)
    for write in (
        lambda: page.write(path),
        lambda: export.write(path, tmp_path / "a.nc"),
        lambda: export.write(path, tmp_path / "a.json.gz"),
        lambda: export.write(path, tmp_path / "b.nc", ["mag", "phi2"]),
    ):
        write()
        found = count.take()
        assert kinds(found[0]) >= {"chain", "flow", "nmcmc"}
        assert set(found[1].values()) == {1}
    assert {x for stem, x in found[1] if stem == "flow-00000" and "/" in x} == {
        "observables/mag",
        "observables/phi2",
    }


def phi_of_chains(found):
    """How often the configurations of each block were read; nothing else was."""
    assert {(stem[:5], name) for stem, name in found[1]} == {("chain", "phi")}
    return set(found[1].values())


def trainer(finished, tmp_path, *asked):
    run = checked(tmp_path, [*ON_CHAINS, *asked])
    path = shutil.copytree(finished[0], tmp_path / "run")
    return Job(path, run, run.theory.theory(), QUIET)


def test_training_reads_chains_once_if_they_fit(finished, tmp_path, monkeypatch):
    """What is evaluated later is read then, when nothing of it is in memory."""
    job, count = trainer(finished, tmp_path), Count(monkeypatch)
    loaded = training_data.TrainingData(job)
    rows = loaded.at(0)
    assert loaded.at(10) is rows
    assert rows.shape == (240, 4, 2)
    assert phi_of_chains(count.take()) == {1}
    # 100 at once: looked through and noted before, read again in each chunk of steps
    monkeypatch.setattr(training_data, "LOADED", 100 * 8 * 4)
    loaded = training_data.TrainingData(job)
    assert loaded.at(0).shape == (100, 4, 2)
    loaded.at(10)
    assert phi_of_chains(count.take()) == {1 + 2}


def test_chains_of_another_run_are_looked_through_before_it_begins(
    finished, tmp_path, monkeypatch
):
    job = trainer(finished, tmp_path, "seed=6", f"train.data={finished[0]}")
    count = Count(monkeypatch)
    training_data.refuse_foreign(job.config)
    assert phi_of_chains(count.take()) == {1}
    training_data.TrainingData(job).at(0)
    assert phi_of_chains(count.take()) == {1}


def test_without_what_was_opened_before_it_would_be_read_again(finished, monkeypatch):
    """Negative control."""
    path, _ = finished
    (path / "results.json").unlink()
    monkeypatch.setattr(
        store.Opened, "look_into", lambda _, path: store.look_into(path)
    )
    count = Count(monkeypatch)
    pipeline.resume(path, QUIET)
    headers, arrays = count.take()
    assert max(headers.values()) > 3
    assert arrays["path-00000", "fraction"] > 1


def test_a_block_that_was_replaced_is_looked_into_again(tmp_path):
    path, opened = tmp_path / "flow-00000.h5", store.Opened()
    for value in (1.0, 2.0):
        store.write(path, store.Block({"log_q": np.full(3, value)}, {}))
        first = opened.look_into(path)
        assert opened.look_into(path) is first
        np.testing.assert_array_equal(first.arrays["log_q"], np.full(3, value))
