"""Training watched in TensorBoard."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from genlat.api.training import Progress
from genlat.errors import RequestError


def tensorboard(directory: Path | str) -> Progress:
    """What `progress` of `train` writes a log with: one scalar per metric and step.

    **Raises:** `RequestError` without the package tensorboardX, which writes the files.
    """
    try:
        from tensorboardX import (  # pyright: ignore[reportMissingImports]
            SummaryWriter,
        )
    except ImportError as error:
        raise RequestError("TensorBoard needs: pip install tensorboardX") from error
    writer = SummaryWriter(str(directory))

    def write(first: int, metrics: Mapping[str, Float[np.ndarray, " n"]]) -> None:
        for name, values in metrics.items():
            for k, value in enumerate(values.tolist()):
                writer.add_scalar(name, value, first + k)
        writer.flush()

    return write
