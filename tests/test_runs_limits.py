"""Run files that nobody would write: refused with one line, never a traceback."""

import random
import tomllib

import pytest

from config_for_tests import GOOD, load, refusals
from genlat.errors import RequestError
from genlat.families.coupling import CouplingSection
from genlat.runs.disk import files
from genlat.runs.file import config, memory, run_text

SPINS = (
    GOOD.replace("[6, 4]", "[8, 8]")
    .replace('"phi4"', '"ising"')
    .replace("kappa = 0.21\nlam = 0.031", "beta = 0.3")
)
COARSE = ["model.name=coarse_to_fine"]
REALNVP = ["model.name=realnvp"]
DEEP = "[" * 3000 + "]" * 3000


@pytest.mark.parametrize(
    ("text", "overrides", "expected"),
    [
        (GOOD, ["train.steps=1" + 40 * "0"], "integer of at most 64 bits"),
        (GOOD, ["mcmc.therm=1" + 20 * "0"], "integer of at most 64 bits"),
        (GOOD, ["theory.kappa=1" + 309 * "0"], "(an integer of about 309 digits)"),
        (GOOD, ["theory.kappa=1" + 4999 * "0"], "a number has too many digits"),
        (GOOD, ["seed=0x" + 4999 * "f"], "(an integer of about 6019 digits)"),
        (GOOD, [f"model.nodes={{kappa = [0.1, 1{400 * '0'}]}}"], "nodes.kappa.1"),
        (GOOD, [f"theory.shape={DEEP}"], "theory.shape: nested too deep"),
        (GOOD, ["theory.shape=[[[[[[[[[[[[6]]]]]]]]]]]]"], "nested too deep"),
        (GOOD + "[a]\nb = 1" + 4999 * "0", [], "not a TOML file: a number has too"),
        (GOOD + f"[a]\nb = {DEEP}", [], "not a TOML file: nested too deep"),
        (GOOD, ["train.steps=3000000000"], "less than or equal to 2147483647"),
        (GOOD, [f"theory.shape={[2] * 17}"], "at most 16 items"),
        (GOOD, ['model.init="a\\u0000b"'], "a character that none can have"),
        (GOOD, ['estimate.p_samples="\\u0000"'], "a character that none can have"),
        (GOOD, ["model.init=" + 5000 * "x"], "File name too long"),
        (GOOD, ["train.steps=5\ntrain.batch=8"], "more than one line"),
        (GOOD, ["train.steps=5\u20286"], "more than one line"),
        (GOOD + '"a\\nb" = 1', [], "a\\nb = 1: unknown field"),
        (
            GOOD,
            ["train.batch=2000000000", "train.micro_batch=10"],
            "train.batch = 2000000000: needs about",
        ),
        (
            GOOD,
            [
                "estimate.methods=['hmc_integration']",
                "integration.couplings=2000000000",
            ],
            "integration.couplings = 2000000000: needs about",
        ),
        (
            GOOD,
            ["train.steps=2000000000", "train.batch=4000", "theory.shape=[256, 256]"],
            "train.steps = 2000000000: steps x batch are 10^18 updates of a site",
        ),
        (
            GOOD,
            ["mcmc.therm=2000000000", "theory.shape=[4096, 4096]", "mcmc.keep=0"],
            "mcmc.therm = 2000000000: therm x chains x n_leapfrog are 10^19 updates",
        ),
        (
            GOOD,
            ["mcmc.thin=2000000000"],
            "mcmc.thin = 2000000000: makes 4e+12 steps: there are random numbers for",
        ),
        (
            GOOD,
            ["estimate.n_steps=2000000000", "estimate.samples=100000000"],
            "estimate.n_steps = 2000000000: samples x n_steps are 10^19 updates",
        ),
        (
            GOOD,
            [
                "estimate.methods=['hmc_integration']",
                "integration.therm=2000000000",
                "integration.n_leapfrog=2000000000",
            ],
            "couplings x chains x therm x n_leapfrog are 10^22 updates",
        ),
        (
            GOOD,
            ["model.kernel_terms=2000000000"],
            "model.kernel_terms = 2000000000: its",
        ),
        (
            GOOD,
            [
                *REALNVP,
                "model.conditioner=dense",
                "model.hidden=[100000000, 100000000]",
            ],
            "model.hidden = [100000000, 100000000]: its weights need",
        ),
        # an undecodable byte of a command line
        (GOOD, ["\udc80.x=1"], '\\udc80 = "...": no text'),
        (GOOD, ["theory.\udc80=1"], 'theory.\\udc80 = "...": no text'),
        (
            SPINS,
            [*COARSE, "model.width=20000000"],
            "model.width = 20000000: its weights",
        ),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, text, overrides, expected):
    lines = refusals(tmp_path, text, overrides)
    assert any(expected in line for line in lines)
    assert all(
        len(line) < 600 + len(str(tmp_path)) or "File name" in line for line in lines
    )


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        (GOOD, [*REALNVP, "model.hidden=[]"]),
        (SPINS, [*COARSE, "model.reach=1e300"]),
        (GOOD, ["mcmc.therm=2000000"]),
        (GOOD, ["train.steps=100000000"]),
    ],
)
def test_what_is_odd_but_can_be_is_fine(tmp_path, text, overrides):
    assert load(tmp_path, text, overrides).seed == 1


def test_sizes_of_memory_are_spelt_however_large():
    assert memory.spelt(10**400) == "1.13e+15 PiB"
    assert memory.spelt(2**100) == memory.spelt(2**101)
    one = CouplingSection(name="realnvp", hidden=())
    assert memory.weight_bytes((4, 4), one) == 2 * 4 * 16 * 9 * 2
    assert memory.trained_weight_bytes((4, 4), one) == 6 * 4 * 16 * 9 * 2


def test_a_byte_order_mark_is_no_character(tmp_path):
    path = tmp_path / "run.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert config.load(path).seed == 1
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        path.write_bytes(GOOD.strip().encode(encoding))
        with pytest.raises(RequestError, match="not a TOML file: UTF-16; save it as"):
            config.load(path)
    path.write_bytes(b"seed = 1 # \xff")
    with pytest.raises(RequestError, match="not a TOML file: 'utf-8' codec"):
        config.load(path)


def test_a_damaged_scan_request_is_named(tmp_path):
    path = tmp_path / "scan.toml"
    files.write_sealed(path, b"field = 1\n", "# sha256 ")
    assert run_text.read(path) == {"field": 1}  # the seal is a comment
    assert files.read_sealed(path, "# sha256 ") == b"field = 1\n"
    content = path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(files.DamagedError, match="put a copy of it back"):
            files.read_sealed(path, "# sha256 ")


NUMBERS = ("1", "2", "3", "7", "64", "1000", "10000000", "1e15", "0.5", "1e300")
STRANGE = [
    *("0", "-1", "1", "2", "3", "1e300", "-1e300", "nan", "inf", "1e-300", "true"),
    *("[]", "{}", "[0]", "[1]", "[2, 3]", "[6, 4, 5]", "[[1]]", '""', '"x"', '"\\n"'),
    *('"\\u0000"', "1979-05-27", "07:32:00", "2147483648", "9223372036854775808"),
    *("{kappa = [0.1, 0.2]}", "{beta = 1}", '["sign"]', '["hmc", "hmc"]', '"chain"'),
    *('"own"', '"forward_kl"', '"made"', '"ising"', "[1e300]", "2147483647", "10"),
]
SPIN_MODELS = ("coarse_to_fine", "pixelcnn", "made", "hierarchical")
FLOWS = ("cnf", "realnvp", "nice", "spline")


def fields_of(theory, model):
    """Every field that a run file of this theory and model may have, and others."""
    sections = config.RunConfig.model_validate(
        {"seed": 1, "theory": theory, "mcmc": {}, "model": {"name": model}}
    )
    names = [
        f"{name}.{field}"
        for name in config.sections.SECTIONS
        if (section := getattr(sections, name)) is not None
        for field in type(section).model_fields
    ]
    return [*names, "seed", "theory", "mcmc", "model", "train", "x.y"]


def fuzzed(seed):
    """A run file, and up to three fields of it set to anything."""
    draw = random.Random(seed)
    text, models = draw.choice(((GOOD, FLOWS), (SPINS, SPIN_MODELS)))
    model = draw.choice(models)
    names = fields_of(tomllib.loads(text)["theory"] | {"shape": (6, 4)}, model)
    overrides = [f"model.name={model}"]
    for _ in range(draw.choice((1, 1, 2, 3))):
        values = draw.choice((NUMBERS, NUMBERS, STRANGE))
        overrides.append(f"{draw.choice(names)}={draw.choice(values)}")
    return text, overrides


def test_fuzzed_run_files_are_fine_or_refused(tmp_path):
    n_fine, n, lines = 0, 400, []
    for seed in range(n):
        text, overrides = fuzzed(seed)
        try:
            load(tmp_path, text, overrides)
            n_fine += 1
        except RequestError as error:
            lines += error.lines
    assert all(line.isprintable() for line in lines)
    assert len(lines) >= n - n_fine
    assert 0.1 * n < n_fine < 0.5 * n
