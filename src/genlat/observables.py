"""Functions of one configuration, and the quantities derived from their averages.

`primary` is what is averaged; `DERIVED` what follows from averages. Their names are the
keys of `results.json`. Lattice units; definitions in docs/conventions.md.
"""

import math
from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from genlat.actions.base import AbstractAction


def primary(
    action: AbstractAction, phi: Shaped[Array, "*lattice"]
) -> dict[str, Float[Array, "..."]]:
    """Every observable of one configuration whose average is an expectation value.

    `mag` = (1/V) Σφ and its powers, `action_density` = S/V and its square, and
    `two_point`, the correlator of zero-momentum slices (`slice_correlator`); and what
    the action has of its own. All are float64 but `two_point`, which follows a
    floating-point `phi`. Of a field of components `mag` is that of the first, and
    `abs_mag` and the powers are those of the length of the vector.
    """
    d, volume = len(action.lattice_shape), math.prod(action.lattice_shape)
    total = action(phi)
    vector = jnp.sum(phi, axis=tuple(range(d)), dtype=total.dtype) / volume
    mag = vector.ravel()[0] if action.components else vector
    length = jnp.sqrt(jnp.sum(vector**2)) if action.components else jnp.abs(mag)
    is_integer = jnp.issubdtype(phi.dtype, jnp.integer)
    fields = phi.astype(total.dtype) if is_integer else phi
    measured = {
        "mag": mag,
        "abs_mag": length,
        "mag2": length**2,
        "mag4": length**4,
        "action_density": total / volume,
        "action_density2": (total / volume) ** 2,
        "two_point": slice_correlator(fields, math.prod(action.components)),
    }
    return measured | action.observables(phi)


def slice_correlator(
    phi: Float[Array, "time *space"], n_components: int = 1
) -> Float[Array, " lags"]:
    r"""Correlator of slices Φ(t) = V_s⁻¹ᐟ² Σ_x φ(t, x), averaged over t.

    $$G(\tau) = \frac1T \sum_t \Phi(t)\cdot\Phi(t+\tau), \quad \tau = 0 \dots T/2$$

    Not connected. With this normalisation Σ_τ G(τ) over all T lags is V m².

    **Arguments:** `n_components`: on the last axes, of which the product is a sum.
    """
    extent = phi.shape[0]
    space = math.prod(phi.shape[1:]) // n_components
    fields = phi.reshape(extent, space, n_components)
    slices = jnp.sum(fields, axis=1) / math.sqrt(space)
    lags = jnp.arange(extent // 2 + 1)[:, None]
    shifted = slices[(jnp.arange(extent)[None, :] + lags) % extent]
    return shifted.reshape(len(lags), -1) @ slices.ravel() / extent


def _susceptibility(means: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
    """V (⟨m²⟩ - ⟨|m|⟩²)."""
    return math.prod(shape) * (means["mag2"] - means["abs_mag"] ** 2)


def _binder(means: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
    """1 - ⟨m⁴⟩ / (3 ⟨m²⟩²)."""
    return 1 - means["mag4"] / (3 * means["mag2"] ** 2)


def _specific_heat(means: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
    """Var(S)/V: minus the derivative of ⟨S⟩/V with respect to a factor of S, at 1."""
    return math.prod(shape) * (means["action_density2"] - means["action_density"] ** 2)


def _correlation_length(means: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
    r"""Second-moment ξ = √(G̃(0)/G̃(k) - 1) / (2 sin(k/2)), k = 2π/T."""
    extent = shape[0]
    two_point = means["two_point"]
    lags = jnp.arange(extent // 2 + 1)
    # lags t and T - t are the same correlator: all but 0 and T/2 appear twice
    weight = jnp.where((lags == 0) | (2 * lags == extent), 1.0, 2.0)
    at_zero = jnp.sum(weight * two_point)
    at_k = jnp.sum(weight * jnp.cos(2 * jnp.pi * lags / extent) * two_point)
    return jnp.sqrt(at_zero / at_k - 1) / (2 * math.sin(math.pi / extent))


DERIVED: dict[
    str, tuple[tuple[str, ...], Callable[[Mapping[str, Array], tuple[int, ...]], Array]]
] = {
    "susceptibility": (("mag2", "abs_mag"), _susceptibility),
    "binder": (("mag4", "mag2"), _binder),
    "specific_heat": (("action_density2", "action_density"), _specific_heat),
    "correlation_length": (("two_point",), _correlation_length),
}
