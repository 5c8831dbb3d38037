"""The lattice vector field of the continuous flow, with hand-written derivatives."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from genlat import lattice
from genlat.models import fourier
from genlat.models.sites import AbstractSites, Numbers, Vectors


class Coefficients(eqx.Module):
    """The field frozen at one time, in the layout of a batch (`fourier`).

    `gain` takes modes to angles ωφ, `kernel` features to velocities, `slopes` is D.
    `components` are those of a value of φ, behind time in the layout of a batch: gains
    are (L₀, *ones, *space), kernels (L₀, channels, *ones, *space). At several times at
    once, these are one more axis in front.
    """

    gain: Float[Array, "..."]
    kernel: Float[Array, "..."]
    mixing: Float[Array, "*times channels features"]
    slopes: Float[Array, "*times features"]
    components: tuple[int, ...] = eqx.field(static=True)

    @property
    def n_batch_axes(self) -> int:
        """Axes of modes between time and space: components, and the batch."""
        return len(self.components) + 1


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

    Of N components sin(fωφ) is sin(fω|φ|) φ/|φ|, and one more term stands in the
    divergence: (N - 1) Σ_f D_f sin(fω|φ|)/(fω|φ|). Components mix through |φ_x|, and
    the flow commutes with all rotations and reflections of them, O(N), of which their
    permutations are a part.

    **Source:** the construction of Gerdes et al., SciPost Phys. 15, 238 (2023),
    arXiv:2207.00283, in momentum space and with mixed channels; lengths times
    directions, for distances of particles: Köhler et al., arXiv:2006.02425.

    **Arguments:**

    - `lattice_shape`: extents.
    - `frequency`: ω > 0, in units of 1/φ; not trained.
    - `n_features`, `n_channels`: F and the number of convolved mixtures.
    - `n_kernel_terms`, `n_mixing_terms`: Legendre terms of K̂ and Λ, and of W.
    - `key`: for the initial W; K̂ and Λ start at 0, so the flow starts as the identity.
    - `components`: (N,), or none for a field of numbers.
    """

    kernel: Float[Array, "terms channels orbits"]
    linear: Float[Array, "terms orbits"]
    mixing: Float[Array, "mixing_terms channels features"]
    frequency: Float[Array, ""]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    components: tuple[int, ...] = eqx.field(static=True)

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
        components: tuple[int, ...] = (),
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
        self.components = components

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
            frequency * self._of_any_batch(gain[:, index]),
            self._of_any_batch(per_mode),
            mixing,
            slopes,
            self.components,
        )

    def log_gain(self) -> Float[Array, "time *ones_and_space"]:
        """∫₀¹ Λ_k dt; its sum over k is the log-determinant of the linear part."""
        index, _ = lattice.momentum_orbits(self.lattice_shape)
        integrals = time_basis_integrals(np.ones(1), len(self.linear))[0]
        log_gain = jnp.asarray(integrals, self.linear.dtype) @ self.linear
        return self._of_any_batch(log_gain[index])

    def _of_any_batch(self, per_mode: Array) -> Array:
        """Numbers of modes with an axis of extent 1 for each in a batch of them."""
        n_space = len(self.lattice_shape) - 1
        first = per_mode.ndim - n_space
        axes = range(first, first + len(self.components) + 1)
        return jnp.expand_dims(per_mode, tuple(axes))


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


# Below, a batch of modes has shape (L₀, *components, n, L₁, ...). Elementwise work is
# done on (L₀, *components, n L₁ ...), a layout that XLA vectorises whatever the
# innermost extent is.


@jax.custom_vjp
def velocity(
    modes: Float[Array, "time *batch_and_space"], at: Coefficients
) -> Float[Array, "time *batch_and_space"]:
    """dy/dt of a batch; differentiable without divergence."""
    return velocity_and_divergence(modes, at)[0]


@jax.custom_vjp
def velocity_and_divergence(
    modes: Float[Array, "time *batch_and_space"], at: Coefficients
) -> tuple[Float[Array, "time *batch_and_space"], Float[Array, " n"]]:
    """dy/dt and its divergence (float64), without the linear part's constant."""
    sites = _sites(modes, at)
    features_hat = _features_hat(sites, modes.shape, at)
    rate = sites.divergence(at.slopes)
    wide = jax.dtypes.canonicalize_dtype(jnp.float64)
    n = modes.shape[at.n_batch_axes]
    per_column = jnp.sum(rate, axis=0, dtype=wide).reshape(n, -1)
    return _convolve(at.kernel, features_hat), jnp.sum(per_column, axis=1)


def pullback_modes(
    modes: Float[Array, "time *batch_and_space"],
    at: Coefficients,
    velocity_bar: Float[Array, "time *batch_and_space"],
) -> Float[Array, "time *batch_and_space"]:
    """∂/∂modes of ⟨velocity_bar, velocity⟩ + divergence."""
    sites = _sites(modes, at)
    features_bar = _features_bar(velocity_bar, at)
    angle_bar = _angle_bar(sites, features_bar, at.mixing)
    angle_bar += sites.pull_divergence(at.slopes)
    return at.gain * _to_modes(angle_bar.reshape(modes.shape), at)


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
    modes: Float[Array, "time *batch_and_space"],
    at: Coefficients,
    velocity_bar: Float[Array, "time *batch_and_space"],
    divergence_bar: Float[Array, " n"] | None,
) -> tuple[Float[Array, "time *batch_and_space"], Coefficients]:
    n_channels, n_features = at.mixing.shape
    sites = _sites(modes, at)
    features_hat = _features_hat(sites, modes.shape, at)
    features_bar = _features_bar(velocity_bar, at)
    angle_bar = _angle_bar(sites, features_bar, at.mixing)

    felt = jnp.stack([sites.along(features_bar[:, c]) for c in range(n_channels)])
    terms = jnp.stack(sites.terms(n_features)).reshape(n_features, -1)
    mixing_bar = felt.reshape(n_channels, -1) @ terms.T
    slopes_bar = jnp.zeros_like(at.slopes)
    if divergence_bar is not None:
        space = math.prod(modes.shape[at.n_batch_axes + 1 :])
        rate_bar = jnp.repeat(divergence_bar.astype(modes.dtype), space)
        slope = sites.pull_divergence(at.slopes)
        angle_bar += jnp.expand_dims(rate_bar, tuple(range(slope.ndim - 1))) * slope
        # summed over time first: one vector reduction per harmonic
        terms = sites.divergence_terms(n_features)
        slopes_bar = jnp.stack([jnp.sum(term, axis=0) @ rate_bar for term in terms])
    phi_hat_bar = _to_modes(angle_bar.reshape(modes.shape), at)
    return at.gain * phi_hat_bar, Coefficients(
        gain=_sum_batch(modes[:, None] * phi_hat_bar[:, None], at)[:, 0],
        kernel=_sum_batch(velocity_bar[:, None] * features_hat, at),
        mixing=mixing_bar,
        slopes=slopes_bar,
        components=at.components,
    )


def _sites(modes: Array, at: Coefficients) -> AbstractSites:
    angle = fourier.to_real(at.gain * modes, at.n_batch_axes)
    columns = angle.reshape(len(angle), *at.components, -1)
    return Vectors(columns) if at.components else Numbers(columns)


def _to_modes(phi: Array, at: Coefficients) -> Array:
    return fourier.to_modes(phi, at.n_batch_axes)


def _features_hat(
    sites: AbstractSites, shape: tuple[int, ...], at: Coefficients
) -> Float[Array, "time channels *batch_and_space"]:
    stacked = jnp.stack([sites.series(weights) for weights in at.mixing], axis=1)
    features = stacked.reshape(shape[0], -1, *shape[1:])
    return fourier.to_modes(features, at.n_batch_axes + 1)


def _convolve(
    kernel: Array, features_hat: Array
) -> Float[Array, "time *batch_and_space"]:
    # a sum of slices: a reduction over the middle axis is ten times slower on CPU
    n_channels = kernel.shape[1]
    return lattice.sum_arrays(
        [kernel[:, c] * features_hat[:, c] for c in range(n_channels)]
    )


def _features_bar(
    velocity_bar: Array, at: Coefficients
) -> Float[Array, "time channels *components columns"]:
    bars = fourier.to_real(at.kernel * velocity_bar[:, None], at.n_batch_axes + 1)
    return bars.reshape(*bars.shape[:2], *at.components, -1)


def _angle_bar(sites: AbstractSites, features_bar: Array, mixing: Array) -> Array:
    terms = [
        sites.pull_series(weights, features_bar[:, c])
        for c, weights in enumerate(mixing)
    ]
    return lattice.sum_arrays(terms)


def _sum_batch(
    x: Float[Array, "time channels *batch_and_space"], at: Coefficients
) -> Float[Array, "time channels *ones_and_space"]:
    """Sum over a batch, by halves: contiguous additions where XLA would stride."""
    first_of_space = 2 + at.n_batch_axes
    time, channels, *batch = x.shape[:first_of_space]
    space, n = x.shape[first_of_space:], math.prod(batch)
    x = x.reshape(time, channels, -1)
    while n % 2 == 0:
        n //= 2
        x = x.reshape(time, channels, 2, -1)
        x = x[:, :, 0] + x[:, :, 1]
    total = jnp.sum(x.reshape(time, channels, n, *space), axis=2)
    return total.reshape(time, channels, *(1 for _ in batch), *space)
