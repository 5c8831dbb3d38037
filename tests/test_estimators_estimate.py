"""The shape of a result: printing and JSON."""

import json
import math

import numpy as np
import pytest

from genlat.estimators.estimate import Estimate, plain


def _estimate(value, error):
    return Estimate(value, error, 0.0, 10, 8.5, "nis")


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-12.34564, 0.00784, "-12.3456(78)"),
        (0.5, 0.0996, "0.50(10)"),  # the error rounds up to the next power of ten
        (12.34, 1.46, "12.3(15)"),
        (1234.4, 14.6, "1234(15)"),
        (98765.4, 678.0, "98765(680)"),
        (1.25, 0.0, "1.25(0)"),
        (math.inf, math.inf, "inf(inf)"),
    ],
)
def test_two_digits_of_error(value, error, text):
    assert str(_estimate(value, error)) == text


def test_arrays_print_component_by_component():
    estimate = _estimate(np.array([1.5, -2.25]), np.array([0.12, 0.013]))
    assert str(estimate) == "[1.50(12), -2.250(13)]"


def test_json_holds_every_field():
    value = np.array([1.5, -2.25])
    record = Estimate(value, value**2, 0.25, 10, value + 7, "gamma").to_json()
    assert json.loads(json.dumps(record, allow_nan=False)) == {
        "value": [1.5, -2.25],
        "error": [2.25, 5.0625],
        "bias": 0.25,
        "n": 10,
        "n_eff": [8.5, 4.75],
        "method": "gamma",
    }


def test_json_has_no_infinity():
    record = _estimate(math.inf, math.nan).to_json()
    assert record["value"] is None
    assert record["error"] is None
    assert _estimate(np.array([1.0, np.inf]), np.ones(2)).to_json()["value"] == [
        1,
        None,
    ]


def test_plain_drops_only_a_missing_axis():
    assert type(plain(np.array(2.5))) is float
    assert plain(np.array([2.5])).shape == (1,)
