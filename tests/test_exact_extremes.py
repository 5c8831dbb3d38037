"""No exact value ends a run: next to no hopping, or couplings beyond numbers."""

import itertools
import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from genlat import cli, exact
from genlat.actions.double_well import DoubleWell
from genlat.actions.ising import Ising
from genlat.actions.phi4 import Phi4
from genlat.exact import single_site
from genlat.exact.value import Known

RUN = """
seed = 3
[theory]
name = "phi4"
shape = [4, 4]
kappa = 1e-8
lam = 0.022
[mcmc]
chains = 16
therm = 200
samples = 300
"""


def invoke(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(RUN)
    return path


@pytest.mark.parametrize("kappa", [1e-8, -1e-8, 1e-12, 1e-16, 1e-300, 0.0, 1e-5])
def test_next_to_no_hopping(kappa):
    """ln Z = V ln z₀ + 2dV κ²⟨φ²⟩², V⟨m²⟩ = ⟨φ²⟩ (1 + 4dκ⟨φ²⟩)."""
    known = exact.known(Phi4((4, 4), kappa, 0.022))
    phi2 = single_site.phi2(1 - 0.044, 0.022)
    log_z = 16 * single_site.log_z0(0.022) + 2 * 2 * 16 * (kappa * phi2) ** 2
    assert known["log_z"].value == pytest.approx(log_z, rel=1e-13)
    assert known["log_z"].error < 2e-11
    assert known["phi2"].value == pytest.approx(phi2, rel=1e-7)
    mag2 = phi2 * (1 + 8 * kappa * phi2) / 16
    assert known["mag2"].value == pytest.approx(mag2, rel=2e-8)
    # G(1) is the bond: two of its neighbours are in slices apart
    assert known["two_point"].value[1] == pytest.approx(2 * kappa * phi2**2, rel=1e-4)
    assert known["mag"].value == 0


@pytest.mark.slow
@pytest.mark.parametrize("kappa", ["1e-8", "1e-16"])
def test_a_run_next_to_no_hopping(file, tmp_path, kappa):
    out = tmp_path / "run"
    result = invoke("run", file, "--out", out, "--set", f"theory.kappa={kappa}")
    assert result.exit_code == 0, result.output
    estimates = json.loads((out / "results.json").read_text())["estimates"]
    for name in ("phi2", "mag2", "mag"):
        methods = dict(estimates[name])
        truth = methods.pop("exact")["value"]
        (chain,) = methods.values()
        assert abs(chain["value"] - truth) < 5 * chain["error"]
        assert chain["error"] < 0.05


def test_exact_says_why_it_knows_nothing(file):
    """The reason goes to stderr; stdout stays JSON."""
    known = invoke("exact", file)
    assert {"log_z", "mag"} <= json.loads(known.stdout).keys()
    assert known.stderr == ""
    unknown = invoke("exact", file, "--set", "theory.shape=[8, 6]", *KAPPA)
    assert unknown.exit_code == 0
    found = json.loads(unknown.stdout)
    assert found.keys() == {"mag"}
    assert (found["mag"]["value"], found["mag"]["error"]) == (0.0, 0.0)
    assert unknown.stderr.startswith("ln Z is not known: transfer matrices reach")


KAPPA = ("--set", "theory.kappa=0.25")


@pytest.mark.parametrize(
    "couplings", [{"kappa": "1e300"}, {"m2": "-1e200", "lam_b": "0.5"}]
)
@pytest.mark.parametrize("command", ["exact", "run"])
def test_beyond_floating_point_is_one_line(tmp_path, command, couplings):
    given = {"lam": "0.022"} | couplings if "kappa" in couplings else couplings
    text = "".join(f"{name} = {value}\n" for name, value in given.items())
    path = tmp_path / "run.toml"
    path.write_text(RUN.replace("kappa = 1e-8\nlam = 0.022\n", text))
    out = ("--out", tmp_path / "out") if command == "run" else ()
    result = invoke(command, path, *out)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("theory: ")


SIZES = (1e-300, 1.0, 1e160, 1e300)


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 3), (6, 5)], ids=str)
def test_nothing_raises(shape):
    """Values that are given are numbers; ln Z is among them, or there is a reason."""
    given = 0
    for first, second in itertools.product(SIZES, repeat=2):
        for build in (
            Phi4,
            lambda s, k, b: Phi4(s, -k, b),
            Phi4.form_b,
            lambda s, k, b: Phi4.form_b(s, -k, b),
            lambda s, k, b: DoubleWell(s, k, -b, b),
            lambda s, k, b: Ising(s, k, b),
            lambda s, k, b: Ising(s, -k, -b),
        ):
            try:
                action = build(shape, first, second)
            except ValueError:
                continue  # refused as a theory
            values, why_not = exact.answer(action)
            assert ("log_z" in values) == (why_not is None)
            assert all(value.is_finite for value in values.values())
            given += "log_z" in values
    assert given > 5


@pytest.mark.parametrize(
    "action", [Phi4((2, 2, 2), 0.0, 1e308), DoubleWell((1,), 1.0, -1e200, 1e-10)]
)
def test_a_reason_for_infinities(action):
    """Wells deeper than any number: infinities are left out, and that is said."""
    answer = exact.answer(action)
    assert "log_z" not in answer.values
    assert all(value.is_finite for value in answer.values.values())
    assert answer.why_not is not None
    assert "floating point" in answer.why_not


def test_moments_of_frozen_spins():
    """⟨m²⟩ ~ e^-900: a cumulant of it is left out, the rest is right."""
    known = exact.known(Ising((6, 2), -150.0))
    assert "binder" not in known
    assert known["abs_mag"].value < 1e-30
    assert known["log_z"].value == pytest.approx(24 * 150 + math.log(2), rel=1e-14)
    assert np.all(np.abs(known["two_point"].value) < 1e-30)


@pytest.mark.parametrize("odd", [math.inf, math.nan, np.array([0.1, math.nan])])
def test_what_has_no_error_is_not_known(odd):
    """Nor what has no value."""
    good = np.ones(np.shape(odd))
    assert Known(good, 0.1 * good, "").is_finite
    assert not Known(good, odd, "").is_finite
    assert not Known(odd, good, "").is_finite
