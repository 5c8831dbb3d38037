"""Generative samplers for lattice field theory. See `genlat --help` and the README.

The package imports nothing at this level: `genlat check` answers before JAX is loaded.
Its public names are loaded when they are first used: docs/python.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from genlat import report as report
    from genlat.actions.field import FieldAction as FieldAction
    from genlat.api.ensembles import Chains as Chains
    from genlat.api.ensembles import draw as draw
    from genlat.api.ensembles import measure_draws as measure_draws
    from genlat.api.ensembles import measure_samples as measure_samples
    from genlat.api.ensembles import run_chains as run_chains
    from genlat.api.environment import setup as setup
    from genlat.api.finished import Run as Run
    from genlat.api.finished import load as load
    from genlat.api.judging import judge as judge
    from genlat.api.results import Results as Results
    from genlat.api.running import run as run
    from genlat.api.tensorboard import tensorboard as tensorboard
    from genlat.api.theories import theory as theory
    from genlat.api.training import Trained as Trained
    from genlat.api.training import train as train
    from genlat.mcmc.hmc import HMC as HMC
    from genlat.mcmc.reflection import Reflection as Reflection
    from genlat.models import cnf as cnf
    from genlat.models.base import AbstractFlow as Flow
    from genlat.models.base import AbstractModel as Model
    from genlat.runs.file.sections import RunConfig as Plan
    from genlat.theories.base import Theory as Theory
    from genlat.training.loop import Settings as Settings
    from genlat.training.objectives import ForwardKL as ForwardKL
    from genlat.training.objectives import PathReverseKL as PathReverseKL
    from genlat.training.objectives import ReverseKL as ReverseKL
    from genlat.verdict.data import Draws as Draws
    from genlat.verdict.data import Samples as Samples

    _ = Plan, Flow, Model

_WHERE = {
    "Chains": "api.ensembles",
    "Draws": "verdict.data",
    "FieldAction": "actions.field",
    "Flow": "models.base:AbstractFlow",
    "ForwardKL": "training.objectives",
    "HMC": "mcmc.hmc",
    "Model": "models.base:AbstractModel",
    "PathReverseKL": "training.objectives",
    "Plan": "runs.file.sections:RunConfig",
    "Reflection": "mcmc.reflection",
    "Results": "api.results",
    "ReverseKL": "training.objectives",
    "Run": "api.finished",
    "Samples": "verdict.data",
    "Settings": "training.loop",
    "Theory": "theories.base",
    "Trained": "api.training",
    "cnf": "models",
    "draw": "api.ensembles",
    "judge": "api.judging",
    "load": "api.finished",
    "measure_draws": "api.ensembles",
    "measure_samples": "api.ensembles",
    "report": "",
    "run": "api.running",
    "run_chains": "api.ensembles",
    "setup": "api.environment",
    "tensorboard": "api.tensorboard",
    "theory": "api.theories",
    "train": "api.training",
}

__all__ = ["__version__", *_WHERE]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'genlat' has no attribute {name!r}")
    place, _, other = _WHERE[name].partition(":")
    if name in ("report", "cnf"):  # which are modules
        return import_module(".".join(filter(None, (__name__, place, name))))
    return getattr(import_module(f"{__name__}.{place}"), other or name)


def __dir__() -> list[str]:
    return [*globals(), *_WHERE]
