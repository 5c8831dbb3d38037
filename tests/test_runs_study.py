"""Scans over lattices, alone and with a coupling: small, and that no kill shows."""

import json
import math

import pytest

from genlat.errors import RequestError
from genlat.report import scan_page, study_page
from genlat.runs import records
from genlat.runs.disk import files
from genlat.runs.scan import (
    scan,
    scan_request,
    scan_results,
    scan_table,
    study,
    study_request,
    study_results,
)
from genlat.runs.stages import train_stage
from genlat.runs.stages.screen import Screen
from kills_for_tests import through_kills

CHAIN = """
seed = 5
[theory]
name = "phi4"
shape = [4, 4]
kappa = 0.11
lam = 0.031
[mcmc]
kernel = ["hmc"]
chains = 4
samples = 60
therm = 20
n_leapfrog = 3
keep = 4
"""
MODEL = """
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
samples = 400
batch = 100
methods = ["nis"]
n_steps = 4
keep = 4
"""
QUIET = Screen(quiet=True)
SIZES, KAPPAS = "theory.shape=2x2,3x3", "theory.kappa=0.24,0.25"


@pytest.fixture(autouse=True, scope="module")
def small_pieces():
    """One compiled piece of training for all, and a cache of compiled code apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENLAT_NO_CACHE", "1")
        patch.setattr(train_stage, "LONGEST_CHUNK", 10)
        yield


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "tiny.toml"
    path.write_text(CHAIN + MODEL)
    return path


@pytest.fixture(scope="module")
def chain_file(run_file):
    path = run_file.with_name("chain.toml")
    path.write_text(CHAIN)
    return path


@pytest.fixture(scope="module")
def finished(run_file):
    """Two lattices, two couplings; the directory, `study.json`, and what was drawn."""
    asked = study_request.plan(run_file, [KAPPAS, SIZES], [], 10)
    drawn, out = [], run_file.with_name("finished")
    found = study.start(asked, out, QUIET, drawn.append)
    return out, found, [path.name for path in drawn]


def scans(out, found):
    return [files.read_json(out / name / "scan.json") for name in found["scans"]]


def numbers(out, found):
    """All that a kill must not change."""
    every = scans(out, found)
    return found, [{k: v for k, v in x.items() if k != "cost"} for x in every]


def relative(content, out):
    """Without the places of the directories that models are taken from."""
    return json.loads(json.dumps(content).replace(str(out), "OUT"))


def test_a_study_is_a_scan_on_every_lattice(finished, run_file):
    out, found, drawn = finished
    assert found == files.read_json(out / "study.json")
    assert found["schema"] == "genlat.study/1"
    assert found["is_complete"]
    assert found["over"] == ["theory.shape", "theory.kappa"]
    assert found["sizes"] == [[2, 2], [3, 3]]
    assert found["values"] == [0.24, 0.25]
    assert found["scans"] == ["scans/000-shape=2x2", "scans/001-shape=3x3"]
    assert [sum(counts.values()) for counts in found["trust"]] == [2, 2]
    points = ["000-kappa=0.24", "001-kappa=0.25"]
    assert drawn == [*points, "000-shape=2x2", *points, "001-shape=3x3"]
    for size, content in zip(found["sizes"], scans(out, found), strict=True):
        assert content["is_complete"]
        assert content["schema"] == "genlat.scan/1"
        assert content["values"] == found["values"]
        assert content["config"]["theory"]["shape"] == size
    # the first lattice is what a scan of it alone would be
    alone = scan_request.plan(run_file, KAPPAS, ["theory.shape=[2,2]"], 10)
    assert scan_request.read(out / found["scans"][0]) == alone


def test_every_point_has_a_seed_of_its_own(run_file):
    sizes = "theory.shape=2x2,3x3,4x4,5x5"
    asked = study_request.plan(run_file, [sizes, "theory.kappa=0.1:0.2:0.01"], [], None)
    seeds = {
        scan_request.configuration(request, k, None).seed
        for request in asked.scans
        for k in range(11)
    }
    assert len(seeds) == 44


def test_a_larger_lattice_starts_from_the_smaller(finished):
    out, found, _ = finished
    inits = [
        records.read(out / place / "points" / point).config["model"]["init"]
        for place in found["scans"]
        for point in ("000-kappa=0.24", "001-kappa=0.25")
    ]
    first, second = ((out / place / "points").absolute() for place in found["scans"])
    assert inits == [
        "scratch",
        str(first / "000-kappa=0.24"),
        str(first / "000-kappa=0.24"),
        str(second / "000-kappa=0.24"),
    ]


def test_no_kill_changes_a_number(finished, run_file, monkeypatch):
    out = finished[0].with_name("killed")
    asked = study_request.plan(run_file, [SIZES, KAPPAS], [], 10)
    out.mkdir()
    study_request.write(out, asked)
    found, n_kills = through_kills(
        monkeypatch,
        lambda: study.resume(out, QUIET, lambda _: None),
        lambda n: 5 + n % 7,
    )
    assert n_kills > 5
    expected = relative(numbers(*finished[:2]), finished[0])
    assert relative(numbers(out, found), out) == expected


def test_asking_again_changes_nothing(finished):
    out, found, _ = finished
    before = (out / "study.json").read_bytes()
    assert study.resume(out, QUIET, pytest.fail) == found
    assert (out / "study.json").read_bytes() == before


def test_a_scan_does_not_overtake_the_one_it_starts_from(run_file, tmp_path):
    asked = study_request.plan(run_file, [SIZES, KAPPAS], [], 10)
    study_request.write(tmp_path, asked)
    second = tmp_path / "scans" / "001-shape=3x3"
    with pytest.raises(RequestError, match=r"000-shape=2x2/.* is not finished"):
        scan.resume(second, QUIET, pytest.fail)
    assert not list((second / "points").iterdir())


def test_lattices_alone_are_a_scan(chain_file, tmp_path, monkeypatch):
    asked = scan_request.plan(chain_file, "theory.shape=2x2,4x2", [], None)
    expected = scan.start(asked, tmp_path / "whole", QUIET, lambda _: None)
    assert expected["over"] == "theory.shape"
    assert expected["values"] == [[2, 2], [4, 2]]
    assert expected["points"][1] == "points/001-shape=4x2"
    assert expected["consistency"] == []
    assert expected["thermodynamics"] == {}
    config = records.read(tmp_path / "whole" / expected["points"][1]).config
    assert config["theory"]["shape"] == [4, 2]

    out = tmp_path / "killed"
    (out / "points").mkdir(parents=True)
    scan_request.write(out, asked)
    found, n_kills = through_kills(
        monkeypatch,
        lambda: scan.resume(out, QUIET, lambda _: None),
        lambda n: 4 + n % 5,
    )
    assert n_kills > 0
    costs = found.pop("cost"), expected.pop("cost")
    assert all(costs)
    assert found == expected
    text = scan_page.write(out).read_text()
    for part in ("scan of lattices", "lattice from 2×2 to 4×2", "001-shape%3D4x2"):
        assert part in text


@pytest.mark.parametrize(
    ("overs", "message"),
    [
        ([KAPPAS, "theory.lam=0.1,0.2"], "theory.kappa, theory.lam: several should be"),
        ([SIZES, SIZES], "several should be one of theory.shape and one of a coupling"),
        ([SIZES, KAPPAS, "theory.lam=0.1"], "several should be one of theory.shape"),
        ([SIZES, "theory.shape.0=4,6"], "should be one of theory.shape and one of a"),
        ([SIZES, "theory.kapa=0.1,0.2"], "every point: theory.kapa: .*mean kappa"),
        (["theory.shape=2x2,2x", KAPPAS], "'2x': a size should be"),
        (["theory.shape=2,3", KAPPAS], "'2': has one dimension"),
        ([SIZES, "theory.kappa=0:1:0.002"], "1002 points; at most 1000"),
        ([SIZES, "theory.kappa=0.2,1e400"], "numbers must be between 1e±300"),
    ],
)
def test_what_is_no_study(run_file, overs, message):
    with pytest.raises(RequestError, match=message) as caught:
        study_request.plan(run_file, overs, [], None)
    assert len(caught.value.lines) == 1


def test_a_problem_of_one_lattice_names_it(run_file):
    huge = "theory.shape=2x2,2999999999x2"
    with pytest.raises(RequestError) as caught:
        study_request.plan(run_file, [huge, KAPPAS], [], None)
    (line,) = caught.value.lines
    assert "001-shape=2999999999x2: every point: theory.shape" in line


def fabricated(path, run_file, n_done):
    """A study of 4x4 and 8x8 that never ran: Binder cumulants that cross at 0.26."""
    kappas = "theory.kappa=0.22:0.30:0.01"
    asked = study_request.plan(run_file, ["theory.shape=4x4,8x8", kappas], [], None)
    path.mkdir(exist_ok=True)
    study_request.write(path, asked)
    for name, request, slope, n in zip(
        asked.names, asked.scans, (40, 90), n_done, strict=True
    ):
        for value, point in list(zip(request.values, request.points, strict=True))[:n]:
            binder = 2 / 3 / (1 + math.exp(-slope * (value - 0.2637)))
            trust = "no" if value == 0.25 else "yes"
            content = {
                "config": {"theory": {"kappa": value}},
                "estimates": {
                    "binder": {
                        "nis": {"value": binder, "error": 0.004},
                        "hmc": {"value": binder + 0.001, "error": 0.008},
                    },
                    "mag2": {"exact": {"value": value, "error": 0.0}},
                    "log_z": {"nis": {"value": 9.0 + value, "error": 0.1}},
                },
                "diagnostics": {},
                "verdict": {"trust": trust, "reasons": ["<never ran>"]},
                "cost": {"train_seconds": 2.0},
            }
            place = path / "scans" / name / "points" / point
            place.mkdir(parents=True)
            files.write_json(place / "results.json", content)
        if n:
            scan_results.write(path / "scans" / name, request)
    return study_results.write(path, asked)


def test_where_binder_cumulants_cross(run_file, tmp_path, capsys):
    found = fabricated(tmp_path / "study", run_file, n_done=(9, 9))
    assert {row["method"] for row in found["crossings"]} == {"nis", "hmc"}
    (row,) = (row for row in found["crossings"] if row["method"] == "nis")
    assert row["sizes"] == [[4, 4], [8, 8]]
    assert row["start"] < 0.2637 < row["stop"]
    error = math.hypot(row["error"], row["rule_error"])
    assert abs(row["value"] - 0.2637) < 2 * error < 0.004
    scan_table.show_study(found)
    printed = " ".join(capsys.readouterr().out.split())
    assert "binder by nis, 4x4 and 8x8: cross at theory.kappa = 0.26" in printed

    page = study_page.write(tmp_path / "study")
    text = page.read_text()
    for part in (
        "4×4, 8×8: scan of κ",
        "Of 18 points: 16 can be trusted, 2 must not be trusted.",
        'href="scans/001-shape%3D8x8/report.html"',
        "4×4 and 8×8",
        "neighbouring sizes cross",
    ):
        assert part in text
    names = {path.stem for path in (tmp_path / "study" / "figures").iterdir()}
    assert names == {"binder"}  # of mag2 only what is exact is known


def test_two_points_that_both_lattices_have_are_enough_to_cross(run_file, tmp_path):
    """Half-way between them; a point that one lattice lacks is left out of both."""
    kappas = [0.2, 0.24, 0.3]
    overs = ["theory.shape=4x4,8x8", "theory.kappa=0.2,0.24,0.3"]
    asked = study_request.plan(run_file, overs, [], None)
    for name, curve in zip(
        asked.names, ([0.3, None, 0.4], [0.2, 0.25, 0.5]), strict=True
    ):
        place = tmp_path / "scans" / name
        place.mkdir(parents=True)
        binder = {"nis": {"value": curve, "error": [0.01] * 3}}
        content = {"values": kappas, "estimates": {"binder": binder}}
        files.write_json(place / "scan.json", content)
    (row,) = study_results.collect(tmp_path, asked)["crossings"]
    assert (row["start"], row["stop"]) == (0.2, 0.3)
    assert row["value"] == pytest.approx(0.25)


@pytest.mark.parametrize("n_done", [(0, 0), (4, 0), (9, 1)])
def test_the_page_of_a_study_that_is_under_way(run_file, tmp_path, n_done):
    found = fabricated(tmp_path, run_file, n_done)
    assert not found["is_complete"]
    assert found["crossings"] == []
    text = study_page.write(tmp_path).read_text()
    assert "This scan has not finished. Of 18 points:" in text


def test_the_page_of_a_study(finished):
    out, _, _ = finished
    study_page.write(out)
    names = {path.stem for path in (out / "figures").iterdir()}
    assert {"binder", "abs_mag", "susceptibility", "free_energy_density"} <= names
    assert "log_z" not in names


def test_another_run_in_the_place_of_a_point_is_seen(run_file, tmp_path):
    """As docs/scan.md says: the curves are made anew, by a scan and by a study."""
    fabricated(tmp_path, run_file, n_done=(9, 9))
    asked = study_request.read(tmp_path)
    place = tmp_path / "scans" / asked.names[1]
    assert scan.finished(place, asked.scans[1])
    point = place / "points" / asked.scans[1].points[3] / "results.json"
    content = files.read_json(point)
    content["estimates"]["binder"]["nis"]["value"] = 0.5
    files.write_json(point, content)
    assert not scan.finished(place, asked.scans[1])
    found = study.resume(tmp_path, QUIET, lambda _: None)
    assert scans(tmp_path, found)[1]["estimates"]["binder"]["nis"]["value"][3] == 0.5
