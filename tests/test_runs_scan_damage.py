"""Curves are of the points beside them: what is gone, damaged or another is named.

And no kill between results, pages and curves leaves one without the other.
"""

import functools
import json
import re
import shutil

import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from genlat import cli
from genlat.report import (
    drawings,
    house,
    page,
    scan_drawings,
    scan_page,
    study_drawings,
    study_page,
)
from genlat.runs import records
from genlat.runs.disk import directory, files, inventory, store
from genlat.runs.scan import scan, scan_request, scan_results, study, study_request
from genlat.runs.stages.screen import Screen
from kills_for_tests import before_event

TINY = """
seed = 5
[theory]
name = "ising"
shape = [3, 2]
beta = 0.3
[mcmc]
kernel = "heatbath"
chains = 4
samples = 60
therm = 20
keep = 4
"""
QUIET = Screen(quiet=True)
BETAS = "theory.beta=0.1,0.2,0.3"
NAMES = [f"{k:03}-beta={beta}" for k, beta in enumerate((0.1, 0.2, 0.3))]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("scans")
    (root / "tiny.toml").write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENLAT_NO_CACHE", "1")
        asked = scan_request.plan(root / "tiny.toml", BETAS, [], None)
        scan.start(asked, root / "scan", QUIET, lambda _: None)
    return root / "scan"


@pytest.fixture
def a_scan(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("GENLAT_NO_CACHE", "1")
    monkeypatch.setattr(page, "write", lambda path: path)  # of points
    monkeypatch.setattr(scan_drawings, "draw", lambda results: [])
    return shutil.copytree(finished, tmp_path / "scan")


def invoke(*words):
    return CliRunner().invoke(cli.app, list(map(str, words)))


def numbers(path):
    """All of `scan.json` but times."""
    found = files.read_json(path / "scan.json")
    return {x: found[x] for x in found if x != "cost"}


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swap(path, other):
    path.rename(path.with_name("aside"))
    other.rename(path)
    path.with_name("aside").rename(other)


def swap_results(points):
    swap(*(point / "results.json" for point in points[1:]))


def forget_results(points):
    for point in points[1:]:
        (point / "results.json").unlink()


# what is done, and what to do about it where resume alone cannot know
HARM = {
    "gone": (lambda points: shutil.rmtree(points[1]), None),
    "not finished": (lambda points: (points[1] / "results.json").unlink(), None),
    "damaged": (
        lambda points: flip(points[1] / "results.json"),
        lambda points: (points[1] / "results.json").unlink(),
    ),
    "swapped": (lambda points: swap(*points[1:]), lambda points: swap(*points[1:])),
    "results swapped": (swap_results, forget_results),
}


@pytest.mark.parametrize("name", HARM)
def test_a_point_that_is_not_what_the_curves_are_of(name, a_scan, finished):
    """A report names it; resume makes it again, or names it, too."""
    assert invoke("report", a_scan).exit_code == 0
    harm, remedy = HARM[name]
    points = [a_scan / "points" / x for x in NAMES]
    harm(points)
    said = invoke("report", a_scan)
    assert said.exit_code == 1
    (line,) = said.stderr.splitlines()
    assert line.startswith(f"{points[1]}")
    assert f"`genlat resume {a_scan}`" in line
    if remedy is not None:
        again = invoke("resume", a_scan, "--quiet")
        assert again.exit_code == 1
        (line,) = again.stderr.splitlines()
        assert line.startswith(f"{points[1]}")
        assert f"`genlat resume {a_scan}`" in line
        remedy(points)
    assert invoke("resume", a_scan, "--quiet").exit_code == 0
    assert numbers(a_scan) == numbers(finished)
    assert invoke("report", a_scan).exit_code == 0


def test_another_run_in_the_place_of_a_point(a_scan):
    """As docs/scan.md has it: the page waits for the curves to be made anew."""
    results = a_scan / "points" / NAMES[2] / "results.json"
    content = files.read_json(results)
    content["estimates"]["abs_mag"]["heatbath"]["value"] = 0.123
    files.write_json(results, content)
    said = invoke("report", a_scan)
    assert said.exit_code == 1
    assert re.match(rf"{re.escape(str(results.parent))}: not the run that", said.stderr)
    assert invoke("resume", a_scan, "--quiet").exit_code == 0
    curve = files.read_json(a_scan / "scan.json")["estimates"]["abs_mag"]["heatbath"]
    assert curve["value"][2] == 0.123
    assert invoke("report", a_scan).exit_code == 0


SVG = '<svg viewBox="0 0 1 1"><defs></defs></svg>'


def test_a_scan_killed_anywhere_at_its_end_goes_on(finished, tmp_path, monkeypatch):
    """From the last results on: records, page of the point, curves, their page."""
    monkeypatch.setenv("GENLAT_NO_CACHE", "1")
    monkeypatch.setattr(house, "svg", lambda figure: SVG)
    two = [drawings.Drawing(name, "", "", Figure()) for name in ("one", "cost")]
    for module in (drawings, scan_drawings):
        monkeypatch.setattr(module, "draw", lambda record: two)
    base = shutil.copytree(finished, tmp_path / "base")
    point = base / "points" / NAMES[2]
    (point / "results.json").unlink()
    noted = directory.notes(point)
    del noted[inventory.NOTE]
    files.write_json(point / "notes.json", noted)
    for name in NAMES[:2]:
        (base / "points" / name / "report.html").touch()
    scan_results.write(base, scan_request.read(base))

    def end(path):
        scan.resume(path, QUIET, page.write)
        scan_page.write(path)

    def left(path):
        return {str(x.relative_to(path)) for x in path.rglob("[!.]*") if x.is_file()}

    shutil.copytree(base, tmp_path / "whole")
    end(tmp_path / "whole")
    expected, number = left(tmp_path / "whole"), 0
    assert {"report.html", f"points/{NAMES[2]}/report.html"} < expected
    while True:
        path = shutil.copytree(base, tmp_path / f"{number}")
        if not before_event(monkeypatch, number, functools.partial(end, path)):
            break
        end(path)
        assert left(path) == expected
        assert numbers(path) == numbers(finished)
        assert records.read(path / "points" / NAMES[2]).chain
        shutil.rmtree(path)
        number += 1
    assert number > 20, number


def test_a_scan_of_before_there_were_digests(a_scan):
    """Drawn, and still finished: nothing has to be written."""
    content = files.read_json(a_scan / "scan.json")
    digests = content.pop("digests")
    assert len({*digests}) == 3
    files.write_json(a_scan / "scan.json", content)
    assert scan.resume(a_scan, QUIET, pytest.fail) == content
    shutil.rmtree(a_scan / "points" / NAMES[0])
    assert scan_page.write(a_scan).exists()


def test_a_lost_block_of_a_point_is_made_again(a_scan, finished):
    store.path(a_scan / "points" / NAMES[1], "chain", 0).unlink()
    before = (a_scan / "scan.json").read_bytes()
    scan.resume(a_scan, QUIET, lambda _: None)
    assert store.path(a_scan / "points" / NAMES[1], "chain", 0).exists()
    assert (a_scan / "scan.json").read_bytes() == before


def test_crossings_are_of_the_scans_beside_them(finished, tmp_path, monkeypatch):
    """A scan that was made anew by itself; one that has not finished is no harm."""
    monkeypatch.setattr(study_drawings, "draw", lambda record: [])
    file = finished.with_name("tiny.toml")
    asked = study_request.plan(file, ["theory.shape=3x2,4x2", BETAS], [], None)
    study_request.write(tmp_path, asked)
    places = [tmp_path / "scans" / name for name in asked.names]
    results = [
        files.read_json(finished / "points" / name / "results.json") for name in NAMES
    ]
    for place, request in zip(places, asked.scans, strict=True):
        for name, content in zip(request.points, results, strict=True):
            (place / "points" / name).mkdir()
            files.write_json(place / "points" / name / "results.json", content)
    found = study.resume(tmp_path, QUIET, lambda _: None)
    assert len(found["digests"]) == 2
    assert study_page.write(tmp_path).exists()

    before = files.read_json(tmp_path / "study.json")
    files.write_json(
        tmp_path / "study.json", before | {"digests": [before["digests"][0], None]}
    )
    changed = json.loads(json.dumps(results[2]))
    changed["estimates"]["binder"]["heatbath"]["value"] = 0.5
    files.write_json(places[1] / "points" / NAMES[2] / "results.json", changed)
    scan.resume(places[1], QUIET, lambda _: None)
    assert study_page.write(tmp_path).exists()  # was not complete
    files.write_json(tmp_path / "study.json", before)
    said = invoke("report", tmp_path)
    assert said.exit_code == 1
    (line,) = said.stderr.splitlines()
    assert line.startswith(f"{places[1]}: not the scan that study.json was made of; ")
    assert f"`genlat resume {tmp_path}`" in line
    study.resume(tmp_path, QUIET, lambda _: None)
    assert invoke("report", tmp_path).exit_code == 0
