"""Transfer matrices: brute force, the other direction, derivatives, and limits."""

import itertools
import math

import jax
import numpy as np
import pytest

from genlat import observables
from genlat.actions.phi4 import Phi4
from genlat.exact import single_site
from genlat.exact.free_field import free_field
from genlat.exact.quadrature import COARSE, FINE, Resolution
from genlat.exact.spectrum import Averages
from genlat.exact.transfer_matrix import narrow_lattice

KAPPA, LAM = 0.27, 0.022


def strip(
    length: int,
    width: int,
    *,
    h: float = KAPPA,
    a: float = 1 - 2 * LAM,
    b: float = LAM,
    resolution: Resolution = FINE,
) -> Averages:
    result = narrow_lattice(
        length=length,
        width=width,
        hopping=h,
        quadratic=a,
        quartic=b,
        resolution=resolution,
    )
    assert result is not None
    return result


def brute_force(action: Phi4, *, end: float, n_points: int) -> dict[str, np.ndarray]:
    """Averages by Gauss-Legendre quadrature over every field at once."""
    shape = action.lattice_shape
    x, weight = np.polynomial.legendre.leggauss(n_points)
    volume = math.prod(shape)
    grids = np.meshgrid(*[end * x] * volume, indexing="ij")
    phis = np.stack([grid.ravel() for grid in grids], axis=1).reshape(-1, *shape)
    log_measure = sum(np.meshgrid(*[np.log(end * weight)] * volume, indexing="ij"))
    primary = jax.vmap(lambda phi: observables.primary(action, phi))
    values = {key: np.asarray(v) for key, v in jax.jit(primary)(phis).items()}
    log_w = np.ravel(log_measure) - volume * values["action_density"]
    log_z = log_w.max() + np.log(np.exp(log_w - log_w.max()).sum())
    means = {
        key: np.tensordot(np.exp(log_w - log_z), value, 1)
        for key, value in values.items()
    }
    return {"log_z": log_z, **means}


@pytest.mark.parametrize("shape", [(2,), (3,), (2, 2)])
def test_against_brute_force(shape):
    action = Phi4(shape, 0.31, 0.47)
    truth = brute_force(action, end=2.9, n_points=32)
    width = shape[1] if len(shape) == 2 else 1
    result = strip(shape[0], width, h=0.31, a=1 - 2 * 0.47, b=0.47)
    assert result.log_z == pytest.approx(float(truth["log_z"]), rel=1e-8)
    assert result.phi2 == pytest.approx(float(truth["phi2"]), rel=1e-8)
    assert result.mag2 == pytest.approx(float(truth["mag2"]), rel=1e-8)
    np.testing.assert_allclose(result.two_point, truth["two_point"], rtol=1e-8)
    # the action itself, which narrow_lattice never forms
    density = 0.5 - 0.47 * result.phi4
    assert density == pytest.approx(float(truth["action_density"]), rel=1e-8)


@pytest.mark.parametrize(
    ("sides", "tolerance"),
    [((2, 3), 1e-9), ((2, 4), 1e-6), ((3, 4), 1e-6)],
)
def test_both_directions_agree(sides, tolerance):
    """Slices along one axis or the other: different blocks, bases and sectors."""
    narrow, wide = sides
    first, second = strip(wide, narrow), strip(narrow, wide)
    assert first.log_z == pytest.approx(second.log_z, abs=tolerance)
    for key in ("phi2", "phi4", "mag2"):
        assert getattr(first, key) == pytest.approx(getattr(second, key), rel=tolerance)


@pytest.mark.parametrize(("length", "log_z"), [(4, 12.1100473), (8, 23.5187021)])
def test_known_strips_of_four(length, log_z):
    assert strip(length, 4).log_z == pytest.approx(log_z, abs=1e-7)


@pytest.mark.parametrize(("width", "resolution"), [(1, FINE), (2, FINE), (4, COARSE)])
def test_averages_are_derivatives_of_log_z(width, resolution):
    """∂ln Z/∂a = -V⟨φ²⟩, ∂ln Z/∂b = -V⟨φ⁴⟩, h ∂ln Z/∂h = Σ⟨2hφφ'⟩, broken phase."""
    couplings = {"h": 0.3, "a": 0.956, "b": 0.022}
    length, volume = 5, 5 * width
    centre = strip(length, width, resolution=resolution, **couplings)

    def slope(name: str) -> float:
        step = 2e-3 * couplings[name]
        up, down = (
            strip(
                length,
                width,
                resolution=resolution,
                **(couplings | {name: couplings[name] + sign * step}),
            ).log_z
            for sign in (1, -1)
        )
        return (up - down) / (2 * step)

    phi2, phi4 = centre.phi2, centre.phi4
    assert -slope("a") / volume == pytest.approx(phi2, rel=1e-4)
    if width == 4:  # three derivatives of the narrower strips are enough
        return
    assert -slope("b") / volume == pytest.approx(phi4, rel=1e-4)
    # Schwinger-Dyson: ⟨Σ φ ∂S/∂φ⟩ = V
    hopping = couplings["h"] * slope("h") / volume
    dyson = 2 * couplings["a"] * phi2 + 4 * couplings["b"] * phi4 - 2 * hopping
    assert dyson == pytest.approx(1.0, abs=5e-4)


def test_schwinger_dyson_of_a_chain():
    """On a chain G(1) is the hopping term: an identity to rounding."""
    chain = strip(7, 1)
    total = 2 * (1 - 2 * LAM) * chain.phi2 + 4 * LAM * chain.phi4
    assert total - 4 * KAPPA * chain.two_point[1] == pytest.approx(1.0, abs=1e-11)


def test_weak_coupling():
    """ln Z = ln Z_free - 3bV⟨φ²⟩² + O(b²): the basis in the nearly free theory."""
    h, a = 0.12, 0.83
    free = free_field((5, 3), h, a)
    b1, b2 = 2e-3, 4e-3
    first, second = (strip(5, 3, h=h, a=a, b=b).log_z - free["log_z"].value
                     for b in (b1, b2))  # fmt: skip
    slope = 2 * first / b1 - second / b2  # extrapolated to b = 0
    assert slope == pytest.approx(-3 * 15 * free["phi2"].value ** 2, rel=1e-3)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_weak_hopping(width):
    """At h → 0 every site is on its own; d ln Z/dh = 0 there but on bonds to itself."""
    a, b = 1 - 2 * 0.31, 0.31
    result = strip(3, width, h=1e-5, a=a, b=b)
    alone = 3 * width * single_site.log_z(a, b)
    assert result.log_z == pytest.approx(alone, abs=1e-8)
    assert result.phi2 == pytest.approx(single_site.phi2(a, b), rel=1e-8)


def test_gap_is_the_decay_of_a_long_correlator():
    two_point = strip(120, 2).two_point
    gap = strip(3, 2).energy_gap
    # from both ends of the periodic lattice: cosh(E (T/2 - t))
    ratio = math.cosh(gap * 35) / math.cosh(gap * 30)
    assert two_point[25] / two_point[30] == pytest.approx(ratio, rel=1e-9)


def test_truncation_lowers_log_z_and_the_error_covers_it():
    few, some, many = (
        strip(4, 4, resolution=FINE._replace(states=n)).log_z for n in (100, 180, 400)
    )
    assert few < some < many
    assert many - some < some - few  # the last change bounds what is left


def test_rounding_level_where_nothing_is_truncated():
    fine, coarse = (strip(6, 2, resolution=r) for r in (FINE, COARSE))
    assert fine.log_z == pytest.approx(coarse.log_z, abs=1e-11)
    assert fine.two_point == pytest.approx(coarse.two_point, rel=1e-10)


def test_field_too_wide_for_the_grid():
    couplings = {"hopping": 0.25, "quadratic": 1.0, "resolution": FINE}
    for length, width in itertools.product((2, 4), (2, 4)):
        assert (
            narrow_lattice(length=length, width=width, quartic=1e-12, **couplings)
            is None
        )


@pytest.mark.parametrize("width", [0, 5])
def test_width_is_checked(width):
    with pytest.raises(ValueError, match="width"):
        strip(4, width)
