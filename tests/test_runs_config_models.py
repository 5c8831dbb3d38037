"""Run files: models, objectives and training data that are refused, a line each."""

import numpy as np
import pytest

from config_for_tests import GOOD, load, refusals
from genlat import symmetry
from genlat.errors import RequestError
from genlat.runs.file import config, memory, slices, training_set
from genlat.training import data

MODEL = """
seed = 1
[theory]
name = "phi4"
shape = [6, 5]
kappa = 0.2
lam = 0.1
[model]
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{MODEL}[train]\nobjective = 'reverse'", "did you mean reverse_kl?"),
        (f"{MODEL}[train]\ngradient = 'paths'", "unknown gradient; did you mean path?"),
        (
            f"{MODEL}[train]\nobjective = 'alpha'",
            'train.gradient = "path": alpha: the path gradient drops a score term',
        ),
        (
            f"{MODEL}[train]\nobjective = 'log_variance'\ngradient = 'total'",
            'train.gradient = "total": log_variance: its draws are held fixed',
        ),
        (
            f"{MODEL}[train]\nobjective = 'forward_kl'\ngradient = 'reinforce'",
            'train.gradient = "reinforce": forward_kl: its configurations are data',
        ),
        (
            f"{MODEL}[train]\nobjective = 'alpha'\ngradient = 'total'\nalpha = 1.0",
            "train.alpha = 1.0: must not be 0 or 1: its limit is forward_kl",
        ),
        (
            f"{MODEL}[mcmc]\n[train]\nobjective = 'forward_kl'",
            "its path gradient pulls configurations back with their score, which a cnf",
        ),
        (
            (
                f"{MODEL}name = 'nice'\nsymmetrize = 'sign'\n[mcmc]\n[train]\n"
                "objective = 'symmetric_kl'"
            ),
            "which a symmetrised model cannot; use total",
        ),
        (
            f"{MODEL}[train]\nobjective = 'forward_kl'",
            'train.data = "chain": forward_kl needs samples of p: add [mcmc] or name',
        ),
        (
            f"{MODEL}[mcmc]\nchains = 1\n[train]\nobjective = 'forward_kl'",
            "mcmc.chains = 1: needs at least 2 chains",
        ),
        (
            (
                f"{MODEL}[mcmc]\nchains = 10\nkeep = 120\n[train]\nheld_out = 0.3\n"
                "objective = 'symmetric_kl'"
            ),
            "mcmc.keep = 120: leaves 84 configurations to train on, held_out = 0.3",
        ),
        (  # chains are stored alike: 13 of each
            (
                f"{MODEL}[mcmc]\nchains = 10\nkeep = 121\n[train]\nheld_out = 0.3\n"
                "objective = 'forward_kl'"
            ),
            "mcmc.keep = 121: leaves 91 configurations to train on, held_out = 0.3",
        ),
        (f"{MODEL}[train]\nheld_out = 1.0", "train.held_out = 1.0: should be less"),
        (
            f"{MODEL}[train]\naugment = ['signs']",
            "train.augment = \"signs\": should be 'sign', 'translations',",
        ),
        (
            f"{MODEL}[train]\nanneal = {{lam_b = 0.2}}",
            "train.anneal.lam_b = 0.2: not a coupling of this theory: it has kappa",
        ),
        (
            f"{MODEL}[train]\nanneal = {{kappa = 0.3, lam = 0.0}}",
            "train.anneal.kappa = 0.3: |kappa| must be < 0.25 when lam = 0",
        ),
        (
            f"{MODEL}[train]\nanneal = {{lam = -0.2}}",
            "train.anneal.lam = -0.2: it should be greater than or equal to 0",
        ),
        (
            f"{MODEL}[mcmc]\n[train]\nobjective='forward_kl'\nanneal = {{kappa = 0.1}}",
            "forward_kl trains on samples of p, which do not move with it",
        ),
        (
            f"{MODEL}name = 'nice'\nprior = 'normal'\nwells = 'mixed'",
            'model.wells = "mixed": prior = "normal" has no wells',
        ),
        (
            (
                f"{MODEL}name = 'nice'\nwells = 'mixed'\n"
                "[mcmc]\n[train]\nobjective = 'forward_kl'"
            ),
            'train.gradient = "path": forward_kl: the path gradient misses how often',
        ),
        (
            (
                f"{MODEL}name = 'nice'\nwells = 'mixed'\n"
                "[mcmc]\n[train]\nobjective = 'symmetric_kl'\ngradient = 'total'"
            ),
            'how often each phase of wells = "mixed" is drawn; use forward_kl with tot',
        ),
        (
            f"{MODEL}wells = 'mixed'\n[train]\ngradient = 'total'",
            'train.gradient = "total": reverse_kl: the total gradient misses how often',
        ),
        (
            f"{MODEL}[train]\nbatch = 96\nmicro_batch = 36",
            "train.micro_batch = 36: must divide train.batch = 96",
        ),
        (
            (
                f"{MODEL}[train]\nobjective = 'alpha'\ngradient = 'total'\n"
                "micro_batch = 16"
            ),
            "train.micro_batch = 16: alpha with gradient total couples all",
        ),
        (f"{MODEL}layers = 3", "model.layers = 3: not a field of this model; it has"),
        (f"{MODEL}symmetrize = 'sgn'", "should be 'sign', 'translations',"),
        (f"{MODEL}symmetrize = ['sign', 'sign']", "names a group twice"),
        (
            f"{MODEL}name = 'realnvp'\nfeatures = 3",
            "model.features = 3: not a field of this model; it has name, init",
        ),
        (f"{MODEL}name = 'realnvps'", "unknown model; did you mean realnvp?"),
        (
            f"{MODEL}name = 'realnvp'",
            (
                'model.splitting = "checkerboard": a checkerboard needs even extents, '
                "shape is [6, 5]"
            ),
        ),
        (
            f"{MODEL}name = 'nice'\nsplitting = 'stripe'",
            'model.splitting = "stripe": a stripe needs even extents, shape is [6, 5]',
        ),
        (f"{MODEL}name = 'nice'\nlayers = 1", "model.layers = 1: should be greater"),
        (
            f"{MODEL}name = 'nice'\nkernel_size = 4",
            "model.kernel_size = 4: must be odd",
        ),
        (
            f"{MODEL}name = 'nice'\nkernel_size = 7",
            "model.kernel_size = 7: must be at most the smallest extent",
        ),
        (
            f"{MODEL}name = 'nice'\nprior = 'normal'\nwells = 'one'",
            'model.wells = "one": prior = "normal" has no wells',
        ),
        (
            f"{MODEL}name = 'spline'\n[estimate]\nn_steps = 4",
            "estimate.n_steps = 4: a spline is not integrated: leave it out",
        ),
    ],
)
def test_refusals(tmp_path, text, expected):
    assert any(expected in line for line in refusals(tmp_path, text))


def test_training_data_must_be_of_this_theory_and_apart_from_the_evaluation(tmp_path):
    source = tmp_path / "source"
    asked = ["train.objective=forward_kl", "train.gradient=total"]
    asked += [f"train.data={source}"]

    def why(overrides=()):
        (line,) = refusals(tmp_path, GOOD, [*asked, *overrides])
        return line

    assert f'train.data = "{source}": not a readable run directory' in why()
    source.mkdir()
    (source / "config.toml").write_text(GOOD.replace("lam = 0.03", "lam = 0.04"))
    assert "another theory: lam = 0.041, not 0.031" in why()
    (source / "config.toml").write_text(GOOD)
    assert "is not finished" in why()
    (source / "results.json").write_text("{}")
    # the same seed twice could be the same chain twice
    assert "has the seed 1 of the samples that the model is held against" in why()
    load(tmp_path, GOOD, [*asked, "seed=2"])
    load(tmp_path, GOOD, [*asked, "estimate.methods=['nis']"])
    load(tmp_path, GOOD, [*asked, f"estimate.p_samples={source}"])
    other = tmp_path / "other"
    other.mkdir()
    for name in ("config.toml", "results.json"):
        (other / name).write_text((source / name).read_text())
    assert "has the seed 1" in why(["seed=2", f"estimate.p_samples={other}"])
    one = GOOD.replace("[mcmc]", "[mcmc]\nchains = 1")
    (source / "config.toml").write_text(one)
    assert "needs at least 2 chains" in why(["seed=2"])


def test_training_chains_are_those_that_the_data_are_split_into():
    for chains, held_out in [(2, 0.9), (7, 0.25), (64, 0.25), (5, 0.01)]:
        training, _ = data.split_chains(np.zeros((chains, 1, 2)), held_out)
        assert training_set.split(chains, held_out) == len(training)
    assert training_set.split(1, 0.25) is None


def test_coupling_flows_train_in_slices_unless_told_otherwise(tmp_path):
    def length(model, *train, shape=(6, 4)):
        text = MODEL.replace("[6, 5]", str(list(shape))) + model
        built = load(tmp_path, text, [f"train.{field}" for field in train])
        return slices.length(built.model, built.train, built.theory)

    coupling = "name = 'realnvp'"
    assert length(coupling, "batch=1024") == 64
    assert length(coupling, "batch=96") == 48
    for shape, best in [((8, 8), 32), ((16, 16), 8), ((64, 8), 4), ((128, 64), 4)]:
        assert length(coupling, "batch=128", shape=shape) == best
    dense = f"{coupling}\nconditioner = 'dense'"
    assert length(dense, "batch=128", shape=(16, 16)) == 64
    for shape in [(6, 4), (64, 8)]:  # slices of one are no use
        assert length(coupling, "batch=127", shape=shape) is None
    assert length(coupling, "batch=128", "micro_batch=32") == 32
    assert length(coupling, "gradient='reinforce'") is None
    assert length(f"{coupling}\nnodes = {{kappa = [0.1, 0.2]}}") == 16
    # each slice a batch by itself, whatever the objective
    conditional = f"{coupling}\nnodes = {{kappa = [0.1, 0.2]}}"
    assert length(conditional, "gradient='reinforce'") == 16
    asked = ["train.gradient=reinforce", "train.micro_batch=1"]
    even = MODEL.replace("[6, 5]", "[6, 4]")
    (line,) = refusals(tmp_path, even + conditional, asked)
    assert "train.micro_batch = 1: reverse_kl with gradient reinforce wants a" in line
    assert length("", "batch=1024") is None
    assert length("", "batch=1024", "micro_batch=256") == 256


def test_draws_at_once_unless_told_otherwise(tmp_path):
    def at_once(model, *estimate):
        text = MODEL.replace("[6, 5]", "[16, 8]") + model
        run = load(tmp_path, text, [f"estimate.{field}" for field in estimate])
        return slices.draws_at_once(run.model, run.estimate, run.theory)

    assert at_once("name = 'realnvp'") == 16
    assert at_once("name = 'realnvp'", "batch=70") == 70
    assert at_once("name = 'realnvp'\nconditioner = 'dense'") == 500
    assert at_once("name = 'cnf'") == 500


def test_memory_of_a_slice_is_what_training_needs(tmp_path, monkeypatch):
    text = MODEL.replace("[6, 5]", "[6, 4]") + "name = 'realnvp'"
    section = load(tmp_path, text, []).model
    one = memory.training_bytes((6, 4), section, batch=1)
    assert one > 9 * 2 * 16 * 24 * 4  # the neighbourhoods of one convolution
    weights = memory.trained_weight_bytes((6, 4), section)
    monkeypatch.setattr(memory, "available_bytes", lambda: weights + 100 * one)
    few = ["estimate.batch=10", "estimate.samples=100", "estimate.chains=1"]
    load(tmp_path, text, ["train.batch=1024", *few])
    whole = ["train.batch=1024", "train.micro_batch=128", *few]
    (line,) = refusals(tmp_path, text, whole)
    assert "train.micro_batch = 128: needs about" in line
    assert "at most 100 fit" in line


def test_group_orders_are_those_of_the_lattice():
    names = ("sign", "translations", "point_group")
    for shape in [(4, 6), (4, 4), (1, 4), (2, 2), (3, 2, 3)]:
        for chosen in [(), *((name,) for name in names), names]:
            order = len(symmetry.group(shape, chosen))
            assert memory.group_order(shape, chosen) == order, (shape, chosen)
    for n in (1, 2, 3, 4):
        for chosen in [("permutations",), ("sign", "permutations")]:
            order = len(symmetry.group((2, 3), chosen, n))
            assert memory.group_order((2, 3), chosen, n) == order, (chosen, n)


def test_a_theory_that_is_not_known_has_one_line_whatever_the_model(tmp_path):
    """What a model of spins may be trained by does not hang on it."""
    for name in ("cnf", "made"):
        text = f"seed = 1\n[theory]\nname = ''\n[model]\nname = '{name}'\n[train]\n"
        (tmp_path / "run.toml").write_text(text)
        with pytest.raises(RequestError) as caught:
            config.load(tmp_path / "run.toml")
        (line,) = caught.value.lines
        assert "theory.name" in line


def test_every_symmetry_that_is_not_there_is_named(tmp_path):
    """With what is against it; and in one line what there is nothing to move by."""
    given = ["theory.field=0.1", "model.symmetrize=['sign', 'permutations']"]
    (line,) = refusals(tmp_path, f"{MODEL}name = 'nice'\nsplitting = 'even_odd'", given)
    assert line.endswith(
        "sign is no symmetry of phi4: field = 0.1 breaks it; permutations is of "
        "several components: a value of phi4 is one"
    )
    of_one = MODEL.replace('"phi4"', '"on"\ncomponents = 1')
    (line,) = refusals(tmp_path, of_one, ["model.symmetrize='permutations'"])
    assert line.endswith("changes nothing of one component: leave it out")
