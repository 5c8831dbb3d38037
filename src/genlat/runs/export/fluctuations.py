"""How estimates of ln Z scatter: against N and between repetitions, run by run."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.table import Table

from genlat import lattice
from genlat.errors import RequestError
from genlat.estimators import scaling, weights
from genlat.estimators.estimate import Estimate
from genlat.runs import table
from genlat.runs.disk import files, inventory, store
from genlat.runs.file import begun, catalogue

SCHEMA = "genlat.fluctuations/1"
NAME = "fluctuations.json"

Json = dict[str, Any]


def write(directories: Sequence[Path], out: Path | None, repetitions: int) -> Path:
    """Study finished runs and write `fluctuations.json`; return its directory.

    That is `out`, which must be new, or the directory of the only run.

    **Raises:** `RequestError`, with one line per problem, if nothing can be studied;
    `DamagedError` if a record is not what was written.
    """
    if out is not None:
        files.refuse_existing(out)
    if out is None and len(directories) > 1:
        raise RequestError("several runs need a directory of their own: --out DIR")
    named = [path.resolve() for path in directories]
    if twice := [x for k, x in enumerate(directories) if named[k] in named[:k]]:
        raise RequestError(f"{twice[0]}: named twice")
    content = study(directories, repetitions)
    if out is None:
        files.write_json(directories[0] / NAME, content)
        return directories[0]
    with files.whole_directory(out) as temporary:
        files.write_json(temporary / NAME, content)
    return out


def study(directories: Sequence[Path], repetitions: int) -> Json:
    """The content of `fluctuations.json`, smaller volumes first.

    **Raises:** as `write`.
    """
    found, problems = [], []
    for path in directories:
        try:
            found.append(_of_run(path, repetitions))
        except RequestError as error:
            problems += error.lines
    if problems:
        raise RequestError(problems)
    found.sort(key=lambda run: run["volume"])
    return {"schema": SCHEMA, "runs": found}


def show(content: Mapping[str, Any]) -> None:
    """Print a table of ln Z per run; the pulls of F/V are the same up to a sign."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=table.WIDTH)
    for run in content["runs"]:
        log_z, density = run["log_z"], run["free_energy_density"]
        shape = "x".join(map(str, run["theory"]["shape"]))
        console.print(
            f"{run['name']}: {run['theory']['name']} {shape}, {run['n']:,} draws, "
            f"ESS {run['ess']:.4f}"
        )
        console.print(_table(log_z["scaling"]))
        console.print(_repetitions("ln Z", log_z))
        console.print(_repetitions("F/V", density))


def _of_run(path: Path, repetitions: int) -> Json:
    theory = begun.read(path).theory
    results = files.read_json(path / "results.json")
    if not results:
        raise RequestError(f"{path}: not finished; genlat resume {path}")
    log_w = _log_weights(path)
    if 2 * repetitions > log_w.size:
        raise RequestError(
            f"{path}: --repetitions {repetitions}: its {log_w.size} draws are enough "
            f"for {log_w.size // 2}, of two each"
        )
    volume = lattice.volume(theory.shape)
    try:
        log_z = scaling.log_z(log_w)
        parts = scaling.repetitions(log_w, repetitions)
    except ValueError as error:
        raise RequestError(f"{path}: {error}") from error
    pooled, known = weights.log_z(log_w), results["estimates"]
    return {
        "name": path.resolve().name,
        "theory": theory.model_dump(mode="json", exclude_none=True),
        "volume": volume,
        "n": log_w.size,
        "ess": weights.ess(log_w),
        "log_z": _quantity(log_z, parts, pooled, known.get("log_z", {})),
        "free_energy_density": _quantity(
            scaling.free_energy_density(log_z, volume),
            _per_site(parts, volume),
            weights.free_energy_density(pooled, volume),
            known.get("free_energy_density", {}),
        ),
    }


def _log_weights(path: Path) -> Float[np.ndarray, " n"]:
    """-S - ln q of every draw of the model.

    **Raises:** `RequestError` if there are none, or if one is NaN or +inf;
    `DamagedError` if some are gone, or of another run.
    """
    inventory.refuse_missing(path, "flow")
    names = ("action", "log_q")
    whose = inventory.fingerprint(path, "flow")
    blocks = [
        store.own(block, store.read(block, names), whose)
        for block in store.paths(path, "flow")
    ]
    flow = store.joined(blocks, sample_axis=0)
    if not all(name in flow for name in names):
        raise RequestError(f"{path}: has no draws of a model, and Z needs them")
    log_w = -flow["action"] - flow["log_q"]
    if bad := weights.non_finite(log_w):
        raise RequestError(f"{path}: {bad} of {log_w.size} weights are not finite")
    return log_w


def _quantity(
    of_groups: scaling.Scaling,
    parts: scaling.Repetitions,
    pooled: Estimate,
    known: Mapping[str, Any],
) -> Json:
    return {
        "pooled": pooled.to_json(),
        "exact": known.get("exact"),
        "scaling": _plain(dataclasses.asdict(of_groups)),
        "repetitions": _plain(dataclasses.asdict(parts)),
    }


def _per_site(parts: scaling.Repetitions, volume: int) -> scaling.Repetitions:
    """Of -ln Z / V."""
    return dataclasses.replace(
        parts,
        values=-parts.values / volume,
        errors=parts.errors / volume,
        mean=-parts.mean / volume,
        error=parts.error / volume,
    )


def _plain(content: Any) -> Any:
    """Arrays as lists."""
    if isinstance(content, dict):
        return {name: _plain(value) for name, value in content.items()}
    return content.tolist() if isinstance(content, np.ndarray) else content


def _table(of_groups: Mapping[str, Any]) -> Table:
    """N times bias and variance: constants, to leading order, and in the title."""
    shown = Table("N", "groups", title_justify="left", title_style="")
    columns, constants = {}, []
    for name in ("bias", "variance"):
        for head in (f"N × {name}", "expected to 1/N²", "pull"):
            shown.add_column(head, justify="right", no_wrap=True)
        fields = {field: np.array(x) for field, x in of_groups[name].items()}
        columns[name] = fields
        n = of_groups["sizes"][0]
        constant = _brief(n * fields["leading"][0], n * fields["leading_error"][0])
        constants.append(f"N × {name} = {constant}")
    shown.title = f"expected of ln Z to 1/N: {', '.join(constants)}"
    for k, n in enumerate(of_groups["sizes"]):
        row = [str(n), str(of_groups["groups"][k])]
        for fields in columns.values():
            row += [
                _brief(n * fields["measured"][k], n * fields["error"][k]),
                *_expected(n, {field: x[k] for field, x in fields.items()}),
            ]
        shown.add_row(*row)
    return shown


def _expected(n: int, at_n: Mapping[str, Any]) -> tuple[str, str]:
    """N times what is expected, and the pull; nothing where 1/N is no small number."""
    if not at_n["is_converged"]:
        return "N too small", ""
    text = _brief(n * at_n["expected"], n * at_n["expected_error"])
    return text, f"{at_n['pull']:+.1f}"


def _repetitions(label: str, quantity: Mapping[str, Any]) -> str:
    parts, exact = quantity["repetitions"], quantity["exact"]
    count = len(parts["values"])
    text = (
        f"{label} of {count} x {parts['n']:,} draws: mean "
        f"{_brief(parts['mean'], parts['error'])}, χ² {parts['chi2']:.1f} for "
        f"{count - 1}, p = {parts['p_value']:.2g}"
    )
    if exact is None:
        return text
    return f"{text}; {catalogue.known_as(exact)} {table.brief(exact)}"


def _brief(value: float, error: float) -> str:
    return str(Estimate(value, error, 0.0, n=1, n_eff=1.0, method=""))
