"""Chains of p, draws of q, and arrays made elsewhere, measured for the verdict."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Num, PRNGKeyArray

from genlat import lattice, observables
from genlat.api import environment
from genlat.errors import RequestError
from genlat.estimators.brief import brief
from genlat.likelihood import EXACT
from genlat.mcmc import runner
from genlat.mcmc.base import AbstractKernel
from genlat.mcmc.sequence import Sequence
from genlat.models.base import AbstractModel
from genlat.runs import findings
from genlat.runs.stages import given_stage, integrated, sampling, target_stage
from genlat.theories.base import Options, Theory
from genlat.verdict import given, integrator
from genlat.verdict.data import Chain, Draws, Samples
from genlat.verdict.given import Field

CHUNK = 100  # samples of every chain between two looks
BATCH = 500  # configurations at once
PILOT = 4096
OWN = "a chain of the user's own"
PREFIX = findings.PREFIX

Progress = Callable[[int, int], None]
"""Called with what is done and the total."""


@dataclasses.dataclass(frozen=True)
class Chains:
    """Chains of p with all their configurations.

    - `phi`: (chains, n, *lattice), as the theory's field is stored.
    - `history`: observables and acceptance, for `judge(chain=...)`.
    - `visits_every_mode`: whether the kernel reaches all modes by construction.
    """

    theory: Theory
    phi: Num[np.ndarray, "chains n *lattice"]
    history: Chain
    visits_every_mode: bool

    __repr__ = brief

    def under(self, model: AbstractModel) -> Samples:
        """The same as samples that a model is held against: with its ln q there."""
        flat = self.phi.reshape(-1, *self.phi.shape[2:])
        found = target_stage.evaluate(model, self.theory.action, flat, BATCH)
        shape = self.phi.shape[:2]
        arrays = {name: x.reshape(*shape, *x.shape[1:]) for name, x in found.items()}
        log_w = -arrays["action"] - arrays["log_q"]
        kernel = self.history.name
        return Samples(log_w, _measured(arrays), kernel, self.visits_every_mode)

    def gaussian(self) -> tuple[Float[np.ndarray, "*lattice"], float]:
        """Variance of every mode and v, for a prior ±v + χ: that of `gl.cnf.build`.

        Of the chains' spectrum, averaged over the lattice's point group; v is ⟨|m|⟩
        where the magnetisation keeps away from 0 and 0 otherwise.

        **Raises:** `RequestError` for a field of components or spins.
        """
        action = self.theory.action
        if action.components or not action.space.is_continuous:
            raise RequestError(f"no Gaussian prior for {action.space.title} from here")
        return _spectrum(self.phi.astype(np.float64))


def _spectrum(
    phi: Float[np.ndarray, "chains n *lattice"],
) -> tuple[Float[np.ndarray, "*lattice"], float]:
    shape = phi.shape[2:]
    modes = phi
    for axis, extent in enumerate(shape, start=2):
        matrix = lattice.real_fourier_matrix(extent)
        modes = np.moveaxis(np.tensordot(modes, matrix, (axis, 1)), -1, axis)
    variance = np.mean(modes**2, axis=(0, 1))
    abs_mag = float(np.mean(np.abs(np.mean(phi, axis=tuple(range(2, phi.ndim))))))
    volume, zero = lattice.volume(shape), (0,) * len(shape)
    mean = 0.0
    if volume * abs_mag**2 > 0.81 * variance[zero]:  # 2/π of one well around 0
        mean = abs_mag
        variance[zero] -= volume * mean**2
    index, orbits = lattice.momentum_orbits(shape)
    sums = np.bincount(index.ravel(), variance.ravel(), len(orbits))
    return (sums / np.bincount(index.ravel(), minlength=len(orbits)))[index], mean


def run_chains(
    theory: Theory,
    kernels: tuple[str, ...],
    key: PRNGKeyArray,
    *,
    n_chains: int,
    n_samples: int,
    n_therm: int = 500,
    thin: int = 1,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Chains:
    """Chains of the theory, thermalised and tuned; all configurations are kept.

    **Arguments:** `kernels`: names in `theory.kernels`, applied in sequence; `thin`:
    steps from one kept sample to the next.

    **Raises:** `RequestError` for a kernel that the theory does not have.
    """
    environment.require()
    kernel = _kernel(theory, kernels, options or Options())
    key_start, key_therm, key_run = jr.split(key, 3)
    phis = theory.start(key_start, n_chains, jnp.dtype(jnp.float64))
    tuned, state = runner.thermalise(kernel, phis, key_therm, n_therm=n_therm)
    measure = jax.tree_util.Partial(_with_configuration, theory.action)
    parts = []
    for first in range(0, n_samples, CHUNK):
        n = min(CHUNK, n_samples - first)
        state, history = runner.run_chunk(
            tuned, state, key_run, thin * first, n_samples=n, thin=thin, measure=measure
        )
        stored = np.asarray(history.pop("phi"), theory.action.space.dtype)
        parts.append({**jax.tree.map(np.asarray, history), "phi": stored})
        if progress is not None:
            progress(first + n, n_samples)
    joined = {
        name: np.concatenate([part[name] for part in parts], axis=1)
        for name in parts[0]
    }
    phi, acceptance = joined.pop("phi"), joined.pop("acceptance")
    joined.pop("delta_h")
    history = Chain("+".join(kernels), joined, acceptance)
    visits = theory.is_visited_by(Sequence(_parts(kernel)))
    return Chains(theory, phi, history, visits)


def _kernel(
    theory: Theory, kernels: tuple[str, ...], options: Options
) -> AbstractKernel:
    if isinstance(kernels, str) or not kernels:
        raise RequestError(f"kernels = {kernels!r}: a sequence of names is wanted")
    for name in kernels:
        if name not in theory.kernels:
            known = ", ".join(theory.kernels)
            raise RequestError(f"kernels: {name}: this theory has {known}")
    parts = tuple(theory.kernels[name](options) for name in kernels)
    return parts[0] if len(parts) == 1 else Sequence(parts)


def _parts(kernel: AbstractKernel) -> tuple[AbstractKernel, ...]:
    return kernel.kernels if isinstance(kernel, Sequence) else (kernel,)


def _with_configuration(action: Any, phi: Num[Array, "*lattice"]) -> dict[str, Any]:
    return observables.primary(action, phi) | {"phi": phi}


def draw(
    model: AbstractModel,
    theory: Theory,
    key: PRNGKeyArray,
    n: int,
    *,
    progress: Progress | None = None,
) -> Draws:
    """`n` independent draws of a model, weighed and measured; no configuration is kept.

    Draw i depends on `key` and i alone. Of a model that is integrated it is measured
    what twice the steps would change, which the verdict asks for.
    """
    environment.require()
    action, parts, piece = theory.action, [], 10 * BATCH
    key_pilot, key_draws = jr.split(key)
    for first in range(0, n, piece):
        count = min(piece, n - first)
        drawn = sampling.draw(model, action, key_draws, first, count, BATCH)
        parts.append({"log_w": drawn.log_w, **drawn.observables})
        if progress is not None:
            progress(first + count, n)
    joined = {name: np.concatenate([x[name] for x in parts]) for name in parts[0]}
    log_w, found = joined.pop("log_w"), findings.roundoff(model)
    choice = None
    if (steps := integrated.n_steps(model)) is not None:
        choice = integrator.measure(pilot(model, theory, key_pilot, n), steps, n)
    return Draws(log_w, joined, found, model.likelihood, choice)


def pilot(
    model: AbstractModel, theory: Theory, key: PRNGKeyArray, n: int
) -> integrator.LogWeights:
    """Log-weights of a few draws, at any number of steps from the same numbers."""

    def log_w_at(steps: int) -> Float[np.ndarray, " n"]:
        finer = integrated.with_steps(model, steps)
        count = min(PILOT, n)
        return sampling.draw(finer, theory.action, key, 0, count, BATCH).log_w

    return log_w_at


def measure_draws(theory: Theory, phi: Any, log_q: Any) -> Draws:
    """Independent draws made anywhere: arrays, or lists of numbers.

    **Arguments:** `phi`: (n, *lattice); `log_q`: (n,), the natural logarithm of the
    normalised density that they are draws of.

    **Raises:** `RequestError` for what the command `genlat judge` refuses.
    """
    environment.require()
    rows, numbers, field = _checked(theory, phi, log_q, ("n",))
    arrays = given_stage.measure(theory.action, rows)
    if reason := given.repeated(arrays["action"], field):
        raise RequestError(f"phi: {reason}")
    coarsest = max(np.finfo(x).eps for x in _types(rows, log_q, field))
    log_w = -arrays["action"] - numbers
    return Draws(log_w, _measured(arrays), float(coarsest) / 2, EXACT)


def measure_samples(
    theory: Theory, phi: Any, log_q: Any, *, visits_every_mode: bool
) -> Samples:
    """Samples of p made anywhere, with the model's ln q at them.

    **Arguments:** `phi`: (chains, n, *lattice); `log_q`: (chains, n);
    `visits_every_mode`: whether their chain reaches every mode by construction, yours
    to say.

    **Raises:** as `measure_draws`.
    """
    environment.require()
    rows, numbers, _ = _checked(theory, phi, log_q, ("chains", "n"))
    shape = rows.shape[:2]
    flat = rows.reshape(-1, *rows.shape[2:])
    found = given_stage.measure(theory.action, flat)
    arrays = {name: x.reshape(*shape, *x.shape[1:]) for name, x in found.items()}
    log_w = -arrays["action"] - numbers
    return Samples(log_w, _measured(arrays), OWN, visits_every_mode)


def _checked(
    theory: Theory, phi: Any, log_q: Any, axes: tuple[str, ...]
) -> tuple[Num[np.ndarray, "..."], Float[np.ndarray, "..."], Field]:
    action, rows, numbers = theory.action, np.asarray(phi), np.asarray(log_q)
    field = Field(action.field_shape, not action.space.is_continuous)
    if reason := given.layout(rows.shape, rows.dtype, field, axes):
        raise RequestError(f"phi {reason}")
    of = rows.shape[: len(axes)]
    if reason := given.log_q_layout(numbers.shape, numbers.dtype, of):
        raise RequestError(f"log_q {reason}")
    flat = rows.reshape(-1, *field.shape)
    if reason := given.values(flat, 0, field):
        raise RequestError(f"phi {reason}")
    wide = numbers.astype(np.float64)
    may_exclude = len(axes) == 2
    for reason in given.log_q_values(wide, field, may_exclude=may_exclude):
        raise RequestError(f"log_q {reason}")
    return rows.astype(rows.dtype.newbyteorder("=")), wide, field


def _types(
    rows: Num[np.ndarray, "..."], log_q: Any, field: Field
) -> tuple[np.dtype, np.dtype]:
    of_phi = np.dtype("float32") if field.is_spins else rows.dtype
    return of_phi, np.asarray(log_q).dtype


def _measured(arrays: dict[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix(PREFIX): x
        for name, x in arrays.items()
        if name.startswith(PREFIX)
    }
