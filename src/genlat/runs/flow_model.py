"""The model of a run: fresh, from an earlier run, or read back from its directory."""

from pathlib import Path

import jax.random as jr
import numpy as np

from genlat.actions import gap
from genlat.models import cnf
from genlat.models.cnf import CNF
from genlat.models.gaussian import GaussianPair, Wells
from genlat.models.vector_field import SineField
from genlat.runs import checkpoint, directory, source, theory
from genlat.runs.errors import RequestError
from genlat.runs.job import Job
from genlat.runs.keys import Purpose
from genlat.runs.sections import RunConfig
from genlat.training import loop, transfer

NOTE = "model"


def initial(job: Job) -> CNF:
    """The model before training; notes what a checkpoint does not hold.

    From an earlier run it keeps the flow, and the prior unless the Gaussian wanted for
    this theory is in the other phase.

    **Raises:** `RequestError` if the run it starts from has no sound checkpoint.
    """
    section = job.config.model
    assert section is not None
    gaussian, wells = best_prior(job)
    if section.init == "scratch":
        model = cnf.build(
            gaussian.variance,
            gaussian.mean,
            job.key(Purpose.MODEL),
            n_features=section.features,
            n_channels=section.channels,
            n_kernel_terms=section.kernel_terms,
            n_mixing_terms=section.mixing_terms,
            n_steps=section.n_steps,
            wells=wells,
        )
    else:
        trained = read(Path(section.init))
        model = transfer.enlarge(trained, job.config.theory.shape)
        model = model.with_steps(section.n_steps)
        if (model.prior.mean is not None) == (gaussian.mean > 0):
            model = model.with_prior(model.prior.in_wells(wells))
        else:
            prior = GaussianPair(gaussian.variance, gaussian.mean, wells)
            model = model.with_prior(prior)
    static = {
        "frequency": model.field.frequency,
        "is_pair": model.prior.mean is not None,
        "wells": model.prior.wells,
    }
    directory.note(job.directory, NOTE, static)
    return model


def best_prior(job: Job) -> tuple[gap.GaussianApproximation, Wells]:
    """The Gaussian that `model.wells` asks for, and in which wells it stands."""
    assert job.config.model is not None
    if job.config.model.wells == "none":
        return gap.best_symmetric(job.action), "both"
    return gap.best_gaussian(job.action), job.config.model.wells


def refuse_single_well(config: RunConfig) -> None:
    """A mode can only be dropped where there are two.

    **Raises:** `RequestError` if `wells = "one"` and the best Gaussian is centred at 0.
    """
    if config.model is None or config.model.wells != "one":
        return
    if gap.best_gaussian(theory.build(config.theory)).mean == 0:
        raise RequestError(
            'model.wells = "one": this theory has no second well to drop, its best '
            "Gaussian is centred at 0"
        )


def read(path: Path) -> CNF:
    """The model of the newest sound checkpoint in a run directory.

    **Raises:** `RequestError` if there is none.
    """
    state = read_state(path, source.read_config(path))
    if state is None:
        raise RequestError(f"{path}: holds no sound checkpoint of a model")
    assert isinstance(state.model, CNF)
    return state.model


def read_state(path: Path, config: RunConfig) -> loop.TrainState | None:
    """The newest sound training state in a run directory; None if there is none."""
    static = directory.notes(path).get(NOTE)
    if static is None:
        return None
    section, shape = config.model, config.theory.shape
    assert section is not None
    model = CNF(
        GaussianPair(
            np.ones(shape), 1.0 if static["is_pair"] else 0.0, static["wells"]
        ),
        SineField(
            shape,
            frequency=static["frequency"],
            n_features=section.features,
            n_channels=section.channels,
            n_kernel_terms=section.kernel_terms,
            n_mixing_terms=section.mixing_terms,
            key=jr.key(0),
        ),
        n_steps=section.n_steps,
    )
    # the optimiser's state has the same shape whatever its settings
    skeleton = loop.init(model, loop.Settings(steps=1, batch=1), jr.key(0))
    return checkpoint.load_newest(path / "checkpoints", skeleton)
