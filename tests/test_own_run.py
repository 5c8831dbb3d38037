"""Runs of a theory and a model of a user's own: numbers, records, refusals."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from genlat import written as classes
from genlat.errors import RequestError
from genlat.mcmc.sequence import Sequence
from genlat.runs import pipeline
from genlat.runs.file import begun, config, source, template
from genlat.runs.scan import scan_request
from genlat.runs.stages import chain_stage
from genlat.runs.stages.screen import Screen
from own_for_tests import DIAGONAL, RUN, SINE_GORDON, written

QUIET = Screen(quiet=True)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished run, whose files have gone since."""
    root = tmp_path_factory.mktemp("own")
    files = root / "files"
    files.mkdir()
    results = pipeline.start(config.load(written(files)), root / "run", QUIET)
    shutil.rmtree(files)
    classes._SEEN.clear()  # as a process that starts now
    return root / "run", results


def ring(n, m2, alpha):
    """ln Z and ⟨cos φ⟩ of a ring by its transfer matrix on a grid."""
    x, step = np.linspace(-9, 9, 500, retstep=True)
    v = m2 * x**2 / 2 + alpha * (1 - np.cos(x))
    hop = np.subtract.outer(x, x) ** 2 / 2
    matrix = step * np.exp(-hop - np.add.outer(v, v) / 2)
    power = np.linalg.matrix_power(matrix, n)
    return np.log(np.trace(power)), np.sum(np.diag(power) * np.cos(x)) / np.trace(power)


def test_every_estimate_is_that_of_the_transfer_matrix(done):
    log_z, vertex = ring(4, 0.7, 0.5)
    _, results = done
    found = results["estimates"]
    assert {"nis", "bar", "p_estimator", "hmc_integration"} <= found["log_z"].keys()
    for method, estimate in found["log_z"].items():
        assert abs(estimate["value"] - log_z) < 5 * estimate["error"], method
        assert estimate["error"] < 0.3
    for method in ("hmc+reflection", "nis"):
        estimate = found["vertex"][method]
        assert abs(estimate["value"] - vertex) < 5 * estimate["error"]
        assert estimate["error"] < 0.02
    assert results["diagnostics"]["p_samples"]["visits_every_mode"]
    assert found["mag"]["exact"]["value"] == 0.0


def test_a_model_of_ones_own_says_what_it_is(done):
    model = begun.read(done[0]).model
    assert model.has_slope
    assert not model.is_integrated
    assert model.stays_on_its_lattice  # nobody knows how to enlarge it
    assert model.ARCHITECTURE == ("width",)
    assert model.width == 0.7


def test_a_record_holds_its_files_and_is_read_with_them_alone(done):
    directory, results = done
    assert (directory / "sine_gordon.py").read_text() == SINE_GORDON
    assert (directory / "diagonal.py").read_text() == DIAGONAL
    read = begun.read(directory)
    assert read.theory.name == "sine_gordon.py:SineGordon"
    assert len(read.theory.sha256) == len(read.model.sha256) == 64
    assert results["config"]["theory"]["sha256"] == read.theory.sha256
    again = pipeline.resume(directory, QUIET)
    assert again["estimates"] == results["estimates"]


@pytest.mark.parametrize("name", ["sine_gordon.py", "diagonal.py"])
def test_a_file_that_is_not_the_one_of_the_run_is_named(done, tmp_path, name):
    directory = shutil.copytree(done[0], tmp_path / "run")
    (directory / name).write_text((directory / name).read_text() + "\n# no harm\n")
    classes._SEEN.clear()
    with pytest.raises(RequestError, match=rf"{name}: is not the file that was used"):
        pipeline.resume(directory, QUIET)
    (directory / name).unlink()
    with pytest.raises(RequestError, match=rf"{name}: cannot be read"):
        begun.read(directory)


def test_samples_of_another_text_are_of_another_theory(done, tmp_path):
    path = written(
        tmp_path, theory=SINE_GORDON + "\n# of the same S, for all we know\n"
    )
    theory = config.load(path).theory
    assert "another theory: sha256" in source.why_no_samples(done[0], theory)
    path = written(tmp_path)
    assert source.why_no_samples(done[0], config.load(path).theory) is None


@pytest.mark.parametrize(
    ("theory", "kernels", "is_evidence"),
    [
        (SINE_GORDON, ["hmc", "reflection"], True),
        (SINE_GORDON, ["hmc"], False),
        (SINE_GORDON.replace('modes = ("sign",)', "modes = ()"), ["hmc"], True),
        (SINE_GORDON.replace('modes = ("sign",)', ""), ["hmc", "reflection"], False),
    ],
    ids=["both signs", "one sign", "one mode", "nothing known"],
)
def test_chains_are_evidence_where_the_theory_says_of_what_modes(
    tmp_path, theory, kernels, is_evidence
):
    path = written(tmp_path, theory=theory)
    asked = config.load(path, [f"mcmc.kernel={json.dumps(kernels)}"])
    live = asked.theory.theory()
    kernel = chain_stage.kernel_of(asked.mcmc, asked.theory, live)
    assert live.is_visited_by(Sequence((kernel,))) == is_evidence


def test_a_scan_holds_the_file_too_and_knows_the_slope(tmp_path):
    path = written(tmp_path)
    request = scan_request.plan(path, "theory.alpha=0.1,0.3", [], None)
    scan = tmp_path / "scan"
    scan.mkdir()
    scan_request.write(scan, request)
    (tmp_path / "sine_gordon.py").unlink()
    (tmp_path / "diagonal.py").unlink()
    classes._SEEN.clear()
    again = scan_request.read(scan)
    second = scan_request.configuration(again, 1, None)
    assert second.theory.alpha == 0.3
    assert second.theory.slope("alpha") == ("slope_alpha", -4.0)
    (scan / "sine_gordon.py").write_text(SINE_GORDON + "#")
    classes._SEEN.clear()
    with pytest.raises(RequestError, match="is not the file that was used"):
        scan_request.read(scan)


# what is refused, in one line, before any work

ODD = {
    "no file": (
        {"run": RUN.replace("sine_gordon.py", "sinegordon.py")},
        r"sinegordon\.py: cannot be read: No such file",
    ),
    "no class": (
        {"run": RUN.replace(":SineGordon", ":Sine")},
        r"sine_gordon\.py: has no class Sine: it has SineGordon",
    ),
    "no name": ({"run": RUN.replace(":SineGordon", ":")}, "write file.py:Class"),
    "no module": (
        {"run": RUN.replace("sine_gordon.py", "sine_gordon")},
        r"ModuleNotFoundError: .*a file is named with \.py: sine_gordon\.py",
    ),
    "no Python": (
        {"theory": "class SineGordon(:\n    pass\n"},
        r"sine_gordon\.py, line 1: SyntaxError",
    ),
    "an error in it": (
        {"theory": "import math\nmath.no_such\n"},
        r"sine_gordon\.py, line 2: AttributeError",
    ),
    "another class": (
        {"theory": "class SineGordon:\n    pass\n"},
        "should be a subclass of genlat.FieldAction",
    ),
    "no S": (
        {"theory": "import genlat as gl\nclass SineGordon(gl.FieldAction): pass\n"},
        "has no __call__, which is S",
    ),
    "a coupling is missing": (
        {"run": RUN.replace("alpha = 0.5\n", "")},
        r"theory\.alpha: missing; it has no default",
    ),
    "a coupling too many": (
        {"run": RUN.replace("m2 = 0.7", "m2 = 0.7\nmass = 1.0")},
        r"theory\.mass = 1\.0: unknown field; there are name, shape, sha256, m2, alpha",
    ),
    "a coupling of another kind": (
        {"run": RUN.replace("m2 = 0.7", 'm2 = "light"')},
        r'theory\.m2 = "light": should be a valid number',
    ),
    "a name that is taken": (
        {"theory": SINE_GORDON.replace("m2", "shape")},
        r"shape: a run file has this for something else",
    ),
    "an annotation": (
        {"theory": SINE_GORDON.replace("m2: float", "m2: complex")},
        r"m2: complex: a coupling is a float, or an int",
    ),
    "a symmetry that is none": (
        {"theory": SINE_GORDON.replace('"point_group"', '"rotations"')},
        r"symmetries = .*: should be a tuple of 'sign', 'translations', 'point_group'",
    ),
    "a symmetry without its comma": (
        {"theory": SINE_GORDON.replace('modes = ("sign",)', 'modes = ("sign")')},
        r"modes = 'sign': should be a tuple",
    ),
    "a mode that is no symmetry": (
        {"theory": SINE_GORDON.replace('"sign", "trans', '"trans')},
        r"modes: 'sign' is none of its symmetries",
    ),
    "a line that is no coupling": (
        {"theory": SINE_GORDON.replace('line = "alpha"', 'line = "beta"')},
        r"line = 'beta': should be a coupling that may vary: m2, alpha",
    ),
    "a reflection of no symmetry": (
        {
            "theory": SINE_GORDON.replace('"sign", ', "").replace('("sign",)', "()"),
            "run": RUN.replace("chains = 16", 'kernel = ["hmc", "reflection"]'),
        },
        r"reflection carries φ to -φ, a symmetry of no SineGordon",
    ),
    "an odd flow of no symmetry": (
        {
            "theory": SINE_GORDON.replace('"sign", ', "").replace('("sign",)', "()"),
            "run": RUN.replace("diagonal.py:Diagonal", "cnf"),
        },
        r"model\.name = \"cnf\": is odd, and SineGordon, which does not declare it,",
    ),
    "an unknown observable": (
        {"run": RUN.replace("samples = 2000", 'observables = ["vertx"]')},
        r'estimate\.observables = "vertx": unknown observable; did you mean vertex\?',
    ),
    "an error while tracing": (
        {"theory": SINE_GORDON.replace("jnp.cos(phi))}", "jnp.cosine(phi))}")},
        r"sine_gordon\.py, line 23: AttributeError",
    ),
    "a default of another kind": (
        {"theory": SINE_GORDON.replace("m2: float", "m2: float = None")},
        r"SineGordon: m2 = None: should be a number",
    ),
    "a name that is private": (
        {"theory": SINE_GORDON.replace("m2", "_m2")},
        "_m2: begins with _, which no field of a run file does",
    ),
    "a hash that is none": (
        {"run": RUN.replace("m2 = 0.7", "m2 = 0.7\nsha256 = 1.0")},
        r"theory\.sha256 = 1\.0: should be '[0-9a-f]{64}'",
    ),
    "an end at import": (
        {"theory": "raise SystemExit(3)\n"},
        r"sine_gordon\.py, line 1: SystemExit: 3",
    ),
    "a flow of more symmetries": (
        {
            "theory": SINE_GORDON.replace(', "point_group"', ""),
            "run": RUN.replace("diagonal.py:Diagonal", "cnf"),
        },
        r'model\.name = "cnf": has all symmetries of the lattice, and point_group',
    ),
    "a model that is none": (
        {"model": "class Diagonal:\n    pass\n"},
        "should be a subclass of genlat.Model",
    ),
    "a model without build": (
        {"model": DIAGONAL.replace("def build(", "def make(")},
        r"has no classmethod build\(cls, action, key",
    ),
    "a model with positions": (
        {"model": DIAGONAL.replace("key, *, width", "key, width")},
        "its options by keyword",
    ),
    "an option of no kind": (
        {"model": DIAGONAL.replace("width: float = 0.7", "width=0.7")},
        "build: width: annotate it as float, int, bool, str",
    ),
    "a model that is abstract": (
        {"model": DIAGONAL.replace("def sample_batch(", "def sample(")},
        r"diagonal\.py:Diagonal: has no sample_batch",
    ),
    "one name for two files": (
        {"run": RUN.replace("diagonal.py", "other/sine_gordon.py")},
        "another file than that of the theory is called sine_gordon.py",
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path, case):
    given, says = ODD[case]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "sine_gordon.py").write_text(DIAGONAL)
    path = written(tmp_path, **given)
    with pytest.raises(RequestError) as caught:
        config.load(path)
    (line,) = {*caught.value.lines}
    assert re.search(says, line), line


def test_a_starting_point_can_be_used_as_it_is(tmp_path):
    code, run = template.write("SineGordon", tmp_path)
    assert (code.name, run.name) == ("sine_gordon.py", "sine_gordon.toml")
    asked = config.load(run)
    assert asked.theory.observables[-1] == "vertex"
    pipeline.refuse_unsound(asked.theory)
    assert asked.theory.theory().line is not None
    with pytest.raises(RequestError, match="exists; nothing was written"):
        template.write("SineGordon", tmp_path)
    for name in ("sineGordon", "Sine-Gordon", "9Lives", "../Up"):
        with pytest.raises(RequestError, match="should be the name of a class"):
            template.write(name, tmp_path)


def test_no_traceback_leaves_the_program(tmp_path):
    path = written(tmp_path, theory=SINE_GORDON.replace("jnp.sum(1", "jnp.summ(1"))
    command = [sys.executable, "-c", "from genlat.cli import main; main()"]
    found = subprocess.run(
        [*command, "run", str(path), "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert len(found.stderr.splitlines()) == 1
    assert re.search(r"sine_gordon\.py, line \d+: AttributeError", found.stderr)
