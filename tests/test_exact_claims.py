"""Every exact value is right within the error that it claims, at couplings of any size.

Against methods that share nothing with those of `genlat.exact`: spins enumerated in
sixty digits, sums over both orientations of a torus, powers of a positive kernel on a
grid of its own, rational numbers.
"""

import math
from fractions import Fraction

import numpy as np
import pytest

from genlat import exact
from genlat.actions.double_well import DoubleWell
from genlat.actions.ising import Ising
from genlat.actions.phi4 import Phi4
from genlat.exact import kaufman, scalar, spin_sums, spin_transfer
from genlat.exact.free_field import free_field
from genlat.exact.onsager import CRITICAL_BETA, onsager
from genlat.exact.value import UnknownError
from genlat.exact.weak_hopping import weak_hopping
from ising_for_tests import enumerated_exactly

SMALL = [
    *((1,), (2,), (9,), (1, 1), (2, 2), (3, 5), (5, 3), (3, 3), (4, 3), (1, 7), (7, 1)),
    *((5, 2), (2, 5), (4, 2), (3, 2, 2), (2, 3, 2), (1, 3, 4), (3, 1, 3)),
]


def assert_within(known, name, truth, slack=0.0):
    distance = np.abs(np.subtract(known[name].value, truth))
    claimed = np.asarray(known[name].error) + slack
    assert np.all(distance <= claimed), (name, known[name], truth)


def drawn(seed, n, *decades, signed=True):
    """n numbers of random sign and size, within some decades."""
    rng = np.random.default_rng(seed)
    sizes = 10 ** rng.uniform(*decades, n)
    return sizes * rng.choice([-1, 1], n) if signed else sizes


# ordinary couplings, and from next to nothing to where e^{-S} under- and overflows
@pytest.mark.parametrize("decades", [(-2, 1), (-12, 2.6)], ids=str)
@pytest.mark.parametrize("in_field", [False, True])
def test_random_spins_against_enumeration(decades, in_field):
    betas, fields = drawn(5, 36, *decades), drawn(6, 36, -3, 1.3)
    rng = np.random.default_rng(7)
    for beta, field in zip(betas, fields, strict=True):
        shape = SMALL[rng.integers(len(SMALL))]
        h = float(field) if in_field else 0.0
        known = exact.known(Ising(shape, beta, h))
        truth = enumerated_exactly(shape, beta, h)
        # a correlator needs slices along axis 0; that of vanishing m² has no cumulant
        assert truth.keys() - known.keys() <= {"two_point", "binder"}
        for name in truth.keys() & known.keys():
            assert_within(known, name, truth[name], slack=1e-50)
            size = 1 + np.abs(known[name].value)  # a cumulant of V spins has no bound
            assert np.all(known[name].error < 1e-6 * size), (name, known[name])


@pytest.mark.parametrize("beta", [-0.3, -1.0, -4.0, -7.0, -40.0, -300.0, 30.0])
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (5,), (3, 3)], ids=str)
def test_frustrated_spins_at_low_temperature(shape, beta):
    """The specific heat of [3, 5] at β = -4 was -7843; below -5 a domain error."""
    known, truth = exact.known(Ising(shape, beta)), enumerated_exactly(shape, beta)
    for name in truth:
        assert_within(known, name, truth[name], slack=1e-50)
    for name in ("log_z", "energy_density", "specific_heat", "abs_mag"):
        assert known[name].error < 1e-9 * (1 + abs(known[name].value)), name


def test_the_torus_of_the_report():
    """[9, 8] at β = -2 gave ln Z 258.9494 and C/V 0.470 with an error of 1e-12."""
    for shape in ((9, 8), (8, 9)):
        known = exact.known(Ising(shape, -2.0))
        for name, value in (
            ("log_z", 258.909079611),
            ("energy_density", 1.776742749),
            ("specific_heat", 0.01642421787),
        ):
            assert known[name].value == pytest.approx(value, rel=2e-9), name
            assert known[name].error < 1e-9


@pytest.mark.parametrize(
    ("sides", "beta", "field"),
    [
        ((7, 6), -1.7, 0.0),
        ((5, 8), -3.1, 0.02),
        ((7, 5), -12.0, 0.0),
        ((3, 40), -2.2, 0.0),
        ((7, 4), 0.44, 0.0),
        ((6, 5), 25.0, -1.3),
        ((4, 31), -0.7, 0.4),
    ],
    ids=str,
)
def test_both_orientations_of_spins(sides, beta, field):
    one, two = (exact.known(Ising(s, beta, field)) for s in (sides, sides[::-1]))
    for name in (one.keys() & two.keys()) - {"two_point", "energy_gap"}:
        assert_within(one, name, two[name].value, slack=two[name].error)
        assert one[name].error < 1e-8 * (1 + abs(one[name].value)), name


def test_a_long_torus_that_is_lost_is_not_given():
    """Too long for the sums, and the eigenvalues ±λ cancel: nothing, and why."""
    answer = exact.answer(Ising((10001, 9), -12.0))
    assert "log_z" not in answer.values
    assert answer.why_not is not None
    assert "cancel" in answer.why_not
    assert exact.known(Ising((10001, 9), -0.2))["log_z"].error < 1e-6


def test_cancellation_is_claimed_by_the_eigenvalues():
    """Where some digits are left, `relative` covers those that are not."""
    lossy = 0
    for beta in np.linspace(-0.5, -3.0, 26):
        torus = spin_transfer.Torus(9, (3,), float(beta), 0.0)
        found, truth = spin_transfer.averages(torus), spin_sums.averages(torus)
        assert truth is not None
        if found is None:
            continue
        lossy += found.relative > 1e-10
        assert abs(found.log_z - truth.log_z) < found.relative + 1e-12
        energy = abs(found.energy_density - truth.energy_density)
        assert energy < found.energy_error + 1e-14
        heat = abs(found.specific_heat - truth.specific_heat)
        assert heat < found.heat_error + 1e-14
    assert lossy > 3


@pytest.mark.parametrize("beta", [3e-13, 2e-7, 9e-7, 1.1e-6, 8e-4, 19.9, 20.1, 400.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 3), (3, 3), (4, 4)], ids=str)
def test_kaufman_at_both_ends(shape, beta):
    known, truth = kaufman.kaufman(shape, beta), enumerated_exactly(shape, beta)
    for name in ("log_z", "action_density", "specific_heat"):
        assert_within(known, name, truth[name], slack=1e-300)
        assert known[name].error < 1e-9


@pytest.mark.parametrize(
    ("beta", "energy", "heat", "mag"),
    [
        # mpmath, 40 digits
        (1e-6, -2.0000000000033332e-06, 2.0000000000099998e-12, 0.0),
        (
            CRITICAL_BETA + 1e-9,
            -1.4142136140269996,
            9.536900393974362,
            0.10155483896347226,
        ),
        (60.0, -2.0, 0.0, 1.0),
        (500.0, -2.0, 0.0, 1.0),
    ],
)
def test_infinite_volume_where_it_cancels(beta, energy, heat, mag):
    known = onsager(beta)
    assert_within(known, "energy_density", energy)
    assert_within(known, "specific_heat", heat)
    assert_within(known, "abs_mag", mag)


def test_independent_spins_of_a_large_lattice():
    """⟨|M|⟩ = V 2^(1-V) C(V-1, V/2): half of the terms of a binomial sum."""
    for volume in (6, 7, 1000, 1001, 10**6):
        known = exact.known(Ising((volume,), 0.0))
        half = (volume + 1) // 2
        n = 2 * half - 1  # ⟨|M|⟩ of 2k - 1 and of 2k coins is one
        log = math.lgamma(n + 1) - 2 * math.lgamma(half) - (n - 1) * math.log(2)
        expected = math.exp(log) / volume
        assert known["abs_mag"].value == pytest.approx(expected, rel=1e-8)
        assert known["mag2"].value == pytest.approx(1 / volume, rel=1e-11)


def test_almost_massless_free_field():
    """Four sites: D_p is a - 2h, a, a + 2h, a; in rational numbers."""
    h = 0.1234567
    for gap in (0.3, 1e-6, 1e-10, 1e-12):
        a = 2 * h + gap
        known = free_field((4,), h, a)
        x, y = Fraction(a), Fraction(2 * h)
        modes = [x - y, x, x + y, x]
        log_z = 2 * math.log(math.pi) - sum(math.log(mode) for mode in modes) / 2
        assert_within(known, "log_z", log_z)
        assert_within(known, "mag2", float(1 / (8 * modes[0])))
        assert_within(known, "phi2", float(sum(1 / mode for mode in modes) / 8))
        cosh = Fraction(a) / Fraction(2 * h) - 1
        assert_within(known, "energy_gap", 2 * math.asinh(math.sqrt(cosh / 2)))
    assert free_field((4,), h, 2 * h + 0.3)["log_z"].error < 1e-12
    with pytest.raises(UnknownError, match="lost its digits"):
        free_field((4,), h, 2 * h + 1e-16)


def kernel_powers(shape, h, a, b, n_points):
    """Traces of powers of e^{-S} between slices of one or two sites: no eigenvalues."""
    length, width = shape[0], (*shape, 1)[1]
    a -= 2 * h * sum(extent == 1 for extent in shape)
    c = a - 2 * abs(h) * sum(extent > 1 for extent in shape)
    # the weight of a site has dropped to e^-38
    swing = math.sqrt(152 * b)
    if c > 0:
        end = math.sqrt(76 / (c + math.hypot(c, swing)))
    else:
        end = math.sqrt((swing - c) / (2 * b))
    x = (2 * np.arange(n_points) + 1 - n_points) * (end / n_points)
    points = np.stack(np.meshgrid(*[x] * width, indexing="ij"), -1).reshape(-1, width)
    bond = 4 * h * points[:, 0] * points[:, 1] if width == 2 else 0.0
    within = bond - (a * points**2 + b * points**4).sum(1)
    total, log_step = points.sum(1), math.log(x[1] - x[0])
    exponents = 2 * h * (points @ points.T) * (length > 1)
    exponents = exponents + (within[:, None] + within[None, :]) / 2
    shift = exponents.max()
    powers, logs = [np.exp(exponents - shift)], [shift]
    for _ in range(length - 1):
        power = powers[-1] @ powers[0]
        logs.append(logs[-1] + shift + math.log(power.max()))
        powers.append(power / power.max())
    p = np.diag(powers[-1]) / np.trace(powers[-1])
    log_z = logs[-1] + math.log(np.trace(powers[-1])) + length * width * log_step

    def two_point(lag):
        if lag == 0:
            return p @ total**2 / width
        there, back = powers[lag - 1], powers[length - lag - 1]
        scale = math.exp(logs[lag - 1] + logs[length - lag - 1] - logs[-1])
        trace = np.trace(powers[-1])
        return total @ (there * back.T) @ total * scale / trace / width

    correlator = [two_point(min(t, length - t)) for t in range(length)]
    return {
        "log_z": log_z,
        "phi2": p @ (points**2).mean(1),
        "action_density": 0.5 - b * (p @ (points**4).mean(1)),
        "two_point": np.array(correlator[: length // 2 + 1]),
        "mag2": sum(correlator) / (length * width),
    }


def chains():
    rng = np.random.default_rng(3)
    hoppings, quartics = drawn(1, 20, -2, 0), drawn(2, 20, -2, 0.7, signed=False)
    tiny, wide = drawn(3, 8, -9, -4), drawn(4, 8, -5, 2.5, signed=False)
    for kappa, lam in zip([*hoppings, *tiny], [*quartics, *wide], strict=True):
        yield Phi4((int(rng.integers(1, 10)),), float(kappa), float(lam))
    for m0, mu2, lam in zip(
        drawn(8, 12, -2, 1.2, signed=False),
        drawn(9, 12, -2, 1),
        drawn(10, 12, -2, 1, signed=False),
        strict=True,
    ):
        yield DoubleWell((int(rng.integers(1, 10)),), m0, mu2, lam, 0.7)


def assert_right(action, n_points, slack):
    """Within the claimed error, and `slack` for the reference; 1 where it is given."""
    known = exact.known(action)
    couplings = (float(x) for x in (action.hopping, action.quadratic, action.quartic))
    truth = kernel_powers(action.lattice_shape, *couplings, n_points)
    if "log_z" not in known:
        return 0
    for name in truth.keys() & known.keys():
        scale = np.max(np.abs(truth[name])) + (name in ("log_z", "action_density"))
        assert_within(known, name, truth[name], slack=slack * scale)
        assert np.all(np.asarray(known[name].error) < 2e-3 * scale), name
    return 1


def test_random_chains_against_powers_of_the_kernel():
    given = [assert_right(action, 300, 1e-11) for action in chains()]
    assert sum(given) >= 0.8 * len(given)


@pytest.mark.parametrize(
    ("shape", "kappa", "lam"),
    [
        *(((3, 2), 0.21, 0.4), ((4, 2), -0.3, 0.2), ((1, 2), 0.4, 1.1)),
        *(((2, 2), 0.31, 2.3), ((5, 2), 0.05, 0.07), ((3, 2), 1e-8, 0.022)),
        *(((3, 2), 2e-4, 0.3), ((3, 2), -1e-3, 0.6)),
    ],
    ids=str,
)
def test_strips_of_two_against_powers_of_the_kernel(shape, kappa, lam):
    assert assert_right(Phi4(shape, kappa, lam), 36, 2e-10)


@pytest.mark.parametrize(("kappa", "lam"), [(1e-4, 0.022), (0.457, 0.0467)])
def test_both_orientations_of_a_strip(kappa, lam):
    """Widths 2 and 3 share blocks, bases and sectors in nothing."""
    first, second = (
        scalar.strip(*s, kappa, 1 - 2 * lam, lam) for s in ((3, 2), (2, 3))
    )
    for name in ("log_z", "phi2", "mag2", "action_density"):
        assert_within(first, name, second[name].value, slack=second[name].error)


@pytest.mark.parametrize("h", [1e-3, -1e-3, 4e-3, 1e-5])
@pytest.mark.parametrize("length", [2, 3, 5])
def test_the_bound_on_weak_hopping(h, length):
    """Its error covers the exact kernel, and falls with the third power of h."""
    couplings = (1 - 2 * 0.31, 0.31)
    series = weak_hopping((length,), h, *couplings)
    truth = kernel_powers((length,), h, *couplings, 200)
    for name in truth:
        assert_within(series, name, truth[name], slack=1e-13)
    assert series["log_z"].error < 40 * abs(h) ** 3 + 1e-11
