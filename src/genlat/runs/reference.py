"""What is known exactly about a theory, in the shape of `results.json`."""

from typing import Any

import numpy as np

from genlat import exact
from genlat.actions.base import AbstractAction


def exactly(action: AbstractAction) -> dict[str, dict[str, dict[str, Any]]]:
    """What is known exactly, in the shape of `results.json`."""
    return {
        name: {
            "exact": {
                "value": _plain(known.value),
                "error": _plain(known.error),
                "source": known.source,
            }
        }
        for name, known in exact.known(action).items()
    }


def why_unknown(action: AbstractAction) -> str | None:
    """Why ln Z is not known exactly; None where it is."""
    return exact.answer(action).why_not


def _plain(value: Any) -> Any:
    return np.asarray(value, dtype=np.float64).tolist()
