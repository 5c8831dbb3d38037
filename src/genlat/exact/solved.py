"""ln Z of an action of one's own where it is free, or of independent sites."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from genlat.actions.field import FieldAction
from genlat.exact.value import UnknownError

LARGEST = 2048  # sites, for a matrix of second derivatives
FURTHEST = 700.0  # of S over its minimum, where e^(-S) is nothing
WIDEST = 2.0**20  # of a field that is integrated over
GRID, BATCH = 4096, 64
TOLERANCE = 1e-9  # relative, of sums that rounding alone keeps apart

Field = Float[np.ndarray, "*lattice"]


def log_z(action: FieldAction) -> float:
    r"""ln Z, where S is quadratic or a sum over sites; found out, whatever is declared.

    $$\ln Z = -S(0) + \tfrac12 \sum_k \ln\frac{2\pi}{\lambda_k}
      \quad\text{or}\quad -S(0) + V \ln \int d\phi\, e^{-v(\phi)},$$

    λ the eigenvalues of the second derivatives, v that of one site over S(0).

    **Raises:** `UnknownError` for another S, one that is unbounded, or one of more than
    2048 sites without translations.
    """
    at_zero = float(action(jnp.zeros(action.lattice_shape)))
    if not math.isfinite(at_zero):
        raise UnknownError(f"S is {at_zero} at φ = 0")
    compiled = jax.jit(lambda phi: action.force(phi))

    def force(phi: Field) -> Field:
        return _np(compiled(jnp.asarray(phi)))

    if _is_linear(force, action.lattice_shape):
        return -at_zero + _of_free(force, action.lattice_shape)
    if _is_of_sites(action, at_zero):
        volume = math.prod(action.lattice_shape)
        return -at_zero + volume * _of_site(action, at_zero)
    raise UnknownError("S is neither quadratic nor a sum over independent sites")


def _is_linear(force: Callable[[Field], Field], shape: tuple[int, ...]) -> bool:
    """Whether the force is, and is 0 at φ = 0: then S is quadratic."""
    rng = np.random.default_rng(0)
    for size in (0.7, 2.3):
        one, two = size * rng.standard_normal((2, *shape))
        apart = force(one) + 1.7 * force(two)
        together = force(one + 1.7 * two)
        if not _is_near(together, apart):
            return False
    return _is_near(force(np.zeros(shape)) + 1.0, np.ones(shape))


def _of_free(force: Callable[[Field], Field], shape: tuple[int, ...]) -> float:
    """½ Σ ln 2π/λ; by the row of site 0 where every row is that one, moved."""
    origin = np.zeros(shape)
    origin.flat[0] = 1.0
    spectrum = np.fft.fftn(-force(origin))
    probe = np.random.default_rng(1).standard_normal(shape)
    moved = np.fft.ifftn(spectrum * np.fft.fftn(probe)).real
    if _is_near(-force(probe), moved):
        curvatures = spectrum.real.ravel()
    elif math.prod(shape) <= LARGEST:
        units = np.eye(math.prod(shape)).reshape(-1, *shape)
        rows = [-force(unit).ravel() for unit in units]
        curvatures = np.linalg.eigvalsh(np.array(rows))
    else:
        raise UnknownError("S is quadratic, but not the same at every site")
    if not np.all(curvatures > 0):
        lowest = curvatures.min()
        raise UnknownError(f"S is unbounded: its lowest curvature is {lowest:.3g}")
    return 0.5 * float(np.sum(np.log(2 * np.pi / curvatures)))


def _is_of_sites(action: FieldAction, at_zero: float) -> bool:
    """Whether S(φ) - S(0) is the sum over sites of what each has alone."""
    rng = np.random.default_rng(2)
    for size in (0.7, 2.3):
        phi = size * rng.standard_normal(action.lattice_shape)
        alone = _alone(action, phi.ravel()) - at_zero
        total = float(action(jnp.asarray(phi))) - at_zero
        scale = float(np.sum(np.abs(alone))) + abs(at_zero) * alone.size
        if not abs(total - float(np.sum(alone))) <= TOLERANCE * scale:
            return False
    return True


def _of_site(action: FieldAction, at_zero: float) -> float:
    """ln ∫ e^(-v) by the trapezoidal rule, which is exact to rounding for what falls.

    **Raises:** `UnknownError` where v does not rise, or twice as many points differ.
    """
    reach = 1.0
    while True:
        ends = _alone(action, np.array([-reach, reach])) - at_zero
        inside = _alone(action, np.linspace(-reach, reach, 257)) - at_zero
        if not np.all(np.isfinite(inside)):
            raise UnknownError(f"S is no number at a field of {reach:g}")
        if np.min(ends) - np.min(inside) > FURTHEST:
            break
        if reach >= WIDEST:
            raise UnknownError("e^(-S) of a site does not fall off")
        reach *= 1.5
    found = [_trapezoidal(action, at_zero, reach, n) for n in (GRID, 2 * GRID)]
    if abs(found[1] - found[0]) > TOLERANCE:
        raise UnknownError("S of a site is too rough to be integrated")
    return found[1]


def _trapezoidal(action: FieldAction, at_zero: float, reach: float, n: int) -> float:
    grid, step = np.linspace(-reach, reach, n + 1, retstep=True)
    exponents = at_zero - _alone(action, grid)
    top = float(np.max(exponents))
    return top + math.log(float(step) * float(np.sum(np.exp(exponents - top))))


def _alone(
    action: FieldAction, values: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """S with one site at each of the values, and 0 elsewhere."""

    def of_value(value: Float[Array, ""]) -> Float[Array, ""]:
        zero = jnp.zeros(math.prod(action.lattice_shape), value.dtype)
        return action(zero.at[0].set(value).reshape(action.lattice_shape))

    return _np(lax.map(of_value, jnp.asarray(values), batch_size=BATCH))


def _is_near(one: Field, two: Field) -> bool:
    scale = np.max(np.abs(one)) + np.max(np.abs(two))
    return bool(np.max(np.abs(one - two)) <= TOLERANCE * scale)


def _np(values: Array) -> Float[np.ndarray, "..."]:
    return np.asarray(values, dtype=np.float64)
