"""The model of a run: fresh, or from an earlier run."""

from pathlib import Path

from genlat.actions import gap
from genlat.models import cnf
from genlat.models.cnf import CNF
from genlat.runs import checkpoint, source, theory
from genlat.runs.errors import RequestError
from genlat.runs.job import Job
from genlat.runs.keys import Purpose, make
from genlat.runs.sections import RunConfig
from genlat.training import transfer


def initial(job: Job) -> CNF:
    """The model before training.

    **Raises:** `RequestError` if the earlier run it starts from cannot be read.
    """
