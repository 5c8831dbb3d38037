"""What is known of a theory, with its verdict: the one result of everything."""

import dataclasses
import importlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from genlat.api import records_of
from genlat.errors import RequestError
from genlat.estimators.estimate import Estimate
from genlat.runs import table
from genlat.runs.records import Record
from genlat.verdict.judge import Verdict

if TYPE_CHECKING:
    import pandas
    import xarray

    from genlat.report.drawings import Figure

Json = dict[str, Any]
_BEST = ("bar", "nis", "p_estimator", "hmc_integration")


@dataclasses.dataclass(frozen=True)
class Results(Mapping[str, Mapping[str, Estimate]]):
    """Estimates by observable and method: `results["log_z"]["bar"]`.

    - `content`: `results.json`, schema `genlat.results/1`.
    - `record`: the ensembles behind it, on disk or in memory.
    """

    content: Json
    record: Record

    @property
    def verdict(self) -> Verdict:
        """`trust`, yes, no or unknown, and the `reasons`."""
        return Verdict(**self.content["verdict"])

    def __getitem__(self, observable: str) -> Mapping[str, Estimate]:
        found = self.content["estimates"]
        if observable not in found:
            raise KeyError(f"{observable}: there are {', '.join(found)}")
        by_method = {name: _estimate(name, x) for name, x in found[observable].items()}
        return MappingProxyType(by_method)

    def __iter__(self) -> Iterator[str]:
        return iter(self.content["estimates"])

    def __len__(self) -> int:
        return len(self.content["estimates"])

    def __repr__(self) -> str:
        log_z = self.get("log_z", {})
        best = next((f"ln Z = {log_z[x]} by {x}, " for x in _BEST if x in log_z), "")
        return f"Results({best}trust: {self.verdict.trust}, {len(self)} observables)"

    def show(self) -> None:
        """Print the tables of the command line, with the verdict."""
        table.show(self.content)

    def to_json(self) -> Json:
        """`results.json`, plain."""
        return self.content

    def to_pandas(self) -> "pandas.DataFrame":
        """A row for every observable, component and method.

        **Raises:** `RequestError` without pandas.
        """
        pandas = _package("pandas")
        rows = [
            {
                "observable": observable,
                "component": component,
                "method": method,
                "value": value,
                "error": error,
                "n_eff": float(np.min(estimate.n_eff)),
                "flaw": estimate.flaw,
                "caution": estimate.caution,
            }
            for observable, by_method in self.items()
            for method, estimate in by_method.items()
            for component, (value, error) in enumerate(
                zip(np.ravel(estimate.value), np.ravel(estimate.error), strict=True)
            )
        ]
        return pandas.DataFrame(rows)

    def to_xarray(self) -> "dict[str, xarray.Dataset]":
        """The ensembles by name, as `genlat export` writes them.

        **Raises:** `RequestError` without xarray.
        """
        from genlat.runs.export import export

        return export.to_xarray(self.record)

    @property
    def figures(self) -> tuple[str, ...]:
        """The figures that there are."""
        return tuple(self._drawings())

    def figure(self, name: str) -> "Figure":
        """One figure of the page, by its name, for Matplotlib.

        **Raises:** `RequestError` if there is no such figure.
        """
        drawings = self._drawings()
        if name not in drawings:
            raise RequestError(f"figure {name}: there are {', '.join(drawings)}")
        return drawings[name]

    def write(self, directory: Path | str) -> Path:
        """Page, `results.json` and records in a new directory; returns the page.

        What lies on disk already gets its page anew where it is.

        **Raises:** `RequestError` if `directory` exists.
        """
        from genlat.report import page

        if self.record.held is None:
            raise RequestError(
                f"{self.record.directory}: these results are there already: genlat "
                "report draws their page"
            )
        records_of.write(Path(directory), self.content, self.record)
        return page.write(Path(directory))

    def _drawings(self) -> "dict[str, Figure]":
        from genlat.report import drawings

        return {x.name: x.figure for x in drawings.draw(self.record)}


def _estimate(method: str, entry: Json) -> Estimate:
    """From JSON, in which null is what is not known."""

    def number(name: str, otherwise: float) -> Any:
        found = entry.get(name, otherwise)
        if isinstance(found, list):
            return np.array(found, np.float64)
        return math.nan if found is None else found

    value = number("value", math.nan)
    error = number("error", math.nan)
    if np.ndim(error) < np.ndim(value):
        error = np.full(np.shape(value), error)
    return Estimate(
        value,
        error,
        number("bias", 0.0),
        entry.get("n", 0),
        number("n_eff", math.nan),
        entry.get("method", method),
        flaw=entry.get("unusable", ""),
        caution=entry.get("caution", ""),
        freedom=entry.get("freedom", math.inf),
        skewness=entry.get("skewness", 0.0),
    )


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RequestError(f"{name} is not installed: pip install {name}") from error
