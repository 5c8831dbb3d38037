"""The rooms of the source, what each may import, and a file as the rules read it."""

import ast
import dataclasses
import functools
import pathlib

# What each room may import of ours; a file that lies in `runs` itself is of the room
# `runs`. `observables` knows the interface of an action because S/V is an observable;
# the report sees records, never what wrote them.
LIBRARY = (
    "lattice symmetry groups actions observables exact models mcmc nonequilibrium "
    "training"
)
MAY_IMPORT: dict[str, frozenset[str]] = {
    room: frozenset(allowed.split())
    for room, allowed in {
        "errors": "",
        "schema": "errors",
        "written": "errors",
        "groups": "",
        "likelihood": "",
        "lattice": "groups",
        "symmetry": "lattice",
        "estimators": "likelihood",
        "actions": "lattice symmetry groups",
        "observables": "lattice groups actions",
        "exact": "lattice symmetry groups actions",
        "models": "lattice symmetry groups likelihood",
        "mcmc": "lattice groups likelihood actions",
        "nonequilibrium": "lattice groups actions models mcmc",
        "training": "lattice symmetry groups actions observables exact models mcmc "
        "nonequilibrium estimators likelihood",
        "verdict": "lattice observables estimators likelihood",
        "theories": "schema errors written symmetry lattice groups actions "
        "observables exact mcmc",
        "families": "schema errors written lattice symmetry groups likelihood actions "
        "models "
        "training theories",
        "runs.disk": "errors schema estimators.brief",
        "runs.doctor": f"{LIBRARY} estimators likelihood theories families runs.file "
        "runs.stages",
        "runs.file": "errors schema written likelihood theories families "
        "training.admissible "
        "estimators.requirements estimators.methods "
        "runs.disk",
        "runs.given": "errors theories verdict.given runs.file",
        "runs.stages": f"{LIBRARY} estimators verdict errors schema theories families "
        "runs.file runs.disk runs.given",
        "runs": f"{LIBRARY} estimators likelihood verdict errors schema theories "
        "families runs.file runs.disk runs.given runs.stages",
        "runs.scan": "estimators errors theories runs",
        "runs.records": "runs.disk runs.scan",
        "runs.export": "errors lattice estimators runs.file runs.disk runs.records "
        "runs.table",
        "report": "estimators runs.records runs.file.catalogue",
        "api": f"{LIBRARY} estimators likelihood verdict errors schema theories "
        "families runs report",
        "": "api report actions mcmc models runs.file theories training verdict",
        "options": "",
        "exits": "errors runs report",
        "given_commands": "errors exits options runs",
        "own_commands": "errors exits options runs",
        "cli": "errors exits options given_commands own_commands theories runs report",
    }.items()
}


def room_of(inside: str) -> str:
    """The room of a module, by its name after `genlat.`: a part of `runs`, if it is."""
    part = ".".join(inside.split(".")[:2])
    return part if part in MAY_IMPORT else inside.split(".")[0]


@dataclasses.dataclass(frozen=True)
class File:
    """A parsed file: `module` is its dotted name, `room` the part after `genlat`."""

    module: str
    tree: ast.Module

    @property
    def room(self) -> str:
        return room_of(self.module.partition(".")[2])

    @functools.cached_property
    def imported(self) -> list[tuple[str, str]]:
        """(full dotted name, local name) of every import, lazy ones included."""
        pairs = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                pairs += [(alias.name, alias.asname or "") for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                pairs += [
                    (f"{node.module}.{alias.name}", alias.asname or alias.name)
                    for alias in node.names
                ]
        return pairs

    @functools.cached_property
    def imports(self) -> set[str]:
        return {name for name, _ in self.imported}

    @functools.cached_property
    def names(self) -> dict[str, str]:
        """Local name -> full dotted name; `import a.b` binds `a`."""
        pairs = [(name, local) for name, local in self.imported if local]
        bare = [name.split(".")[0] for name, local in self.imported if not local]
        return {top: top for top in bare} | {local: name for name, local in pairs}

    @functools.cached_property
    def uses(self) -> set[str]:
        """`imports`, and every attribute chain that starts at an imported name."""
        chains = (
            self.resolve(node)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Attribute)
        )
        return self.imports | {chain for chain in chains if chain}

    def resolve(self, node: ast.expr) -> str:
        """Full dotted name of `a.b.c`; empty if `a` was not imported."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, "")
        if isinstance(node, ast.Attribute) and (owner := self.resolve(node.value)):
            return f"{owner}.{node.attr}"
        return ""


def parse(path: pathlib.Path, root: pathlib.Path) -> File:
    parts = path.relative_to(root).with_suffix("").parts
    module = ".".join(part for part in parts if part != "__init__")
    return File(module, ast.parse(path.read_text(encoding="utf-8")))
