"""The quantum-mechanical double well, a field on one axis."""

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from genlat.schema import LISTED, Count, Problem
from genlat.theories.base import Slope, Theory
from genlat.theories.scalar import AbstractScalarSection, theory_of


class DoubleWellSection(AbstractScalarSection):
    """Quantum-mechanical double well."""

    TITLE: ClassVar = "Double well"
    SUMMARY: ClassVar = "quantum-mechanical double well, one axis"
    SYMBOLS: ClassVar = {"m0": "m₀", "mu2": "μ²", "lam": "λ", "spacing": "a"}

    name: Literal["double_well"]
    shape: Annotated[
        tuple[Count, ...],
        LISTED,
        Field(min_length=1, max_length=1, description="[T], the number of times"),
    ]
    m0: float = Field(gt=0, description="mass m₀")
    mu2: float = Field(description="μ²; two wells if negative")
    lam: float = Field(ge=0, description="quartic coupling λ")
    spacing: float = Field(default=1.0, gt=0, description="lattice spacing a")

    @property
    def couplings(self) -> tuple[str, ...]:
        return ("m0", "mu2", "lam")

    def problems(self) -> Iterator[Problem]:
        """Without a quartic term the quadratic one has to hold the field."""
        if self.lam == 0 and self.mu2 <= 0:
            yield "theory.mu2", self.mu2, "must be > 0 when lam = 0: e^(-S) diverges"

    def slope(self, coupling: str) -> Slope | None:
        if coupling != "mu2":
            return None
        return Slope("phi2", -math.prod(self.shape) * self.spacing * self.m0 / 2)

    def _theory(self) -> Theory:
        from genlat.actions.double_well import DoubleWell

        return theory_of(
            DoubleWell(self.shape, self.m0, self.mu2, self.lam, self.spacing)
        )
