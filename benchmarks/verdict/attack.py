"""The verdict attacked with constructed runs of known truth: a table.

    python benchmarks/verdict/attack.py [--repeats N] [--only WORDS] [--show]

Prints, by family, how often the verdict was yes, no and unknown; then every trusted
lie, every refused truth, and what honest runs that were left unknown had missing.
A number is wrong if it is off by more than five of its errors, or of those to which it
is said to be checked (`checked_to`), and not marked. See docs/verdict.md.
"""

import argparse
import collections
import re
import time
from typing import NamedTuple

import jax
import numpy as np

from cases import Case, every
from ensembles import TINY, Ensembles, judged, make
from genlat.verdict.results import Results

WRONG = 5.0


class Outcome(NamedTuple):
    """What became of a case: `lies` of numbers and of claims, in words."""

    family: str
    case: Case
    trust: str
    reasons: list[str]
    lies: list[str]
    strict: int


def carry_out(family: str, case: Case, rng: np.random.Generator) -> Outcome:
    """Make a case, judge it, and hold what it says against the truth."""
    made = make(case.law, case.run, rng)
    if case.change is not None:
        case.change(made, rng)
    found = judged(case.law, case.run, made, int(rng.integers(2**31)))
    wrong = list(_wrong(case, found))
    lies = [text for text, is_vouched in wrong if is_vouched]
    lies += _false_claims(case, made, found)
    return Outcome(
        family, case, found.verdict.trust, found.verdict.reasons, lies, len(wrong)
    )


def _wrong(case: Case, found: Results):
    """Unmarked numbers off by more than five errors; whether these were vouched for."""
    truth = case.law.truth()
    for name, by_method in found.estimates.items():
        for method, x in by_method.items():
            if name not in truth or "caution" in x or x["error"] is None:
                continue
            off = abs(x["value"] - truth[name])
            floor = 1e-12 * abs(truth[name])
            if off > WRONG * x["error"] + floor:
                known = max(x["error"], x.get("checked_to", x["error"]))
                text = f"{name} {method} off by {off / x['error']:.1f} errors"
                yield text, off > WRONG * known + floor


def _false_claims(case: Case, made: Ensembles, found: Results) -> list[str]:
    """A part that the samples have seen, of more than is said, is missing after all."""
    text = " ".join(found.verdict.reasons)
    claim = re.search(r"of more than ([\d.e+-]+), is missing", text)
    if claim is None:
        return []
    largest = float(claim.group(1))
    return [
        f"claims that no more than {largest:g} is missing, and {part.p:g} is"
        for index, part in enumerate(case.law.parts)
        if part.q <= TINY < largest < part.p and np.any(made.parts == index)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20, help="cases of a family")
    parser.add_argument("--only", default="", help="families whose name contains this")
    parser.add_argument("--show", action="store_true", help="the reasons of every case")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    begin = time.process_time()
    outcomes = [
        carry_out(*one) for one in every(options.repeats, options.only, options.seed)
    ]
    table(outcomes)
    for title, chosen in verdicts(outcomes).items():
        print(f"{title}: {len(chosen)}")
        for outcome in chosen[:40]:
            print(
                f"  {outcome.case.name}: {'; '.join(outcome.lies or outcome.reasons)}"
            )
    if options.show:
        for outcome in outcomes:
            print(outcome.case.name, outcome.trust, outcome.lies)
            print("   ", "\n    ".join(outcome.reasons))
    print(f"{len(outcomes)} cases in {time.process_time() - begin:.0f} CPU seconds")


def verdicts(outcomes: list[Outcome]) -> dict[str, list[Outcome]]:
    """The outcomes that count, by what is wrong with them."""
    seen = [x for x in outcomes if x.case.truth != "blind"]
    honest = [x for x in seen if x.case.truth == "honest"]
    return {
        "trusted lies": [x for x in seen if x.trust == "yes" and x.lies],
        "honest runs refused": [x for x in honest if x.trust == "no"],
        "honest runs left unknown": [
            x for x in honest if x.trust == "unknown" and x.case.law.ess >= 0.5
        ],
    }


def table(outcomes: list[Outcome]) -> None:
    """Counts by family of cases."""
    rows = collections.defaultdict(collections.Counter)
    for outcome in outcomes:
        row = rows[outcome.case.truth, outcome.family]
        row[outcome.trust] += 1
        row["wrong"] += bool(outcome.lies)
        row["trusted"] += bool(outcome.lies) and outcome.trust == "yes"
        row["strict"] += outcome.trust == "yes" and outcome.strict > 0
    heads = ("yes", "no", "unknown", "wrong", "trusted", "strict")
    print(f"{'':40}" + "".join(f"{head:>9}" for head in heads))
    for (truth, family), row in rows.items():
        print(f"{truth:8}{family:32}" + "".join(f"{row[head]:9}" for head in heads))


if __name__ == "__main__":
    main()
