"""The layout: which room may import which, and what no file may do.

Each rule is a function from a parsed file to the sentences it complains with, so that
it can be tried on a bad snippet too.
"""

import ast
import graphlib
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

import pytest

import spoken_for_tests as spoken_for
from genlat.runs.file import catalogue
from rooms_for_tests import MAY_IMPORT, File, parse, room_of

ROOT = pathlib.Path(__file__).parents[1]
SOURCE = ROOT / "src"

PROGRAMS = {"runs.stages", "cli"}  # may set JAX up
PLOTTING = {"report"}  # may draw
# may read a clock: budgets, the cost ledger
CLOCKED = {
    "runs.disk",
    "runs.stages",
    "runs.scan",
    "report",
    "cli",
}
JAX_FREE = (
    "",
    ".runs.file.config",
    ".runs.records",
    ".runs.export.export",
    ".runs.given.request",
)
CATCH_ALLS = {"utils", "util", "helpers", "misc", "common"}
DOCUMENTED_CORE = {"jax.core.Tracer"}  # the rest of jax.core comes and goes
CLOCKS = {
    *("time.time", "time.time_ns", "time.monotonic", "time.perf_counter"),
    *("time.process_time", "datetime.datetime.now", "datetime.datetime.utcnow"),
    *("datetime.datetime.today", "datetime.date.today"),
}
NUMPY_GENERATORS = {"default_rng", "Generator", "SeedSequence", "PCG64", "Philox"}
MAX_LINES = 400


PATHS = sorted(SOURCE.rglob("*.py"))
FILES = [parse(path, SOURCE) for path in PATHS]
PROGRAM_PATHS = [
    path
    for room in ("tests", "benchmarks")
    for path in sorted((ROOT / room).rglob("*.py"))
]


def our_imports(file: File) -> Iterator[tuple[str, str]]:
    """(room, dotted name after `genlat.`) of everything of ours that `file` imports."""
    for name in sorted(file.imports):
        top, _, inside = name.partition(".")
        if top == "genlat" and inside and inside != "__version__":
            yield room_of(inside), inside


def wrong_direction(file: File) -> Iterator[str]:
    allowed = MAY_IMPORT.get(file.room, frozenset())
    if file.room not in MAY_IMPORT and file.room:
        yield f"{file.module}: no rule says what room '{file.room}' may import"
    for room, inside in our_imports(file):
        is_allowed = room == file.room or any(
            inside == entry or inside.startswith(f"{entry}.") for entry in allowed
        )
        if not is_allowed:
            yield f"{file.module} must not import genlat.{inside}"


def relative_imports(file: File) -> Iterator[str]:
    for node in ast.walk(file.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield f"{file.module}:{node.lineno} imports relatively"


def private_jax(file: File) -> Iterator[str]:
    for name in sorted(file.uses):
        top, *inside = name.split(".")
        is_private = (
            any(part.startswith("_") and not part.endswith("__") for part in inside)
            or (top == "jax" and inside[:1] in (["interpreters"], ["lib"]))
            or top == "jaxlib"
        )
        if top in ("jax", "jaxlib") and is_private:
            yield f"{file.module} uses {name}, which JAX does not promise to keep"
        if name.startswith("jax.core.") and not any(
            f"{name}.".startswith(f"{public}.") for public in DOCUMENTED_CORE
        ):
            yield f"{file.module} uses {name}, which is not documented"


def configures_jax(file: File) -> Iterator[str]:
    stored = {
        file.resolve(node)
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    is_set = any(name.startswith("jax.config.") for name in stored)
    if file.room not in PROGRAMS and (is_set or "jax.config.update" in file.uses):
        yield f"{file.module} sets jax.config: that is for programs"


def draws(file: File) -> Iterator[str]:
    if file.room not in PLOTTING and any(
        name.split(".")[0] in ("matplotlib", "PIL") for name in file.imports
    ):
        yield f"{file.module} plots: that is for the report"


def hidden_input(file: File) -> Iterator[str]:
    for name in sorted(file.uses):
        if name in CLOCKS and file.room not in CLOCKED:
            yield f"{file.module} reads a clock with {name}"
        if name.startswith("numpy.random.") and name.split(".")[2] not in (
            NUMPY_GENERATORS
        ):
            yield f"{file.module} uses the global random state through {name}"
        if name.split(".")[0] == "random":
            yield f"{file.module} uses the standard library's global random state"


def catch_all(file: File) -> Iterator[str]:
    if CATCH_ALLS & set(file.module.split(".")):
        yield f"{file.module}: name a module after what it does"


def subclasses_concrete(file: File, defined: Mapping[str, str]) -> Iterator[str]:
    """`defined`: full name of each class of ours -> its bare name."""
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.ClassDef):
            continue
        for base in node.bases:
            plain = base.value if isinstance(base, ast.Subscript) else base
            name = file.resolve(plain)
            if not name and isinstance(plain, ast.Name):
                name = f"{file.module}.{plain.id}"
            bare = defined.get(name, "Abstract")
            if not bare.lstrip("_").startswith("Abstract"):
                yield f"{file.module}.{node.name} subclasses {name}, which is final"


def names_a_theory(file: File) -> Iterator[str]:
    """It answers for itself: others ask its section, or it."""
    names = {*catalogue.THEORIES, *spoken_for.concrete(FILES, "theories")}
    yield from spoken_for.names_one(file, "theories", names)


def names_a_family(file: File) -> Iterator[str]:
    names = {*catalogue.MODELS, *spoken_for.concrete(FILES, "families")}
    yield from spoken_for.names_one(file, "families", names)


def classes(files: list[File]) -> dict[str, str]:
    return {
        f"{file.module}.{node.name}": node.name
        for file in files
        for node in ast.walk(file.tree)
        if isinstance(node, ast.ClassDef)
    }


def room_graph(files: list[File]) -> dict[str, set[str]]:
    """Room -> rooms it imports."""
    graph: dict[str, set[str]] = {}
    for file in files:
        targets = {room for room, _ in our_imports(file)}
        graph.setdefault(file.room, set()).update(targets - {file.room})
    return graph


RULES: list[Callable[[File], Iterator[str]]] = [
    wrong_direction,
    relative_imports,
    private_jax,
    configures_jax,
    draws,
    hidden_input,
    catch_all,
    names_a_theory,
    names_a_family,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_obeys(rule):
    complaints = [sentence for file in FILES for sentence in rule(file)]
    assert not complaints, "\n".join(complaints)


def test_every_class_is_abstract_or_final():
    defined = classes(FILES)
    complaints = [
        sentence for file in FILES for sentence in subclasses_concrete(file, defined)
    ]
    assert not complaints, "\n".join(complaints)


def test_rooms_have_no_cycle():
    graphlib.TopologicalSorter(room_graph(FILES)).prepare()  # raises CycleError


def test_the_table_itself_has_no_cycle():
    table = {room: set(allowed) for room, allowed in MAY_IMPORT.items()}
    graphlib.TopologicalSorter(table).prepare()


@pytest.mark.parametrize("rule", [relative_imports, private_jax])
def test_tests_and_benchmarks_obey(rule):
    files = [parse(path, ROOT) for path in PROGRAM_PATHS]
    complaints = [sentence for file in files for sentence in rule(file)]
    assert not complaints, "\n".join(complaints)


def test_no_file_is_long():
    lengths = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines())
        for path in PATHS + PROGRAM_PATHS
    }
    assert lengths
    too_long = {path: n for path, n in lengths.items() if n > MAX_LINES}
    assert not too_long, (
        f"more than {MAX_LINES} lines, is it one room or two? {too_long}"
    )


@pytest.mark.parametrize("module", JAX_FREE)
def test_imports_without_jax(module):
    code = f"import sys, genlat{module}; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# Negative controls: each rule must see the fault it is there for.


def snippet(code: str, module: str = "genlat.models.example") -> File:
    return File(module, ast.parse(code))


@pytest.mark.parametrize(
    ("rule", "module", "code"),
    [
        (wrong_direction, "genlat.models.flow", "from genlat.actions.phi4 import Phi4"),
        (wrong_direction, "genlat.models.flow", "import genlat.actions"),
        (wrong_direction, "genlat.models.flow", "def f():\n  from genlat import mcmc"),
        (wrong_direction, "genlat.report.page", "from genlat.runs import config"),
        (wrong_direction, "genlat.report.page", "from genlat.runs.record import x"),
        (wrong_direction, "genlat.attic.old", "import math"),
        (wrong_direction, "genlat.runs.disk.x", "from genlat.runs.file import config"),
        (wrong_direction, "genlat.runs.stages.x", "from genlat.runs import pipeline"),
        (wrong_direction, "genlat.families.x", "from genlat.runs.file.fit import x"),
        (relative_imports, "genlat.models.flow", "from . import base"),
        (relative_imports, "genlat.models.flow", "from ..lattice import shift"),
        (private_jax, "genlat.models.flow", "import jax._src.core"),
        (private_jax, "genlat.models.flow", "from jax._src import core"),
        (private_jax, "genlat.models.flow", "import jax\njax._src.core"),
        (private_jax, "genlat.models.flow", "from jax import numpy as n\nn._x.y()"),
        (private_jax, "genlat.models.flow", "from jax.interpreters import ad"),
        (private_jax, "genlat.models.flow", "import jax\njax.interpreters.ad"),
        (private_jax, "genlat.models.flow", "import jax as j\nj.core.eval_jaxpr"),
        (private_jax, "genlat.models.flow", "import jaxlib"),
        (configures_jax, "genlat.models.flow", "import jax\njax.config.update('x', 1)"),
        (configures_jax, "genlat.mcmc.hmc", "from jax import config as c\nc.update()"),
        (configures_jax, "genlat.exact.known", "import jax\njax.config.x = True"),
        (draws, "genlat.runs.pipeline", "import matplotlib.pyplot as plt"),
        (hidden_input, "genlat.mcmc.hmc", "import time\nstart = time.perf_counter()"),
        (hidden_input, "genlat.mcmc.hmc", "from time import monotonic as clock"),
        (hidden_input, "genlat.mcmc.hmc", "import numpy as np\nnp.random.normal()"),
        (hidden_input, "genlat.runs.disk.x", "import numpy as np\nnp.random.seed(1)"),
        (hidden_input, "genlat.mcmc.hmc", "import random"),
        (catch_all, "genlat.models.utils", ""),
    ],
)  # fmt: skip
def test_rule_sees_the_fault(rule, module, code):
    assert list(rule(snippet(code, module)))


THEORY_NAMED = """
from genlat.actions.phi4 import Phi4
from genlat.theories import ising
from genlat.theories.named import Phi4Section
from genlat.theories import named; named.Phi4Section
from genlat import actions; actions.phi4.Phi4
from genlat.actions.declared import Ising
from genlat.actions.declared import is_vector
from genlat.actions.base import AbstractScalarAction
from genlat import mcmc; mcmc.spins.IsingMetropolis
from genlat.mcmc import spin_clusters
from genlat import exact; exact.kaufman
import genlat.exact.onsager
x = {'double_well': 1}
x = type(action).__name__ == 'Phi4'
x = 'Phi4Section'
"""


@pytest.mark.parametrize("code", THEORY_NAMED.strip().splitlines())
def test_a_theory_is_seen_to_be_named(code):
    for module in ("genlat.runs.x", "genlat.report.x", "genlat.families.x"):
        assert list(names_a_theory(snippet(code, module)))
    for room in ("theories", "actions", "exact", "mcmc"):
        assert not list(names_a_theory(snippet(code, f"genlat.{room}.x")))


FAMILY_NAMED = """
from genlat.families import cnf
from genlat.families import flows
from genlat.models.cnf import CNF
from genlat.models import flow; flow.Flow
from genlat import models; models.coupling_flow
import genlat.models.gaussian
from genlat.families.named import CnfSection
x = model.name == 'nice'
x = 'CNF'
"""


@pytest.mark.parametrize("code", FAMILY_NAMED.strip().splitlines())
def test_a_family_is_seen_to_be_named(code):
    for module in ("genlat.runs.x", "genlat.verdict.x", "genlat.runs.stages.x"):
        assert list(names_a_family(snippet(code, module)))
    for room in ("families", "models", "training"):
        assert not list(names_a_family(snippet(code, f"genlat.{room}.x")))


@pytest.mark.parametrize("kind", spoken_for.KINDS)
def test_nobody_is_excused_in_vain(kind):
    """Each excuse is made use of, and no more than it says."""
    about = spoken_for.KINDS[kind]
    of = {file.module.partition("genlat.")[2]: file.uses for file in FILES}
    for module, names in about.excused.items():
        for name in names.split():
            assert any(f"{x}.".startswith(f"genlat.{name}.") for x in of[module])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_accepts_good_code(rule):
    code = """
import jax
import numpy as np
from genlat import __version__, lattice
from genlat.models.base import AbstractModel

is_traced = isinstance(1, jax.core.Tracer)
draws = np.random.default_rng(1).normal()
version = jax.__version__
"""
    assert not list(rule(snippet(code)))


@pytest.mark.parametrize(
    ("base", "is_fine"), [("AbstractFlow", True), ("Flow", False), ("Flow[int]", False)]
)
def test_final_rule_sees_the_fault(base, is_fine):
    defining = snippet("class AbstractFlow: ...\nclass Flow: ...", "genlat.models.flow")
    elsewhere = snippet(
        f"from genlat.models.flow import AbstractFlow, Flow\nclass New({base}): ...",
        "genlat.models.new",
    )
    beside = snippet(
        f"class AbstractFlow: ...\nclass Flow: ...\nclass New({base}): ...",
        "genlat.models.flow",
    )
    defined = classes([defining, elsewhere])
    assert is_fine is not bool(list(subclasses_concrete(elsewhere, defined)))
    assert is_fine is not bool(list(subclasses_concrete(beside, classes([beside]))))


def test_cycle_is_seen():
    files = [
        snippet("from genlat.mcmc import hmc", "genlat.actions.phi4"),
        snippet("from genlat.actions import phi4", "genlat.mcmc.hmc"),
    ]
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(room_graph(files)).prepare()
