"""A run file with draws and samples of others: what `genlat judge` is asked. No JAX."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genlat.errors import RequestError
from genlat.runs.file import config, source
from genlat.runs.file.sections import RunConfig
from genlat.runs.given import arrays, survey
from genlat.runs.given.arrays import Place
from genlat.runs.given.survey import Given
from genlat.theories.base import AbstractTheorySection
from genlat.verdict.given import Field, looks_like_q

SMALLEST_CHAIN = 10  # steps of a neural chain

Paths = tuple[Path, Path | None]
"""Of phi, and of log q where that has a file of its own."""


def judged(
    file: Path, draws: Paths, samples: Paths | None, overrides: Sequence[str] = ()
) -> tuple[RunConfig, list[str]]:
    """The resolved run file of a judgement, and remarks on it.

    **Raises:** `RequestError` for a run file or arrays that are not what they should
    be.
    """
    data = config.read(file, overrides)
    _refuse_sections(data, file)
    theory, field = theory_of(data, file)
    remarks = []
    of_draws = survey.find(*draws, axes=1)
    n = survey.header(of_draws, field).shape[0]
    data |= _of_draws(data, of_draws, field, n, str(file))
    of_samples = None
    if samples is not None:
        of_samples = survey.find(*samples, axes=2)
        said = data.get("samples", {})
        data["samples"] = said | _of_samples(said, of_samples, theory, field)
        if data.pop("mcmc", None) is not None:
            remarks.append("[mcmc] is not run: the samples are given")
    config.check(data, str(file))
    for section, found in (("draws", of_draws), ("samples", of_samples)):
        if found is not None:
            survey.values(found, field)
            data[section]["sha256"] = survey.sha256(found)
    if looks_like_q(survey.log_q(of_draws)):
        remarks.append(
            f"{of_draws.log_q} lies between 0 and 1 throughout: the natural logarithm "
            "of q is wanted, not q"
        )
    return config.check(data, str(file)), remarks


def imported(file: Path, samples: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """The resolved run file of an ensemble made elsewhere.

    **Raises:** as `judged`.
    """
    data = config.read(file, overrides)
    data = {name: data[name] for name in ("seed", "theory", "samples") if name in data}
    theory, field = theory_of(data, file)
    found = Given(Place(samples, "phi"), None, axes=2)
    said = data.get("samples", {})
    data["samples"] = said | _of_samples(said, found, theory, field)
    config.check(data, str(file))
    survey.values(found, field)
    data["samples"]["sha256"] = survey.sha256(found)
    return config.check(data, str(file))


def theory_of(data: dict[str, Any], file: Path) -> tuple[AbstractTheorySection, Field]:
    """The theory of a run file, and what its configurations are.

    **Raises:** `RequestError`.
    """
    known = {name: data[name] for name in ("seed", "theory") if name in data}
    theory = config.check(known, str(file)).theory
    return theory, field_of(theory)


def field_of(theory: AbstractTheorySection) -> Field:
    """What configurations of a theory are."""
    components = (theory.n_components,) if theory.SPACE.has_components else ()
    return Field((*theory.shape, *components), not theory.SPACE.is_continuous)


def draws_of(found: RunConfig) -> Given:
    """Where the draws of a judgement are."""
    section = found.draws
    assert section is not None
    log_q = Place(Path(section.log_q), "log_q")
    return Given(Place(Path(section.phi), "phi"), log_q, axes=1)


def samples_of(found: RunConfig) -> Given:
    """Where the samples of a judgement or an ensemble are."""
    section = found.samples
    assert section is not None
    assert section.phi is not None
    log_q = None if section.log_q is None else Place(Path(section.log_q), "log_q")
    return Given(Place(Path(section.phi), "phi"), log_q, axes=2)


def _refuse_sections(data: dict[str, Any], file: Path) -> None:
    lines = [
        f"{file}: [{name}]: genlat judge draws no model: leave it out"
        for name in ("model", "train")
        if name in data
    ]
    if "draws" in data:
        lines.append(f"{file}: [draws]: is filled in from --draws: leave it out")
    said = data.get("samples", {})
    if not isinstance(said, dict) or said.keys() - {"visits_every_mode"}:
        lines.append(f"{file}: [samples]: takes visits_every_mode = true or false only")
    if lines:
        raise RequestError(lines)


def _of_draws(
    data: dict[str, Any], found: Given, field: Field, n: int, file: str
) -> dict[str, Any]:
    """The sections of draws, and of the estimates from them."""
    estimate = data.get("estimate", {})
    if not isinstance(estimate, dict):
        return {}  # said when the file is checked
    if (asked := estimate.get("samples", n)) != n:
        raise RequestError(
            f"{file}: estimate.samples = {asked}: there are {n} draws: leave it out"
        )
    chains = max(1, min(100, n // SMALLEST_CHAIN))
    assert found.log_q is not None
    return {
        "draws": {
            "phi": str(found.phi.path),
            "log_q": str(found.log_q.path),
            "roundoff": survey.roundoff(found, field),
        },
        "estimate": {"chains": chains} | estimate | {"samples": n},
    }


def _of_samples(
    said: dict[str, Any], found: Given, theory: AbstractTheorySection, field: Field
) -> dict[str, Any]:
    chains, n = survey.header(found, field).shape[:2]
    log_q = {} if found.log_q is None else {"log_q": str(found.log_q.path)}
    sizes = {"phi": str(found.phi.path), "chains": chains, "n": n}
    return sizes | log_q | _labelled(said, found.phi.path, theory)


def _labelled(
    said: dict[str, Any], path: Path, theory: AbstractTheorySection
) -> dict[str, Any]:
    """What a file of genlat's own samples says of them."""
    if not {"kernel", "theory", "visits_every_mode"} <= {*arrays.names(path)}:
        return {}
    kernel, theirs, visits = (
        arrays.whole(Place(path, name)).item()
        for name in ("kernel", "theory", "visits_every_mode")
    )
    ours = theory.model_dump(exclude_none=True)
    if reason := source.why_other(json.loads(str(theirs)), ours):
        raise RequestError(f"{path}: {reason}")
    if said.get("visits_every_mode", bool(visits)) != bool(visits):
        raise RequestError(
            f"{path}: samples.visits_every_mode = {str(not visits).lower()}: its "
            f"kernel, {kernel}, says {str(bool(visits)).lower()}: leave it out"
        )
    return {"kernel": str(kernel), "visits_every_mode": bool(visits)}
