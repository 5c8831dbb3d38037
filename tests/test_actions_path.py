"""The line of theories: its ends, its slope, and the theories in between."""

import jax.random as jr
import pytest

from genlat.actions.double_well import DoubleWell
from genlat.actions.path import HoppingPath
from genlat.actions.phi4 import Phi4

ENDS = [
    Phi4((4, 6), 0.31, 0.17),
    Phi4.form_b((3, 4), -4.0, 5.5),
    Phi4((1, 5), 0.2, 0.1),
    DoubleWell((6,), 2.75, -1.0, 1.0, 0.7),
]


@pytest.mark.parametrize("end", ENDS)
def test_it_is_linear_in_the_fraction(end):
    phi = jr.normal(jr.key(0), end.lattice_shape)
    energy = float(HoppingPath(end, 0.3).energy(phi))
    start = float(HoppingPath(end, 0.0)(phi))
    for fraction in (0.3, 1.0):
        between = float(HoppingPath(end, fraction)(phi))
        assert between == pytest.approx(start + fraction * energy, rel=1e-12)
    assert float(HoppingPath(end, 1.0)(phi)) == pytest.approx(float(end(phi)))


def test_of_phi4_it_is_the_line_in_kappa():
    phi = jr.normal(jr.key(0), (4, 6))
    between = HoppingPath(Phi4((4, 6), 0.31, 0.17), 0.4)
    assert float(between(phi)) == pytest.approx(
        float(Phi4((4, 6), 0.4 * 0.31, 0.17)(phi)), rel=1e-12
    )


def test_sites_are_independent_at_the_start():
    phi = jr.normal(jr.key(0), (4, 6))
    start = HoppingPath(Phi4((4, 6), 0.31, 0.17), 0.0)
    assert float(start(phi.ravel().sort().reshape(4, 6))) == pytest.approx(
        float(start(phi)), rel=1e-12
    )
