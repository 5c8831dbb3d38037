"""A scan, small: its values, its neighbours, its curves, and that no kill shows."""

import math

import pytest

from genlat.errors import DamagedError, DivergedError, RequestError
from genlat.report import scan_page
from genlat.runs import pipeline, records
from genlat.runs.disk import directory, files
from genlat.runs.scan import scan, scan_request, scan_results, scan_table
from genlat.runs.stages import train_stage
from genlat.runs.stages.screen import Screen
from kills_for_tests import through_kills

TINY = """
seed = 3
[theory]
name = "phi4"
shape = [4, 2]
kappa = 0.11
lam = 0.031
[mcmc]
kernel = ["hmc"]
chains = 6
samples = 200
therm = 30
n_leapfrog = 4
keep = 6
[model]
features = 2
channels = 1
kernel_terms = 1
mixing_terms = 1
n_steps = 2
[train]
steps = 20
batch = 16
[estimate]
samples = 600
batch = 100
methods = ["nis"]
n_steps = 4
keep = 6
"""
QUIET = Screen(quiet=True)


@pytest.fixture(autouse=True, scope="module")
def small_pieces():
    """One compiled piece of training for all, and a cache of compiled code apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENLAT_NO_CACHE", "1")
        patch.setattr(train_stage, "LONGEST_CHUNK", 10)
        yield


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def finished(run_file):
    """Three couplings; the directory and what the scan returned."""
    request = scan_request.plan(run_file, "theory.kappa=0.24:0.26:0.01", [], 10)
    drawn, out = [], run_file.parent / "finished"
    found = scan.start(request, out, QUIET, drawn.append)
    assert [path.name for path in drawn] == request.points
    return out, found


def numbers(found):
    """All of `scan.json` that a kill must not change."""
    return {name: value for name, value in found.items() if name != "cost"}


def test_a_scan_leaves_runs_curves_and_checks(finished):
    out, found = finished
    assert found == files.read_json(out / "scan.json")
    assert found["schema"] == "genlat.scan/1"
    assert found["is_complete"]
    assert found["over"] == "theory.kappa"
    assert found["values"] == [0.24, 0.25, 0.26]
    assert [verdict["trust"] for verdict in found["verdicts"]]
    for k, point in enumerate(found["points"]):
        results = records.read(out / point).results
        assert results["config"]["theory"]["kappa"] == found["values"][k]
        for name, by_method in found["estimates"].items():
            for method, curve in by_method.items():
                estimate = results["estimates"][name][method]
                assert curve["value"][k] == estimate["value"]
                assert curve["error"][k] == estimate["error"]
        assert (
            found["diagnostics"]["ess"][k]["value"]
            == (results["diagnostics"]["ess"]["value"])
        )
        assert found["cost"]["train_seconds"][k] == results["cost"]["train_seconds"]
    assert "two_point" not in found["estimates"]
    # d ln Z/dκ = 2V⟨hopping⟩, by the chain; the strip is known exactly
    derivative = found["thermodynamics"]["derivative"]
    assert derivative["factor"] == 16
    exact = found["estimates"]["log_z"]["exact"]["value"]
    slope = (exact[2] - exact[0]) / 0.02
    error = derivative["error"][1]
    assert abs(derivative["value"][1] - slope) < 5 * error < slope
    rows = found["consistency"]
    assert [(row["start"], row["stop"]) for row in rows] == [
        (0.24, 0.25),
        (0.25, 0.26),
        (0.24, 0.26),
    ]
    for row in rows:
        assert abs(row["pull"]) < 5
        error = math.hypot(row["difference"]["error"], row["integral"]["error"])
        assert row["rule_error"] < error


def test_points_start_from_their_neighbour(finished):
    out, found = finished
    first, *warm = (records.read(out / point) for point in found["points"])
    assert first.config["model"]["init"] == "scratch"
    assert first.metrics["step"].size == 20
    for before, record in zip(found["points"], warm, strict=False):
        assert record.config["model"]["init"] == str((out / before).absolute())
        assert record.metrics["step"].size == 10
        # not from scratch: the flow is already better than its prior
        assert record.metrics["loss"][0] == pytest.approx(
            first.metrics["loss"][-1], abs=1.0
        )


def test_asking_again_changes_nothing(finished):
    out, found = finished
    before = (out / "scan.json").read_bytes()
    assert scan.resume(out, QUIET, pytest.fail) == found
    assert (out / "scan.json").read_bytes() == before


def test_an_existing_out_is_refused(finished):
    out, _ = finished
    request = scan_request.read(out)
    with pytest.raises(RequestError, match="exists; choose another --out"):
        scan.start(request, out, QUIET, pytest.fail)


def test_a_second_process_is_kept_out(finished):
    out, found = finished
    with directory.held(out):
        # what is finished is read all the same
        assert scan.resume(out, QUIET, pytest.fail) == found
        (out / "scan.json").rename(out / "aside")
        with pytest.raises(RequestError, match="another process"):
            scan.resume(out, QUIET, pytest.fail)
        (out / "aside").rename(out / "scan.json")


def test_no_kill_changes_a_number(finished, run_file, monkeypatch):
    """Cut the scan every few files, also between the files of a directory's birth."""
    out, expected = finished[0].with_name("killed"), finished[1]
    request = scan_request.plan(run_file, "theory.kappa=0.24:0.26:0.01", [], 10)
    (out / "points").mkdir(parents=True)
    scan_request.write(out, request)
    found, n_kills = through_kills(
        monkeypatch,
        lambda: scan.resume(out, QUIET, lambda _: None),
        lambda n: 4 + n % 5,
    )
    assert n_kills > 5
    assert numbers(found) == numbers(expected)


def test_a_failed_point_is_one_line(run_file, tmp_path, monkeypatch):
    def diverge(config, path, screen):
        path.mkdir()
        directory.note(path, "started", "then")
        raise DivergedError("training stopped at step 3: the loss is nan")

    monkeypatch.setattr(pipeline, "start", diverge)
    request = scan_request.plan(run_file, "theory.kappa=0.10,0.11", [], None)
    out = tmp_path / "scan"
    with pytest.raises(DivergedError) as caught:
        scan.start(request, out, QUIET, pytest.fail)
    message = str(caught.value)
    assert "\n" not in message
    assert "points/000-kappa=0.1: training stopped at step 3" in message
    assert f"continue with: genlat resume {out}" in message
    # a finished run in its place is taken, as docs/scan.md says, and the scan goes on
    config = {"theory": {"kappa": 0.1}}
    content = {"config": config, "estimates": {}, "diagnostics": {}, "cost": {}}
    content["verdict"] = {"trust": "yes", "reasons": []}
    files.write_json(out / "points" / "000-kappa=0.1" / "results.json", content)
    drawn = []
    with pytest.raises(DivergedError, match=r"points/001-kappa=0\.11"):
        scan.resume(out, QUIET, drawn.append)
    assert [path.name for path in drawn] == ["000-kappa=0.1"]
    assert not files.read_json(out / "scan.json")["is_complete"]


def test_a_point_at_another_value_is_refused(run_file, tmp_path):
    request = scan_request.plan(run_file, "theory.kappa=0.10,0.11", [], None)
    out, point = tmp_path, tmp_path / "points" / "000-kappa=0.1"
    point.mkdir(parents=True)
    config = {"theory": {"kappa": 0.2}}
    files.write_json(point / "results.json", {"config": config})
    with pytest.raises(DamagedError, match=r"not at 0\.1"):
        scan_results.write(out, request)


def fabricated(path, request, flawed):
    """Results of three points, of which one has an unusable ln Z."""
    for k, (value, point) in enumerate(
        zip(request.values, request.points, strict=True)
    ):
        log_z = {"value": 7.0 + value, "error": 0.01}
        if k == flawed:
            log_z |= {"error": None, "unusable": "one draw carries all"}
        chain = {"value": 0.3, "error": 0.001}
        content = {
            "config": {"theory": {"kappa": value}},
            "estimates": {"log_z": {"nis": log_z}, "hopping": {"hmc": chain}},
            "diagnostics": {"ess": {**log_z, "value": 0.5}},
            "verdict": {"trust": "no", "reasons": []},
            "cost": {},
        }
        (path / "points" / point).mkdir(parents=True)
        files.write_json(path / "points" / point / "results.json", content)
    return scan_results.write(path, request)


def test_an_unusable_point_says_why(run_file, tmp_path, capsys):
    request = scan_request.plan(run_file, "theory.kappa=0.1,0.11,0.12", [], None)
    (tmp_path / "good").mkdir()
    found = fabricated(tmp_path / "good", request, flawed=None)
    assert len(found["consistency"]) == 3
    assert not found["no_consistency"]
    assert found["estimates"]["log_z"]["nis"]["unusable"] == [None] * 3

    out = tmp_path / "bad"
    out.mkdir()
    scan_request.write(out, request)
    found = fabricated(out, request, flawed=1)
    curve = found["estimates"]["log_z"]["nis"]
    assert curve["unusable"] == [None, "one draw carries all", None]
    assert found["consistency"] == []
    reason = "ln Z by nis cannot be used at 0.11 (one draw carries all)"
    assert found["no_consistency"] == reason
    scan_table.show(found)
    printed = capsys.readouterr().out
    assert printed.count("unusable") == 2  # ln Z and the ESS
    assert "7.11" not in printed
    assert " ".join(printed.split()).count(f"no consistency rows: {reason}") == 1
    text = scan_page.write(out).read_text()
    assert f"No rows: {reason}" in text
    assert text.count(">unusable<") == 2


@pytest.mark.parametrize(
    ("source", "name"), [("tabulated: a table", "published"), ("symmetry", "exact")]
)
def test_the_terminal_says_what_is_exact(run_file, tmp_path, capsys, source, name):
    request = scan_request.plan(run_file, "theory.shape.0=2,4,6", [], None)
    for value, point in zip(request.values, request.points, strict=True):
        known = {"value": 7.0, "error": 0.01, "source": source}
        nis = {"value": 7.0, "error": 0.1}
        nis |= {"error": None, "unusable": "few"} if value == 4 else {}
        exact = known | ({"value": None} if value == 4 else {})
        content = {
            "config": {"theory": {"shape": [value, 2]}},
            "estimates": {"log_z": {"nis": nis, "exact": exact}},
            "diagnostics": {},
            "verdict": {"trust": "no", "reasons": []},
            "cost": {},
        }
        (tmp_path / "points" / point).mkdir(parents=True)
        files.write_json(tmp_path / "points" / point / "results.json", content)
    found = scan_results.write(tmp_path, request)
    scan_table.show(found)
    assert f"ln Z, {name}" in capsys.readouterr().out
    of_nis, of_known = found["thermodynamics"]["left_out"]
    assert of_nis == "ln Z by nis cannot be used at 4 (few)"
    assert of_known.startswith(f"ln Z by {name} cannot be used at 4")


def test_the_page_of_a_scan(finished):
    out, _ = finished
    page = scan_page.write(out)
    text = page.read_text()
    names = {path.stem for path in (out / "figures").iterdir()}
    assert {"free_energy_density", "susceptibility", "derivative"} <= names
    assert {"quality", "cost", "abs_mag", "binder", "specific_heat"} <= names
    for point in ("000-kappa%3D0.24", "002-kappa%3D0.26"):
        assert f'href="points/{point}/report.html"' in text
    assert "scan of κ" in text
