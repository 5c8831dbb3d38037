"""Observables of configurations computed by hand, and of exact averages."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat import exact, observables
from genlat.actions.phi4 import Phi4

ACTION = Phi4((4, 6), 0.17, 0.31)


def a_field(shape, dtype=float):
    return jnp.asarray(np.random.default_rng(3).normal(size=shape).astype(dtype))


def compiled(function):
    """As one program: an operation alone takes as long to compile."""
    run = jax.jit(function)
    return lambda *arguments: jax.device_get(run(*arguments))


def test_by_hand():
    """φ = 2 at one site, -1 at another two slices later: all sums are visible."""
    phi = np.zeros((4, 6))
    phi[1, 2], phi[3, 5] = 2.0, -1.0
    measure = compiled(lambda x: observables.primary(ACTION, x))
    values = measure(phi)
    mag = 1 / 24
    for power, key in ((1, "mag"), (2, "mag2"), (4, "mag4")):
        assert float(values[key]) == pytest.approx(mag**power)
    assert float(values["phi2"]) == pytest.approx(5 / 24)
    total = (1 - 2 * 0.31) * 5 + 0.31 * 17  # no two sites are neighbours
    assert float(values["action_density"]) == pytest.approx(total / 24)
    assert float(values["action_density2"]) == pytest.approx((total / 24) ** 2)
    assert float(values["hopping"]) == 0
    slope = 2 * (1 - 2 * 0.31) * 5 + 4 * 0.31 * 17
    assert float(values["schwinger_dyson"]) == pytest.approx(slope / 24)
    # slices Φ = (0, 2, 0, -1)/√6: G(0) = 5/6/4, G(1) = 0, G(2) = 2·(-2)/6/4
    np.testing.assert_allclose(
        values["two_point"], [5 / 24, 0, -4 / 24], rtol=1e-14, atol=1e-16
    )
    negative = measure(-phi)
    assert float(negative["mag"]) == pytest.approx(-mag)
    assert float(negative["abs_mag"]) == pytest.approx(mag)


@pytest.mark.parametrize("shape", [(4, 6), (2, 5), (1, 4)])
def test_hopping_and_schwinger_dyson_are_derivatives(shape):
    """Of the action, with respect to κ and to a factor of the field."""
    phi = a_field(shape)
    volume = math.prod(shape)

    def density(kappa, scale):
        return Phi4(shape, kappa, 0.31)(scale * phi) / volume

    action = Phi4(shape, 0.17, 0.31)
    values = compiled(lambda phi: observables.primary(action, phi))(phi)
    by_kappa, by_scale = compiled(jax.grad(density, (0, 1)))(0.17, 1.0)
    assert float(values["hopping"]) == pytest.approx(-float(by_kappa) / 2, rel=1e-12)
    assert float(values["schwinger_dyson"]) == pytest.approx(float(by_scale), rel=1e-12)


@pytest.mark.parametrize("shape", [(4, 6), (5, 3), (7,), (1, 4), (3, 2, 4)])
def test_slice_correlator_against_loops(shape):
    phi = np.random.default_rng(2).normal(size=shape)
    extent, space = shape[0], math.prod(shape[1:])
    expected = [
        sum(phi[t].sum() * phi[(t + lag) % extent].sum() for t in range(extent))
        / (extent * space)
        for lag in range(extent // 2 + 1)
    ]
    result = jax.jit(lambda x: observables.slice_correlator(x))(phi)
    np.testing.assert_allclose(result, expected, rtol=1e-12)
    # over all T lags it sums to V m²
    full = [expected[min(lag, extent - lag)] for lag in range(extent)]
    assert sum(full) == pytest.approx(phi.size * phi.mean() ** 2)


def test_correlator_runs_along_axis_0():
    """A wave in time is seen; one in space averages to zero."""
    t = np.cos(2 * np.pi * np.arange(4) / 4)
    along_time = jnp.asarray(np.tile(t[:, None], (1, 6)))
    along_space = jnp.asarray(np.tile(np.cos(np.pi * np.arange(6) / 3), (4, 1)))
    correlator = compiled(lambda phi: observables.slice_correlator(phi))
    np.testing.assert_allclose(correlator(along_time), [3, 0, -3], atol=1e-14)
    np.testing.assert_allclose(correlator(along_space), 0, atol=1e-14)


def test_dtypes():
    phi = a_field((4, 6), np.float32)
    values = jax.eval_shape(lambda phi: observables.primary(ACTION, phi), phi)
    assert values.pop("two_point").dtype == jnp.float32
    assert {value.dtype for value in values.values()} == {jnp.dtype("float64")}


def test_maps_over_configurations():
    phis = a_field((5, 4, 6))
    many = compiled(jax.vmap(lambda phi: observables.primary(ACTION, phi)))(phis)
    one = compiled(lambda phi: observables.primary(ACTION, phi))(phis[3])
    for key, value in one.items():
        np.testing.assert_allclose(many[key][3], value, rtol=1e-13)


def means_of_the_free_field(shape: tuple[int, ...]) -> tuple[dict, dict]:
    """Exact averages of a Gaussian theory, with ⟨m⁴⟩ = 3⟨m²⟩², and what follows."""
    known = exact.known(Phi4(shape, 0.17, 0.0))
    means = {
        key: jnp.asarray(known[key].value) for key in ("mag2", "abs_mag", "two_point")
    }
    means["mag4"] = 3 * means["mag2"] ** 2
    # 2S is a sum of V squares of normal numbers
    means["action_density"] = jnp.asarray(0.5)
    means["action_density2"] = jnp.asarray(0.25 + 0.5 / math.prod(shape))
    return means, known


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (5, 3), (8,)])
def test_derived_on_the_free_field(shape):
    means, known = means_of_the_free_field(shape)

    @compiled
    def derived(means):
        return {
            key: function({need: means[need] for need in needs}, shape)
            for key, (needs, function) in observables.DERIVED.items()
        }

    for key, value in derived(means).items():
        assert value == pytest.approx(known[key].value, abs=1e-12), key


def test_free_correlation_length():
    """ξ² = κ/(1 - 2κd): from the propagator 1/(2 D_p), D_p = 1 - 2κ Σ cos p."""
    means, _ = means_of_the_free_field((4, 6))
    _, function = observables.DERIVED["correlation_length"]
    assert float(function(means, (4, 6))) == pytest.approx(
        math.sqrt(0.17 / (1 - 4 * 0.17)), rel=1e-12
    )


def test_correlation_length_check_has_power():
    """Negative control: lags of a lattice one longer (5/2 = 4/2) must not pass."""
    means, known = means_of_the_free_field((4, 6))
    _, function = observables.DERIVED["correlation_length"]
    wrong = float(function(means, (5, 6)))
    assert wrong != pytest.approx(known["correlation_length"].value, rel=0.01)


def test_derived_by_hand():
    means = {key: jnp.asarray(v) for key, v in
             {"mag2": 0.5, "abs_mag": 0.6, "mag4": 0.3}.items()}  # fmt: skip
    derived = {
        key: float(observables.DERIVED[key][1](means, (4, 6)))
        for key in ("susceptibility", "binder")
    }
    assert derived["susceptibility"] == pytest.approx(24 * (0.5 - 0.36))
    assert derived["binder"] == pytest.approx(1 - 0.3 / 0.75)
