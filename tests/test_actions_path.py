"""Lines of theories: their ends, their slope, and the theories in between."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat.actions.double_well import DoubleWell
from genlat.actions.ising import Ising
from genlat.actions.on import On
from genlat.actions.path import CouplingLine, HoppingLine
from genlat.actions.phi4 import Phi4, Phi4InField

A = Phi4((4, 6), 0.31, 0.17)
ENDS = [
    A,
    Phi4.form_b((3, 4), -4.0, 5.5),
    Phi4((1, 5), 0.2, 0.1),
    Phi4InField(A, 0.4),
    DoubleWell((6,), 2.75, -1.0, 1.0, 0.7),
    On((4, 3), 3, 0.31, 0.17),
]
LINES = {
    **{f"hopping of {x}": HoppingLine(x) for x in ENDS},
    "κ and λ": CouplingLine(Phi4((4, 6), 0.12, 0.4), A),
    "h": CouplingLine(Phi4InField(A, -0.2), Phi4InField(A, 0.4)),
    "β and h": CouplingLine(Ising((4, 3), 0.1, 0.3), Ising((4, 3), 0.4, -0.2)),
}


def a_field(action):
    if isinstance(action, Ising):
        signs = np.random.default_rng(0).choice([-1, 1], action.lattice_shape)
        return jnp.asarray(signs, jnp.int8)
    return jnp.asarray(np.random.default_rng(0).normal(size=action.field_shape))


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_it_ends_where_it_says_and_its_slope_is_that_of_the_action(line):
    phi, step = a_field(line.end), 1e-5

    @jax.jit
    def along(t):
        return line.at(t)(phi), line.slope(t, phi)

    for t in (0.0, 0.3, 1.0):
        ahead, behind = (float(along(t + x)[0]) for x in (step, -step))
        slope = float(along(t)[1])
        assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-8)
        assert abs(slope) > 0.1
    end = jax.jit(lambda phi: line.end(phi))(phi)
    assert float(along(1.0)[0]) == pytest.approx(float(end), rel=1e-13)


def test_a_line_of_couplings_begins_at_its_start():
    line = LINES["κ and λ"]
    assert isinstance(line, CouplingLine)
    for ours, theirs in zip(
        jax.tree.leaves(line.at(0.0)), jax.tree.leaves(line.start), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    for other in (Phi4((4, 4), 0.12, 0.4), Phi4InField(A, 0.1)):
        with pytest.raises(ValueError, match="must start in the theory it ends in"):
            CouplingLine(other, A)


def test_of_phi4_it_is_the_line_in_kappa():
    phi = a_field(A)
    found = jax.jit(lambda t, phi: HoppingLine(A).at(t)(phi))(0.4, phi)
    wanted = jax.jit(lambda phi: Phi4((4, 6), 0.4 * 0.31, 0.17)(phi))(phi)
    assert float(found) == pytest.approx(float(wanted), rel=1e-12)


def test_sites_are_independent_at_the_start():
    phi = np.asarray(a_field(A))
    start = jax.jit(lambda phi: HoppingLine(A).at(0.0)(phi))
    mixed = jnp.asarray(np.sort(phi.ravel()).reshape(4, 6))
    assert float(start(mixed)) == pytest.approx(float(start(phi)), rel=1e-12)


def test_no_hopping_is_no_line():
    with pytest.raises(ValueError, match="Ising has no hopping to multiply by t"):
        HoppingLine(Ising((4, 3), 0.1))

    class More(Phi4):
        def __call__(self, phi):
            return super().__call__(phi) + jnp.sum(phi**3)

    with pytest.raises(ValueError, match="an S of its own"):
        HoppingLine(More((4, 6), 0.31, 0.17))
