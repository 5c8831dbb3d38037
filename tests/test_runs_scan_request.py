"""What a scan is asked and what it finds, without running anything."""

import json
import math

import numpy as np
import pytest

from genlat.errors import RequestError
from genlat.report import scan_page
from genlat.runs.disk import files
from genlat.runs.scan import scan_request, scan_results, scan_values

FILE = """
seed = 3
[theory]
name = "phi4"
shape = [4, 2]
kappa = 0.11
lam = 0.031
[mcmc]
[model]
[train]
steps = 20
"""


@pytest.fixture
def run_file(tmp_path):
    path = tmp_path / "file.toml"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.20:0.30:0.01", [0.2, 0.21, 0.22, 0.23, 0.24, 0.25, 0.26, 0.27, 0.28]),
        ("0.2,0.25", [0.2, 0.25]),
        ("1e-3, -2", [0.001, -2.0]),
        ("0.3:0.1:-0.1", [0.3, 0.2, 0.1]),
        ("0:1:0.3333334", [0.0, 0.3333334, 0.6666668, 1.0000002]),
        ("0:1:0.4", [0.0, 0.4, 0.8]),
        ("4,6,16", [4, 6, 16]),
        ("4:9:2", [4, 6, 8]),
    ],
)
def test_values_are_decimal(text, values):
    field, found = scan_values.parse(f"theory.kappa={text}")
    assert field == "theory.kappa"
    assert list(found[: len(values)]) == values
    assert len(found) == len(values) + 2 * (text == "0.20:0.30:0.01")
    assert {type(x) for x in found} == {type(x) for x in values}


def test_sizes_are_whole_lattices(run_file):
    field, sizes = scan_values.parse("theory.shape=4x2, 6x4,8x8")
    assert (field, sizes) == ("theory.shape", ((4, 2), (6, 4), (8, 8)))
    request = scan_request.plan(run_file, "theory.shape=4x2,6x4x3", [], None)
    assert request.points == ["000-shape=4x2", "001-shape=6x4x3"]
    second = scan_request.configuration(request, 1, None)
    assert second.theory.shape == (6, 4, 3)  # in as many dimensions as one likes
    scan_request.write(run_file.parent, request)
    assert scan_request.read(run_file.parent) == request


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ("8x", "theory.shape: '8x': a size should be .* such as 8x8"),
        ("0x4", "theory.shape: '0x4': a size should be extents of at least 1"),
        ("8x8,-4x4", "'-4x4': a size should be"),
        ("8x8:16x16:4x4", "'8x8:16x16:4x4': a size should be"),
        ("8.0x8", "'8.0x8': a size should be"),
        ("8x8,", "'': a size should be"),
        ("8×8", "a size should be"),
        ("8x8,4x4,08x8", "gives a value twice, 8x8"),
        ("8,12", "'8': has one dimension, the run file's .*4, 2.* has 2; .* as 8x8"),
        ("2999999999x2,4x4", "000-shape=2999999999x2: theory.shape = 2999999999: "),
    ],
)
def test_what_is_no_size(run_file, sizes, message):
    with pytest.raises(RequestError, match=message) as caught:
        scan_request.plan(run_file, f"theory.shape={sizes}", [], None)
    assert len(caught.value.lines) == 1


def test_the_theory_says_how_many_dimensions_there_are(tmp_path):
    path = tmp_path / "well.toml"
    path.write_text(
        'seed = 3\n[theory]\nname = "double_well"\nshape = [8]\n'
        "m0 = 0.5\nmu2 = -1.0\nlam = 1.0\n[mcmc]\n"
    )
    request = scan_request.plan(path, "theory.shape=8,16", [], None)
    shapes = [scan_request.configuration(request, k, None) for k in range(2)]
    assert [config.theory.shape for config in shapes] == [(8,), (16,)]
    with pytest.raises(RequestError, match="at most 1 item") as caught:
        scan_request.plan(path, "theory.shape=8x8,16x8", [], None)
    assert len(caught.value.lines) == 1
    assert "every point: theory.shape" in caught.value.lines[0]


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ("theory.kappa", "should look like"),
        ("theory.kappa=4x4,8x8", "of numbers"),
        ("kappa=0.1,0.2", "should look like"),
        ("theory.kappa=0.1:0.2", "should look like"),
        ("theory.kappa=0.1,wide", "of numbers"),
        ("theory.kappa=0.1,nan", "finite"),
        ("theory.kappa=0.1:0.2:-0.1", "does not lead from start to stop"),
        ("theory.kappa=0.1:0.2:0", "does not lead from start to stop"),
        ("theory.kappa=0.1,0.10", "twice"),
        ("theory.kappa=0:1:0.0001", "at most 1000"),
        # decimals that no float is, of which there would be without end
        ("theory.kappa=0:1e999999:1", "between 1e±300"),
        ("theory.kappa=0:1e999999:1e-999999", "between 1e±300"),
        (f"theory.kappa=0.1,{'9' * 5000}", "between 1e±300"),
    ],
)
def test_what_is_no_list_of_values(over, message):
    with pytest.raises(RequestError, match=message) as caught:
        scan_values.parse(over)
    assert len(caught.value.lines) == 1


def test_an_entry_of_a_list_is_a_number_that_can_be_read(run_file):
    with pytest.raises(RequestError, match="no such entry, there are 2"):
        scan_request.plan(run_file, f"theory.shape.{'1' * 5000}=4,8", [], None)


def test_every_point_is_checked_before_the_first_starts(run_file):
    free = ["theory.lam=0.0"]
    with pytest.raises(RequestError) as caught:
        scan_request.plan(run_file, "theory.kappa=0.2,0.3,0.4", free, None)
    assert len(caught.value.lines) == 2
    for line, point in zip(
        caught.value.lines, ("001-kappa=0.3", "002-kappa=0.4"), strict=True
    ):
        assert f"{point}: theory.kappa" in line
        assert "e^(-S) diverges" in line


@pytest.mark.parametrize(
    ("over", "overrides", "message"),
    [
        ("theory.kapa=0.1,0.2", [], "every point: theory.kapa: .*mean kappa"),
        ("theory.kappa=0.1,0.2", ["train.batch=1"], "every point: train.batch = 1"),
        ("theory.shape.2=4,6", [], "every point: theory.shape.2: no such entry"),
        ("seed.kappa=4,6", [], "every point: seed is not a section"),
    ],
)
def test_a_problem_of_all_points_is_one_line(run_file, over, overrides, message):
    with pytest.raises(RequestError, match=message) as caught:
        scan_request.plan(run_file, over, overrides, None)
    names = [line for line in caught.value.lines if "every point" in line]
    assert len(names) >= 1
    assert len(set(names)) == len(names)


def test_warm_steps_need_a_model(tmp_path):
    path = tmp_path / "chain.toml"
    path.write_text(FILE.partition("[model]")[0])
    with pytest.raises(RequestError, match=r"no \[model\]"):
        scan_request.plan(path, "theory.kappa=0.1,0.2", [], 10)


def test_points_are_runs_with_seeds_of_their_own(run_file):
    request = scan_request.plan(run_file, "theory.shape.0=4,6,8", ["seed=7"], 5)
    configs = [scan_request.configuration(request, k, None) for k in range(3)]
    assert [config.theory.shape for config in configs] == [(4, 2), (6, 2), (8, 2)]
    seeds = [config.seed for config in configs]
    assert seeds[0] == 7
    assert len(set(seeds)) == 3
    assert request.points == ["000-shape.0=4", "001-shape.0=6", "002-shape.0=8"]
    # without a neighbour the file's steps hold
    assert [config.train.steps for config in configs] == [20, 20, 20]


def fake_scan(path, over, values, theory, estimates):
    """The results of a scan that never ran: `estimates(value)` at every point."""
    base = {"seed": 1, "theory": theory, "mcmc": {"kernel": ["hmc"]}}
    request = scan_request.Request(over, tuple(values), base, None)
    path.mkdir(exist_ok=True)
    scan_request.write(path, request)
    for k, point in enumerate(request.points):
        (path / "points" / point).mkdir(parents=True)
        config = json.loads(json.dumps(base))
        _, name, *entry = over.split(".")
        if entry:
            config["theory"][name][int(entry[0])] = values[k]
        else:
            config["theory"][name] = values[k]
        content = {
            "config": config,
            "estimates": estimates(values[k]),
            "diagnostics": {},
            "verdict": {"trust": "unknown", "reasons": ["<never ran>"]},
            "cost": {},
        }
        files.write_json(path / "points" / point / "results.json", content)
    return scan_results.write(path, request)


def number(value, error):
    return {"value": value, "error": error}


@pytest.mark.parametrize(
    ("over", "theory", "slope"),
    [
        ("theory.kappa", {"name": "phi4", "kappa": 0.1, "lam": 0.02}, 48 * 0.3),
        ("theory.m2", {"name": "phi4", "m2": 0.1, "lam_b": 0.02}, -24 * 0.7),
        ("theory.m2", {"name": "phi4", "m2": 0.1, "g": 0.02}, -12 * 0.7),
        (
            "theory.mu2",
            {"name": "double_well", "m0": 0.5, "mu2": 1.0, "lam": 0.1, "spacing": 0.2},
            -24 * 0.2 * 0.25 * 0.7,
        ),
    ],
)
def test_the_slope_of_every_coupling(tmp_path, over, theory, slope):
    theory = {**theory, "shape": [24] if theory["name"] == "double_well" else [6, 4]}
    found = fake_scan(
        tmp_path,
        over,
        [0.1, 0.2, 0.4],
        theory,
        lambda x: {
            "log_z": {"nis": number(3 + slope * x, 0.1)},
            "hopping": {"hmc": number(0.3, 0.01)},
            "phi2": {"hmc": number(0.7, 0.01)},
        },
    )
    assert len(found["consistency"]) == 3
    for row in found["consistency"]:
        assert row["pull"] == pytest.approx(0, abs=1e-9)
    derivative = found["thermodynamics"]["derivative"]
    assert derivative["value"] == pytest.approx([slope] * 3)
    measured = {"hopping": 0.3, "phi2": 0.7}[derivative["observable"]]
    error = abs(slope) * 0.01 / measured  # positive where the slope is not
    assert derivative["error"] == pytest.approx([error] * 3)
    # negative control: a coupling whose derivative is not measured has no row
    other = {"name": "phi4", "shape": [6, 4], "kappa": 0.1, "lam": 0.02}
    found = fake_scan(
        tmp_path / "lam",
        "theory.lam",
        [0.1, 0.2, 0.4],
        other,
        lambda x: {"log_z": {"nis": number(x, 0.1)}},
    )
    assert found["consistency"] == []


def test_an_equation_of_state_and_its_page(tmp_path):
    """A gas with one level above its vacuum, in a volume of three sites."""

    def log_z(extent):
        exact = -0.37 * extent + math.log1p(math.exp(-0.8 * extent))
        return {
            "log_z": {
                "exact": number(exact, 0.0),
                "nis": number(exact, 0.01),
                "late": number(None, None),
            },
            "abs_mag": {"nis": number(0.3, 0.01)},
        }

    theory = {"name": "phi4", "shape": [2, 3], "kappa": 0.1, "lam": 0.02}
    extents = [2, 3, 4, 5, 6, 40]
    found = fake_scan(tmp_path, "theory.shape.0", extents, theory, log_z)
    states = found["thermodynamics"]["equation_of_state"]
    assert set(states) == {"exact", "nis"}
    state = states["nis"]
    pressure = np.log1p(np.exp(-0.8 * np.array(extents[:-1]))) / extents[:-1] / 3
    np.testing.assert_allclose(state["pressure"]["value"], pressure, rtol=1e-10)
    energy = 0.8 / (1 + math.exp(0.8 * 4)) / 3
    off = abs(state["energy_density"]["value"][2] - energy)
    assert off < state["energy_density"]["rule_error"][2] < 0.3 * energy
    page = scan_page.write(tmp_path).read_text()
    for text in (
        "scan of L₀",
        "Equation of state",
        'href="points/000-shape.0%3D2/report.html"',
        "&lt;never ran&gt;",
    ):
        assert text in page
    assert (tmp_path / "figures" / "equation_of_state.svg").exists()


def test_the_page_of_a_scan_that_has_just_begun(run_file, tmp_path):
    request = scan_request.plan(run_file, "theory.kappa=0.10,0.11", [], None)
    scan_request.write(tmp_path, request)
    text = scan_page.write(tmp_path).read_text()
    assert "This scan has not finished. Of 2 points: none." in text
