"""A run in the formats of others: xarray and ArviZ, pyerrors. No JAX here.

The packages are those of the extra `export`; each is imported where it is needed.
"""

import dataclasses
import importlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Real, Shaped

from genlat.errors import RequestError
from genlat.runs import records
from genlat.runs.disk import files
from genlat.runs.file import begun

if TYPE_CHECKING:
    import pyerrors
    import xarray

Arrays = Mapping[str, Shaped[np.ndarray, "..."]]
Json = dict[str, Any]
PREFIX = records.PREFIX
OVERHEAD = 2**20  # bytes of a NetCDF file beside its arrays, at most about
SHORTEST = 5
"""pyerrors takes no shorter series."""


def write(
    run_directory: Path | str, path: Path | str, observables: Sequence[str] = ()
) -> None:
    """Write a finished run to a new file, in the format that its ending names.

    **Arguments:** `observables`: which of the measured ones; all without any.

    **Raises:** `RequestError` for another ending than those of `WRITERS`, a file that
    exists, a directory that is not there or not of a finished run, a missing package.
    """
    run_directory, path = Path(run_directory), Path(path)
    writers = [
        writer for ending, writer in WRITERS.items() if path.name.endswith(ending)
    ]
    if not writers:
        raise RequestError(
            f"{path}: the ending names the format: .nc for xarray and ArviZ, "
            ".json.gz for pyerrors"
        )
    files.refuse_existing(path)
    if not path.parent.is_dir():
        raise RequestError(f"{path.parent}: no such directory")
    begun.read(run_directory)
    record = records.read(run_directory)
    if not record.results:
        raise RequestError(
            f"{run_directory}: not finished; continue with: "
            f"genlat resume {run_directory}"
        )
    if observables:
        known = record.measured()
        if strange := [name for name in observables if name not in known]:
            there = ", ".join(known)
            raise RequestError(f"{strange[0]}: not measured; there are {there}")
        record = dataclasses.replace(record, only=tuple(observables))
    writers[0](record, path)


def to_xarray(record: records.Record) -> "dict[str, xarray.Dataset]":
    """The ensembles of a run as datasets, by name; those that it lacks are left out.

    - `chain`: observables, `acceptance` and `delta_h` over (chain, draw), `two_point`
      over (chain, draw, lag); what ArviZ takes as it is.
    - `flow`: `log_q`, `action`, `log_weight` = -S - ln q and observables over (draw).
    - `nmcmc`: `index` into the draws of `flow`, `accepted`, and the observables of
      those draws, over (chain, draw).
    - `target`: `log_q`, `action`, `log_weight` of stored samples of p, over (chain,
      draw).

    Configurations are left out. Theory, couplings, seed and versions are attributes.
    """
    xarray = _package("xarray")
    chain, flow, nmcmc = record.chain, record.flow, record.nmcmc
    arrays: dict[str, tuple[tuple[str, ...], Arrays]] = {}
    if chain:
        known = ("acceptance", "delta_h")  # of a chain made elsewhere they are not
        steps = {name: chain[name] for name in known if name in chain}
        arrays["chain"] = ("chain", "draw"), _measured(chain) | steps
    if flow:
        arrays["flow"] = ("draw",), _densities(flow) | _measured(flow)
    if nmcmc:
        steps = {name: nmcmc[name] for name in ("index", "accepted")}
        arrays["nmcmc"] = ("chain", "draw"), steps | _gathered(flow, nmcmc)
    if record.target:
        arrays["target"] = ("chain", "draw"), _densities(record.target)
    attributes = _attributes(record)
    return {
        group: _dataset(xarray, dims, content, attributes)
        for group, (dims, content) in arrays.items()
    }


def write_netcdf(record: records.Record, path: Path) -> None:
    """The groups of `to_xarray` in one NetCDF4 file, whole."""
    _package("h5netcdf")
    datasets = to_xarray(record)
    size = sum(dataset.nbytes for dataset in datasets.values())
    with files.whole(path) as temporary:
        temporary.unlink(missing_ok=True)  # of a killed writer
        files.try_room(temporary, size + OVERHEAD)
        for group, dataset in datasets.items():
            dataset.to_netcdf(temporary, "a", group=group, engine="h5netcdf")


def to_pyerrors(
    record: records.Record, prefix: str = ""
) -> "dict[str, pyerrors.Obs | list[pyerrors.Obs]]":
    r"""Every primary observable by every method, and what follows from them simply.

    The latter are `susceptibility`, `binder` and `specific_heat`.
    Keys are `chain/phi2`, `nis/phi2`, `nmcmc/phi2`, ...; an observable with several
    components is a list of `Obs`. A chain is an ensemble with replica `chain|r000`,
    `chain|r001`, ...; likewise `nmcmc`. Importance sampling is the ensemble `flow`, of
    independent draws, with

    $$\langle O\rangle = \frac{\sum_i w_i O_i}{\sum_i w_i}$$

    a ratio of two `Obs`, so that pyerrors propagates their correlation; `nis/log_z` is
    the logarithm of the mean weight. `nis` and `nmcmc` use the same draws, which
    pyerrors does not know: never combine them. No error is computed yet: call
    `gamma_method`.

    **Arguments:** `prefix` goes before the names of the ensembles: pyerrors takes
    ensembles of one name for the same, so two runs in one analysis need two.

    **Raises:** `RequestError` for what pyerrors cannot take: series shorter than 5, a
    value that is not finite.
    """
    package = _package("pyerrors")
    volume = int(np.prod(record.config["theory"]["shape"]))
    found: Json = {}

    def add(method: str, primary: Json) -> None:
        every = primary | _derived(package, primary, volume)
        found.update({f"{method}/{name}": obs for name, obs in every.items()})

    def replica(ensemble: str, measured: Arrays) -> Json:
        _refuse_unfit(ensemble, measured)

        def as_obs(values: Real[np.ndarray, "chains n"]) -> Any:
            names = [f"{prefix}{ensemble}|r{k:03d}" for k in range(len(values))]
            return package.Obs(list(values), names)

        return {
            name: _each(as_obs, values, sample_axes=2)
            for name, values in measured.items()
        }

    if record.chain:
        add("chain", replica("chain", _measured(record.chain)))
    if record.flow:
        add("nis", _weighted(package, record.flow, f"{prefix}flow"))
    if record.nmcmc:
        add("nmcmc", replica("nmcmc", _gathered(record.flow, record.nmcmc)))
    return found


def write_pyerrors(record: records.Record, path: Path) -> None:
    """`to_pyerrors` in the format of `pyerrors.input.json`, gzipped, whole.

    Read it with `pyerrors.input.json.load_json_dict`.
    """
    package = _package("pyerrors")
    observables = to_pyerrors(record)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "observables.json.gz"  # pyerrors insists on the ending
        package.input.json.dump_dict_to_json(
            observables, str(draft), description=_attributes(record)
        )
        files.write_bytes(path, draft.read_bytes())


WRITERS: dict[str, Callable[[records.Record, Path], None]] = {
    ".nc": write_netcdf,
    ".json.gz": write_pyerrors,
}


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RequestError(
            f"genlat export needs {name}: pip install 'genlat[export]'"
        ) from error


def _measured(arrays: Arrays) -> dict[str, Shaped[np.ndarray, "..."]]:
    return {
        name.removeprefix(PREFIX): array
        for name, array in arrays.items()
        if name.startswith(PREFIX)
    }


def _densities(arrays: Arrays) -> dict[str, Shaped[np.ndarray, "..."]]:
    log_q, action = arrays["log_q"], arrays["action"]
    return {"log_q": log_q, "action": action, "log_weight": -action - log_q}


def _gathered(flow: Arrays, nmcmc: Arrays) -> dict[str, Shaped[np.ndarray, "..."]]:
    """What the neural Markov chain measures: the draws' values in its order."""
    return {name: values[nmcmc["index"]] for name, values in _measured(flow).items()}


def _attributes(record: records.Record) -> Json:
    """What a reader must know: numbers, strings, and a list for the extents."""
    theory = dict(record.config["theory"])
    return {
        "theory": theory.pop("name"),
        "lattice_shape": list(theory.pop("shape")),
        **theory,
        "seed": record.config["seed"],
        "inference_library": "genlat",
        **{
            name: content
            for name, content in record.results.get("provenance", {}).items()
            if isinstance(content, str | int | float)
        },
    }


def _dataset(
    xarray: Any, sample_dims: tuple[str, ...], arrays: Arrays, attributes: Json
) -> Any:
    variables = {
        name: ((*sample_dims, *_own_dims(name, array.ndim - len(sample_dims))), array)
        for name, array in arrays.items()
    }
    sizes = {
        dim: size
        for dims, array in variables.values()
        for dim, size in zip(dims, array.shape, strict=True)
    }
    coordinates = {dim: np.arange(size) for dim, size in sizes.items()}
    return xarray.Dataset(variables, coordinates, attributes)


def _own_dims(name: str, n_dims: int) -> tuple[str, ...]:
    """Dimensions of one observation; ArviZ's names where there is none of ours."""
    if name == "two_point":
        return ("lag",)
    return tuple(f"{name}_dim_{k}" for k in range(n_dims))


def _weighted(package: Any, flow: Arrays, ensemble: str) -> Json:
    """Importance sampling: ratios of `Obs`, and ln Z."""
    log_w = -flow["action"] - flow["log_q"]
    measured = _measured(flow)
    largest = float(np.max(log_w))
    # -inf is a weight of zero; NaN and +inf end up as NaN here
    weights = np.exp(log_w - largest)
    _refuse_unfit("flow", {"weights": weights[None]})
    _refuse_unfit("flow", {name: values[None] for name, values in measured.items()})
    weight = package.Obs([weights], [ensemble])

    def ratio(values: Real[np.ndarray, " n"]) -> Any:
        return package.reweight(weight, [package.Obs([values], [ensemble])])[0]

    means = {
        name: _each(ratio, values, sample_axes=1) for name, values in measured.items()
    }
    return {"log_z": np.log(weight) + largest, **means}


def _derived(package: Any, primary: Json, volume: int) -> Json:
    """The formulas of `genlat.observables`, in a form that pyerrors differentiates."""

    def variance(means: Any) -> Any:
        square, mean = means
        return volume * (square - mean**2)

    def binder(means: Any) -> Any:
        mag4, mag2 = means
        return 1 - mag4 / (3 * mag2**2)

    inputs = {
        "susceptibility": (variance, ("mag2", "abs_mag")),
        "binder": (binder, ("mag4", "mag2")),
        "specific_heat": (variance, ("action_density2", "action_density")),
    }
    return {
        name: package.derived_observable(function, [primary[key] for key in keys])
        for name, (function, keys) in inputs.items()
        if set(keys) <= set(primary)
    }


def _each(make: Callable[[Any], Any], values: Any, *, sample_axes: int) -> Any:
    """`make` of the only component, or the list over all components, in C order."""
    if values.ndim == sample_axes:
        return make(values)
    series = values.reshape(*values.shape[:sample_axes], -1)
    return [make(series[..., k]) for k in range(series.shape[-1])]


def _refuse_unfit(ensemble: str, arrays: Arrays) -> None:
    for name, values in arrays.items():
        if values.shape[1] < SHORTEST:
            raise RequestError(
                f"{ensemble}: pyerrors needs series of at least {SHORTEST}, these have "
                f"{values.shape[1]}; .nc takes them"
            )
        if not np.all(np.isfinite(values)):
            raise RequestError(
                f"{ensemble}: {name} has values that are not finite, which pyerrors "
                "cannot take; .nc does"
            )
