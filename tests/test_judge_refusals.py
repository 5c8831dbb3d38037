"""What is wrong with arrays of others is said in one line, before any work."""

import json

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from genlat.cli import app
from judged_for_tests import arrays, run_file, written

SAID = "visits_every_mode = true"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return written(tmp_path_factory.mktemp("files"), n_draws=200, n_samples=20)


def refused(file, draws, out, *options):
    """The lines on stderr of a judgement that must not begin."""
    command = ["judge", str(file), "--draws", str(draws), "--out", str(out), *options]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2, result.output
    assert not out.exists()
    lines = result.stderr.strip().splitlines()
    assert lines
    return lines


def one(lines):
    assert len(lines) == 1, lines
    return lines[0]


def changed(files, tmp_path, what, **other):
    content = {**arrays(files / what), **other}
    path = tmp_path / what
    np.savez(path, **{name: x for name, x in content.items() if x is not None})
    return path


def _of(files, name):
    return arrays(files / "draws.npz")[name]


BAD_DRAWS = {
    "another lattice": (lambda x: {"phi": x["phi"][:, :, :3]}, "another lattice"),
    "no batch": (lambda x: {"phi": x["phi"][0]}, "is wanted"),
    "chains": (lambda x: {"phi": x["phi"].reshape(2, -1, 6, 4)}, "reshape(-1, 6, 4)"),
    "flat": (lambda x: {"phi": x["phi"].reshape(200, -1)}, "(n, 6, 4) is wanted"),
    "integers": (lambda x: {"phi": x["phi"].astype(int)}, "int64"),
    "complex": (lambda x: {"phi": x["phi"] + 0j}, "complex128"),
    "halves": (lambda x: {"phi": x["phi"].astype(np.float16)}, "float16"),
    "objects": (lambda x: {"phi": x["phi"].astype(object)}, "object"),
    "few": (lambda x: {"phi": x["phi"][:9], "log_q": x["log_q"][:9]}, "at least 100"),
    "NaN": (lambda x: {"phi": _set(x["phi"], 7, np.nan)}, "nan in configuration 7"),
    "inf": (lambda x: {"phi": _set(x["phi"], 8, np.inf)}, "inf in configuration 8"),
    "length": (lambda x: {"log_q": x["log_q"][:-1]}, "(199,)"),
    "equal": (lambda x: {"log_q": np.full(200, -3.5)}, "-3.5 at all 200"),
    "log_q NaN": (lambda x: {"log_q": _set(x["log_q"], 3, np.nan)}, "nan at 3"),
    "log_q -inf": (lambda x: {"log_q": _set(x["log_q"], 3, -np.inf)}, "-inf at 3"),
    "log_q complex": (lambda x: {"log_q": x["log_q"] + 0j}, "complex128"),
    "no log_q": (lambda x: {"log_q": None, "logq": x["log_q"]}, "it has phi, logq"),
    "no phi": (lambda x: {"phi": None, "x": x["phi"]}, "has no phi: it has log_q, x"),
    "Fortran": (lambda x: {"phi": np.asfortranarray(x["phi"])}, "ascontiguousarray"),
}


def _set(array, place, value):
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize("name", BAD_DRAWS)
def test_bad_draws(files, tmp_path, name):
    change, word = BAD_DRAWS[name]
    draws = changed(files, tmp_path, "draws.npz", **change(arrays(files / "draws.npz")))
    line = one(refused(run_file(tmp_path, SAID), draws, tmp_path / "out"))
    assert word in line
    assert "draws.npz" in line


BAD_SAMPLES = {
    "one chain": (lambda x: {"phi": x["phi"][0], "log_q": x["log_q"][0]}, "phi[None]"),
    "few": (lambda x: {"phi": x["phi"][:, :5], "log_q": x["log_q"][:, :5]}, "of 10"),
    "another lattice": (lambda x: {"phi": x["phi"][..., :3]}, "another lattice"),
    "length": (lambda x: {"log_q": x["log_q"][:, :-1]}, "(16, 19)"),
    "+inf": (lambda x: {"log_q": _set(x["log_q"], 1, np.inf)}, "inf at 20"),
}


@pytest.mark.parametrize("name", BAD_SAMPLES)
def test_bad_samples(files, tmp_path, name):
    change, word = BAD_SAMPLES[name]
    content = change(arrays(files / "samples.npz"))
    samples = changed(files, tmp_path, "samples.npz", **content)
    options = ("--samples", str(samples))
    file = run_file(tmp_path, SAID)
    line = one(refused(file, files / "draws.npz", tmp_path / "out", *options))
    assert word in line
    assert "samples.npz" in line


def test_samples_of_another_theory(files, tmp_path):
    theory = json.dumps({"name": "phi4", "shape": [6, 4], "m2": 0.7, "g": 0.0})
    label = {"theory": theory, "kernel": "hmc", "visits_every_mode": True}
    samples = changed(files, tmp_path, "samples.npz", **label)
    options = ("--samples", str(samples))
    file = run_file(tmp_path)
    line = one(refused(file, files / "draws.npz", tmp_path / "out", *options))
    assert "samples of another theory: m2 = 0.7, not 0.81" in line


def test_what_the_kernel_says_is_not_overruled(files, tmp_path):
    theory = json.dumps({"name": "phi4", "shape": [6, 4], "m2": 0.81, "g": 0.0})
    label = {"theory": theory, "kernel": "hmc", "visits_every_mode": False}
    samples = changed(files, tmp_path, "samples.npz", **label)
    options = ("--samples", str(samples))
    file = run_file(tmp_path, SAID)
    line = one(refused(file, files / "draws.npz", tmp_path / "out", *options))
    assert "samples.visits_every_mode = true" in line


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ('[model]\nname = "cnf"\n', "[model]: genlat judge draws no model"),
        ("[train]\nsteps = 3\n", "[train]: genlat judge draws no model"),
        ('[draws]\nphi = "x"\nlog_q = "x"\n', "[draws]: is filled in"),
        ("[estimate]\nsamples = 1000\n", "there are 200 draws"),
        ("[estimate]\nn_steps = 10\n", "leave it out"),
        ('[estimate]\nmethods = ["bar"]\n', "need samples of p with log_q"),
        ("[samples]\nvisits = true\n", "visits_every_mode = true or false only"),
        ("[samples]\nvisits_every_mode = 3\n", "boolean"),
    ],
)
def test_run_file_that_does_not_fit(files, tmp_path, more, word):
    file = run_file(tmp_path, more=more)
    assert word in one(refused(file, files / "draws.npz", tmp_path / "out"))


def test_files_that_are_none(files, tmp_path):
    file, out = run_file(tmp_path, SAID), tmp_path / "out"
    text = tmp_path / "text.npz"
    text.write_text("phi")
    assert "neither .npz nor .npy nor HDF5" in one(refused(file, text, out))
    assert "No such file" in one(refused(file, tmp_path / "none.npz", out))
    whole = (files / "draws.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    assert "damaged" in one(refused(file, tmp_path / "cut.npz", out))
    np.save(tmp_path / "phi.npy", _of(files, "phi"))
    assert "--log-q" in one(refused(file, tmp_path / "phi.npy", out))
    content = (tmp_path / "phi.npy").read_bytes()
    (tmp_path / "phi.npy").write_bytes(content[:-80])
    np.save(tmp_path / "q.npy", _of(files, "log_q"))
    options = ("--log-q", str(tmp_path / "q.npy"))
    line = one(refused(file, tmp_path / "phi.npy", out, *options))
    assert "ends early" in line


def test_hdf5_without_the_dataset(files, tmp_path):
    path = tmp_path / "draws.h5"
    with h5py.File(path, "w") as content:
        content["phi"] = _of(files, "phi")
        content["lnq"] = _of(files, "log_q")
    line = one(refused(run_file(tmp_path, SAID), path, tmp_path / "out"))
    assert "has no log_q: it has lnq, phi" in line


def test_samples_section_is_not_of_a_run(tmp_path):
    file = run_file(tmp_path, SAID)
    result = CliRunner().invoke(app, ["run", str(file), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "leave it out of a run" in one(result.stderr.strip().splitlines())


def test_draws_that_are_there_twice(files, tmp_path):
    """Seen once they are measured; nothing has been judged by then."""
    content = arrays(files / "draws.npz")
    content = {name: np.concatenate([x, x[:3]]) for name, x in content.items()}
    np.savez(tmp_path / "draws.npz", **content)
    file, out = run_file(tmp_path, SAID), tmp_path / "out"
    command = ["judge", str(file), "--draws", str(tmp_path / "draws.npz")]
    result = CliRunner().invoke(app, [*command, "--out", str(out), "--quiet"])
    assert result.exit_code == 2
    assert "3 of 203 draws have the action of another" in result.stderr
    assert not (out / "results.json").exists()


def test_samples_that_are_draws_of_the_model(files, tmp_path):
    """They would vouch for whatever the model is."""
    content = arrays(files / "draws.npz")
    n = len(content["log_q"]) // 20 * 20
    same = {name: x[:n].reshape(2, n // 2, *x.shape[1:]) for name, x in content.items()}
    np.savez(tmp_path / "samples.npz", **same)
    file, out = run_file(tmp_path, SAID), tmp_path / "out"
    command = ["judge", str(file), "--draws", str(files / "draws.npz"), "--samples"]
    command += [str(tmp_path / "samples.npz"), "--out", str(out), "--quiet"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert f"{n} of {n} samples have the action of a draw" in result.stderr
    assert not (out / "results.json").exists()


ISING = 'seed = 1\n[theory]\nname = "ising"\nshape = [4, 2]\nbeta = 0.3\n'


@pytest.mark.parametrize(
    ("phi", "log_q", "word"),
    [
        (
            lambda s: np.where(s > 0, 1, 0),
            lambda n: -np.arange(1.0, n + 1),
            "spins are -1 and 1",
        ),
        (lambda s: s, lambda n: np.full(n, 0.1), "logarithm is at most 0"),
        (lambda s: s, lambda n: np.full(n, -3.0), "-3 at all"),
        (lambda s: s + 0j, lambda n: -np.ones(n), "complex"),
    ],
)
def test_spins(tmp_path, phi, log_q, word):
    spins = np.random.default_rng(1).choice([-1, 1], size=(150, 4, 2))
    np.savez(tmp_path / "draws.npz", phi=phi(spins), log_q=log_q(150))
    file = tmp_path / "ising.toml"
    file.write_text(ISING)
    line = refused(file, tmp_path / "draws.npz", tmp_path / "out")[0]
    assert word in line


def test_uniform_spins_are_a_density(tmp_path):
    """All log q are equal there, and right."""
    spins = np.random.default_rng(1).choice([-1, 1], size=(150, 4, 2))
    np.savez(tmp_path / "draws.npz", phi=spins, log_q=np.full(150, -8 * np.log(2)))
    file, out = tmp_path / "ising.toml", tmp_path / "out"
    file.write_text(ISING)
    command = ["judge", str(file), "--draws", str(tmp_path / "draws.npz")]
    result = CliRunner().invoke(app, [*command, "--out", str(out), "--json"])
    assert result.exit_code == 0, result.stderr
    log_z = json.loads(result.stdout)["estimates"]["log_z"]
    off = log_z["nis"]["value"] - log_z["exact"]["value"]
    assert abs(off) < 5 * log_z["nis"]["error"]


def test_probabilities_are_remarked_upon(files, tmp_path):
    log_q = np.exp(arrays(files / "draws.npz")["log_q"] - 30)
    draws = changed(files, tmp_path, "draws.npz", log_q=log_q)
    file, out = run_file(tmp_path, SAID), tmp_path / "out"
    command = ["judge", str(file), "--draws", str(draws), "--out", str(out)]
    result = CliRunner().invoke(app, command)
    assert "natural logarithm of q is wanted" in " ".join(result.stderr.split())
