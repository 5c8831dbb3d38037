"""The doctor: sound theories and models pass every gate, each fault fails its own."""

import re

import jax
import jax.numpy as jnp
import pytest

import genlat as gl
from genlat.actions.phi4 import Phi4
from genlat.families.coupling import CouplingSection
from genlat.runs.doctor import examine, model_gates, theory_gates
from genlat.runs.doctor.gate import below, of_pull
from genlat.runs.file import config
from genlat.theories import live
from genlat.theories.ising import IsingSection
from own_for_tests import DIAGONAL, RUN, written


class Quartic(gl.FieldAction):
    kappa: float
    symmetries = ("sign", "translations", "point_group")

    def __call__(self, phi):
        hops = sum(jnp.sum(jnp.roll(phi, -1, a) * phi) for a in range(phi.ndim))
        return jnp.sum(phi**2 + 0.3 * phi**4) - 2 * self.kappa * hops


class Halved(Quartic):
    def force(self, phi):
        return super().force(phi) / 2


class Rounded(Quartic):
    def force(self, phi):
        return super().force(phi).astype(jnp.float16).astype(phi.dtype)


class Widened(Quartic):
    def force(self, phi):
        return super().force(phi.astype(jnp.float64))


class Coupled(Quartic):
    symmetries = ("point_group",)

    def __call__(self, phi):
        return super().__call__(phi) + 0.01 * phi.ravel()[1] ** 2


def failing(gates):
    return [gate.name for gate in gates if not gate.is_passed]


def of_theory(action):
    return theory_gates.gates(live.of_action(action, None))


def test_a_sound_theory_passes():
    assert failing(of_theory(Quartic((4, 3), kappa=0.1))) == []


@pytest.mark.parametrize(
    ("action", "fails"),
    [
        (Halved((4,), kappa=0.1), ["force", "⟨φ ∂S/∂φ⟩"]),
        (Rounded((4,), kappa=0.1), ["force"]),
        (Widened((4,), kappa=0.1), ["types"]),
        (Coupled((4,), kappa=0.1), ["symmetry point_group"]),
    ],
)
def test_every_fault_of_a_theory_fails_its_gate(action, fails):
    assert {*fails} <= {*failing(of_theory(action))} <= {*fails, "reversible"}


def test_a_chain_of_a_wrong_density_is_found():
    """⟨e^(-ΔH)⟩ is 1 of the S whose force it is, and no other."""

    class Forgetful(Quartic):
        def __call__(self, phi):
            return super().__call__(jax.lax.stop_gradient(phi)) + 0 * jnp.sum(phi)

    assert "force" in failing(of_theory(Forgetful((4,), kappa=0.1)))


# models


def flow(layers=2):
    section = CouplingSection(name="realnvp", layers=layers, hidden=(4,))
    action = Phi4((4, 4), 0.17, 0.4)
    return section.build(action, jax.random.key(0)), action


def test_a_sound_flow_passes():
    model, action = flow()
    assert failing(model_gates.gates(model, action)) == []


def test_a_wrong_determinant_is_found(monkeypatch):
    from genlat.models.flow import Flow

    def less(self, keys):
        zs, log_q = self.prior.sample_batch(keys)
        phis, log_det = jax.vmap(self.bijection.forward_and_log_det)(zs)
        return phis, log_q - 0.9 * log_det

    monkeypatch.setattr(Flow, "sample_batch", less)
    found = failing(model_gates.gates(*flow(layers=3)))  # compiled anew
    assert {"log-determinant", "round trip"} <= {*found}


def test_a_density_that_is_not_normalised_is_found(tmp_path):
    text = DIAGONAL.replace("- 0.5 * math.log(2 * math.pi)", "- 0.8")
    asked = config.load(written(tmp_path, model=text))
    found = [g for of, g in examine.gates(asked) if of.startswith("diagonal")]
    assert failing(found) == ["normalisation"]


def test_a_draw_that_sees_its_neighbours_is_found(tmp_path):
    text = DIAGONAL.replace(
        "return phis, self.log_prob_batch(phis)",
        "phis = phis + phis[:1] / 2\n        return phis, self.log_prob_batch(phis)",
    )
    asked = config.load(written(tmp_path, model=text))
    found = [g for of, g in examine.gates(asked) if of.startswith("diagonal")]
    assert "batch" in failing(found)


def test_spins_are_counted():
    run = config.check(
        {
            "seed": 1,
            "theory": {"name": "ising", "shape": [64, 64], "beta": 0.4},
            "model": {"name": "made", "width": 4},
        },
        "run",
    )
    found = list(examine.gates(run))
    assert failing(gate for _, gate in found) == []
    assert {of for of, _ in found} == {"ising 4x4", "made 4x4"}
    assert isinstance(run.theory, IsingSection)


def test_a_number_that_is_none_does_not_pass():
    assert not below("", float("nan"), 1.0, "").is_passed
    assert not of_pull("", "", float("nan"), 0.01, 0.1).is_passed
    assert not of_pull("", "", 0.0, float("nan"), 0.1).is_passed
    assert not of_pull("", "", 5.5, 0.01, 0.1).is_passed
    assert of_pull("", "", -4.5, 0.01, 0.1).is_passed
    assert re.match(
        "FAILS name: about 2, at most", below("name", 2.0, 1.0, "about").line()
    )


def test_the_command_ends_with_two_where_a_gate_does_not_pass(tmp_path, capsys):
    from genlat.cli import app

    path = written(
        tmp_path,
        model=DIAGONAL.replace("- 0.5 * math.log(2 * math.pi)", "- 0.8"),
        run=RUN,
    )
    with pytest.raises(SystemExit) as caught:
        app(["doctor", str(path)], standalone_mode=False)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert len([line for line in out.splitlines() if line.startswith("FAILS")]) == 1
    assert err.splitlines()[-1].endswith("1 of the gates do not pass")
