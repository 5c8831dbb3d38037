"""φ⁴ theory in any dimension, in its three usual forms."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_serializer

from genlat.schema import ABSENT, Problem
from genlat.theories.base import Slope, Theory
from genlat.theories.scalar import AbstractScalarSection, theory_of


class Phi4Section(AbstractScalarSection):
    """φ⁴ theory; the couplings given choose its form and with it the field's scale."""

    TITLE: ClassVar = "φ⁴ theory"
    SUMMARY: ClassVar = (
        "real scalar φ⁴ in any dimension: form A, B or C by its couplings"
    )
    SYMBOLS: ClassVar = {
        "kappa": "κ", "lam": "λ", "m2": "m²", "lam_b": "λ_B", "g": "g", "field": "h"
    }  # fmt: skip
    ODD: ClassVar = ("field",)
    # couplings that make a form; the quartic one last
    FORMS: ClassVar[dict[str, tuple[str, str]]] = {
        "A": ("kappa", "lam"),
        "B": ("m2", "lam_b"),
        "C": ("m2", "g"),
    }

    name: Literal["phi4"]
    kappa: float | None = Field(default=None, description="form A: hopping parameter κ")
    lam: float | None = Field(
        default=None, ge=0, description="form A: quartic coupling λ"
    )
    m2: float | None = Field(default=None, description="forms B and C: mass squared m²")
    lam_b: float | None = Field(
        default=None, ge=0, description="form B: quartic coupling λ_B"
    )
    g: float | None = Field(
        default=None, ge=0, description="form C: quartic coupling g"
    )
    field: float = Field(
        default=0.0, description="external field h: S - h Σ φ, φ that of the form"
    )

    @model_serializer(mode="wrap")
    def _without_field(self, write: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """A field of 0 is none, and is not written."""
        return {k: v for k, v in write(self).items() if k != "field" or v != 0}

    @classmethod
    def missing(cls, given: Mapping[str, Any]) -> Iterator[Problem]:
        """The couplings given, but for the field, must be those of one form."""
        known = {name for form in cls.FORMS.values() for name in form}
        named = known & given.keys()
        fitting = [form for form in cls.FORMS.values() if named <= set(form)]
        forms = "(kappa, lam), (m2, lam_b) or (m2, g)"
        if not fitting:
            together = ", ".join(sorted(named))
            yield "theory", ABSENT, f"{together} do not go together: give {forms}"
        elif len(fitting) > 1:
            yield "theory", ABSENT, f"couplings have no default: give {forms}"
        else:
            for name in fitting[0]:
                if name not in named:
                    allowed = "missing; couplings have no default"
                    yield f"theory.{name}", ABSENT, allowed

    @property
    def form(self) -> Literal["A", "B", "C"]:
        """The form whose quartic coupling is given."""
        if self.lam is not None:
            return "A"
        return "B" if self.lam_b is not None else "C"

    @property
    def couplings(self) -> tuple[str, ...]:
        return (*self.FORMS[self.form], *self.ODD)

    @property
    def arrays(self) -> tuple[str, ...]:
        of_form = self.FORMS["A"] if self.form == "A" else ()
        return (*of_form, *self.ODD) if self.field else of_form

    def problems(self) -> Iterator[Problem]:
        """Without a quartic term the quadratic one has to hold the field."""
        d = len(self.shape)
        if self.lam == 0 and self.kappa is not None and 2 * abs(self.kappa) * d >= 1:
            bound = f"|kappa| must be < {1 / (2 * d):g} when lam = 0: e^(-S) diverges"
            yield "theory.kappa", self.kappa, bound
        is_free = self.lam_b == 0 or self.g == 0
        if is_free and self.m2 is not None and self.m2 <= 0:
            quartic = "lam_b" if self.lam_b == 0 else "g"
            allowed = f"must be > 0 when {quartic} = 0: e^(-S) diverges"
            yield "theory.m2", self.m2, allowed

    def slope(self, coupling: str) -> Slope | None:
        volume = math.prod(self.shape)
        if coupling == "kappa":
            return Slope("hopping", 2.0 * volume)
        if coupling == "m2":
            return Slope("phi2", -volume * (1.0 if self.form == "B" else 0.5))
        return Slope("mag", float(volume)) if coupling == "field" else None

    def _theory(self) -> Theory:
        from genlat.actions.phi4 import Phi4, Phi4InField

        first, quartic = (getattr(self, name) for name in self.FORMS[self.form])
        build = {"A": Phi4, "B": Phi4.form_b, "C": Phi4.form_c}[self.form]
        even = build(self.shape, first, quartic)
        action = Phi4InField(even, self.field) if self.field else even
        return theory_of(action, "kappa", float(even.kappa))
