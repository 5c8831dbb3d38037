"""The lattice vector field of the continuous flow, with hand-written derivatives."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from genlat import lattice
from genlat.models import fourier, sine


class Coefficients(NamedTuple):
    """The field frozen at one time, in the layout of a batch (`fourier`).

    `gain` takes modes to angles ωφ, `kernel` features to velocities, `slopes` is D.
    """

    gain: Float[Array, "time 1 *space"]
    kernel: Float[Array, "time channels 1 *space"]
    mixing: Float[Array, "channels features"]
    slopes: Float[Array, " features"]


class SineField(eqx.Module):
    r"""Velocity of the modes y_k of a configuration, odd and fully symmetric.

    With φ = Σ_k e_k g_k(t) y_k in the real Fourier modes e_k,

    $$\dot y_k = \frac{1}{g_k(t)} \sum_c \hat K_c(k; t)\, \hat s_c(k), \qquad
      s_c(x) = \sum_{f=1}^{F} W_{cf}(t) \sin(f \omega \phi_x),$$

    i.e. a full-lattice circular convolution of every channel s_c. K̂ depends on k only
    through its orbit under the point group, so the flow commutes with translations and
    the point group; it is odd in φ. The gain g_k(t) = exp ∫₀ᵗ Λ_k is the exact solution
    of a linear term Λ_k (an integrating factor), so y starts and φ ends in field space.
    The divergence is closed: Σ_x Σ_f D_f cos(fωφ_x), D_f = fω Σ_c W_cf mean_k K̂_c(k),
    plus Σ_k Λ_k. Time runs over [0, 1]; K̂, Λ and W are Legendre series in it
    (`time_basis`).

    **Source:** the construction of Gerdes et al., SciPost Phys. 15, 238 (2023),
    arXiv:2207.00283, in momentum space and with mixed channels.

    **Arguments:**

    - `lattice_shape`: extents.
    - `frequency`: ω > 0, in units of 1/φ; not trained.
    - `n_features`, `n_channels`: F and the number of convolved mixtures.
    - `n_kernel_terms`, `n_mixing_terms`: Legendre terms of K̂ and Λ, and of W.
    - `key`: for the initial W; K̂ and Λ start at 0, so the flow starts as the identity.
    """

    kernel: Float[Array, "terms channels orbits"]
    linear: Float[Array, "terms orbits"]
    mixing: Float[Array, "mixing_terms channels features"]
    frequency: Float[Array, ""]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        lattice_shape: tuple[int, ...],
        *,
        frequency: float,
        n_features: int,
        n_channels: int,
        n_kernel_terms: int,
        n_mixing_terms: int,
        key: PRNGKeyArray,
    ):
        for name, value in [
            ("frequency", frequency),
            ("n_features", n_features - 1),  # harmonics start with a pair
            ("n_channels", n_channels),
            ("n_kernel_terms", n_kernel_terms),
            ("n_mixing_terms", n_mixing_terms),
        ]:
            if not value > 0:
                raise ValueError(f"{name} is too small: {value}")
        n_orbits = len(lattice.momentum_orbits(lattice_shape)[1])
        self.kernel = jnp.zeros((n_kernel_terms, n_channels, n_orbits), jnp.float32)
        self.linear = jnp.zeros((n_kernel_terms, n_orbits), jnp.float32)
        # small: the kernels, which start at 0, then learn before the features do
        leading = 0.2 * jr.normal(key, (1, n_channels, n_features), jnp.float32)
        rest = jnp.zeros((n_mixing_terms - 1, n_channels, n_features), jnp.float32)
        self.mixing = jnp.concatenate([leading, rest])
        self.frequency = jnp.asarray(frequency, jnp.float32)
        self.lattice_shape = lattice_shape

    def coefficients(self, times: Float[np.ndarray, " times"]) -> Coefficients:
        """The field at every one of `times`, stacked on a new first axis."""
        index, _ = lattice.momentum_orbits(self.lattice_shape)
        weights = np.bincount(index.ravel()) / index.size
        dtype = self.kernel.dtype
        n_terms = len(self.kernel)

        basis = jnp.asarray(time_basis(times, n_terms), dtype)
        integrals = jnp.asarray(time_basis_integrals(times, n_terms), dtype)
        gain = jnp.exp(integrals @ self.linear)
        kernel = jnp.tensordot(basis, self.kernel, 1)
        mixing = jnp.tensordot(
            jnp.asarray(time_basis(times, len(self.mixing)), dtype), self.mixing, 1
        )
        at_origin = kernel @ jnp.asarray(weights, dtype)
        frequency = lax.stop_gradient(self.frequency).astype(dtype)
        harmonics = frequency * jnp.arange(1, mixing.shape[-1] + 1, dtype=dtype)
        slopes = jnp.einsum("tc,tcf,f->tf", at_origin, mixing, harmonics)
        per_mode = jnp.moveaxis((kernel / gain[:, None])[..., index], 1, 2)
        return Coefficients(
            frequency * gain[:, index][:, :, None],
            per_mode[:, :, :, None],
            mixing,
            slopes,
        )

    def log_gain(self) -> Float[Array, "time 1 *space"]:
        """∫₀¹ Λ_k dt; its sum over k is the log-determinant of the linear part."""
        index, _ = lattice.momentum_orbits(self.lattice_shape)
        integrals = time_basis_integrals(np.ones(1), len(self.linear))[0]
        log_gain = jnp.asarray(integrals, self.linear.dtype) @ self.linear
        return log_gain[index][:, None]


def time_basis(times: Float[np.ndarray, " t"], n: int) -> Float[np.ndarray, "t n"]:
    """P_k(2t - 1) / (k + 1), k < n.

    All P_k are 1 at t = 1. Undamped, their coefficients learn a spike there which no
    affordable Runge-Kutta step resolves, and training runs away with its error.
    """
    return _legendre(times, n) / np.arange(1, n + 1)


def time_basis_integrals(
    times: Float[np.ndarray, " t"], n: int
) -> Float[np.ndarray, "t n"]:
    """∫₀ᵗ of `time_basis`."""
    p = _legendre(times, n + 1)
    higher = [(p[:, k + 1] - p[:, k - 1]) / (2 * (2 * k + 1)) for k in range(1, n)]
    return np.stack([times, *higher], axis=1) / np.arange(1, n + 1)


def _legendre(times: Float[np.ndarray, " t"], n: int) -> Float[np.ndarray, "t n"]:
    return np.polynomial.legendre.legvander(2 * times - 1, n - 1)


# Below, a batch of modes has shape (L₀, n, L₁, ...). Elementwise work is done on
# (L₀, n L₁ ...), a layout that XLA vectorises whatever the innermost extent is.


@jax.custom_vjp
def velocity(
    modes: Float[Array, "time n *space"], at: Coefficients
) -> Float[Array, "time n *space"]:
    """dy/dt of a batch; differentiable without divergence."""
    return velocity_and_divergence(modes, at)[0]


@jax.custom_vjp
def velocity_and_divergence(
    modes: Float[Array, "time n *space"], at: Coefficients
) -> tuple[Float[Array, "time n *space"], Float[Array, " n"]]:
    """dy/dt and its divergence (float64), without the linear part's constant."""
    sin, cos = _angles(modes, at.gain)
    features_hat = _features_hat(sin, cos, at.mixing, modes.shape)
    rate = sine.cosine_series(at.slopes, cos)
    wide = jax.dtypes.canonicalize_dtype(jnp.float64)
    per_column = jnp.sum(rate, axis=0, dtype=wide).reshape(modes.shape[1], -1)
    return _convolve(at.kernel, features_hat), jnp.sum(per_column, axis=1)


def pullback_modes(
    modes: Float[Array, "time n *space"],
    at: Coefficients,
    velocity_bar: Float[Array, "time n *space"],
) -> Float[Array, "time n *space"]:
    """∂/∂modes of ⟨velocity_bar, velocity⟩ + divergence."""
    sin, cos = _angles(modes, at.gain)
    features_bar = _features_bar(at.kernel, velocity_bar)
    angle_bar = _angle_bar(sin, cos, features_bar, at.mixing)
    angle_bar -= sine.sine_series(_harmonic(at.slopes), sin, cos)
    return at.gain * fourier.to_modes(angle_bar.reshape(modes.shape))


def _velocity_forward(modes, at):
    return velocity(modes, at), (modes, at)


def _velocity_backward(residuals, velocity_bar):
    modes, at = residuals
    return _pullback(modes, at, velocity_bar, None)


def _both_forward(modes, at):
    return velocity_and_divergence(modes, at), (modes, at)


def _both_backward(residuals, bars):
    (modes, at), (velocity_bar, divergence_bar) = residuals, bars
    return _pullback(modes, at, velocity_bar, divergence_bar)


velocity.defvjp(_velocity_forward, _velocity_backward)
velocity_and_divergence.defvjp(_both_forward, _both_backward)


def _pullback(
    modes: Float[Array, "time n *space"],
    at: Coefficients,
    velocity_bar: Float[Array, "time n *space"],
    divergence_bar: Float[Array, " n"] | None,
) -> tuple[Float[Array, "time n *space"], Coefficients]:
    n_features = at.mixing.shape[1]
    sin, cos = _angles(modes, at.gain)
    features_hat = _features_hat(sin, cos, at.mixing, modes.shape)
    features_bar = _features_bar(at.kernel, velocity_bar)
    angle_bar = _angle_bar(sin, cos, features_bar, at.mixing)

    flat_bar = jnp.moveaxis(features_bar, 1, 0).reshape(len(at.mixing), -1)
    harmonics = jnp.stack(sine.sines(n_features, sin, cos)).reshape(n_features, -1)
    mixing_bar = flat_bar @ harmonics.T
    slopes_bar = jnp.zeros_like(at.slopes)
    if divergence_bar is not None:
        space = modes.size // (modes.shape[0] * modes.shape[1])
        rate_bar = jnp.repeat(divergence_bar.astype(modes.dtype), space)[None]
        angle_bar -= rate_bar * sine.sine_series(_harmonic(at.slopes), sin, cos)
        # summed over time first: one vector reduction per harmonic
        slopes_bar = jnp.stack(
            [jnp.sum(c, axis=0) @ rate_bar[0] for c in sine.cosines(n_features, cos)]
        )
    phi_hat_bar = fourier.to_modes(angle_bar.reshape(modes.shape))
    return at.gain * phi_hat_bar, Coefficients(
        gain=_sum_batch(modes[:, None] * phi_hat_bar[:, None])[:, 0],
        kernel=_sum_batch(velocity_bar[:, None] * features_hat),
        mixing=mixing_bar,
        slopes=slopes_bar,
    )


def _angles(modes: Array, gain: Array) -> tuple[Array, Array]:
    angle = fourier.to_real(gain * modes)
    return sine.sin_cos(angle.reshape(len(angle), -1))


def _features_hat(
    sin: Array, cos: Array, mixing: Array, shape: tuple[int, ...]
) -> Float[Array, "time channels n *space"]:
    channels = [sine.sine_series(weights, sin, cos) for weights in mixing]
    stacked = jnp.stack(channels, axis=1)
    return fourier.to_modes(stacked.reshape(shape[0], -1, *shape[1:]), n_batch_axes=2)


def _convolve(kernel: Array, features_hat: Array) -> Float[Array, "time n *space"]:
    # a sum of slices: a reduction over the middle axis is ten times slower on CPU
    n_channels = kernel.shape[1]
    return lattice.sum_arrays(
        [kernel[:, c] * features_hat[:, c] for c in range(n_channels)]
    )


def _features_bar(
    kernel: Array, velocity_bar: Array
) -> Float[Array, "time channels columns"]:
    bars = fourier.to_real(kernel * velocity_bar[:, None], n_batch_axes=2)
    return bars.reshape(*bars.shape[:2], -1)


def _angle_bar(sin: Array, cos: Array, features_bar: Array, mixing: Array) -> Array:
    del sin
    terms = [
        features_bar[:, c] * sine.cosine_series(_harmonic(weights), cos)
        for c, weights in enumerate(mixing)
    ]
    return lattice.sum_arrays(terms)


def _harmonic(weights: Float[Array, " f"]) -> Float[Array, " f"]:
    """f w_f: the derivative of a series in multiples of the angle."""
    return weights * jnp.arange(1, len(weights) + 1, dtype=weights.dtype)


def _sum_batch(
    x: Float[Array, "time channels n *space"],
) -> Float[Array, "time channels 1 *space"]:
    """Sum over axis 2, by halves: contiguous additions where XLA would stride."""
    time, channels, n, *space = x.shape
    x = x.reshape(time, channels, -1)
    while n % 2 == 0:
        n //= 2
        x = x.reshape(time, channels, 2, -1)
        x = x[:, :, 0] + x[:, :, 1]
    return jnp.sum(x.reshape(time, channels, n, *space), axis=2, keepdims=True)
