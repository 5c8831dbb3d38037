r"""Ensembles whose truth is known: parts of space, with log-normal weights in each.

A part holds the mass P_c of p and Q_c of q. Inside, ln(p/q) - ln(P_c/Q_c) is
σ_c z - σ_c²/2 with z ~ N(0, 1) on draws of q and z ~ N(σ_c, 1) on samples of p, so that
q is narrow in the direction of z. An observable is a_c + b z + s e with noise e ~ N(0,
1) that both share. Everything follows in closed form: ln Z, averages, entropy.

Samples of p are chains: z and e are Gaussian AR(1) sequences, parts are kept with a
probability of their own, so that a part can be entered rarely behind fast noise.
"""

import dataclasses
import math
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Float, Int
from scipy.signal import lfilter

from genlat.estimators import nmcmc
from genlat.likelihood import EXACT
from genlat.verdict import evidence, findings, results
from genlat.verdict.data import Chain, Draws, Proposed, Samples

SHAPE, VOLUME = (8, 4), 32
LOG_Z = 37.21
NAMES = ("mag", "phi2", "action_density")
TINY = 1e-130  # the mass of what a model lacks: not excluded, and never drawn
NEGLIGIBLE = 3e-6  # hundredths of the error of ln Z that 10⁵ draws can have


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of configuration space: masses, width of ln(p/q), place of mag."""

    p: float
    q: float
    sigma: float = 0.1
    at: float = 0.0


@dataclasses.dataclass(frozen=True)
class Law:
    """p and q, and how mag depends on z and on noise."""

    parts: tuple[Part, ...]
    slope: float = 0.4
    noise: float = 1.0

    def __post_init__(self) -> None:
        for masses in (self.p, self.q):
            if abs(masses.sum() - 1) > NEGLIGIBLE:
                raise ValueError(f"masses {masses} of a law must add up to 1")

    @property
    def p(self) -> Float[np.ndarray, " parts"]:
        return np.array([part.p for part in self.parts])

    @property
    def q(self) -> Float[np.ndarray, " parts"]:
        return np.array([part.q for part in self.parts])

    @property
    def sigma(self) -> Float[np.ndarray, " parts"]:
        return np.array([part.sigma for part in self.parts])

    @property
    def at(self) -> Float[np.ndarray, " parts"]:
        return np.array([part.at for part in self.parts])

    @property
    def ess(self) -> float:
        """1/E_p[p/q]."""
        return 1 / float(np.sum(self.p**2 / self.q * np.exp(self.sigma**2)))

    def truth(self) -> dict[str, float]:
        """Every estimate's exact value."""
        centre = self.at + self.slope * self.sigma
        variance = self.slope**2 + self.noise**2
        log_u = np.log(self.p / self.q) + self.sigma**2 / 2
        log_q = np.log(self.q) - (self.sigma**2 + 2) / 2 - math.log(2 * math.pi)
        action = float(self.p @ (-LOG_Z - log_u - log_q))
        return {
            "log_z": LOG_Z,
            "free_energy_density": -LOG_Z / VOLUME,
            "entropy_density": (action + LOG_Z) / VOLUME,
            "mag": float(self.p @ centre),
            "phi2": float(self.p @ (centre**2 + variance)),
            "action_density": action / VOLUME,
        }

    def weigh(
        self,
        c: Int[np.ndarray, "*n"],
        z: Float[np.ndarray, "*n"],
        e: Float[np.ndarray, "*n"],
    ) -> tuple[Float[np.ndarray, "*n"], dict[str, Float[np.ndarray, "*n"]]]:
        """ln w and the observables of configurations (part, z, e)."""
        sigma = self.sigma[c]
        log_w = LOG_Z + np.log(self.p / self.q)[c] + sigma * z - sigma**2 / 2
        log_q = np.log(self.q)[c] - (z**2 + e**2) / 2 - math.log(2 * math.pi)
        mag = self.at[c] + self.slope * z + self.noise * e
        action = -log_w - log_q
        measured = {"mag": mag, "phi2": mag**2, "action_density": action / VOLUME}
        return log_w, measured


@dataclasses.dataclass(frozen=True)
class Run:
    """How a law is sampled, and what the run says of itself.

    - `n`: draws of q. `chains`, `length`, `every`: of p; every which sample is stored.
    - `memory`: of z and e from step to step; `stay`: the chance to keep a part.
    - `start`: in z, of the first sample; `forget`: its memory.
    - `p_parts`: masses that the chain in fact has, where they are not those of p.
    - `is_guaranteed`: what the kernel claims of its modes.
    - `shift`: of ln w of draws by a finer integrator, with its error, where there is
      one, and what it does to the draws at hand.
    """

    n: int = 100_000
    chains: int = 64
    length: int = 500
    every: int = 4
    memory: float = 0.5
    stay: float = 0.0
    start: float = 0.0
    forget: float = 0.9
    p_parts: tuple[float, ...] | None = None
    p_shift: float = 0.0
    is_guaranteed: bool = True
    shift: tuple[float, float] | None = None
    roundoff: float = 2.0**-24


@dataclasses.dataclass
class Ensembles:
    """Draws, samples and the chain they are from, before they are judged."""

    draws: Draws
    samples: Samples
    chain: Chain
    parts: Int[np.ndarray, "chains n"]


def make(law: Law, run: Run, rng: np.random.Generator) -> Ensembles:
    """Everything that a run would leave behind."""
    c = rng.choice(len(law.parts), size=run.n, p=law.q / law.q.sum())
    z, e = rng.normal(size=(2, run.n))
    log_w, measured = law.weigh(c, z, e)
    if run.shift is not None:
        log_w = log_w - run.shift[0]
    draws = Draws(log_w, measured, run.roundoff, EXACT)
    c, z, e = _chains(law, run, rng)
    log_w, measured = law.weigh(c, z, e)
    stored = slice(run.every - 1, None, run.every)
    samples = Samples(
        log_w[:, stored],
        {name: values[:, stored] for name, values in measured.items()},
        "hmc+cluster",
        run.is_guaranteed,
    )
    chain = Chain("hmc+cluster", measured, np.full(c.shape, 0.8))
    return Ensembles(draws, samples, chain, c[:, stored])


def judged(law: Law, run: Run, made: Ensembles, seed: int) -> results.Results:
    """The results of a run on these ensembles."""
    draws, methods = made.draws, ("nis", "nmcmc", "p_estimator", "bar")
    parts = [
        findings.of_chain(made.chain, NAMES, SHAPE, 1.0),
        findings.of_draws(draws, methods, NAMES, SHAPE, 1.0),
    ]
    if findings.is_usable(draws.log_w):
        steps = draws.log_w.size // 100
        proposals = draws.log_w[: 100 * steps].reshape(100, steps)
        chain = nmcmc.run(jr.key(seed), proposals)
        proposed = Proposed(chain.index, chain.accepted.astype(np.float64))
        parts.append(findings.of_proposed(draws, proposed, NAMES, SHAPE, 1.0))
    rng = np.random.default_rng(seed)
    parts.append(evidence.of_samples(draws, made.samples, methods, NAMES, SHAPE, rng))
    noted: dict[str, Any] = {"volume": VOLUME}
    if run.shift is not None:
        error = math.sqrt(max(1 / law.ess - 1, 0.0) / run.n)
        noted["integrator"] = {
            "steps": 8,
            "shift_log_z": run.shift[0],
            "shift_error": run.shift[1],
            "statistical_error": error,
        }
    return results.assemble(parts, {}, noted)


def _chains(
    law: Law, run: Run, rng: np.random.Generator
) -> tuple[
    Int[np.ndarray, "chains n"],
    Float[np.ndarray, "chains n"],
    Float[np.ndarray, "chains n"],
]:
    size = (run.chains, run.length)
    p = law.p if run.p_parts is None else np.array(run.p_parts)
    fresh = rng.choice(len(law.parts), size=size, p=p / p.sum())
    is_kept = rng.random(size) < run.stay
    is_kept[:, 0] = False
    # the part of the last time that it was chosen anew
    last = np.maximum.accumulate(np.where(is_kept, 0, np.arange(run.length)), axis=1)
    c = np.take_along_axis(fresh, last, axis=1)
    z, e = (_ar1(run.memory, rng.normal(size=size)) for _ in range(2))
    decay = run.start * run.forget ** np.arange(run.length)
    return c, z + law.sigma[c] + run.p_shift + decay, e


def _ar1(
    memory: float, noise: Float[np.ndarray, "chains n"]
) -> Float[np.ndarray, "chains n"]:
    scaled = math.sqrt(1 - memory**2) * noise
    scaled[:, 0] = noise[:, 0]
    return np.asarray(lfilter([1.0], [1.0, -memory], scaled, axis=1))
