"""Constructed runs: honest ones, lies, and what no rule can see in principle.

A case is drawn from a family by a seed. Families are numbered, so that a case is the
same in every version of the table.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np

from ensembles import TINY, Ensembles, Law, Part, Run

Truth = Literal["honest", "lie", "blind"]
Change = Callable[[Ensembles, np.random.Generator], None]


class Case(NamedTuple):
    """One constructed run. `change` is what was done to it after it was made."""

    name: str
    truth: Truth
    law: Law
    run: Run
    change: Change | None = None


Family = Callable[[np.random.Generator], Case]


def sigma_of(ess: float) -> float:
    """Width of log-normal weights."""
    return math.sqrt(-math.log(ess))


def _one(ess: float) -> Law:
    return Law((Part(1.0, 1.0, sigma_of(ess)),))


def _wells(ess: float, share: float = 0.5, covered: float | None = None) -> Law:
    """Two wells; the model has `covered` of the second, `share` of p."""
    q = share if covered is None else covered
    sigma = sigma_of(ess)
    return Law((Part(1 - share, 1 - q, sigma, 1.0), Part(share, q, sigma, -1.0)))


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


# Honest


def good(rng: np.random.Generator) -> Case:
    ess = rng.choice([0.999, 0.99, 0.97, 0.9, 0.8, 0.65, 0.5])
    run = Run(memory=rng.choice([0.0, 0.5, 0.8]))
    return Case(f"one well, ESS {ess:g}", "honest", _one(ess), run)


def good_wells(rng: np.random.Generator) -> Case:
    ess, share = rng.choice([0.99, 0.9, 0.6]), rng.choice([0.5, 0.2, 0.03])
    run = Run(stay=rng.choice([0.0, 0.8]), memory=0.5)
    name = f"two wells, {share:g} and the rest, ESS {ess:g}"
    return Case(name, "honest", _wells(ess, share), run)


def poor(rng: np.random.Generator) -> Case:
    ess = rng.choice([0.3, 0.2, 0.1])
    return Case(f"one well, ESS {ess:g}", "honest", _one(ess), Run())


def wide_tail(rng: np.random.Generator) -> Case:
    """σ = 2, n = 10⁶: n_eff 13 000, Pareto k about 0.6, ln Z right."""
    law = Law((Part(1.0, 1.0, 2.0),))
    return Case("log-normal, σ = 2, n = 10⁶", "honest", law, Run(n=1_000_000))


def heavy_inverse(rng: np.random.Generator) -> Case:
    """q has a part that p all but lacks: 1/w is heavy, importance sampling is right."""
    share, ratio = _log(rng, 0.003, 0.03), _log(rng, 100, 3000)
    parts = (Part(1 - share / ratio, 1 - share, 0.1), Part(share / ratio, share, 0.5))
    name = f"{share:.3f} of q where p is {ratio:.0f} times less"
    return Case(name, "honest", Law(parts), Run())


def short_chains(rng: np.random.Generator) -> Case:
    chains, length = [(64, 60), (200, 30), (16, 200), (2, 3000)][rng.integers(4)]
    run = Run(chains=chains, length=length, every=1, memory=rng.choice([0.0, 0.5]))
    return Case(f"{chains} chains of {length}", "honest", _one(0.95), run)


def mild_unevenness(rng: np.random.Generator) -> Case:
    """q has less of one well than p, but enough draws there."""
    share = rng.choice([0.5, 0.1])
    law = _wells(0.95, share, share * rng.uniform(0.4, 0.9))
    return Case(f"{share:g} of p, less of it in q", "honest", law, Run(stay=0.5))


def exact(rng: np.random.Generator) -> Case:
    return Case("q = p", "honest", Law((Part(1.0, 1.0, 0.0),)), Run())


def fine_integrator(rng: np.random.Generator) -> Case:
    shift = 1e-5 * rng.normal()
    run = Run(shift=(shift, 1e-5))
    return Case("integrated finely", "honest", _one(0.97), run)


# Lies


def dropped(rng: np.random.Generator) -> Case:
    share, ess = _log(rng, 0.004, 0.6), rng.choice([0.99, 0.9, 0.6])
    law = _wells(ess, share, TINY)
    run = Run(stay=rng.choice([0.0, 0.8]))
    return Case(f"{share:.3f} of p dropped, ESS {ess:g}", "lie", law, run)


def dropped_by_a_poor_model(rng: np.random.Generator) -> Case:
    """A small part is dropped where the error of ln Z is not much smaller."""
    share, ess = _log(rng, 0.001, 0.04), rng.uniform(0.1, 0.5)
    return Case(
        f"{share:.4f} dropped, ESS {ess:.2f}", "lie", _wells(ess, share, TINY), Run()
    )


def dropped_rarely_visited(rng: np.random.Generator) -> Case:
    """A small mode that the chain enters rarely, behind fast noise."""
    share, stay = _log(rng, 0.01, 0.1), rng.choice([0.98, 0.995])
    law = dataclasses.replace(_wells(0.9, share, TINY), noise=3.0)
    return Case(
        f"{share:.3f} dropped, visits of {1 / (1 - stay):.0f}",
        "lie",
        law,
        Run(stay=stay),
    )


def thinned(rng: np.random.Generator) -> Case:
    """A region with so little of q that no draw of a few is to be expected there."""
    mass, expected = _log(rng, 0.001, 0.03), rng.choice([0.1, 0.5, 1.0, 2.0])
    q = expected / 100_000
    parts = (Part(1 - mass, 1 - q, 0.05), Part(mass, q, 0.05, 2.0))
    name = f"{mass:.4f} of p where {expected:g} draws come"
    return Case(name, "lie", Law(parts), Run())


def unthermalised(rng: np.random.Generator) -> Case:
    """All chains start at one place, and were measured at once."""
    start, chains = rng.uniform(2, 6), int(rng.choice([64, 512, 2048]))
    law = _one(rng.choice([0.95, 0.5, 0.14]))
    run = Run(chains=chains, length=90, every=5, start=start, forget=0.9)
    return Case(f"{chains} chains from {start:.1f} on", "lie", law, run)


def creeping(rng: np.random.Generator) -> Case:
    """A start that is forgotten as slowly as the run is long."""
    run = Run(chains=64, length=500, start=rng.uniform(1, 4), forget=0.998)
    return Case("a start forgotten slowly", "lie", _one(0.97), run)


def other_theory(rng: np.random.Generator) -> Case:
    """Samples of another coupling."""
    shift = rng.choice([-1, 1]) * rng.uniform(0.1, 0.6)
    return Case(f"samples off by {shift:+.2f}", "lie", _one(0.8), Run(p_shift=shift))


def stuck_chain(rng: np.random.Generator) -> Case:
    """Chains that hold more of one well than p, whatever their kernel claims."""
    share = rng.uniform(0.55, 1.0)
    run = Run(p_parts=(share, 1 - share + TINY), stay=1.0)
    return Case(f"chains have {share:.2f} of a well", "lie", _wells(0.95), run)


def no_guarantee(rng: np.random.Generator) -> Case:
    """Chain and model in one well of two, and a kernel that claims nothing."""
    run = Run(p_parts=(1.0, TINY), is_guaranteed=False)
    return Case("both in one well, HMC", "lie", _wells(0.95, 0.5, TINY), run)


def wrong_sign(rng: np.random.Generator) -> Case:
    """ln q with the wrong sign of its part that varies."""

    def change(made: Ensembles, rng: np.random.Generator) -> None:
        for side in (made.draws, made.samples):
            log_w = side.log_w
            object.__setattr__(side, "log_w", 2 * np.mean(log_w) - log_w)

    return Case("sign of ln q", "lie", _one(rng.choice([0.9, 0.5, 0.2])), Run(), change)


def scaled(rng: np.random.Generator) -> Case:
    """ln q with a lost factor in what varies."""
    factor = rng.choice([0.5, 0.8, 1.3, 2.0])

    def change(made: Ensembles, rng: np.random.Generator) -> None:
        for side in (made.draws, made.samples):
            log_w = side.log_w
            centre = np.mean(made.draws.log_w)
            object.__setattr__(side, "log_w", centre + factor * (log_w - centre))

    return Case(f"ln w times {factor:g}", "lie", _one(0.5), Run(), change)


def corrupted(rng: np.random.Generator) -> Case:
    """1 % of the draws have a weight that is not theirs."""
    off = rng.choice([1.0, 2.0, 4.0])

    def change(made: Ensembles, rng: np.random.Generator) -> None:
        log_w = made.draws.log_w.copy()
        log_w[rng.random(log_w.size) < 0.01] += off
        object.__setattr__(made.draws, "log_w", log_w)

    return Case(f"1 % of draws off by {off:g}", "lie", _one(0.95), Run(), change)


def corrupted_samples(rng: np.random.Generator) -> Case:
    """1 % of the samples of p are not of p: q is all but zero there."""

    def change(made: Ensembles, rng: np.random.Generator) -> None:
        log_w = made.samples.log_w.copy()
        log_w[rng.random(log_w.shape) < 0.01] += rng.choice([8.0, 30.0])
        object.__setattr__(made.samples, "log_w", log_w)

    return Case("1 % of samples corrupted", "lie", _one(0.95), Run(), change)


def coarse_integrator(rng: np.random.Generator) -> Case:
    """A shift of ln Z that is known, and larger than the error."""
    shift = rng.choice([-1, 1]) * rng.uniform(0.0012, 0.01)
    return Case("coarse integrator", "lie", _one(0.97), Run(shift=(shift, shift / 4)))


def hidden_tail(rng: np.random.Generator) -> Case:
    """Weights so broad that no sum of them is anything."""
    sigma = rng.uniform(3.2, 5.0)
    return Case(f"log-normal, σ = {sigma:.1f}", "lie", Law((Part(1, 1, sigma),)), Run())


def one_value(rng: np.random.Generator) -> Case:
    """Draws of which each is there a hundred times."""

    def change(made: Ensembles, rng: np.random.Generator) -> None:
        keep = np.arange(made.draws.log_w.size) % 1000
        measured = {k: v[keep] for k, v in made.draws.measured.items()}
        object.__setattr__(made.draws, "log_w", made.draws.log_w[keep])
        object.__setattr__(made.draws, "measured", measured)

    return Case("every draw a hundred times", "lie", _one(0.8), Run(), change)


# What cannot be seen


def nobody_there(rng: np.random.Generator) -> Case:
    """Missing from the model and from the chain, whose kernel claims otherwise."""
    share = _log(rng, 0.01, 0.5)
    run = Run(p_parts=(1.0, TINY))
    return Case(
        f"{share:.2f} of p nobody visits", "blind", _wells(0.95, share, TINY), run
    )


def lost_draws(rng: np.random.Generator) -> Case:
    """1 % of the draws have no weight: as of a model that wastes so much, and less."""

    def change(made: Ensembles, rng: np.random.Generator) -> None:
        log_w = made.draws.log_w.copy()
        log_w[rng.random(log_w.size) < 0.01] -= 30.0
        object.__setattr__(made.draws, "log_w", log_w)

    return Case("1 % of draws without weight", "blind", _one(0.95), Run(), change)


def wrong_norm(rng: np.random.Generator) -> Case:
    """ln q off by a constant: every estimate of ln Z is, by the same."""

    def change(made: Ensembles, rng: np.random.Generator) -> None:
        for side in (made.draws, made.samples):
            object.__setattr__(side, "log_w", side.log_w + 0.3)

    return Case("ln q off by a constant", "blind", _one(0.95), Run(), change)


FAMILIES: tuple[Family, ...] = (
    *(good, good_wells, poor, wide_tail, heavy_inverse, short_chains),
    *(mild_unevenness, exact, fine_integrator),
    *(dropped, dropped_rarely_visited, thinned, unthermalised, creeping),
    *(other_theory, stuck_chain, no_guarantee, wrong_sign, scaled, corrupted),
    *(corrupted_samples, coarse_integrator, hidden_tail, one_value),
    *(nobody_there, lost_draws, wrong_norm, dropped_by_a_poor_model),
)


def every(
    repeats: int, only: str = "", seed: int = 1
) -> Iterator[tuple[str, Case, np.random.Generator]]:
    """`repeats` cases of every family, each with random numbers of its own."""
    for number, family in enumerate(FAMILIES):
        if only in family.__name__:
            for k in range(repeats):
                rng = np.random.default_rng([seed, number, k])
                yield family.__name__, family(rng), rng
