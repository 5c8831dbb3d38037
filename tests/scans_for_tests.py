"""`scan.json` of scans that never ran."""

from genlat.report import scan_drawings
from genlat.runs.scan import scan_results

KAPPAS = (0.21, 0.24, 0.31)
BASE = {"seed": 1, "theory": {"name": "phi4", "shape": [4, 6], "kappa": 0.21}}


def number(value, error):
    return {"value": value, "error": error}


def curve(value, error):
    return number(value, error) | {"unusable": [None] * len(value)}


def a_scan(n=3, **content):
    """`scan.json` of so many points, of which nothing is known but the content."""
    return {
        "over": "theory.kappa",
        "values": KAPPAS[:n],
        "points": [f"points/{k}" for k in range(n)],
        "config": BASE,
        "estimates": {},
        "diagnostics": {name: [None] * n for name in scan_results.DIAGNOSTICS},
        "verdicts": [{"trust": "yes", "reasons": []}] * n,
        "thermodynamics": {},
        "consistency": [],
        "no_consistency": "",
        "cost": {},
    } | content


def drawn(results):
    return {drawing.name: drawing.figure for drawing in scan_drawings.draw(results)}
