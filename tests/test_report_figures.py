"""The numbers in the figures and tables of the report."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from genlat import observables
from genlat.report import costs, diagnostics, figures, free_energy, notation, tables
from genlat.runs.file import catalogue
from report_for_tests import rows_of


def test_figures_draw_their_numbers():
    random = np.random.default_rng(5)
    value, error = np.array([3.1, 1.4, 0.2]), np.array([0.3, 0.2, 0.1])
    found = {"nis": (value, error), "exact": (value - 0.5, 0.4 / 0.3 * error)}
    pulls = figures.two_point(found, "exact").axes[1].lines[0].get_ydata()
    assert pulls == pytest.approx([1.0, 1.5, 3.0])  # 0.5 over 5/3 of the errors

    mag = np.repeat([-1.3, 1.3], 2000)
    log_w = np.where(mag > 0, np.log(3.0), 0.0) - 800
    raw, reweighted = figures.magnetisation(None, (mag, log_w)).axes[0].patches
    for bars, share in ((raw, 0.5), (reweighted, 0.75)):
        density, edges, _ = bars.get_data()
        assert np.sum(density * np.diff(edges)) == pytest.approx(1)
        assert density[-1] * (edges[-1] - edges[-2]) == pytest.approx(share)

    noisy = 5.0 + random.normal(size=5000)
    curves, levels = (np.arange(5000) / 7, noisy, noisy / 10), {"prior_ess": None}
    drawn = figures.training(
        *curves, objective="reverse_kl", log_z=-5.2, **levels
    ).axes[0]
    pale, average, level = drawn.lines
    assert len(pale.get_xdata()) <= figures.POINTS
    assert level.get_ydata()[0] == 5.2
    assert np.std(average.get_ydata()) == pytest.approx(1 / np.sqrt(101), rel=0.3)
    drawn = figures.training(
        *curves, objective="forward_kl", log_z=-5.2, **levels
    ).axes[0]
    assert len(drawn.lines) == 2  # maximum likelihood does not lead to -ln Z
    assert drawn.get_ylabel() == r"loss  $-E_p[\ln q]$"


def test_far_pulls_stand_out():
    def found(value):
        return {"value": value, "error": 0.3}

    near = {"phi2": {"nis": found(1.0), "hmc": found(2.2)}}
    far = {"phi2": {"nis": found(1.0), "hmc": found(2.3)}}  # 1.3 / (0.3 √2) = 3.06
    assert "far" not in tables.estimates(near)
    assert "−3.1 σ !" in tables.estimates(far)
    assert notation.pull(found(2.3), {"value": 2.0, "error": 0.4}) == pytest.approx(0.6)
    assert notation.pull(found(1.0), {"value": 1.0, "error": None}) is None
    assert notation.number({"value": -85.74724, "error": 0.00042}) == "−85.74724(42)"
    assert notation.number({"value": 12.1100473, "error": 0.0}) == "12.1100473"
    assert notation.number({"value": 1.543e-4, "error": 2.9e-6}) == "1.543(29)·10⁻⁴"
    assert notation.number({"value": -0.04321, "error": None}) == "−0.04321(?)"
    assert notation.number({"value": None, "error": None}) == "not finite"
    assert notation.number(None) == notation.ABSENT


def test_the_largest_pull_names_its_pair():
    def found(value):
        return {"value": value, "error": 0.3}

    by_method = {
        "exact": found(9.0),
        "nis": found(1.0),
        "bar": found(1.3),
        "p_estimator": found(0.1),
        "hmc": {"value": 77.0, "error": None, "unusable": "stuck"},
    }
    largest = notation.largest_pull(by_method)
    assert largest is not None
    assert (largest.first, largest.second) == ("bar", "p_estimator")
    assert largest.value == pytest.approx(1.2 / (0.3 * np.sqrt(2)))
    swapped = {name: by_method[name] for name in ("p_estimator", "nis", "bar")}
    largest = notation.largest_pull(swapped)
    assert largest is not None
    assert largest.value == pytest.approx(-1.2 / (0.3 * np.sqrt(2)))
    shown = tables.estimates({"log_z": by_method})
    assert shown.count("<th ") == 7  # observable, exact, four methods, one pull
    assert "bar − p_estimator" in shown
    assert "77" not in shown


def test_bounds_enclose_the_free_energy_in_the_table():
    one = {"value": -1.0, "error": 0.1}
    names = ("entropy_density", "free_energy_density", "phi2")
    found = {name: {"nis": one} for name in names}
    found["free_energy_density_upper"] = {"nis": one}
    found["free_energy_density_lower"] = {"p_estimator": one}
    shown = tables.estimates(found)
    order = [
        shown.index(f"<code>free_energy_density{x}<") for x in ("_lower", "", "_upper")
    ]
    assert order == sorted(order)
    assert shown.index("<code>phi2<") > order[-1]
    assert shown.count("<table>") == 2
    assert "p_estimator" not in shown[shown.index("<code>phi2<") :]


def test_log_z_from_every_side():
    side = free_energy.Side
    sides = [
        side("exact", "12.3", 12.3, 0.01, 0),
        side("lower bound (q)", "12.2", 12.2, 0.02, 1),
        side("nis", "12.25", 12.25, 0.03, 0),
        side("p_estimator", "unusable", None, 0.0, 0),
        side("upper bound (p)", "14", 14.0, 0.1, -1),
    ]
    axes = free_energy.log_z(sides, sides[0]).axes[0]
    bars = {  # row -> (middle, half-width)
        int(points[0, 1]): (points[:, 0].mean(), np.ptp(points[:, 0]) / 2)
        for points in (bar.get_segments()[0] for bar in axes.collections)
    }
    assert bars[0] == pytest.approx((0.0, 0.01))
    assert bars[1] == pytest.approx((-0.1, 0.02))
    assert bars[2] == pytest.approx((-0.05, 0.03))
    assert set(bars) == {0, 1, 2}  # nothing for the unusable one, nothing off the scale
    arrow = next(text for text in axes.texts if text.get_text() == "")
    assert arrow.xyann[0] == pytest.approx(-0.1)
    assert arrow.xy[0] > -0.1  # ln Z lies above the lower bound
    shown = [text.get_text() for text in axes.texts]
    assert "+1.7 off the scale $\\rightarrow$" in shown
    assert {x.text for x in sides} <= set(shown)
    assert axes.get_xlim()[1] < 0.2


def test_log_weights_of_both_ensembles():
    """Their ratio is e^(ln w - ln Z); what is out of reach is counted, not drawn."""
    random = np.random.default_rng(5)
    q, p = 200 + random.normal(-0.5, 1, 40_000), 200 + random.normal(0.5, 1, 50_000)
    axes = free_energy.log_weights(q, p).axes[0]
    _, on_q, on_p = (patch.get_data() for patch in axes.patches)
    middle = (on_q.edges[1:] + on_q.edges[:-1]) / 2
    assert np.sum(on_q.values) == pytest.approx(1)
    assert np.sum(on_q.values * middle) == pytest.approx(-0.5, abs=0.05)
    is_full = (on_q.values > 0.02) & (on_p.values > 0.02)
    assert np.sum(is_full) > 5
    ratio = np.log(on_p.values[is_full] / on_q.values[is_full])
    assert ratio == pytest.approx(middle[is_full], abs=5 / np.sqrt(800))
    (gaussian,) = (line for line in axes.lines if line.get_label() == "Gaussian")
    expected = np.interp(middle, *gaussian.get_data())
    spread = np.sqrt(expected / q.size) + 2e-4  # and the curve within a bin
    assert np.max(np.abs(on_q.values - expected) / spread) < 5
    assert not axes.texts
    p[:1000], p[0], p[1], q[:3] = 500, np.inf, 225, 150
    axes = free_energy.log_weights(q, p).axes[0]
    assert axes.get_xlim()[0] > -20
    assert "3 further left, down to −" in axes.texts[1].get_text()
    assert axes.get_xlim()[1] < 20
    assert axes.texts[0].get_text().startswith("1,000 of 50,000")
    assert "q = 0" in axes.texts[0].get_text()
    assert np.sum(axes.patches[2].get_data().values) == pytest.approx(0.98)


def test_integration_has_its_grid():
    grid = np.array([0.0, 0.1, 0.25, 0.3])
    overlaps = np.array([0.9, 0.4, 0.6])
    figure = free_energy.integration(grid, grid**2, grid, overlaps, "κ")
    top, middle, bottom = figure.axes
    assert top.lines[0].get_ydata() == pytest.approx(grid**2)
    assert middle.lines[0].get_ydata() == pytest.approx(grid)
    assert bottom.patches[0].get_data().values == pytest.approx(overlaps)
    assert bottom.patches[0].get_data().edges == pytest.approx(grid)
    assert bottom.get_xlabel() == "κ"


def test_cost_of_an_error():
    prices = [
        costs.Price("log_z", 0.1, {"nis": 9.0, "bar": 7.0}, {"nis": 2.0, "bar": 3.0}),
        costs.Price("mag", 0.2, {"nis": 8.0, "hmc": 5.0}, {"nis": 1.0, "hmc": 5.0}),
    ]
    axes = costs.seconds_to_error(prices).axes[0]
    marks = sorted(
        (float(np.ravel(line.get_xdata())[0]), line.get_markerfacecolor() == "#ffffff")
        for line in axes.lines
        if np.size(line.get_xdata()) == 1
    )
    trained, whole = [1.0, 2.0, 3.0, 5.0], [7.0, 8.0, 9.0]  # hmc needs no training
    assert [x for x, is_hollow in marks if not is_hollow] == trained
    assert [x for x, is_hollow in marks if is_hollow] == whole
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["log_z to 0.1", "mag to 0.2"]


def test_diagnostics_say_why_and_how_far():
    good, far = ({"name": "a = b", "left": {"value": 1.0, "error": 0.1}} for _ in "12")
    good |= {"right": 1.1, "pull": -1.0}
    far |= {"right": {"value": 2.0, "error": 0.1}, "pull": -7.1}
    assert "far" not in diagnostics.diagnostics({"consistency": [good]})
    assert "−7.1 σ !" in diagnostics.diagnostics({"consistency": [good, far]})
    flawed = {"value": 0.4999, "error": None, "unusable": "q <excludes> samples"}
    shown = diagnostics.diagnostics({"mode_weight": flawed | {"is_evidence": True}})
    assert "q &lt;excludes&gt; samples" in shown
    assert "0.4999" not in shown
    assert diagnostics.diagnostics({}) == ""


def test_configurations_have_time_to_the_right():
    phis = np.random.default_rng(5).normal(size=(2, 4, 6, 3))
    axes = figures.samples({"model": phis}).axes
    images = [image for panel in axes for image in panel.images]
    shown = [image.get_array() for image in images if image.get_array().size == 24]
    np.testing.assert_array_equal(shown, phis[:, :, :, 0].swapaxes(1, 2))


def test_an_autocorrelation_has_its_error_on_either_side():
    rho, error = np.array([1.0, 0.6, 0.2]), np.array([0.01, 0.05, 0.1])
    decay = figures.Decay("mag", rho, error, 1, "1.30(12)", "proposals")
    (axes,) = figures.autocorrelation({"nmcmc": decay}).axes
    (band,) = (x for x in axes.collections if isinstance(x, PolyCollection))
    vertices = band.get_paths()[0].vertices
    for lag in range(3):
        ends = vertices[vertices[:, 0] == lag, 1]
        assert (ends.min(), ends.max()) == (
            rho[lag] - error[lag],
            rho[lag] + error[lag],
        )


def test_what_was_measured_is_not_called_exact():
    by_table = {"value": 1.0, "error": 0.1, "source": "tabulated: somebody"}
    exact = {"value": 0.0, "error": 0.0, "source": "symmetry"}
    found = {"phi2": {"exact": by_table}, "mag": {"exact": exact}}
    for content, head, notes in (
        (
            found,
            "published",
            [
                "Published values. ⟨φ²⟩: tabulated: somebody",
                "Exact values. ⟨m⟩: symmetry",
            ],
        ),
        (
            {"mag": found["mag"], "mag2": found["mag"]},
            "exact",
            ["Exact values. ⟨m⟩, ⟨m²⟩: symmetry"],
        ),
    ):
        text = tables.estimates(content)
        shown = {row["observable"]: row[head] for row in rows_of(text)}
        assert shown["⟨m⟩ mag"] == "0"
        assert shown.get("⟨φ²⟩ phi2", "1.00(10) measured") == "1.00(10) measured"
        assert all(f">{note}.<" in text for note in notes)
        assert ("Published" in text) is (head == "published")
    # nor in a figure
    published = catalogue.as_shown({"exact": by_table, "nis": exact})
    assert published == {"published": by_table, "nis": exact}
    assert catalogue.as_shown({"exact": exact}) == {"exact": exact}


def test_symbols_read_as_arithmetic_are_the_formulas():
    means = {"mag2": 0.7, "mag4": 1.1, "abs_mag": 0.4}
    written = {"⟨m⁴⟩": "mag4", "⟨m²⟩": "mag2", "⟨|m|⟩": "abs_mag", "−": "-"}
    written |= {"²": "**2", "V (": "V * (", "/ 3": "/ 3 / "}
    for name in ("susceptibility", "binder"):
        text = notation.SYMBOLS[name]
        for symbol, word in written.items():
            text = text.replace(symbol, word)
        inputs, function = observables.DERIVED[name]
        wanted = function({key: jnp.asarray(means[key]) for key in inputs}, (4, 6))
        assert eval(text, {"V": 24, **means}) == pytest.approx(float(wanted))


@pytest.mark.parametrize(("is_met", "target"), [(True, "met"), (False, "not met")])
def test_an_integration_says_what_it_met_by_which_rule(is_met, target):
    def number(value):
        return {"value": value, "error": 0.1}

    path = {"coupling_name": "kappa", "couplings": [0.0, 0.1, 0.3], "rounds": 4}
    path |= {"overlaps": [0.7, 0.4], "target_error": 0.05, "is_converged": is_met}
    path |= {"reweighting": number(7.0), "thermodynamic": number(8.0)}
    found = {
        row["diagnostic"]: (row["value"], row["how to read it"])
        for row in rows_of(diagnostics.diagnostics({"integration": path}))
    }
    count, says = found["Integration along κ"]
    assert count == "3 couplings, 4 rounds"
    assert says == f"κ = 0 … 0.3, smallest overlap 0.40; target error 0.05 {target}"
    assert found["ln Z, reweighting"][0] == "7.00(10)"
    assert found["ln Z, thermodynamic"][0] == "8.00(10)"
