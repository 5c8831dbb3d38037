"""Export: what others read is what we recorded, and what they find is what we find."""

import dataclasses
import json
import sys

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from typer.testing import CliRunner

from genlat import cli, observables
from genlat.errors import RequestError
from genlat.estimators import autocorrelation, derived, nmcmc, weights
from genlat.runs import records
from genlat.runs.disk import directory, files, store
from genlat.runs.export import export
from genlat.runs.file import config

# two packages warn when imported: pyerrors 2.17 uses a deprecated part of SciPy,
# ArviZ 0.23 announces its next version
pytestmark = [
    pytest.mark.filterwarnings("ignore:`scipy.odr` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:\s*ArviZ is undergoing:FutureWarning"),
]

SHAPE = (6, 4)
RUN_FILE = """
seed = 5
[theory]
name = "phi4"
shape = [6, 4]
kappa = 0.17
lam = 0.031
[mcmc]
"""
N_CHAINS, N, N_DRAWS = 5, 400, 6000


def _fields(random, batch, memory):
    """AR(1) in Monte Carlo time, the last axis of `batch`, about a nonzero mean."""
    noise = random.normal(size=(*batch, *SHAPE))
    for t in range(1, batch[-1]):
        before, now = noise[..., t - 1, :, :], noise[..., t, :, :]
        noise[..., t, :, :] = memory * before + np.sqrt(1 - memory**2) * now
    return 0.4 + noise


def _measured(phi):
    mag = phi.mean(axis=(-2, -1))
    slices = phi.sum(axis=-1) / np.sqrt(SHAPE[1])
    lags = range(SHAPE[0] // 2 + 1)
    two_point = [np.mean(slices * np.roll(slices, t, -1), axis=-1) for t in lags]
    found = {
        "mag": mag,
        "abs_mag": np.abs(mag),
        "mag2": mag**2,
        "mag4": mag**4,
        "action_density": 0.7 * np.mean(phi**2, axis=(-2, -1)),
        "two_point": np.stack(two_point, axis=-1),
    }
    found["action_density2"] = found["action_density"] ** 2
    return {f"observables/{name}": values for name, values in found.items()}


def write_run(path, *, is_finished=True):
    """What a finished run with a chain and a model leaves behind."""
    run_file = path.with_suffix(".toml")
    run_file.write_text(RUN_FILE)
    directory.create(path, config.load(run_file))
    random = np.random.default_rng(11)
    chain = _measured(_fields(random, (N_CHAINS, N), 0.6)) | {
        "acceptance": random.uniform(size=(N_CHAINS, N)),
        "delta_h": random.normal(size=(N_CHAINS, N)),
        "phi": random.normal(size=(7, *SHAPE)),
    }
    flow = _measured(_fields(random, (N_DRAWS,), 0.0))
    log_w = 700 + 2 * flow["observables/mag2"] + random.normal(size=N_DRAWS) / 2
    log_w[4] = -np.inf  # a draw that p does not have
    flow |= {"action": random.normal(size=N_DRAWS)}
    flow["log_q"] = -flow["action"] - log_w
    neural = nmcmc.run(jr.key(3), log_w.reshape(3, -1))
    ensembles = {
        "chain": chain,
        "flow": flow,
        "nmcmc": {"index": neural.index, "accepted": neural.accepted},
        "target": {
            "log_q": random.normal(size=(N_CHAINS, 9)),
            "action": random.normal(size=(N_CHAINS, 9)),
        },
    }
    for name, arrays in ensembles.items():
        store.write(store.path(path, name, 0), store.Block(arrays, {}))
    if is_finished:
        provenance = {"genlat": "0.1.0", "jax": "0.10", "python": "3.11", "seed": 5}
        files.write_json(path / "results.json", {"provenance": provenance})
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("export") / "run")


@pytest.fixture(scope="module")
def record(run):
    return records.read(run)


@pytest.fixture
def found(record):
    return export.to_pyerrors(record)


def test_datasets_hold_the_record(record):
    datasets = export.to_xarray(record)
    assert set(datasets) == {"chain", "flow", "nmcmc", "target"}
    chain, flow, neural = (datasets[name] for name in ("chain", "flow", "nmcmc"))
    assert chain["mag"].dims == ("chain", "draw")
    assert chain["two_point"].dims == ("chain", "draw", "lag")
    assert dict(chain.sizes) == {"chain": N_CHAINS, "draw": N, "lag": 4}
    assert set(chain.coords) == {"chain", "draw", "lag"}
    np.testing.assert_array_equal(chain["mag"], record.chain["observables/mag"])
    np.testing.assert_array_equal(chain["delta_h"], record.chain["delta_h"])
    log_w = -record.flow["action"] - record.flow["log_q"]
    np.testing.assert_array_equal(flow["log_weight"], log_w)
    np.testing.assert_array_equal(flow["log_q"], record.flow["log_q"])
    assert flow["two_point"].dims == ("draw", "lag")
    index = record.nmcmc["index"]
    assert neural["mag"].dims == ("chain", "draw")
    for name in ("mag", "two_point"):
        gathered = record.flow[f"observables/{name}"][index]
        np.testing.assert_array_equal(neural[name], gathered)
    assert neural["accepted"].dtype == bool
    log_w = -record.target["action"] - record.target["log_q"]
    np.testing.assert_array_equal(datasets["target"]["log_weight"], log_w)
    assert datasets["target"]["log_weight"].dims == ("chain", "draw")
    for dataset in datasets.values():
        assert dataset.attrs["theory"] == "phi4"
        assert dataset.attrs["lattice_shape"] == list(SHAPE)
        assert (dataset.attrs["kappa"], dataset.attrs["lam"]) == (0.17, 0.031)
        assert (dataset.attrs["seed"], dataset.attrs["jax"]) == (5, "0.10")
        assert "phi" not in dataset


def test_arviz_takes_the_chain_as_it_is(record):
    import arviz

    chain = export.to_xarray(record)["chain"]
    assert arviz.convert_to_dataset(chain).equals(chain)
    analysis = autocorrelation.analyse(record.chain["observables/mag"])
    # two estimators of one number, with different windows
    tau = N_CHAINS * N / (2 * float(arviz.ess(chain, method="mean")["mag"]))
    assert abs(tau - analysis.tau_int.value) < 5 * analysis.tau_int.error
    assert np.all(arviz.rhat(chain)["two_point"] < 1.05)
    # negative control: a chain somewhere else
    apart = chain.assign(mag=chain["mag"] + 2 * (chain["chain"] == 1))
    assert float(arviz.rhat(apart)["mag"]) > 1.2


def test_netcdf_reads_back(record, tmp_path):
    import arviz
    import xarray

    path = tmp_path / "run.nc"
    export.write_netcdf(record, path)
    for group, dataset in export.to_xarray(record).items():
        with xarray.open_dataset(path, group=group, engine="h5netcdf") as back:
            assert back.equals(dataset)
            assert back.attrs["kappa"] == 0.17
            assert list(back.attrs["lattice_shape"]) == list(SHAPE)
    groups = {"chain", "flow", "nmcmc", "target"}
    there = arviz.from_netcdf(str(path)).groups
    names = there if isinstance(there, tuple) else there()  # of ArviZ 1; of 0.20 on
    assert {name.strip("/") for name in names} - {""} == groups
    assert [x.name for x in tmp_path.iterdir()] == ["run.nc"]


def _error(obs, **options):
    obs.gamma_method(**options)
    return obs.dvalue


@pytest.mark.parametrize(("method", "noise"), [("chain", 0.1), ("nmcmc", 0.3)])
def test_pyerrors_finds_our_means_and_errors_of_chains(record, found, method, noise):
    """Replica of some 200 τ_int: the windows differ, and so do the means taken off
    (tests/test_estimators_pyerrors.py)."""
    if method == "chain":
        arrays = record.chain
    else:
        arrays = {name: x[record.nmcmc["index"]] for name, x in record.flow.items()}
    for name in ("mag", "action_density", "mag4"):
        ours = autocorrelation.mean(arrays[f"observables/{name}"])
        obs = found[f"{method}/{name}"]
        assert obs.value == pytest.approx(ours.value, rel=1e-12)
        assert _error(obs, S=1.5) == pytest.approx(ours.error, rel=noise)
    n_chains = len(arrays["observables/mag"])
    replica = [f"{method}|r{k:03d}" for k in range(n_chains)]
    assert found[f"{method}/mag"].names == replica
    values = [obs.value for obs in found[f"{method}/two_point"]]
    two_point = autocorrelation.mean(arrays["observables/two_point"])
    np.testing.assert_allclose(values, two_point.value, rtol=1e-12)


def test_pyerrors_propagates_the_correlation_with_the_weights(record, found):
    log_w = -record.flow["action"] - record.flow["log_q"]
    draws = {
        name: record.flow[f"observables/{name}"] for name in ("mag", "mag2", "mag4")
    }
    assert weights.ess(log_w) < 0.8
    for name, values in draws.items():
        ours = weights.reweighted_mean(log_w, values)
        obs = found[f"nis/{name}"]
        assert obs.value == pytest.approx(ours.value, rel=1e-12)
        # S = 0: draws are independent
        assert _error(obs, S=0) == pytest.approx(ours.error, rel=1e-6)
    log_z = weights.log_z(log_w)
    assert found["nis/log_z"].value == pytest.approx(log_z.value, rel=1e-14)
    assert _error(found["nis/log_z"], S=0) == pytest.approx(log_z.error, rel=1e-6)
    # negative control: without the correlation with the denominator
    w = np.exp(log_w - log_w.max())
    w /= w.mean()
    apart = np.hypot(
        np.std(w * draws["mag2"]), np.std(w) * found["nis/mag2"].value
    ) / np.sqrt(N_DRAWS)
    assert apart != pytest.approx(_error(found["nis/mag2"], S=0), rel=0.2)


@pytest.mark.parametrize("name", ["susceptibility", "binder", "specific_heat"])
def test_derived_quantities_are_ours(record, found, name):
    """The formulas stand twice: here they are compared."""
    inputs, function = observables.DERIVED[name]

    def of_means(means):
        return function({key: jnp.asarray(x) for key, x in means.items()}, SHAPE)

    chain = {key: record.chain[f"observables/{key}"] for key in inputs}
    ours = derived.mean(chain, of_means)
    assert found[f"chain/{name}"].value == pytest.approx(ours.value, rel=1e-10)
    assert _error(found[f"chain/{name}"], S=1.5) == pytest.approx(ours.error, rel=0.1)
    log_w = -record.flow["action"] - record.flow["log_q"]
    flow = {key: record.flow[f"observables/{key}"] for key in inputs}
    ours = weights.reweighted_derived(log_w, flow, of_means)
    assert found[f"nis/{name}"].value == pytest.approx(ours.value, rel=1e-10)
    # our gradient is a difference over one error
    assert _error(found[f"nis/{name}"], S=0) == pytest.approx(ours.error, rel=0.05)


def test_pyerrors_file_reads_back(record, found, tmp_path):
    import pyerrors

    path = tmp_path / "run.json.gz"
    export.write_pyerrors(record, path)
    back = pyerrors.input.json.load_json_dict(str(path), verbose=False)
    assert back.keys() == found.keys()
    assert back["chain/mag"].names == found["chain/mag"].names
    for name in ("chain/binder", "nis/mag2", "nmcmc/mag"):
        assert back[name].value == pytest.approx(found[name].value, rel=1e-12)
        assert _error(back[name]) == pytest.approx(_error(found[name]), rel=1e-9)
    assert len(back["nis/two_point"]) == 4
    # two observables of the file still know of each other
    ratio = back["chain/mag2"] / back["chain/abs_mag"]
    same = found["chain/mag2"] / found["chain/abs_mag"]
    assert _error(ratio) == pytest.approx(_error(same), rel=1e-9)


def test_runs_with_a_prefix_are_independent(record):
    one, other = (export.to_pyerrors(record, name) for name in ("a-", "b-"))
    assert one["nis/mag"].names == ["a-flow"]
    error = _error(one["chain/mag"])
    assert _error(one["chain/mag"] - other["chain/mag"]) == pytest.approx(
        np.sqrt(2) * error
    )
    assert _error(one["chain/mag"] - one["chain/mag"]) < 1e-9 * error


def _edited(run, tmp_path, ensemble, name, values):
    path = store.path(run, ensemble, 0)
    block = store.read(path)
    store.write(
        store.path(tmp_path, ensemble, 0),
        store.Block(block.arrays | {name: values(block.arrays[name])}, {}),
    )
    return records.Record(tmp_path, records.read(run).config, {}, {})


def test_values_that_are_not_finite_are_refused_or_kept(run, tmp_path):
    (tmp_path / "ensembles").mkdir()
    poisoned = np.where(np.arange(N_DRAWS) == 9, np.nan, 1.5)
    record = _edited(run, tmp_path, "flow", "log_q", lambda _: poisoned)
    with pytest.raises(RequestError, match=r"flow: weights .* not finite"):
        export.to_pyerrors(record)
    assert np.isnan(export.to_xarray(record)["flow"]["log_weight"][9])
    record = _edited(run, tmp_path, "flow", "observables/mag", lambda _: poisoned)
    with pytest.raises(RequestError, match=r"flow: mag .* not finite"):
        export.to_pyerrors(record)


def test_short_series_are_refused(run, tmp_path):
    (tmp_path / "ensembles").mkdir()
    record = _edited(run, tmp_path, "chain", "observables/mag", lambda x: x[:, :4])
    with pytest.raises(RequestError, match="at least 5, these have 4"):
        export.to_pyerrors(record)


@pytest.mark.parametrize("leading", [(7,), (5, 3)])
def test_stored_configurations_may_have_any_shape(run, tmp_path, leading):
    (tmp_path / "ensembles").mkdir()
    record = _edited(
        run, tmp_path, "chain", "phi", lambda _: np.ones((*leading, *SHAPE))
    )
    assert "phi" not in export.to_xarray(record)["chain"]
    assert "chain/phi" not in export.to_pyerrors(record)


def invoke(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def refusal(*arguments):
    result = invoke("export", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize("name", ["run.nc", "run.json.gz"])
def test_the_command_writes_either_format(run, tmp_path, name):
    out = tmp_path / name
    result = invoke("export", run, "--out", out)
    assert (result.exit_code, result.stdout) == (0, f"{out}\n")
    content = out.read_bytes()
    assert content.startswith({"run.nc": b"\x89HDF", "run.json.gz": b"\x1f\x8b"}[name])
    assert refusal(run, "--out", out) == f"{out}: exists; choose another --out"
    assert out.read_bytes() == content


def test_the_command_refuses_in_one_line(run, tmp_path, monkeypatch):
    line = refusal(run, "--out", tmp_path / "run.csv")
    assert ".nc" in line
    assert ".json.gz" in line
    assert "no such directory" in refusal(run, "--out", tmp_path / "gone" / "run.nc")
    out = tmp_path / "run.nc"
    assert "not a run directory" in refusal(tmp_path, "--out", out)
    unfinished = write_run(tmp_path / "unfinished", is_finished=False)
    assert refusal(unfinished, "--out", out) == (
        f"{unfinished}: not finished; continue with: genlat resume {unfinished}"
    )
    for name, ending in (("pyerrors", "json.gz"), ("xarray", "nc"), ("h5netcdf", "nc")):
        with monkeypatch.context() as context:
            context.setitem(sys.modules, name, None)
            line = refusal(run, "--out", tmp_path / f"run.{ending}")
        assert line == f"genlat export needs {name}: pip install 'genlat[export]'"
    assert not list(tmp_path.glob("*run.*"))


def test_a_run_of_one_part_has_one_group(run, tmp_path):
    (tmp_path / "ensembles").mkdir()
    record = _edited(run, tmp_path, "chain", "delta_h", lambda x: x)
    assert set(export.to_xarray(record)) == {"chain"}
    methods = {name.partition("/")[0] for name in export.to_pyerrors(record)}
    assert methods == {"chain"}
    assert json.dumps(export.to_xarray(record)["chain"].attrs)


def test_chosen_observables_alone(run, tmp_path):
    import xarray

    export.write(str(run), str(tmp_path / "few.nc"), ["abs_mag", "two_point"])
    for group in ("chain", "flow", "nmcmc"):
        with xarray.open_dataset(tmp_path / "few.nc", group=group) as back:
            assert {"abs_mag", "two_point"} <= set(back.data_vars)
            assert "mag" not in back
    export.write(run, tmp_path / "all.nc")
    few, everything = (tmp_path / name for name in ("few.nc", "all.nc"))
    assert few.stat().st_size < everything.stat().st_size
    record = records.read(run)
    for group in ("chain", "flow", "nmcmc"):
        chosen = export.to_xarray(dataclasses.replace(record, only=("abs_mag",)))
        names = set(chosen[group].data_vars)
        assert "abs_mag" in names
        assert not names & (set(record.measured()) - {"abs_mag"})
    with pytest.raises(RequestError, match="magg: not measured; there are "):
        export.write(run, tmp_path / "none.nc", ["magg"])
    assert len(repr(record)) < 200 + len(str(run))
