"""What the pages and figures of scans and studies say, number by number."""

import numpy as np
import pytest

from genlat.report import scan_page, study_drawings, study_figures
from genlat.report import study_page as study
from genlat.report.scan_figures import Curve
from genlat.runs import records
from genlat.runs.disk import files
from genlat.runs.scan import scan_request, study_request
from report_for_tests import bars_of, rows_of
from scans_for_tests import BASE, KAPPAS, a_scan, curve, drawn, number


def page_of(path, results):
    scan_request.write(path, scan_request.Request("theory.kappa", KAPPAS, BASE, None))
    files.write_json(path / "scan.json", results)
    return scan_page.write(path).read_text(encoding="utf-8")


def test_points_and_intervals_have_their_own_numbers(tmp_path):
    log_z = {
        "nis": curve([7.1, 7.5, 8.4], [0.1, 0.2, 0.3]),
        "bar": curve([7.0, None, 9.0], [0.1, None, 0.4]),
    }
    diagnostics = {
        "ess": [number(0.91, 0.01), number(0.82, 0.01), None],
        "ess_forward": [number(0.33, 0.01)] * 3,
        "mode_weight": [number(1.01, 0.01), None, number(0.53, 0.01)],
    }
    interval = {"check": "one - other", "start": 0.21, "stop": 0.24, "pull": -1.5}
    interval |= {"difference": number(0.4, 0.02), "integral": number(0.31, 0.05)}
    consistency = [interval | {"rule_error": 0.004}]
    trusts = ("yes", "unknown", "no")
    text = page_of(
        tmp_path,
        a_scan(
            estimates={"log_z": log_z},
            diagnostics=diagnostics,
            consistency=consistency,
            verdicts=[{"trust": trust, "reasons": []} for trust in trusts],
        ),
    )
    found = [list(row.values()) for row in rows_of(text)]
    assert found == [
        ["0.21", "7.10(10)", "7.00(10)", "+0.7 σ nis − bar", "0.910", "1.010", "yes"],
        ["0.24", "7.50(20)", "—", "—", "0.820", "—", "unknown"],
        ["0.31", "8.40(30)", "9.00(40)", "−1.2 σ nis − bar", "—", "0.530", "no"],
        ["0.21", "0.24", "0.400(20)", "0.310(50)", "0.004", "−1.5 σ"],
    ]


@pytest.mark.parametrize(
    ("trusts", "kind", "says", "where"),
    [
        (["yes"] * 3, "yes", "Of 3 points: 3 can be trusted.", None),
        (["no", "yes", "unknown"], "no", "1 must not be trusted.", "κ = 0.21, 0.31"),
        (["yes", "unknown", "yes"], "unknown", "1 undecided.", "κ = 0.24"),
        (["unknown"] * 3, "unknown", "Of 3 points: 3 undecided.", "every point"),
        (["unknown"] * 2, "unknown", "Of 3 points: 2 undecided.", "κ = 0.21, 0.24"),
    ],
)
def test_a_scan_is_as_good_as_its_points(tmp_path, trusts, kind, says, where):
    verdicts = [{"trust": trust, "reasons": ["few draws"]} for trust in trusts]
    text = page_of(tmp_path, a_scan(len(trusts), verdicts=verdicts))
    assert f'<div class="verdict {kind}">' in text
    assert says in text
    assert ("has not finished" in text) is (len(trusts) < 3)
    assert text.count("few draws") == (where is not None)
    assert where is None or f"<li>{where}: few draws</li>" in text


@pytest.mark.parametrize(
    ("sources", "name"),
    [
        (["symmetry", None, "transfer matrix"], "exact"),
        (["symmetry", None, "tabulated: somebody"], "published"),
    ],
)
def test_a_curve_is_exact_where_all_of_it_is(tmp_path, sources, name):
    known = curve([7.0, None, 8.0], [0.0, None, 0.1]) | {"source": sources}
    log_z = {"nis": curve([7.1, 7.5, 8.4], [0.1, 0.2, 0.3]), "exact": known}
    state = {"extents": [4, 6], "temperature": [0.25, 1 / 6], "vacuum_extent": 8}
    for quantity in scan_page.EQUATION:
        state[quantity] = number([1.0, 0.0], [0.1, 0.1]) | {"rule_error": [0.0, 0.0]}
    results = a_scan(
        estimates={"log_z": log_z, "action_density": log_z},
        thermodynamics={"equation_of_state": {"nis": state, "exact": state}},
    )
    figures = drawn(results)
    for figure in (figures["action_density"], figures["equation_of_state"]):
        labels = figure.axes[0].get_legend_handles_labels()[1]
        assert set(labels) == {"nis", name}
    text = page_of(tmp_path, results)
    assert f"<h3>{name}, coldest lattice" in text
    first, *_ = rows_of(text)
    assert first[f"ln Z, {name}"] == "7"
    assert first["largest pull"] == f"+1.0 σ nis − {name}"


def test_a_derivative_stands_between_the_points_it_is_from():
    rows = [
        {"start": x, "stop": y, "difference": number(change, 0.3), "pull": pull}
        for x, y, change, pull in ((0.21, 0.24, 0.6, 1.5), (0.24, 0.31, 2.1, -4.0))
    ]
    derivative = {"factor": 48.0, "observable": "hopping", "method": "hmc"}
    derivative |= number([17.0, 23.0, 28.0], [0.5, 0.6, 0.7])
    top, bottom = drawn(
        a_scan(
            thermodynamics={"derivative": derivative},
            consistency=[*rows, {"start": 0.21, "stop": 0.31}],  # from end to end
        )
    )["derivative"].axes
    assert next(iter(bars_of(top))) == "2 V ⟨hopping⟩, hmc"  # as the table has it
    measured, differences = bars_of(top).values()
    np.testing.assert_allclose(measured, (KAPPAS, [17, 23, 28], [0.5, 0.6, 0.7]))
    of_intervals = ([0.225, 0.275], [0.6 / 0.03, 30.0], [10.0, 0.3 / 0.07])
    np.testing.assert_allclose(differences, of_intervals)
    np.testing.assert_allclose(bottom.lines[-1].get_ydata(), [1.5, -4.0])


def test_an_equation_of_state_in_powers_of_the_temperature(tmp_path):
    """In two dimensions p and ε over T², s over T; the rule's error is not the other"""
    names = {"pressure": 0.2, "energy_density": 0.3, "entropy_density": 0.5}
    names |= {"trace_anomaly": 0.1}
    extents = np.array([2.0, 3.0])
    state = {"extents": [2.0, 3.0], "temperature": [1 / 2, 1 / 3], "vacuum_extent": 8}
    for name, first in names.items():
        column = number([first, first / 4], [0.012, 0.016])
        state[name] = column | {"rule_error": [0.005, 0.0]}
    found = a_scan(thermodynamics={"equation_of_state": {"nis": state}})
    panels = drawn(found)["equation_of_state"].axes
    labels = {r"$p/T^2$": (0.2, 2), r"$\epsilon/T^2$": (0.3, 2), "$s/T$": (0.5, 1)}
    for axes, (label, (first, power)) in zip(panels, labels.items(), strict=True):
        assert axes.get_ylabel() == label
        (marks,) = bars_of(axes).values()
        y, error = np.array([first, first / 4]), np.array([0.013, 0.016])
        expected = (1 / extents, y * extents**power, error * extents**power)
        np.testing.assert_allclose(marks, expected)
    first, second = rows_of(page_of(tmp_path, found))[-2:]
    assert list(first.values()) == [
        *("2", "0.5"),
        *("0.200(12) rule 0.005", "0.300(12) rule 0.005"),
        *("0.500(12) rule 0.005", "0.100(12) rule 0.005"),
    ]
    assert list(first) == ["L₀", "T", "p", "ε", "s", "ε − (d−1) p"]
    assert second["p"] == "0.050(16)"


def test_pulls_and_times_of_a_scan():
    abs_mag = {
        "hmc": curve([0.2, 0.5, 0.9], [0.03, 0.04, 0.05]),
        "nis": curve([0.29, 0.3, 0.9], [0.04, 0.03, 0.12]),
        "exact": curve([0.2, 0.5, None], [0.0, 0.0, None]),
    }
    cost = {
        "train_seconds": [50.0, 20.0, 20.0],
        "mcmc_seconds": [7.0, 8.0, None],
        "steps_seconds": [3.0, 3.0, 3.0],
        "total_seconds": [64.0, 32.0, 25.0],
    }
    figures = drawn(a_scan(estimates={"abs_mag": abs_mag}, cost=cost))
    pulls = figures["abs_mag"].axes[1]
    assert pulls.get_ylabel() == "pull against\nhmc"  # the exact ones have a gap
    assert pulls.lines[-1].get_ydata() == pytest.approx([1.8, -4.0, 0.0])
    bars = figures["cost"].axes[0].containers
    heights = {x.get_label(): [bar.get_height() for bar in x] for x in bars}
    assert heights == {
        "training": [50, 20, 20],
        "Markov chain": [7, 8, 0],
        "all else": [7, 4, 5],
    }


@pytest.mark.parametrize(
    ("sizes", "x", "label"),
    [
        ([[2, 2, 2], [5, 5, 5]], [2, 5], "extent $L$"),
        ([[2, 4, 8], [27, 1, 1]], [4, 3], "$V^{1/d}$"),
    ],
)
def test_lattices_have_the_edge_of_a_cube(sizes, x, label):
    ess = {"ess": [number(0.9, 0.01), number(0.7, 0.02)]}
    content = {"over": "theory.shape", "values": sizes, "diagnostics": ess}
    (axes,) = drawn(a_scan(2, **content))["quality"].axes
    found = bars_of(axes)["ESS"]
    np.testing.assert_allclose(found, (x, [0.9, 0.7], [0.01, 0.02]))
    assert axes.get_xlabel() == label


SIZES = ((4, 4), (8, 8), (16, 16))
TRUSTS = [("yes", "yes", "yes"), ("yes", "unknown", "no"), ("unknown", "yes")]


@pytest.fixture
def a_study(tmp_path):
    """Three lattices; the last lacks a point, and draws of a model at all of them."""
    requests = []
    for size in SIZES:
        base = BASE | {"theory": BASE["theory"] | {"shape": list(size)}}
        requests.append(scan_request.Request("theory.kappa", KAPPAS, base, None))
    asked = study_request.Study(SIZES, tuple(requests))
    study_request.write(tmp_path, asked)
    for k, (name, trusts) in enumerate(zip(asked.names, TRUSTS, strict=True)):
        n, reasons = len(trusts), {"reasons": []}
        binder = {"hmc": curve([0.1 + k, 0.2 + k, 0.3 + k][:n], [0.01] * n)}
        if k < 2:
            binder["nis"] = curve([0.5] * n, [0.02] * n)
        content = a_scan(
            n,
            estimates={"binder": binder},
            verdicts=[reasons | {"trust": trust} for trust in trusts],
            cost={
                "train_seconds": [50.0, 20.0, 30.0][:n],
                "other_seconds": [1.0, 2.0, None][:n],
                "total_seconds": [51.0, 22.0, 30.0][:n],
            },
            consistency=[{"pull": 0.4}, {"pull": -2.5}, {"pull": None}],
        )
        files.write_json(tmp_path / "scans" / name / "scan.json", content)
    row = {"observable": "binder", "method": "hmc", "value": 0.25}
    crossings = [
        row | {"sizes": SIZES[:2], "start": 0.24, "stop": 0.31},
        row | {"sizes": SIZES[1:], "start": 0.21, "stop": 0.24},
    ]
    errors = {"error": 0.003, "rule_error": 0.004}
    crossings = [found | errors for found in crossings]
    files.write_json(tmp_path / "study.json", {"crossings": crossings})
    return tmp_path


def test_lattices_and_crossings_have_their_own_numbers(a_study):
    text = study.write(a_study).read_text(encoding="utf-8")
    assert "This scan has not finished. Of 9 points: 5 can be trusted, 2 und" in text
    assert '<div class="verdict no">' in text
    assert [list(row.values()) for row in rows_of(text)] == [
        ["4×4", "3", "3", "0", "0", "−2.5 σ", "103 s"],
        ["8×8", "3", "1", "1", "1", "−2.5 σ", "103 s"],
        ["16×16", "2", "1", "1", "0", "−2.5 σ", "73 s"],
        ["4×4 and 8×8", "hmc", "0.2500(50)", "0.24 and 0.31"],
        ["8×8 and 16×16", "hmc", "0.2500(50)", "0.21 and 0.24"],
        ["0.21", "0.100(10)", "1.100(10)", "2.100(10)"],
        ["0.24", "0.200(10)", "1.200(10)", "2.200(10)"],
        ["0.31", "0.300(10)", "1.300(10)", "—"],
    ]


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ([None, None, None], None),
        (["transfer matrix", None, "symmetry"], "black levels: exact."),
        ([None, "tabulated: somebody", None], "black levels: published."),
        (
            ["symmetry", "tabulated: somebody", "symmetry"],
            "black levels: exact on 4×4 and 16×16, published on 8×8.",
        ),
        (["nothing", None, None], None),
    ],
)
def test_a_study_says_what_its_levels_are(a_study, sources, said):
    for path, source in zip(
        sorted((a_study / "scans").glob("*/scan.json")), sources, strict=True
    ):
        content = files.read_json(path)
        n = len(content["values"])
        value = [None if source == "nothing" else 0.5, *[None] * (n - 1)]
        error = [None if source == "nothing" else 0.01, *[None] * (n - 1)]
        known = curve(value, error) | {"source": [source, *[None] * (n - 1)]}
        content["estimates"]["binder"] |= {"exact": known} if source else {}
        files.write_json(path, content)
    (drawing,) = study_drawings.draw(records.read_study(a_study))
    assert (said is None) is ("black levels" not in drawing.caption)
    assert said is None or said in drawing.caption
    levels = [x for x in drawing.figure.axes[0].lines if x.get_marker() == "_"]
    drawn = [source for source in sources if source not in (None, "nothing")]
    # alone among its neighbours, and yet there
    assert [x.get_ydata()[0] for x in levels] == [0.5] * len(drawn)


def test_curves_of_a_study_are_of_one_method_and_filled_where_trusted(a_study):
    """nis is not on every lattice; what is undecided is not filled."""
    (drawing,) = study_drawings.draw(records.read_study(a_study))
    assert "Markers: hmc" in drawing.caption
    assert "from 0.21 to 0.31 neighbouring sizes cross" in drawing.caption
    axes = drawing.figure.axes[0]
    for k, (found, trusts) in enumerate(
        zip(bars_of(axes).values(), TRUSTS, strict=True)
    ):
        n = len(trusts)
        y = np.array([0.1, 0.2, 0.3][:n]) + k
        np.testing.assert_allclose(found, (KAPPAS[:n], y, [0.01] * n))
    filled = [
        line.get_xdata().tolist()
        for line in axes.lines
        if line.get_marker() != "None" and line.get_markerfacecolor() != "none"
    ]
    assert filled == [[0.21, 0.24, 0.31], [0.21], [0.24]]


@pytest.mark.parametrize(
    ("region", "window"),
    [
        ((0.4, 0.5), (0.3, 0.6)),  # with a point on either side
        ((0.3, 0.7), (0.3, 0.7)),  # as it is: with them it is nearly everything
        ((0.1, 0.2), (0.1, 0.3)),  # nothing before it
        ((0.2, 0.8), None),
    ],
)
def test_a_region_is_enlarged_with_its_neighbours(region, window):
    x = np.linspace(0.1, 0.9, 9).round(1)
    nothing = Curve(x, x)
    lattices = [
        study_figures.OnLattice("", part, nothing, x > 0) for part in (x[::2], x[1::2])
    ]
    assert study_figures.window_of(lattices, region) == window
