"""Real runs of known truth: which lies the verdict trusts, which truths it refuses.

Every run goes through the pipeline from a run file, small and cheap, honest or not by
construction: theories x models x sizes x seeds. The verdict does not see exact values,
which most theories lack; the benchmark does.

    python benchmarks/verdict/real.py [--only PATTERN] [--seeds N] [--references]

A *trusted lie* is a run with trust = yes and an unmarked number off by more than
`LIE` errors, or as many of what it was checked to, where that is more. A *refused
truth* is an honest run, all its numbers right, with trust = no. `--seeds N` judges one
run file with N seeds; `--references` makes the chains of `references.json` anew.
"""

import argparse
import copy
import dataclasses
import functools
import json
import math
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax.numpy as jnp
import numpy as np
import tomli_w

from genlat import errors, exact, observables
from genlat.actions.base import AbstractScalarAction
from genlat.runs import findings, pipeline, reference
from genlat.runs.disk import directory as directories
from genlat.runs.file import config
from genlat.runs.stages import chain_stage, environment, integration_stage
from genlat.runs.stages.job import Job
from genlat.runs.stages.screen import Screen
from genlat.verdict import estimates
from real_cases import SAME_FILE, SOURCES, Case, Json, cases

LIE = 5.0
EVIDENCE = 0.5, 100_000  # ESS and draws from which on an honest run should not be open
BIASED = ("variational", "exact")
BOUNDS = ("free_energy_density_upper", "free_energy_density_lower")
REFERENCES = Path(__file__).with_name("references.json")
ROUNDING = 1e-12
QUIET = Screen(quiet=True)


class Number(NamedTuple):
    """How far an unmarked number is off: in its errors, and in `checked_to`."""

    name: str
    strict: float
    checked: float


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the verdict said of a run, and how right its `numbers` are."""

    case: Case
    trust: str
    reasons: list[str]
    numbers: list[Number]
    has_evidence: bool
    seconds: float

    @property
    def wrong(self) -> list[Number]:
        return [number for number in self.numbers if number.checked > LIE]

    @property
    def strictly_wrong(self) -> list[Number]:
        return [number for number in self.numbers if number.strict > LIE]

    @property
    def is_trusted_lie(self) -> bool:
        return self.trust == "yes" and bool(self.wrong)

    @property
    def is_refused_truth(self) -> bool:
        return self.trust == "no" and self.case.is_honest and not self.wrong

    @property
    def is_left_open(self) -> bool:
        """Unknown, though honest, right, and with all that a yes needs."""
        is_right = self.case.is_honest and not self.wrong
        return self.trust == "unknown" and is_right and self.has_evidence


# ------------------------------------------------------------------------------- truth


@functools.cache
def _references() -> Json:
    return json.loads(REFERENCES.read_text(encoding="utf-8"))["theories"]


@functools.cache
def truth(section: str) -> dict[str, tuple[float, float]]:
    """Value and error of every scalar observable of a `[theory]`, given as JSON.

    Exact where that is known, what follows from it, and else of the reference chain.
    """
    action = _checked(json.loads(section)).theory.theory().action
    known = {name: (x.value, x.error) for name, x in exact.known(action).items()}
    found = {name: tuple(x) for name, x in _references().get(section, {}).items()}
    found |= {name: x for name, x in known.items() if np.ndim(x[0]) == 0}
    density, volume = found["action_density"], math.prod(action.lattice_shape)
    if "free_energy_density" not in found:
        log_z = found["log_z"]
        found["free_energy_density"] = (-log_z[0] / volume, log_z[1] / volume)
        value = log_z[0] / volume + density[0]
        found["entropy_density"] = (value, log_z[1] / volume + density[1])
    if isinstance(action, AbstractScalarAction):
        found["schwinger_dyson"] = (1.0, 0.0)
        h, a = float(action.hopping), float(action.quadratic)
        if "phi2" in known and "action_density" in known and h:
            # S/V = a⟨φ²⟩ + b⟨φ⁴⟩ - 2h⟨H⟩/V, and b⟨φ⁴⟩ = ½ - ⟨S⟩/V
            phi2 = known["phi2"]
            value = (a * phi2[0] + 0.5 - 2 * density[0]) / (2 * h)
            error = math.hypot(a * phi2[1], 2 * density[1]) / (2 * abs(h))
            found["hopping"] = (value, error)
    if "specific_heat" in known:
        square = known["specific_heat"][0] / volume
        found["action_density2"] = (square + density[0] ** 2, ROUNDING)
    if "two_point" in known:
        function = observables.DERIVED["correlation_length"][1]
        means = {"two_point": jnp.asarray(known["two_point"][0])}
        value = function(means, action.lattice_shape)
        found["correlation_length"] = (float(value), 1e-6 * float(value))
    return found


def _checked(section: Json) -> Any:
    return config.check({"seed": 1, "theory": section}, "theory")


def make_references(directory: Path) -> None:
    """Long chains of every scalar theory of the table, and ln Z where it is not exact.

    By another kernel than that of the runs, and seeds of their own.
    """
    chain = {"kernel": ["hmc", "reflection"], "chains": 1024, "samples": 500,
             "therm": 300, "keep": 0}  # fmt: skip
    path = {"couplings": 9, "chains": 256, "samples": 250, "target_error": 0.004}
    sections = {key(case.request["theory"]): case.request["theory"] for case in cases()}
    found: Json = {}
    for number, (name, section) in enumerate(sections.items()):
        if section["name"] == "ising":
            continue
        request: Json = {"seed": 10_000 + number, "theory": section, "mcmc": chain}
        begin = time.process_time()
        given = config.check(request | {"integration": path}, name)
        work = Job(directory / name, given, given.theory.theory(), QUIET)
        directories.create(work.directory, given)
        environment.prepare()
        found[name] = _by_chains(work)
        print(f"{name}: {time.process_time() - begin:.0f} CPU s", flush=True)
    content = {"chain": chain, "integration": path, "theories": found}
    text = json.dumps(content, indent=1)
    REFERENCES.write_text(text + "\n", encoding="utf-8")


def _by_chains(work: Job) -> Json:
    """Value and error of every scalar observable, without a look at the verdict."""
    chain_stage.run(work)
    names, shape = work.config.observable_names, work.config.theory.shape
    by_name = estimates.chain(findings.history(work).measured, names, shape)
    if "log_z" not in exact.known(work.action):
        integration_stage.run(work)
        nodes = integration_stage.assemble(integration_stage.read(work))
        log_z = integration_stage.path_of(work, nodes).log_z[-1].estimate("")
        by_name["log_z"] = log_z
    return {
        name: [float(x.value), float(x.error)]
        for name, x in by_name.items()
        if np.ndim(x.value) == 0
    }


def key(section: Json) -> str:
    return json.dumps(section, sort_keys=True)


# -------------------------------------------------------------------------- what is run


def run(case: Case, directory: Path) -> Outcome:
    """Carry out a case in `directory`, which keeps the sources that cases share."""
    request = _resolved(case.request, directory)
    path, begin = directory / "run", time.process_time()
    shutil.rmtree(path, ignore_errors=True)
    try:
        results = _start(request, case.name, path)
        if case.tamper is not None:
            case.tamper(path)
            (path / "results.json").unlink()
            with mock.patch.object(reference, "exactly", return_value={}):
                results = pipeline.resume(path, QUIET)
    except errors.DivergedError as error:
        seconds = time.process_time() - begin
        return Outcome(case, "diverged", [str(error)], [], False, seconds)
    verdict, seconds = results["verdict"], time.process_time() - begin
    numbers = list(off(results["estimates"], truth(key(request["theory"]))))
    evidence = _has_evidence(results["diagnostics"])
    trust, reasons = verdict["trust"], verdict["reasons"]
    return Outcome(case, trust, reasons, numbers, evidence, seconds)


def _start(request: Json, name: str, path: Path) -> Json:
    """Through a run file. Exact values are for the benchmark, not for the verdict."""
    file = path.with_suffix(".toml")
    file.write_text(tomli_w.dumps(request), encoding="utf-8")
    with mock.patch.object(reference, "exactly", return_value={}):
        return pipeline.start(config.load(file), path, QUIET)


def _resolved(request: Json, directory: Path) -> Json:
    """With the directories of its sources, which are run if they are not there."""
    request = copy.deepcopy(request)
    for section in request.values():
        for field, value in section.items() if isinstance(section, dict) else ():
            if isinstance(value, str) and value.startswith("@"):
                section[field] = str(_source(value[1:], directory))
    return request


def _source(name: str, directory: Path) -> Path:
    path = directory / f"source {name}"
    if not path.exists():
        request, forge = SOURCES[name]
        _start(request, name, path)
        if forge is not None:
            forge(path)
    return path


def off(by_observable: Json, known: dict[str, tuple[float, float]]) -> Iterator[Number]:
    """Every unmarked scalar number with its distance from the truth."""
    for observable, by_method in by_observable.items():
        if observable in BOUNDS or observable not in known:
            continue
        value, uncertainty = known[observable]
        floor = math.hypot(uncertainty, ROUNDING * (1 + abs(value)))
        for method, found in by_method.items():
            is_marked = "unusable" in found or "caution" in found
            if method in BIASED or is_marked or not isinstance(found["error"], float):
                continue
            distance, error = abs(found["value"] - value), found["error"]
            checked = max(error, found.get("checked_to", 0.0))
            yield Number(
                f"{observable} {method}",
                distance / math.hypot(error, floor),
                distance / math.hypot(checked, floor),
            )


def _has_evidence(diagnostics: Json) -> bool:
    """Samples of p that visit every mode, and draws and an ESS that are enough."""
    ess, samples = diagnostics.get("ess"), diagnostics.get("p_samples")
    if not ess or not samples or not samples["visits_every_mode"]:
        return False
    return (ess["value"] or 0.0) >= EVIDENCE[0] and ess["n"] >= EVIDENCE[1]


def same_verdict(n_seeds: int, directory: Path) -> Counter[str]:
    """The verdicts of one run file with many seeds, which should be the same."""
    found: Counter[str] = Counter()
    for seed in range(n_seeds):
        case = Case(f"seed {seed}", SAME_FILE | {"seed": 100 + seed}, True)
        outcome = run(case, directory)
        found[outcome.trust] += 1
        print(line(outcome), flush=True)
    return found


# ------------------------------------------------------------------------ what is shown


def line(outcome: Outcome) -> str:
    """One row of the table, and what there is to say of it."""
    worst = max(outcome.numbers, key=lambda x: x.strict, default=None)
    far = "" if worst is None else f"{worst.strict:5.1f} {worst.name}"
    label = "honest" if outcome.case.is_honest else "lie"
    flags = {
        "TRUSTED LIE": outcome.is_trusted_lie,
        "trusted beyond its error": outcome.trust == "yes" and outcome.strictly_wrong,
        "REFUSED TRUTH": outcome.is_refused_truth,
        "LEFT OPEN": outcome.is_left_open,
    }
    flag = next((name for name, is_raised in flags.items() if is_raised), "")
    row = (
        f"{outcome.case.name:42}{label:8}{outcome.trust:9}{far:32}"
        f"{outcome.seconds:6.1f} s  {flag}"
    ).rstrip()
    wrong = [f"{x.name} {x.strict:.1f} ({x.checked:.1f})" for x in outcome.wrong]
    if outcome.is_trusted_lie:
        row += f"\n    off, in errors (of what it was checked to): {', '.join(wrong)}"
    reasons = outcome.reasons if outcome.trust != "yes" else []
    return "\n".join([row, *(f"    {reason}" for reason in reasons)])


def summary(outcomes: list[Outcome]) -> str:
    """The figures that the verdict is held to."""
    honest = [outcome for outcome in outcomes if outcome.case.is_honest]
    rich = [outcome for outcome in honest if outcome.has_evidence]
    strict = [x for x in outcomes if x.trust == "yes" and x.strictly_wrong]
    rows = (
        ("trusted lies", sum(x.is_trusted_lie for x in outcomes), outcomes),
        ("trusted beyond their own error", len(strict), outcomes),
        ("honest runs refused", sum(x.is_refused_truth for x in honest), honest),
        ("honest runs left open", sum(x.is_left_open for x in rich), rich),
    )
    lines = [f"{count:4} of {len(of):3} {name}" for name, count, of in rows]
    seconds = sum(outcome.seconds for outcome in outcomes)
    return "\n".join([*lines, f"{seconds:.0f} CPU s"])


def main() -> None:
    """Print the table and the figures."""
    parser = argparse.ArgumentParser(description="real runs that the verdict judges")
    parser.add_argument("--only", default="", help="pattern of the names of cases")
    parser.add_argument("--seeds", type=int, default=0, help="of one run file instead")
    parser.add_argument("--references", action="store_true", help="make them anew")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if arguments.references:
            make_references(directory)
        elif arguments.seeds:
            print(dict(same_verdict(arguments.seeds, directory)))
        else:
            outcomes = []
            for case in cases():
                if re.search(arguments.only, case.name):
                    outcomes.append(run(case, directory))
                    print(line(outcomes[-1]), flush=True)
            print(summary(outcomes))


if __name__ == "__main__":
    main()
