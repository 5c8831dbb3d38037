"""`genlat fluctuations`: from records to a table, a file and two figures."""

import json
import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import scipy.stats
from matplotlib.collections import PolyCollection
from typer.testing import CliRunner

from genlat import cli
from genlat.errors import RequestError
from genlat.estimators import scaling, weights
from genlat.report import fluctuations as drawing
from genlat.runs.disk import directory, files, store
from genlat.runs.export import fluctuations as study
from genlat.runs.file import config

RUN_FILE = """
seed = 1
[theory]
name = "phi4"
shape = {shape}
kappa = {kappa}
lam = 0.031
[mcmc]
[model]
name = "cnf"
"""
LOG_Z = 81.3
SPREAD = 0.2


def write_run(path, shape=(6, 4), kappa=0.21, n=4000, exact=None, log_w=None):
    """What the command reads of a finished run with a model."""
    random = np.random.default_rng(math.prod(shape))
    file = path.with_suffix(".toml")
    file.write_text(RUN_FILE.format(shape=list(shape), kappa=kappa))
    directory.create(path, config.load(file, []))
    if log_w is None:
        log_w = LOG_Z - SPREAD**2 / 2 + SPREAD * random.normal(size=n)
    action = random.normal(10, 3, log_w.size)
    arrays = {"action": action, "log_q": -action - log_w}
    store.write(store.path(path, "flow", 0), store.Block(arrays, {}))
    estimates = {"log_z": {"nis": {}}, "free_energy_density": {"nis": {}}}
    if exact is not None:
        estimates["free_energy_density"]["exact"] = exact
    files.write_json(path / "results.json", {"estimates": estimates})
    return path


def invoke(*arguments):
    words = ["fluctuations", *map(str, arguments)]
    return CliRunner().invoke(cli.app, words)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    exact = {"value": -LOG_Z / 24 + 0.001, "error": 1e-4, "source": "a table"}
    return [
        write_run(root / "wide", (8, 4), kappa=0.25),
        write_run(root / "small", exact=exact),
    ]


@pytest.fixture(scope="module")
def found(runs, tmp_path_factory):
    """The directory, what was printed, and the runs of the file, small first."""
    out = tmp_path_factory.mktemp("out") / "deep" / "er"
    result = invoke(*runs, "--out", out)
    assert result.exit_code == 0, result.output
    content = json.loads((out / "fluctuations.json").read_text(encoding="utf-8"))
    assert content["schema"] == study.SCHEMA
    return out, result.stdout, content["runs"]


def test_the_file_has_both_studies_of_the_records_weights(runs, found):
    *_, content = found
    assert [run["name"] for run in content] == ["small", "wide"]
    for path, run in zip(runs[::-1], content, strict=True):
        flow = store.read(store.path(path, "flow", 0)).arrays
        log_w = -flow["action"] - flow["log_q"]
        of_groups, parts = scaling.log_z(log_w), scaling.repetitions(log_w, 9)
        log_z, density = run["log_z"], run["free_energy_density"]
        volume = run["volume"]
        assert volume == math.prod(run["theory"]["shape"])
        assert log_z["scaling"]["sizes"] == of_groups.sizes.tolist()
        assert log_z["scaling"]["bias"]["pull"] == of_groups.bias.pull.tolist()
        assert log_z["repetitions"]["values"] == parts.values.tolist()
        assert log_z["pooled"]["value"] == weights.log_z(log_w).value
        assert density["pooled"]["value"] == -log_z["pooled"]["value"] / volume
        for one, other, by in (
            ("values", log_z["repetitions"]["values"], -volume),
            ("errors", log_z["repetitions"]["errors"], volume),
            ("mean", log_z["repetitions"]["mean"], -volume),
            ("error", log_z["repetitions"]["error"], volume),
            ("chi2", log_z["repetitions"]["chi2"], 1),
        ):
            expected = np.array(other) / by
            np.testing.assert_allclose(density["repetitions"][one], expected)
        variance = np.array(of_groups.variance.measured) / volume**2
        np.testing.assert_allclose(density["scaling"]["variance"]["measured"], variance)
    assert content[0]["free_energy_density"]["exact"]["source"] == "a table"
    assert content[1]["free_energy_density"]["exact"] is None


def test_the_weights_obey_the_theorems(found):
    """Log-normal weights: N × bias = -½ (e^{σ²} - 1), N × variance twice that."""
    for run in found[2]:
        leading = run["log_z"]["scaling"]
        expected = math.expm1(SPREAD**2)
        for name, factor in (("bias", -0.5), ("variance", 1.0)):
            n = np.array(leading["sizes"])
            error = n * leading[name]["leading_error"]
            off = n * leading[name]["leading"] - factor * expected
            assert np.all(np.abs(off) < 5 * error)
            assert np.all(error < 0.1 * expected)
            assert np.all(np.abs(leading[name]["pull"]) < 5)


def test_the_table_has_a_row_per_n_and_the_repetitions(found):
    _, text, content = found
    rows = [line for line in text.splitlines() if line.startswith("│")]
    assert len(rows) == sum(len(run["log_z"]["scaling"]["sizes"]) for run in content)
    assert "small: phi4 6x4, 4,000 draws" in text
    assert "ln Z of 9 x 444 draws: mean 81.3" in text
    assert text.count("; exact -3.38650(10)") == 1  # as far as it is known
    assert "…" not in text
    pull = content[0]["log_z"]["scaling"]["variance"]["pull"][0]
    assert rows[0].endswith(f"{pull:+.1f} │")
    assert max(map(len, rows)) <= 120


def _read(text):
    """Value, error and half of the last digit of `-12.34(56)`."""
    value, error = re.fullmatch(r"(-?[\d.]+)\((\d+)\)", text).groups()
    digit = 10.0 ** -len(value.partition(".")[2])
    return float(value), int(error) * digit, 0.51 * digit


def test_the_table_has_the_numbers_of_the_file(found):
    """N times each, with N times its error; p is of the χ² and the freedom it names."""
    _, text, content = found
    rows = [line.strip("│ ").split("│") for line in text.splitlines() if "│" in line]
    rows = iter([[cell.strip() for cell in row] for row in rows])
    wanted = math.expm1(SPREAD**2)
    constants = re.findall(r"N × (\w+) = (\S+\))", text)
    for name, shown in constants:
        value, error, _ = _read(shown)
        assert abs(value - wanted * (-0.5 if name == "bias" else 1)) < 5 * error
        assert error < 0.1 * wanted
    for run in content:
        fields = run["log_z"]["scaling"]
        for k, n in enumerate(fields["sizes"]):
            cells = next(rows)
            assert cells[:2] == [str(n), str(fields["groups"][k])]
            for name, columns in (("bias", cells[2:5]), ("variance", cells[5:8])):
                of_name = {field: x[k] for field, x in fields[name].items()}
                for shown, value, error in (
                    (columns[0], "measured", "error"),
                    (columns[1], "expected", "expected_error"),
                ):
                    read = _read(shown)
                    assert abs(read[0] - n * of_name[value]) < read[2]
                    assert read[1] == pytest.approx(n * of_name[error], rel=0.06)
                assert columns[2] == f"{of_name['pull']:+.1f}"
    assert next(rows, None) is None
    tests = re.findall(r"χ² ([\d.]+) for (\d+), p = ([\d.]+)", text)
    for chi2, freedom, p_value in tests:
        wanted = scipy.stats.chi2.sf(float(chi2), int(freedom))
        assert float(p_value) == pytest.approx(wanted, rel=0.05)
    assert (len(constants), len(tests)) == (4, 4)


def test_the_figures_are_files_in_house_style(found):
    out, text, _ = found
    names = {"error_scaling", "fluctuations"}
    assert {path.stem for path in (out / "figures").iterdir()} == names
    for name in names:
        path = out / "figures" / f"{name}.svg"
        assert ET.parse(path).getroot().tag.endswith("svg")
        assert str(path) in text
    before = {path: path.read_bytes() for path in (out / "figures").iterdir()}
    drawing.write(out)
    assert all(path.read_bytes() == content for path, content in before.items())


def _points(axes):
    """What is drawn with error bars: (x, y, ends of the bars) of each container."""
    for container in axes.containers:
        line, _, (bars,) = container.lines
        ends = np.array([ends[:, 1] for ends in bars.get_segments()])
        yield line.get_xdata(), line.get_ydata(), ends


def test_error_scaling_draws_what_was_measured(found):
    *_, content = found
    content = json.loads(json.dumps(content))
    content[1]["log_z"]["scaling"]["bias"]["measured"][1] *= -1  # of the wrong sign
    figure = drawing.error_scaling(content)
    assert len(figure.axes) == 2
    for axes, run, hollow in zip(figure.axes, content, (0, 1), strict=True):
        of_groups = run["log_z"]["scaling"]
        n = np.array(of_groups["sizes"])
        bias, variance = of_groups["bias"], of_groups["variance"]
        std, right, wrong = _points(axes)
        np.testing.assert_array_equal(std[0], n)
        np.testing.assert_allclose(std[1], np.sqrt(variance["measured"]))
        half = np.array(variance["error"]) / (2 * std[1])
        np.testing.assert_allclose(std[2][:, 1] - std[1], half)
        assert (right[0].size, wrong[0].size) == (n.size - hollow, hollow)
        drawn = dict(zip(right[0], right[1], strict=True))
        drawn |= dict(zip(wrong[0], wrong[1], strict=True))
        expected = np.abs(bias["measured"])
        np.testing.assert_allclose([drawn[k] for k in n], expected)
        lines = [line.get_ydata() for line in axes.lines if len(line.get_xdata())]
        for wanted in (
            np.abs(bias["leading"]),
            np.abs(bias["expected"]),
            np.sqrt(variance["leading"]),
            np.sqrt(variance["expected"]),
        ):
            assert any(
                line.shape == wanted.shape and np.allclose(line, wanted, rtol=1e-9)
                for line in lines
            )
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [axes.texts[0].get_text() for axes in figure.axes] == [
        "6 × 4, κ = 0.21",
        "8 × 4, κ = 0.25",
    ]


def test_repetitions_are_drawn_from_the_exact_value_or_from_all_draws(found):
    *_, content = found
    (axes,) = drawing.repetitions(content).axes
    columns = list(_points(axes))
    assert len(columns) == 2
    bands = [x for x in axes.collections if isinstance(x, PolyCollection)]
    bands = [np.ptp(band.get_paths()[0].vertices[:, 1]) / 2 for band in bands]
    assert len(bands) == 3  # all draws, what is exact, and all draws again
    for number, (run, key) in enumerate(zip(content, ("exact", "pooled"), strict=True)):
        density = run["free_energy_density"]
        x, y, ends = columns[number]
        parts = density["repetitions"]
        above = np.array(parts["values"]) - density[key]["value"]
        factor = y[0] / above[0]
        assert math.log10(factor) == pytest.approx(round(math.log10(factor)))
        np.testing.assert_allclose(y, factor * above, rtol=1e-6)
        np.testing.assert_allclose(ends[:, 1] - y, factor * np.array(parts["errors"]))
        assert bands.pop(0) == pytest.approx(factor * density["pooled"]["error"])
        if key == "exact":
            assert bands.pop(0) == pytest.approx(factor * density["exact"]["error"])
        assert np.all(np.abs(x - number) < 0.5)
        assert x.size == 9
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert [tick.splitlines()[0] for tick in ticks] == ["6 × 4", "8 × 4"]
    p_value = content[1]["log_z"]["repetitions"]["p_value"]
    assert ticks[1].splitlines()[1:] == ["κ = 0.25", f"$p$ = {p_value:.2g}"]
    assert "exact or all draws" in axes.get_ylabel()
    (alone,) = drawing.repetitions(content[1:]).axes
    assert alone.get_ylabel().endswith("all draws)")


def test_a_published_value_is_no_exact_one(tmp_path):
    """With its error; beside an exact one both are named, and what has neither."""
    value = {"value": -LOG_Z / 24, "error": 3e-4, "source": "tabulated: somebody"}
    path = write_run(tmp_path / "measured", exact=value, n=500)
    printed = invoke(path).stdout
    assert "; published -3.3875(3)" in printed or "; published -3.38750(30)" in printed
    assert "exact" not in printed
    (run,) = files.read_json(path / "fluctuations.json")["runs"]
    other = json.loads(json.dumps(run))
    other["free_energy_density"]["exact"] |= {"error": 0.0, "source": "symmetry"}
    without = json.loads(json.dumps(run))
    without["free_energy_density"]["exact"] = None
    for runs, known, reference in (
        ([run], "published", "published"),
        ([other], "exact", "exact"),
        ([run, other], "exact or published", "exact or published"),
        ([run, without], "published", "published or all draws"),
        ([without], None, "all draws"),
    ):
        (axes,) = drawing.repetitions(runs).axes
        names = axes.get_legend_handles_labels()[1]
        assert names == ["all draws", *[known] * (known is not None)]
        assert axes.get_ylabel().endswith(f"− {reference})")


def test_equal_weights_draw(tmp_path):
    path = write_run(tmp_path / "run", log_w=np.full(300, 7.0))
    assert invoke(path).exit_code == 0


def test_no_prediction_where_n_is_too_small_for_the_weights(tmp_path):
    random = np.random.default_rng(3)
    path = write_run(tmp_path / "run", log_w=1.5 * random.normal(size=4000))
    result = invoke(path)
    assert result.exit_code == 0
    assert "N too small" in result.stdout
    (run,) = files.read_json(path / "fluctuations.json")["runs"]
    small = np.array(run["log_z"]["scaling"]["variance"]["is_converged"])
    assert not small[0]
    (axes,) = drawing.error_scaling([run]).axes
    drawn = [line for line in axes.lines if line.get_linewidth() == 1]
    assert min(len(line.get_xdata()) for line in drawn[:2]) <= np.sum(small)


def test_a_single_run_keeps_its_own(tmp_path):
    path = write_run(tmp_path / "run", (4, 6), n=500)
    first = invoke(path, "--repetitions", 4)
    assert first.exit_code == 0
    assert {p.stem for p in (path / "figures").iterdir()} == {
        "error_scaling",
        "fluctuations",
    }
    content = files.read_json(path / "fluctuations.json")
    assert len(content["runs"][0]["log_z"]["repetitions"]["values"]) == 4
    assert invoke(path, "--repetitions", 4).stdout == first.stdout
    assert not list(path.rglob("*.part"))


def test_every_run_that_cannot_be_studied_has_one_line(tmp_path):
    bad, zeros = np.zeros(300), np.zeros(300)
    bad[:2] = math.nan, math.inf
    zeros[10:20] = -math.inf
    write_run(tmp_path / "bad", log_w=bad)
    write_run(tmp_path / "zeros", log_w=zeros)
    write_run(tmp_path / "few", n=199)
    store.path(write_run(tmp_path / "chain"), "flow", 0).unlink()
    (write_run(tmp_path / "unfinished") / "results.json").unlink()
    good = write_run(tmp_path / "good")
    names = ["bad", "zeros", "few", "chain", "unfinished", "nothing"]
    out = tmp_path / "out"
    result = invoke(good, *(tmp_path / name for name in names), "--out", out)
    assert (result.exit_code, result.stdout) == (2, "")
    assert not out.exists()
    lines = result.stderr.splitlines()
    for line, name, expected in zip(
        lines,
        names,
        (
            "2 of 300 weights are not finite",
            "a group of 10 draws has weights of zero only: ln Z has no bias",
            "20 groups of 10 draws need 200, got 199",
            "has no draws of a model, and Z needs them",
            f"not finished; genlat resume {tmp_path / 'unfinished'}",
            "not a run directory of genlat",
        ),
        strict=True,
    ):
        assert line == f"{tmp_path / name}: {expected}"


def test_wrong_places_are_refused(runs, tmp_path):
    result = invoke(runs[0], "--out", tmp_path)
    assert result.exit_code == 2
    assert result.stderr == f"{tmp_path}: exists; choose another --out\n"
    result = invoke(*runs)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "several runs need a directory of their own: --out DIR"
    ]
    assert invoke(runs[0], "--repetitions", 1).exit_code == 2
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match="Not a directory"):
        study.write(runs, tmp_path / "file" / "out", 9)
    assert not any((path / "fluctuations.json").exists() for path in runs)


def test_too_many_repetitions_for_the_draws(tmp_path):
    path = write_run(tmp_path / "run", n=300)
    result = invoke(path, "--repetitions", 151)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.endswith(
        "--repetitions 151: its 300 draws are enough for 150, of two each"
    )
    assert invoke(path, "--repetitions", 150).exit_code == 0


def test_a_run_is_named_once(tmp_path):
    path = write_run(tmp_path / "run", n=300)
    result = invoke(path, path.parent / "x" / ".." / "run", "--out", tmp_path / "new")
    assert result.exit_code == 2
    assert result.stderr.rstrip().endswith("run: named twice")
    assert not (tmp_path / "new").exists()


def test_a_damaged_record_is_our_fault(tmp_path):
    path = write_run(tmp_path / "run")
    block = store.path(path, "flow", 0)
    block.write_bytes(block.read_bytes()[:1000])
    result = invoke(path)
    assert result.exit_code == 1
    assert "damaged" in result.stderr
