"""What a field takes its values in, site by site. No JAX here."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Space:
    """The values of a field at one site, or on one link.

    - `title`: in words, as in "this theory has ...".
    - `stored`: the type in which configurations are kept on disk.
    - `is_continuous`: whether a value can be moved by a little.
    - `has_components`: whether a value is more than one number: an action says how
      many, on axes behind those of the lattice.
    """

    title: str
    stored: str
    is_continuous: bool
    has_components: bool = False

    @property
    def dtype(self) -> np.dtype:
        """In which configurations are kept on disk."""
        return np.dtype(self.stored)


REAL = Space("a continuous field", "float32", is_continuous=True)
VECTORS = Space(
    "a field of several real components",
    "float32",
    is_continuous=True,
    has_components=True,
)
SIGNS = Space("spins ±1", "int8", is_continuous=False)
