"""What this version of genlat can do, by the names a run file uses. No JAX here."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from genlat import written
from genlat.errors import RequestError
from genlat.estimators import methods
from genlat.families import named as families
from genlat.families.base import AbstractModelSection
from genlat.families.named import FAMILIES
from genlat.theories import named
from genlat.theories.base import COMMON, AbstractTheorySection, Observed
from genlat.theories.named import theory_name
from genlat.training import admissible

# Names the design reserves for later versions: refused with a sentence of their own,
# not as spelling mistakes.
LATER: dict[str, tuple[str, ...]] = {
    "theory": ("u1", "su2", "su3"),
    "model": ("gauge", "trivializing"),
    "kernel": ("overrelaxation",),
    "objective": (),
    "gradient": (),
    "method": (),
    "observable": (
        "energy_gap",
        "x2",
        "plaquette",
        "topological_charge2",
        "topological_susceptibility",
    ),
}


def theory_of(data: Mapping[str, Any]) -> type[AbstractTheorySection] | None:
    """The section of a run file's theory; None if it is none that can be used."""
    given = data.get("theory")
    try:
        return named.section_of(given) if isinstance(given, dict) else None
    except RequestError:
        return None  # said where it is validated


def located(data: dict[str, Any], directory: Path) -> dict[str, Any]:
    """A run file of `directory` with the files that it names found from anywhere."""
    for section in ("theory", "model"):
        given = data.get(section)
        if isinstance(given, dict) and written.is_named(given.get("name")):
            name = written.located(given["name"], directory)
            data = data | {section: {**given, "name": name}}
    return data


def _merged(table: Literal["KERNELS", "OBSERVABLES", "SYMBOLS"]) -> dict[str, Any]:
    """What the theories have, in the words of the first that has it."""
    found: dict[str, Any] = {}
    for theory in named.THEORIES:
        found |= {k: v for k, v in getattr(theory, table).items() if k not in found}
    return found


def titled(name: str) -> str:
    """What a report calls a theory; one of a user's by the name of its class."""
    own = {theory_name(theory): theory.TITLE for theory in named.THEORIES}
    return own.get(name, name.rpartition(":")[2])


def model_facts(name: str) -> str:
    """What the fields may be that a model draws, and what it knows of its density."""
    family = family_called(name)
    assert family is not None
    spaces = " or ".join(space.title for space in family.SPACES)
    return f"{spaces}; likelihood {family.LIKELIHOOD}"


def family_of(data: Mapping[str, Any]) -> type[AbstractModelSection] | None:
    """The section of a run file's model; None if it is none that can be used."""
    given = data.get("model")
    try:
        return families.section_of(given) if isinstance(given, dict) else None
    except RequestError:
        return None  # said where it is validated


def family_called(name: Any) -> type[AbstractModelSection] | None:
    """The model family of that name, or None."""
    found = [x for x in FAMILIES if isinstance(name, str) and name in x.SUMMARIES]
    return found[0] if found else None


def owners(name: str) -> str:
    """The theories that have a kernel or an observable, where not all have it."""
    having = [x for x in named.THEORIES if name in {**x.KERNELS, **x.OBSERVABLES}]
    is_common = name in COMMON or len(having) == len(named.THEORIES)
    return "" if is_common else ", ".join(map(theory_name, having))


THEORIES = {theory_name(theory): theory.SUMMARY for theory in named.THEORIES}
MODELS = {name: text for family in FAMILIES for name, text in family.SUMMARIES.items()}
KERNELS = _merged("KERNELS")
SYMBOLS = _merged("SYMBOLS")  # of couplings
OBJECTIVES = admissible.OBJECTIVES
GRADIENTS = admissible.GRADIENTS
METHODS = {name: method.says for name, method in methods.METHODS.items()}
# Expectation values, then functions of them; `tests/test_theories.py` compares the
# names with `genlat.observables`.
_PRIMARY: dict[str, Observed] = {**COMMON, **_merged("OBSERVABLES")}
_DERIVED = {
    "susceptibility": Observed("V (⟨m²⟩ - ⟨|m|⟩²)", "V (⟨m²⟩ − ⟨|m|⟩²)", "φ²"),
    "specific_heat": Observed("V (⟨(S/V)²⟩ - ⟨S/V⟩²)", "Var(S) / V", "1 per site"),
    "binder": Observed("1 - ⟨m⁴⟩ / (3 ⟨m²⟩²)", "1 − ⟨m⁴⟩ / 3⟨m²⟩²", "1"),
    "correlation_length": Observed(
        "second-moment correlation length along axis 0", "ξ (second moment)", "a"
    ),
}
# Always estimated where the method can: they need no measurement.
_FREE_ENERGY = {
    "log_z": Observed("ln Z in the user's own form of the theory", "ln Z", "1"),
    "free_energy_density": Observed("-ln Z / V", "−ln Z / V", "1 per site"),
    "entropy_density": Observed("(⟨S⟩ + ln Z) / V", "(⟨S⟩ + ln Z) / V", "1 per site"),
}
# Known where a theory is solved, and never estimated.
_EXACT = {
    "energy_gap": Observed("of the transfer matrix along axis 0", "E₁ − E₀", "1/a"),
    "x2": Observed("of the double well", "⟨x²⟩", "φ²"),
}
OBSERVED = {**_FREE_ENERGY, **_PRIMARY, **_DERIVED, **_EXACT}
PRIMARY, DERIVED, FREE_ENERGY = (
    {name: observed.says for name, observed in table.items()}
    for table in (_PRIMARY, _DERIVED, _FREE_ENERGY)
)

EXACT, PUBLISHED = "exact", "published"
KNOWN = (EXACT, PUBLISHED)  # what is known without the run; results call both exact


def is_tabulated(known: Mapping[str, Any]) -> bool:
    """Whether a known value is a published number with an error, and not exact.

    Of a curve: whether one of its values is.
    """
    sources = known.get("source")
    each = sources if isinstance(sources, list) else [sources]
    return any(str(source).startswith("tabulated") for source in each)


def known_as(known: Mapping[str, Any]) -> str:
    """What one known value, or a curve of them, is called where it is shown."""
    return PUBLISHED if is_tabulated(known) else EXACT


def as_shown(by_method: Mapping[str, Any]) -> dict[str, Any]:
    """By the names of a figure: what somebody measured is called exact in results."""
    return {known_as(x) if m == EXACT else m: x for m, x in by_method.items()}


def all_known_as(found: Mapping[str, Mapping[str, Any]]) -> str:
    """What to call the known values of several quantities: exact only if all are."""
    known = [by_method[EXACT] for by_method in found.values() if EXACT in by_method]
    return PUBLISHED if any(map(is_tabulated, known)) else EXACT


def slope_named(factor: float, observable: str) -> str:
    """A derivative of ln Z that is a factor per site times an observable."""
    number = {1.0: "", -1.0: "-"}.get(factor, f"{factor:g} ")
    return f"{number}V ⟨{observable}⟩"


def explained(method: str) -> str:
    """What stands under the name of a method in `results.json`; empty if unheard of.

    A chain goes by its kernels, as in `hmc+cluster`.
    """
    if method == "exact":
        return "a closed form, a transfer matrix or a published value: not sampled"
    if method == "samples":
        return "averages over samples of p that were made elsewhere"
    kernels = [KERNELS.get(name, "") for name in method.split("+")]
    chain = f"a Markov chain of p: {'; '.join(kernels)}" if all(kernels) else ""
    return METHODS.get(method, chain)


def unknown_name(kind: str, name: Any, available: Iterable[str]) -> str:
    """What to say of a name that is not available: later, misspelt or unheard of."""
    available = list(available)
    choice = f"this version has {', '.join(available)}"
    if name in LATER[kind]:
        return f"not available in this version; {choice}"
    nearest = difflib.get_close_matches(str(name), available, n=1, cutoff=0.6)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    return f"unknown {kind}; {hint}{choice}"
