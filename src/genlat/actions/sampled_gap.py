"""The best Gaussian of any real field: a gap equation by averages over fixed noise."""

import functools
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from genlat import lattice
from genlat.actions.base import AbstractContinuousAction
from genlat.actions.gap import GaussianApproximation, mixing_entropy

MEANS = (0.0, 1.0, 4.0)
"""Where solutions are looked for, in units of the field; and at minus these."""

ROUNDS = 40
_NUMBERS = 1 << 15  # of noise, in pairs of a configuration and minus it
_FEWEST = 4  # such pairs
_LONGEST_STEP = 4.0  # in curvature and, of standard deviations, in the mean


class _Gaussian(NamedTuple):
    """`precision` of every momentum of the discrete Fourier transform, and the mean."""

    precision: Float[Array, "*lattice"]
    mean: Float[Array, ""]


def best_gaussian(action: AbstractContinuousAction) -> GaussianApproximation:
    r"""Minimise E_q[S + ln q] over translation-invariant Gaussians, as `gap` does.

    At a minimum the curvatures are those of S on average, and the mean feels no force:

    $$\frac{1}{\sigma_p^2} = \Big\langle \frac{\partial^2 S}{\partial\tilde\phi_p
      \partial\tilde\phi_p^*} \Big\rangle_q, \qquad
      \Big\langle \sum_x \frac{\partial S}{\partial\phi_x} \Big\rangle_q = 0.$$

    The averages are over noise that is always the same, so that the answer is a
    function of the action, with the right variance of every mode, so that a quadratic S
    is solved exactly. Iterated from every mean
    of `MEANS`; the lowest bound is returned. Where φ → -φ is declared a mean other than
    0 stands for the pair ±v; where the point group is, σ² is the same on its orbits.

    **Raises:** `ValueError` where the bound is no number from any of these.
    """
    found, bounds = _solutions(action, is_even="sign" in action.symmetries)
    if not np.any(np.isfinite(bounds)):
        places = ", ".join(f"{mean:g}" for mean in MEANS)
        raise ValueError(f"S is no number on the best Gaussians around φ = {places}")
    best = int(np.nanargmin(np.where(np.isfinite(bounds), bounds, np.nan)))
    precision, mean = np.asarray(found.precision[best]), float(found.mean[best])
    rows = np.ix_(*(lattice.real_momenta(extent) for extent in action.lattice_shape))
    variance = 1 / precision[rows]
    bound = float(bounds[best])
    if "sign" not in action.symmetries:
        return GaussianApproximation(variance, mean, bound)
    distance = abs(mean) * math.sqrt(precision.size * precision.flat[0])
    if distance < _SMALLEST:
        return GaussianApproximation(variance, 0.0, bound)
    return GaussianApproximation(variance, abs(mean), bound - mixing_entropy(distance))


_SMALLEST = 0.5  # standard deviations of the mean field that are a well apart


def _solutions(
    action: AbstractContinuousAction, *, is_even: bool
) -> tuple[_Gaussian, Float[np.ndarray, " starts"]]:
    """From every mean, and the bounds."""
    shape = action.lattice_shape
    volume = lattice.volume(shape)
    signs = (1.0,) if is_even else (1.0, -1.0)
    means = sorted({sign * mean for sign in signs for mean in MEANS})
    pairs = max(_FEWEST, _NUMBERS // (2 * volume))
    noise, probes = _noise(pairs, shape)
    orbits = _orbits(action)
    given = (jnp.asarray(x) for x in (noise, probes, means, orbits))
    found, bounds = _solve(action, *given)
    return found, np.asarray(bounds)


def _noise(
    n: int, shape: tuple[int, ...]
) -> tuple[Float[np.ndarray, "n *lattice"], Float[np.ndarray, "n *lattice"]]:
    """White noise whose every mode has unit variance over the n; and probes of modes.

    These have modulus 1 in each.
    """
    axes = tuple(range(1, len(shape) + 1))
    white = np.random.default_rng(0).standard_normal((2, n, *shape))
    noise, probes = (np.fft.fftn(x, axes=axes) for x in white)
    volume = math.prod(shape)
    size = np.sqrt(np.mean(np.abs(noise) ** 2, axis=0) / volume)
    waves = probes / np.abs(probes) * math.sqrt(volume)
    back = (np.fft.ifftn(x, axes=axes).real for x in (noise / size, waves))
    return next(back), next(back)


def _orbits(action: AbstractContinuousAction) -> Int[np.ndarray, "*lattice"]:
    """The orbit that every momentum is on, under what is declared; of k and -k else."""
    shape = action.lattice_shape
    if "point_group" in action.symmetries:
        rows = (_rows_of_transform(extent) for extent in shape)
        return lattice.momentum_orbits(shape)[0][np.ix_(*rows)]
    site = np.arange(math.prod(shape)).reshape(shape)
    axes = tuple(range(len(shape)))
    return np.minimum(site, np.roll(np.flip(site, axes), (1,) * len(axes), axes))


def _rows_of_transform(extent: int) -> Int[np.ndarray, " extent"]:
    """Of `lattice.real_fourier_matrix`, one with the |k| of each of the transform's."""
    k = np.arange(extent)
    return np.maximum(2 * np.minimum(k, extent - k) - 1, 0)


@eqx.filter_jit
def _solve(
    action: AbstractContinuousAction,
    noise: Float[Array, "pairs *lattice"],
    probes: Float[Array, "pairs *lattice"],
    means: Float[Array, " starts"],
    orbits: Int[Array, "*lattice"],
) -> tuple[_Gaussian, Float[Array, " starts"]]:
    """`probes`: of modulus 1 in every Fourier mode."""
    one = jnp.ones(action.lattice_shape)

    def solved(mean: Float[Array, ""]) -> tuple[_Gaussian, Float[Array, ""]]:
        step = functools.partial(_step, action, noise, probes, orbits)
        first = _Gaussian(one, mean)
        found = lax.fori_loop(0, ROUNDS, lambda _, now: step(now), first)
        return found, _bound(action, noise, found)

    return lax.map(solved, means)


def _step(
    action: AbstractContinuousAction,
    noise: Float[Array, "pairs *lattice"],
    probes: Float[Array, "pairs *lattice"],
    orbits: Int[Array, "*lattice"],
    now: _Gaussian,
) -> _Gaussian:
    """Half of the way, on the logarithm, to the curvatures on average; and the mean."""

    def of_pair(
        drawn: tuple[Float[Array, "*lattice"], Float[Array, "*lattice"]],
    ) -> tuple[Float[Array, "*lattice"], Float[Array, ""]]:
        noise, probe = drawn
        found = []
        for sign in (1.0, -1.0):
            phi = _moved(now, sign * noise)
            force, bent = jax.jvp(action.force, (phi,), (probe,))
            spectrum = -jnp.conj(jnp.fft.fftn(probe)) * jnp.fft.fftn(bent)
            found.append((spectrum.real / phi.size, jnp.mean(force)))
        (a, f), (b, g) = found
        return (a + b) / 2, (f + g) / 2

    curvatures, forces = lax.map(of_pair, (noise, probes), batch_size=_FEWEST)
    curvature = _on_orbits(jnp.mean(curvatures, axis=0), orbits)
    force = jnp.mean(forces)
    low, high = now.precision / _LONGEST_STEP, now.precision * _LONGEST_STEP
    precision = jnp.sqrt(now.precision * jnp.clip(curvature, low, high))
    softest = now.precision.ravel()[0]
    longest = _LONGEST_STEP / jnp.sqrt(softest)
    return _Gaussian(
        precision, now.mean + jnp.clip(force / softest, -longest, longest) / 2
    )


def _on_orbits(
    spectrum: Float[Array, "*lattice"], orbits: Int[Array, "*lattice"]
) -> Float[Array, "*lattice"]:
    """The mean over the momenta of every orbit."""
    flat, of = spectrum.ravel(), orbits.ravel()
    total = jnp.zeros_like(flat).at[of].add(flat)
    n = jnp.zeros_like(flat).at[of].add(1.0)
    return (total[of] / n[of]).reshape(spectrum.shape)


def _moved(now: _Gaussian, noise: Float[Array, "*lattice"]) -> Float[Array, "*lattice"]:
    """A configuration of the Gaussian."""
    return now.mean + jnp.fft.ifftn(jnp.fft.fftn(noise) / jnp.sqrt(now.precision)).real


def _bound(
    action: AbstractContinuousAction,
    noise: Float[Array, "pairs *lattice"],
    now: _Gaussian,
) -> Float[Array, ""]:
    def of_pair(noise: Float[Array, "*lattice"]) -> Float[Array, ""]:
        return (action(_moved(now, noise)) + action(_moved(now, -noise))) / 2

    mean = jnp.mean(lax.map(of_pair, noise, batch_size=_FEWEST))
    return mean - 0.5 * jnp.sum(jnp.log(2 * math.pi * math.e / now.precision))
