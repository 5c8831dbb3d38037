"""The ledger: every stage is booked, compilation stands apart, the parts add up.

On a clock of our own: no test knows how long anything takes.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from config_for_tests import load
from genlat.report import ledger as drawn
from genlat.report import ledger as page_ledger
from genlat.runs import findings
from genlat.runs.disk import directory, metrics, store
from genlat.runs.stages import environment, ledger, sample_stage, steps_stage
from genlat.runs.stages.job import Job
from genlat.runs.stages.screen import Screen
from genlat.runs.stages.stopwatch import Clock, Spent
from genlat.verdict import costs
from models_for_tests import a_model
from report_for_tests import rows_of

TEXT = """
seed = 3
[theory]
name = "phi4"
shape = [4, 2]
kappa = 0.11
lam = 0.022
[mcmc]
kernel = ["hmc", "cluster"]
[model]
name = "cnf"
[estimate]
methods = ["nis", "p_estimator", "bar"]
"""
SPENT = {
    "mcmc": Spent(30.0, 11.0),
    "sample": Spent(20.0, 2.0),
    "nmcmc": Spent(5.0, 3.0),
    "p": Spent(7.0, 1.0),
    "train": Spent(90.0, 40.0),
    "steps": Spent(13.0, 9.0),
    "calibration": Spent(17.0, 8.0),
    "prior": Spent(4.0, 3.5),
}
SOURCE = Spent(60.0, 15.0)


@dataclasses.dataclass
class Hand:
    """A clock moved by hand."""

    seconds: float = 100.0
    compiling: float = 10.0

    def clock(self):
        return Clock(now=lambda: self.seconds, compiled=lambda: self.compiling)

    def move(self, spent):
        self.seconds += spent.seconds
        self.compiling += spent.compile_seconds


@pytest.fixture
def hand():
    return Hand()


@pytest.fixture
def job(tmp_path, hand):
    run = load(tmp_path, TEXT)
    directory.create(tmp_path / "run", run)
    theory, quiet = run.theory.theory(), Screen(quiet=True)
    return Job(tmp_path / "run", run, theory, quiet, hand.clock())


def carry_out(job, hand):
    """All that stages leave behind, in two blocks where they write blocks."""
    for stage in ("prior", "calibration", "steps"):
        hand.move(SPENT[stage])
        ledger.book(job, stage, SPENT[stage])
    for stage, name in ledger.ENSEMBLES.items():
        if stage not in SPENT:
            continue
        source = {f"source_{x}": took / 2 for x, took in SOURCE._asdict().items()}
        for index in range(2):
            half = Spent(*(took / 2 for took in SPENT[stage]))
            hand.move(half)
            block = store.Block({"x": np.zeros(1)}, source if stage == "p" else {})
            place = store.path(job.directory, name, index)
            store.write(place, ledger.sign(job, block, half))
    hand.move(SPENT["train"])
    lines = [
        {
            "step": step,
            **{x: took * share for x, took in SPENT["train"]._asdict().items()},
        }
        for step, share in enumerate((0.5, 1.0))
    ]
    metrics.append(job.directory, lines)


def test_every_stage_is_booked_and_the_parts_are_the_whole(job, hand):
    carry_out(job, hand)
    hand.move(Spent(6.0, 1.0))  # in no stage
    cost = ledger.cost(job)
    for stage, spent in SPENT.items():
        assert cost[f"{stage}_seconds"] == spent.seconds
        assert cost["compile_seconds"][stage] == spent.compile_seconds
    assert cost["other_seconds"] == pytest.approx(6.0)
    assert cost["total_seconds"] == pytest.approx(
        6 + sum(x.seconds for x in SPENT.values())
    )
    assert cost["p_source_seconds"] == SOURCE.seconds
    assert cost["compile_seconds"]["p_source"] == SOURCE.compile_seconds
    rows = drawn.rows(cost)
    assert sum(row.seconds for row in rows) == pytest.approx(cost["total_seconds"])
    shown = {row.pop("stage"): list(row.values()) for row in rows_of(drawn.table(cost))}
    assert shown["Training"] == ["50.0 s", "40.0 s", "90.0 s"]
    assert shown["All together"] == ["114.5 s", "77.5 s", "192.0 s"]
    assert drawn.table({}) == ""


def test_the_time_of_a_killed_process_is_kept(job, hand):
    carry_out(job, hand)
    ledger.note_time(job)
    lost, again = 8.0, Spent(9.0, 0.0)
    hand.move(Spent(lost, 0.0))  # after which it is killed
    resumed = dataclasses.replace(job, clock=hand.clock())
    resumed.clock.earlier = ledger.earlier(job.directory)
    hand.move(again)
    ledger.book(resumed, "steps", again)
    whole = sum(x.seconds for x in SPENT.values())
    cost = ledger.cost(resumed)
    assert cost["steps_seconds"] == SPENT["steps"].seconds + again.seconds
    assert cost["total_seconds"] == pytest.approx(whole + again.seconds)
    assert cost["other_seconds"] == pytest.approx(0.0)


def test_no_part_is_more_than_the_whole(job, hand):
    """A process killed between a block and the note of its time."""
    carry_out(job, hand)
    resumed = dataclasses.replace(job, clock=hand.clock())
    resumed.clock.earlier = 1.0
    cost = ledger.cost(resumed)
    assert cost["other_seconds"] == 0
    assert cost["total_seconds"] == sum(x.seconds for x in SPENT.values())


def test_a_training_gone_on_with_is_a_part_of_the_whole(job, hand):
    carry_out(job, hand)
    directory.note(job.directory, "continues", {"run": "before", "steps": 1})
    cost = ledger.cost(job)
    assert cost["other_seconds"] == pytest.approx(SPENT["train"].seconds / 2)


def test_the_choice_of_steps_is_a_cost_of_the_draws(job, hand, monkeypatch):
    """Booked where it is made, once, and counted for every draw."""
    choice = steps_stage.integrator.Choice(4, 0.0, 0.0, 1.0)

    def choose(log_w_at, start, n_samples):
        assert start == 4
        hand.move(SPENT["steps"])
        return choice

    monkeypatch.setattr(steps_stage.target_stage, "is_wanted", lambda job: False)
    monkeypatch.setattr(steps_stage.integrator, "choose", choose)
    for _ in range(2):
        steps_stage.run(job, a_model((4, 2), n_steps=4))
    assert ledger.of_steps(job.directory) == SPENT["steps"]
    block = store.Block({}, {**SPENT["sample"]._asdict()})
    monkeypatch.setattr(sample_stage, "read_flow", lambda job: [block])
    running = SPENT["steps"].running + SPENT["sample"].running
    assert findings.seconds_of_draws(job) == running


def test_an_error_costs_what_its_method_needs(job, hand):
    """Every method at its own price: neither compilation nor another's time.

    Prices are sums of powers of ten, so that whatever is left out, or counted twice,
    shows.
    """
    running = {
        "mcmc": 1.0,
        "sample": 10.0,
        "steps": 100.0,
        "nmcmc": 1000.0,
        "p": 1e4,
        "p_source": 1e5,
        "train": 1e6,
        "calibration": 1e7,
        "integration": 1e8,
        "other": 5e8,
        "total": 7e8,
        "estimate": 6e8,
        "prior": 3e8,
    }
    cost = {f"{stage}_seconds": 3 * seconds for stage, seconds in running.items()}
    cost["compile_seconds"] = {x: 2 * seconds for x, seconds in running.items()}
    methods = ("hmc", "nis", "nmcmc", "p_estimator", "bar", "hmc_integration", "exact")
    found = {"log_z": {method: {"error": 0.5} for method in methods}}
    found["entropy_density"] = {"hmc_integration": {"error": 0.5}}
    prices = costs.at_unit_error(found, cost, chain="hmc")
    trained = {
        "hmc": 1,
        "nis": 110,
        "nmcmc": 1110,
        "p_estimator": 110_100,
        "bar": 110_110,
        "hmc_integration": 100_000_000,
    }
    expected = {method: seconds / 4 for method, seconds in trained.items()}
    assert prices["seconds_at_unit_error_trained"]["log_z"] == pytest.approx(expected)
    training = 11_000_000
    whole = {
        method: (seconds + training * (method not in ("hmc", "hmc_integration"))) / 4
        for method, seconds in trained.items()
    }
    assert prices["seconds_at_unit_error"]["log_z"] == pytest.approx(whole)
    entropy = prices["seconds_at_unit_error"]["entropy_density"]
    assert entropy["hmc_integration"] == pytest.approx(100_000_001 / 4)


def test_the_page_says_what_compiled_apart():
    """Of a stage of 9 seconds in which 4 compiled, 5 are shown as running."""
    cost = {"train_seconds": 9.0, "compile_seconds": {"train": 4.0}}
    (row,) = page_ledger.rows(cost)
    assert (row.seconds, row.compile_seconds, row.running) == (9.0, 4.0, 5.0)


def test_time_within_time_counts_once():
    """Traces within traces, and threads that compile at once."""
    union = environment.Union()
    union.add(end=4.0, length=1.0)  # 3 to 4
    union.add(end=6.0, length=1.0)  # 5 to 6
    assert union.total == 2
    union.add(end=7.0, length=5.0)  # 2 to 7, around both
    assert union.total == 5
    union.add(end=8.0, length=2.0)  # 6 to 8, beside the last
    assert union.total == 6
    union.add(end=12.0, length=3.0)
    assert union.total == 9


def test_what_jax_compiles_is_heard_once():
    before = environment.compile_seconds()
    function = jax.jit(lambda x: jnp.cos(x) + 0.5123)
    function(jnp.ones(3)).block_until_ready()
    compiled = environment.compile_seconds()
    assert compiled > before
    function(jnp.ones(3)).block_until_ready()
    assert environment.compile_seconds() == compiled


def test_a_stopwatch_never_ran_for_less_than_it_compiled(hand):
    stopwatch = hand.clock().start()
    hand.move(Spent(1.0, 1.5))  # by JAX's clock, which may differ
    assert stopwatch.read() == Spent(1.0, 1.0)
    assert stopwatch.read().running > 0
