"""The ledger of a run as rows: what every stage took, and what of it went by compiling.

One place for the names of stages.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from genlat.report import tables

STAGES = {  # of the cost -> name
    "check": "Checking the run file",
    "mcmc": "Markov chain",
    "prior": "The prior alone",
    "calibration": "Calibration of the training",
    "train": "Training",
    "steps": "Choice of the integrator's steps",
    "sample": "Sampling",
    "given": "Measuring what was given",
    "nmcmc": "Neural Markov chain",
    "p": "log q on samples of p",
    "integration": "Integration",
    "estimate": "Estimates and verdict",
    "other": "Other",
}
NOTE = (
    "From the first check of the run file to results.json, in all processes that were "
    "at work on it; other: what no stage measures, or a kill has lost. Samples per "
    "second and seconds to an error, of chain and model alike, are without "
    "compilation; those of the model's draws contain the choice of the integrator's "
    "steps, as those of the chain its thermalisation."
)


class Row(NamedTuple):
    """A stage by its name, its wall time and the part in which something compiled."""

    name: str
    seconds: float
    compile_seconds: float

    @property
    def running(self) -> float:
        return self.seconds - self.compile_seconds


def rows(cost: Mapping[str, Any]) -> list[Row]:
    """The stages that were carried out, and the rest; records of old know no rest."""
    compiling = cost.get("compile_seconds", {})
    return [
        Row(name, cost[f"{stage}_seconds"], compiling.get(stage, 0.0))
        for stage, name in STAGES.items()
        if cost.get(f"{stage}_seconds") is not None
    ]


def table(cost: Mapping[str, Any]) -> str:
    """As HTML, with the whole in the last line."""
    found = rows(cost)
    if not found:
        return ""
    whole = [sum(column) for column in zip(*(row[1:] for row in found), strict=True)]
    lines = [*found, Row("All together", *whole)]
    cells = [
        [
            row.name,
            *(f"{x:,.1f} s" for x in (row.running, row.compile_seconds, row.seconds)),
        ]
        for row in lines
    ]
    heads = ["stage", "running", "compiling", "together"]
    return tables.table(heads, cells) + f'<p class="note">{NOTE}</p>'
