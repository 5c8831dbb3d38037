"""Known values in the figures of scans: seen where they are, and nowhere else."""

import numpy as np
import pytest

from genlat.report import scan_drawings
from genlat.runs.file import catalogue
from scans_for_tests import KAPPAS, a_scan, curve, drawn


@pytest.mark.parametrize("over", ["theory.kappa", "theory.shape", "theory.shape.0"])
def test_what_is_known_is_seen_where_it_is_and_nowhere_else(over):
    """Also beside points at which nothing is known; joined along couplings alone."""
    known = curve([None, 0.5, None], [None, 0.02, None]) | {"source": ["x"] * 3}
    abs_mag = {"hmc": curve([0.2, 0.5, 0.9], [0.03] * 3), "exact": known}
    sizes = [[2, 2], [3, 3], [4, 4]] if over == "theory.shape" else KAPPAS
    content = a_scan(estimates={"abs_mag": abs_mag}) | {"over": over, "values": sizes}
    top, bottom = drawn(content)["abs_mag"].axes
    level, _, (bars,) = top.containers[-1].lines
    assert (level.get_label(), level.get_marker()) == ("_nolegend_", "_")
    assert level.get_ydata()[1] == 0.5
    np.testing.assert_allclose(bars.get_segments()[1][:, 1], [0.48, 0.52])
    assert (level.get_linestyle() == "None") is (over != "theory.kappa")
    # of a single method: held against what is known, where it is
    assert bottom.get_ylabel() == "pull against\nexact"
    pulls = bottom.lines[-1].get_ydata()
    assert np.isnan(pulls).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("by_method", "n_panels"),
    [
        ({"nis": curve([1.0, 2.0, 3.0], [0.1] * 3)}, 1),
        ({"nis": curve([1.0, None, 3.0], [0.1, None, 0.1])}, 1),
        (
            {
                "nis": curve([1.0, None, 3.0], [0.1, None, 0.1]),
                "exact": curve([None, 2.0, None], [None, 0.1, None]),
            },
            1,
        ),
        (
            {
                "nis": curve([1.0, 2.0, 3.0], [0.1] * 3),
                "exact": curve([None, 2.0, None], [None, 0.1, None]),
            },
            2,
        ),
        (
            {
                "nis": curve([1.0, 2.0, 3.0], [0.1] * 3),
                "hmc": curve([1.0, 2.0, None], [0.1, 0.1, None]),
            },
            2,
        ),
    ],
)
def test_pulls_are_spoken_of_where_they_are_drawn(by_method, n_panels):
    (drawing,) = scan_drawings.draw(a_scan(estimates={scan_drawings.MAIN: by_method}))
    assert len(drawing.figure.axes) == n_panels
    assert ("pulls below" in drawing.caption) is (n_panels == 2)


@pytest.mark.parametrize(
    ("factor", "name"),
    [(2.0, "2 V ⟨hopping⟩"), (1.0, "V ⟨hopping⟩"), (-1.0, "-V ⟨hopping⟩")],
)
def test_slopes_are_named_per_site(factor, name):
    assert catalogue.slope_named(factor, "hopping") == name
