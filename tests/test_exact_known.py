"""`exact.known`: the right method for each theory, in the theory's own field."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from genlat import exact
from genlat.actions.double_well import DoubleWell
from genlat.actions.ising import Ising
from genlat.actions.phi4 import Phi4
from genlat.exact.scalar import MAX_LOG_Z_ERROR

SCALARS = {"log_z", "free_energy_density", "entropy_density", "phi2", "action_density"}


def agree(known: dict[str, exact.Known], key: str, value: float, tolerance: float):
    assert known[key].value == pytest.approx(value, abs=tolerance), key
    assert np.all(np.asarray(known[key].error) <= tolerance), key


def test_double_well():
    known = exact.known(DoubleWell((64,), m0=2.75, mu2=-1.0, lam=1.0))
    agree(known, "log_z", 107.992096797, 1e-9)
    agree(known, "x2", 2.501656750, 1e-9)
    agree(known, "energy_gap", 0.006557234, 1e-9)
    assert known["phi2"] == known["x2"]
    assert known["mag"].value == 0


def test_double_well_with_a_spacing():
    """S = a Σ [...] written out: the same theory with rescaled couplings."""
    spacing, m0, mu2, lam = 0.37, 1.3, -0.8, 0.9
    known = exact.known(DoubleWell((12,), m0, mu2, lam, spacing))
    # x = s y with unit spacing: kinetic m0 s²/a = m0', and so on
    scale = 1.7
    m0_unit = m0 * scale**2 / spacing
    same = DoubleWell(
        (12,), m0_unit, mu2 * spacing**2, lam * scale**4 * spacing, spacing=1.0
    )
    other = exact.known(same)
    agree(known, "log_z", other["log_z"].value + 12 * math.log(scale), 1e-10)
    agree(known, "x2", other["x2"].value * scale**2, 1e-10)
    agree(known, "energy_gap", other["energy_gap"].value, 1e-10)


@pytest.mark.parametrize("shape", [(6, 2), (2, 6), (7,), (1, 5), (5, 1, 2)])
def test_forms_are_one_theory(shape):
    kappa, lam, d = 0.3, 0.022, len(shape)
    volume = math.prod(shape)
    m2 = (1 - 2 * lam) / kappa - 2 * d
    a = exact.known(Phi4(shape, kappa, lam))
    b = exact.known(Phi4.form_b(shape, m2, lam / kappa**2))
    c = exact.known(Phi4.form_c(shape, m2, 6 * lam / kappa**2))
    for other, squared in ((b, kappa), (c, 2 * kappa)):
        assert other.keys() == a.keys() >= SCALARS | {"mag2", "mag"}
        log_z = a["log_z"].value + volume / 2 * math.log(squared)
        agree(other, "log_z", log_z, 1e-9)
        agree(other, "phi2", a["phi2"].value * squared, 1e-9)
        agree(other, "mag2", a["mag2"].value * squared, 1e-9)
        agree(other, "action_density", a["action_density"].value, 1e-9)


def test_axis_of_time():
    """Both axes give one partition function; the correlator belongs to axis 0."""
    tall, wide = (exact.known(Phi4(s, 0.23, 0.31)) for s in ((6, 2), (2, 6)))
    for key in (*SCALARS, "mag2"):
        agree(tall, key, wide[key].value, 1e-10)
    assert {"two_point", "energy_gap"} <= tall.keys()
    assert wide.keys().isdisjoint({"two_point", "energy_gap"})


def test_extents_of_one():
    """A site coupled to itself: κ moves from the hopping into the mass."""
    kappa, lam = 0.21, 0.4
    row, column = (exact.known(Phi4(s, kappa, lam)) for s in ((1, 6), (6, 1)))
    for key in (*SCALARS, "mag2"):
        agree(row, key, column[key].value, 1e-11)
    agree(row, "two_point", 6 * row["mag2"].value, 1e-11)
    assert len(column["two_point"].value) == 4
    site = exact.known(Phi4((1, 1, 1), kappa, lam))
    x = np.linspace(-6, 6, 4001)
    weight = np.exp(-(1 - 2 * lam - 6 * kappa) * x**2 - lam * x**4)
    agree(site, "log_z", math.log(weight.sum() * (x[1] - x[0])), 1e-10)
    agree(site, "phi2", (weight @ x**2) / weight.sum(), 1e-10)


def test_no_hopping_in_any_dimension():
    known = exact.known(Phi4((4, 6, 5), 0.0, 0.31))
    x = np.linspace(-6, 6, 4001)
    weight = np.exp(-(1 - 2 * 0.31) * x**2 - 0.31 * x**4)
    phi2 = (weight @ x**2) / weight.sum()
    phi4 = (weight @ x**4) / weight.sum()
    agree(known, "log_z", 120 * math.log(weight.sum() * (x[1] - x[0])), 1e-10)
    agree(known, "phi2", phi2, 1e-11)
    agree(known, "mag2", phi2 / 120, 1e-11)
    agree(known, "action_density", (1 - 2 * 0.31) * phi2 + 0.31 * phi4, 1e-11)
    np.testing.assert_allclose(known["two_point"].value, [phi2, 0, 0], atol=1e-12)


def test_negative_hopping():
    """Even extents map to positive κ by flipping every other site; odd ones do not."""
    minus, plus = (exact.known(Phi4((4, 2), k, 0.4)) for k in (-0.2, 0.2))
    for key in SCALARS:
        agree(minus, key, plus[key].value, 1e-11)
    assert minus.keys().isdisjoint({"mag2", "two_point", "energy_gap"})
    assert exact.known(Phi4((3, 2), -0.2, 0.4)).keys() == {"mag"}


def test_thermodynamic_relations():
    known = exact.known(Phi4((5, 2), 0.29, 0.17))
    log_z, density = known["log_z"].value, known["action_density"].value
    agree(known, "free_energy_density", -log_z / 10, 1e-11)
    agree(known, "entropy_density", log_z / 10 + density, 1e-11)


def test_broken_phase_three_wide():
    """κ = 0.30, |φ| ~ 2.1: two wells, in the canonical form."""
    m2 = (1 - 2 * 0.022) / 0.3 - 4
    known = exact.known(Phi4.form_c((12, 3), m2, 6 * 0.022 / 0.3**2))
    assert 4 < known["mag2"].value / 0.6 < known["phi2"].value / 0.6 < 5
    assert known["log_z"].error < 1e-3
    assert known["energy_gap"].value < 0.05


def test_tabulated_lattice():
    known = exact.known(Phi4((16, 8), 0.25, 0.022))
    assert known["log_z"].value == 85.7468
    assert known["log_z"].error == 0.0003
    assert known["abs_mag"].value == 0.2233
    assert known["phi2"].value == 0.799265
    assert known["action_density"].value == 0.4616
    assert "tabulated" in known["log_z"].source
    agree(known, "free_energy_density", -0.669897, 1e-5)
    transposed = exact.known(Phi4((8, 16), 0.25, 0.022))
    assert transposed["log_z"] == known["log_z"]


def test_tabulated_in_another_form():
    kappa, lam = 0.25, 0.022
    m2 = (1 - 2 * lam) / kappa - 4
    known = exact.known(Phi4.form_c((16, 8), m2, 6 * lam / kappa**2))
    assert known["log_z"].value == pytest.approx(85.7468 + 64 * math.log(0.5))
    assert known["phi2"].value == pytest.approx(0.799265 * 0.5)
    assert known["abs_mag"].value == pytest.approx(0.2233 * math.sqrt(0.5))
    line = exact.known(Phi4.form_b((12, 12), -4.0, 5.276))
    assert line["log_z"].value == pytest.approx(43.744)
    assert line["phi2"].value == pytest.approx(0.2103)


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (Phi4((8, 6), 0.25, 0.022), "slices of 4 sites in at most two dimensions"),
        (Phi4((16, 8), 0.2501, 0.022), "no table has these couplings"),
        (Phi4((3, 3, 3), 0.1, 0.3), "at most two dimensions"),
        (Phi4((16, 8), 0.25, 0.0220001), "no table has these couplings"),
        (Phi4((3, 2), -0.2, 0.4), "negative hopping is frustrated by an odd extent"),
        (Phi4((4, 3), 0.25, 1e-12), "too widely"),
        (Ising((25, 24), -0.44), "odd extent that beta = -0.44 frustrates"),
        (Ising((12, 12, 12), 0.2), "more than 10 spins in 3 dimensions"),
    ],
)
def test_only_symmetry_is_known(action, why):
    """⟨m⟩ is 0 on any finite lattice, and the reason for the rest is given."""
    answer = exact.answer(action)
    assert answer.values.keys() == {"mag"}
    assert (answer.values["mag"].value, answer.values["mag"].error) == (0.0, 0.0)
    assert answer.why_not is not None
    assert why in answer.why_not


def test_nothing_known():
    answer = exact.answer(Ising((12, 12), 0.4, 0.1))
    assert answer.values == {}
    assert answer.why_not == "slices of more than 10 spins in a field"


class Tilted(Phi4):
    """φ⁴ in a field: no theory of its three couplings alone, and without φ → -φ."""

    def __call__(self, phi):
        return Phi4.__call__(self, phi) - 0.1 * jnp.sum(phi)


def test_an_action_with_a_term_of_its_own():
    answer = exact.answer(Tilted((4, 4), 0.25, 0.022))
    assert answer.values == {}
    assert answer.why_not is not None
    assert "one of your own" in answer.why_not


def test_a_bad_truncation_is_no_reference():
    """Almost massless and almost free: refused, or within the promised error."""
    known = exact.known(Phi4((4, 3), 0.25, 1e-6))
    assert "log_z" not in known or known["log_z"].error <= MAX_LOG_Z_ERROR
