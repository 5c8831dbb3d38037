"""How often intervals hold the truth, by estimator, against ESS and Pareto k.

    python benchmarks/verdict/coverage.py [--repeats N] [--seed S]

Every estimate of a run is repeated on independent ensembles of one law. Printed are, of
the numbers that are not marked, the parts that lie within 1 and 1.96 errors (68.3 and
95 are right), and in brackets the part that is marked, in per cent. `!` stands behind
what is off by more than three errors of the repetitions.
"""

import argparse
import collections
import dataclasses
import math
import time

import jax
import numpy as np

from cases import sigma_of
from ensembles import Law, Part, Run, judged, make

ESS = (0.99, 0.9, 0.7, 0.5, 0.3, 0.2, 0.1)
LEVELS = ((1.0, 0.6827), (1.96, 0.95))


def laws() -> dict[str, Law]:
    """Log-normal weights, and two with a part where they are large or small."""
    found = {f"ESS {ess:g}": Law((Part(1, 1, sigma_of(ess)),)) for ess in ESS}
    found["thin .01"] = Law(
        (Part(0.99, 1 - 0.01 / 30, 0.1), Part(0.01, 0.01 / 30, 0.1, 1.0)),
    )
    found["wasted .02"] = Law(
        (Part(1 - 2e-4, 0.98, 0.2), Part(2e-4, 0.02, 0.3, 1.0)),
    )
    return found


@dataclasses.dataclass
class Count:
    """Repetitions of one estimate: how many, how many marked, how many inside."""

    n: int = 0
    marked: int = 0
    inside: list[int] = dataclasses.field(default_factory=lambda: [0, 0])

    def add(self, estimate: dict, truth: float) -> None:
        self.n += 1
        if "caution" in estimate or estimate["error"] is None:
            self.marked += 1
            return
        off = abs(estimate["value"] - truth)
        for k, (width, _) in enumerate(LEVELS):
            self.inside[k] += off <= width * estimate["error"] + 1e-13 * abs(truth)

    def __str__(self) -> str:
        left = self.n - self.marked
        if left < 20:
            return f"({100 * self.marked / self.n:.0f})"
        parts = []
        for inside, (_, level) in zip(self.inside, LEVELS, strict=True):
            error = math.sqrt(level * (1 - level) / left)
            is_far = abs(inside / left - level) > 3 * error
            parts.append(f"{100 * inside / left:.1f}{'!' * is_far}")
        marked = f" ({100 * self.marked / self.n:.0f})" if self.marked else ""
        return "/".join(parts) + marked


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    begin = time.process_time()
    table: dict[str, dict[str, Count]] = collections.defaultdict(dict)
    tails: dict[str, list[float]] = collections.defaultdict(list)
    for number, (name, law) in enumerate(laws().items()):
        truth = law.truth()
        ess = {"ess": law.ess, "ess_forward": law.ess, "mode_weight": 1.0}
        for k in range(options.repeats):
            rng = np.random.default_rng([options.seed, number, k])
            found = judged(law, Run(), make(law, Run(), rng), k)
            tails[name].append(found.diagnostics["pareto_k"])
            rows = {
                f"{observable} {method}": (x, truth[observable])
                for observable, by_method in found.estimates.items()
                if observable in truth and observable != "free_energy_density"
                for method, x in by_method.items()
            } | {key: (found.diagnostics[key], value) for key, value in ess.items()}
            for row, (estimate, value) in rows.items():
                table[row].setdefault(name, Count()).add(estimate, value)
    width = 18
    print(f"{'':28}" + "".join(f"{name:>{width}}" for name in tails))
    medians = "".join(f"{np.median(k):{width}.2f}" for k in tails.values())
    print(f"{'Pareto k, median':28}{medians}")
    for row, counts in table.items():
        cells = "".join(f"{counts[name]!s:>{width}}" for name in tails)
        print(f"{row:28}{cells}")
    print(f"{options.repeats} repetitions, {time.process_time() - begin:.0f} CPU s")


if __name__ == "__main__":
    main()
