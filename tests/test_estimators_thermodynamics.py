"""Thermodynamics against closed forms: the free field and transfer matrices."""

import dataclasses
import math

import numpy as np
import pytest

from genlat import lattice
from genlat.estimators import thermodynamics
from genlat.estimators.thermodynamics import Points
from genlat.exact import quadrature, slice_basis, transfer_matrix
from genlat.exact.free_field import free_field

H, A = 0.11, 0.71
COLUMNS = ("free_energy_density", "pressure", "energy_density")
COLUMNS += ("entropy_density", "trace_anomaly")


def known(values, error=0.0):
    values = np.asarray(values, float)
    return Points(values, np.full(values.shape, error))


def free_scan(couplings, shape=(6, 4)):
    """ln Z and 2V⟨hopping⟩ of the free field."""
    found = [free_field(shape, float(h), A) for h in couplings]
    volume = math.prod(shape)
    log_z = known([x["log_z"].value for x in found])
    return log_z, known([2 * volume * x["hopping"].value for x in found])


@pytest.mark.parametrize("step", [0.01, -0.01])
def test_the_rule_is_hermites_with_central_differences(step):
    x = 0.31 + step * np.arange(6)
    f = np.random.default_rng(1).normal(size=6)
    rows = thermodynamics.along_coupling(x, known(np.zeros(6)), known(f))
    if step < 0:
        f = f[::-1]
    h, slope = abs(step), (f[2:] - f[:-2]) / (2 * abs(step))
    for k in range(1, 4):
        expected = h / 2 * (f[k] + f[k + 1]) + h**2 / 12 * (slope[k - 1] - slope[k])
        assert rows[k].integral == pytest.approx(expected, rel=1e-10)
    # at the ends, through the four nearest: exact for cubics on any points
    x = np.array([0.1, 0.13, 0.17, 0.24, 0.26])
    rows = thermodynamics.along_coupling(x, known(x**4 - x), known(4 * x**3 - 1))
    for row in rows:
        assert row.integral == pytest.approx(row.difference, rel=1e-11)
        assert 0 < row.rule_error < 1e-3


def test_three_points_are_simpsons_rule():
    x, f = np.array([0.2, 0.25, 0.3]), np.array([1.3, 1.7, 2.6])
    rows = thermodynamics.along_coupling(x, known(0 * x), known(f))
    assert rows[-1].integral == pytest.approx(0.05 / 3 * (1.3 + 4 * 1.7 + 2.6))
    assert [(row.start, row.stop) for row in rows] == [
        (0.2, 0.25),
        (0.25, 0.3),
        (0.2, 0.3),
    ]
    with pytest.raises(ValueError, match="at least 3 points"):
        thermodynamics.along_coupling(x[:2], known(f[:2]), known(f[:2]))


def test_free_field_along_the_coupling():
    """The integral of the exact slope is the exact ln Z, within the rule's error."""
    x = np.arange(0.05, 0.15, 0.01)
    log_z, slopes = free_scan(x)
    rows = thermodynamics.along_coupling(x, log_z, slopes)
    assert len(rows) == x.size
    for row in rows:
        assert abs(row.difference - row.integral) < row.rule_error < 4e-3
    assert rows[-1].difference == pytest.approx(log_z.value[-1] - log_z.value[0])


def test_a_wrong_factor_in_the_slope_is_seen():
    """Negative control: 2 % in the slope is far beyond the rule's error."""
    x = np.arange(0.05, 0.15, 0.01)
    log_z, slopes = free_scan(x)
    wrong = Points(1.02 * slopes.value, slopes.error)
    rows = thermodynamics.along_coupling(x, log_z, wrong)
    assert abs(rows[-1].pull) > 5


def test_errors_along_the_coupling_are_calibrated():
    """Pulls of noisy points have unit width, in every row."""
    x = np.arange(0.05, 0.15, 0.02)
    log_z, slopes = free_scan(x)
    generator = np.random.default_rng(2)
    sigma, tau = 0.3 * (1 + np.arange(5)), 9.0 * (1 + np.arange(5))
    pulls = []
    for _ in range(200):
        noisy = Points(log_z.value + sigma * generator.normal(size=5), sigma)
        tilted = Points(slopes.value + tau * generator.normal(size=5), tau)
        rows = thermodynamics.along_coupling(x, noisy, tilted)
        exact = [dataclasses.replace(row, rule_error=0.0).pull for row in rows]
        pulls.append(exact)
    width = np.std(pulls, axis=0)
    assert width == pytest.approx(np.ones(5), abs=5 / math.sqrt(2 * 199))


def free_log_z(extents, space):
    return known([free_field((int(t), *space), H, A)["log_z"].value for t in extents])


def gas(extent, space):
    """Pressure and energy density of free bosons with the energies of this lattice."""
    cosines = lattice.hopping_spectrum(space)
    energies = np.arccosh(A / (2 * H) - cosines).ravel()
    volume = math.prod(space)
    pressure = -np.sum(np.log1p(-np.exp(-energies * extent))) / extent / volume
    return pressure, np.sum(energies / np.expm1(energies * extent)) / volume


@pytest.mark.parametrize("space", [(), (3,), (4, 3)])
def test_a_gas_of_free_bosons(space):
    """What is left of the free field above its vacuum is Bose and Einstein's gas."""
    extents = np.array([9.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 60.0])
    found = thermodynamics.equation_of_state(
        extents,
        free_log_z(extents, space),
        spatial_volume=math.prod(space),
        n_space=len(space),
    )
    assert found.extents.tolist() == [2, 3, 4, 5, 6, 7, 9]
    assert found.vacuum_extent == 60
    np.testing.assert_allclose(found.temperature, 1 / found.extents)
    for k, extent in enumerate(found.extents):
        pressure, energy = gas(extent, space)
        assert found.pressure.value[k] == pytest.approx(pressure, rel=1e-9, abs=1e-14)
        off = abs(found.energy_density.value[k] - energy)
        assert off < 2 * found.energy_density.rule_error[k]
        entropy = extent * (energy + pressure)
        off = abs(found.entropy_density.value[k] - entropy)
        assert off < 2 * found.entropy_density.rule_error[k]
        trace = energy - len(space) * pressure
        off = abs(found.trace_anomaly.value[k] - trace)
        assert off < 2 * found.trace_anomaly.rule_error[k]
    # sharp enough to mean something, where the extents are close and the gas is light
    if space == (4, 3):
        sharpness = found.energy_density.rule_error / found.energy_density.value
        assert np.all(sharpness[2:5] < 0.25)


def test_finite_differences_of_exact_values_and_the_scale_of_the_field():
    """Equidistant extents give the textbook five points; c^V in Z drops out."""
    extents, space = np.arange(3.0, 10.0), (4,)
    log_z = free_log_z(extents, space)
    settings = {"spatial_volume": 4, "n_space": 1}
    found = thermodynamics.equation_of_state(extents, log_z, **settings)
    z = log_z.value
    slope = (z[:-4] - 8 * z[1:-3] + 8 * z[3:-1] - z[4:]) / 12
    expected = (z[-1] / 9 - slope) / 4
    np.testing.assert_allclose(found.energy_density.value[2:5], expected, rtol=1e-9)
    np.testing.assert_allclose(
        found.free_energy_density.value, -z[:-1] / extents[:-1] / 4, rtol=1e-14
    )
    rescaled = known(z + 0.37 * 4 * extents)
    again = thermodynamics.equation_of_state(extents, rescaled, **settings)
    for name in COLUMNS[1:]:
        np.testing.assert_allclose(
            getattr(again, name).value, getattr(found, name).value, atol=1e-10
        )


def test_the_spectrum_of_a_transfer_matrix():
    """ln Z = ln Σ e^{-E_n L} of an interacting chain, and all that follows."""
    h, a, b = 0.31, 0.43, 0.17
    grid = quadrature.line_grid(
        hopping=h,
        quadratic=a,
        quartic=b,
        axes=1,
        resolution=quadrature.FINE,
        max_points=transfer_matrix.MAX_POINTS[1],
    )
    assert grid is not None
    basis = slice_basis.site_basis(*grid, h)
    spectrum = transfer_matrix.chain_spectrum(basis)
    energies = -np.log(np.maximum(np.r_[spectrum.even, spectrum.odd], 1e-300))
    energies -= basis.log_scale
    extents = np.array([2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 80.0])
    averages = [
        transfer_matrix.narrow_lattice(
            length=int(t),
            width=1,
            hopping=h,
            quadratic=a,
            quartic=b,
            resolution=quadrature.FINE,
        )
        for t in extents
    ]
    log_z = known([x.log_z for x in averages if x is not None])
    found = thermodynamics.equation_of_state(
        extents, log_z, spatial_volume=1, n_space=0
    )
    ground = energies.min()
    for k, extent in enumerate(found.extents):
        boltzmann = np.exp(-(energies - ground) * extent)
        pressure = math.log(boltzmann.sum()) / extent
        energy = boltzmann @ (energies - ground) / boltzmann.sum()
        assert found.pressure.value[k] == pytest.approx(pressure, rel=1e-9)
        off = abs(found.energy_density.value[k] - energy)
        assert off < 2 * found.energy_density.rule_error[k]
    assert found.energy_density.value[2] == pytest.approx(
        boltzmann_energy(energies, 4), rel=0.05
    )


def boltzmann_energy(energies, extent):
    shifted = energies - energies.min()
    return np.average(shifted, weights=np.exp(-shifted * extent))


def test_errors_of_the_equation_of_state_are_calibrated():
    """Every column and its covariance, against 600 repetitions with noise."""
    extents = np.array([2.0, 3.0, 4.0, 6.0, 16.0])
    exact = free_log_z(extents, (3,)).value
    generator, sigma = np.random.default_rng(3), np.array([0.1, 0.4, 0.2, 0.3, 1.6])
    settings = {"spatial_volume": 3, "n_space": 1}
    runs = [
        thermodynamics.equation_of_state(
            extents,
            Points(exact + sigma * generator.normal(size=5), sigma),
            **settings,
        )
        for _ in range(600)
    ]
    for name in COLUMNS:
        values = np.stack([getattr(run, name).value for run in runs])
        column = getattr(runs[0], name)
        ratio = values.std(axis=0, ddof=1) / column.error
        assert ratio == pytest.approx(np.ones(4), abs=5 / math.sqrt(2 * 599))
        np.testing.assert_allclose(np.diag(column.covariance), column.error**2)
        expected = column.covariance / np.outer(column.error, column.error)
        np.testing.assert_allclose(
            np.corrcoef(values.T), expected, atol=5 / math.sqrt(600)
        )
    # negative control: the shared vacuum makes the pressures move together
    shared = runs[0].pressure.covariance
    assert shared[0, 2] > 0.5 * math.sqrt(shared[0, 0] * shared[2, 2])


def test_an_interval_is_as_sure_as_the_ones_beside_it():
    """One point off a straight line is seen by the four intervals whose rule takes it,
    and makes the next one on either side unsure as well.
    """
    x, f = np.linspace(0.1, 0.4, 13), np.zeros(13)
    f[6] = 0.7
    *rows, whole = thermodynamics.along_coupling(x, known(0 * x), known(f))
    unsure = [k for k, row in enumerate(rows) if row.rule_error > 1e-12]
    assert unsure == [3, 4, 5, 6, 7, 8]
    assert whole.rule_error == pytest.approx(sum(row.rule_error for row in rows))


def test_a_curve_and_its_mirror_image_miss_the_same():
    rng = np.random.default_rng(4)
    x, f = np.cumsum(rng.uniform(0.01, 0.03, 9)), rng.normal(size=9)
    here, there = (
        [row.rule_error for row in thermodynamics.along_coupling(*curve)[:-1]]
        for curve in ((x, known(0 * x), known(f)), (-x, known(0 * x), known(f)))
    )
    assert here == pytest.approx(there[::-1], rel=1e-9)
