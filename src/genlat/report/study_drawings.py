"""From the records of a scan on several lattices to its figures, with captions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genlat.report import notation, scan_drawings, study_figures
from genlat.report.drawings import Drawing
from genlat.report.scan_figures import Curve
from genlat.report.study_figures import OnLattice
from genlat.runs.file import catalogue
from genlat.runs.records import ScanRecord, StudyRecord

Json = Mapping[str, Any]

FIRST = "binder"
# grow with the volume, or follow from another that is shown
LEFT_OUT = {"log_z", "mag4", "action_density2"}
LEFT_OUT |= {"free_energy_density_lower", "free_energy_density_upper"}
OF_MODELS = ("nis", "nmcmc", "p_estimator", "bar", "hmc_integration", "variational")


def draw(record: StudyRecord) -> list[Drawing]:
    """Every scalar observable against the scanned field, a curve for every lattice."""
    label = scan_drawings.axis(record.request["field"])
    every = (_observable(record, name, label) for name in names(record.scans))
    return [drawing for drawing in every if drawing is not None]


def names(scans: Sequence[ScanRecord]) -> list[str]:
    """The observables that there are, the one that shows a transition first."""
    found = {name for scan in scans for name in scan.results.get("estimates", {})}
    known = [FIRST, *scan_drawings.CURVES, *notation.SYMBOLS, *sorted(found)]
    return [x for x in dict.fromkeys(known) if x in found and x not in LEFT_OUT]


def method(scans: Sequence[ScanRecord], name: str) -> str | None:
    """The method of an observable's curves: by reweighting, or else by the chain."""
    found = [set(_by_method(scan, name)).difference(catalogue.KNOWN) for scan in scans]
    shared = [methods for methods in found if methods]
    if not shared:
        return None
    every = set.intersection(*shared)
    order = ["nis", *sorted(every - set(OF_MODELS)), *OF_MODELS]
    return next((x for x in order if x in every), None)


def _by_method(scan: ScanRecord, name: str) -> dict[str, Curve]:
    return scan_drawings.curves_of(scan.results.get("estimates", {}).get(name, {}))


def _observable(record: StudyRecord, name: str, label: str) -> Drawing | None:
    main = method(record.scans, name)
    if main is None:
        return None
    lattices = [
        _on_lattice(scan, size, name, main)
        for scan, size in zip(record.scans, record.request["sizes"], strict=True)
        if main in _by_method(scan, name)
    ]
    if max(lattice.x.size for lattice in lattices) < 2:
        return None
    symbol = notation.SYMBOLS.get(name, name)
    title, quantity, caption = scan_drawings.CURVES.get(name, (symbol, symbol, ""))
    notes = [f"Markers: {main}, filled where the verdict of the run is yes"]
    if any(lattice.chain is not None for lattice in lattices):
        notes.append("bands: the Markov chain")
    if known := _known_as(record, lattices, name):
        notes.append(f"black levels: {known}")
    text = "; ".join(notes) + "."
    region = _region(record, main) if name == FIRST else None
    window = study_figures.window_of(lattices, region) if region else None
    if region:
        ends = " to ".join(f"{end:g}" for end in region)
        below = ", and enlarged below" if window else ""
        text += f" Grey{below}: from {ends} neighbouring sizes cross."
    elif name == FIRST and len(lattices) > 1:
        text += " Nowhere do two sizes change their order beyond three errors."
    figure = study_figures.curves(lattices, (label, quantity), region, window)
    return Drawing(name, title, f"{caption} {text}".strip(), figure)


def _on_lattice(scan: ScanRecord, size: list[int], name: str, main: str) -> OnLattice:
    found = _by_method(scan, name)
    known = next((x for x in found if x in catalogue.KNOWN), None)
    others = (x for x in found if x not in (*OF_MODELS, known, main))
    chain = next(others, None)
    trusts = [verdict["trust"] == "yes" for verdict in scan.results["verdicts"]]
    return OnLattice(
        notation.scanned(size),
        np.array(scan.results["values"], np.float64),
        found[main],
        np.array(trusts, bool),
        found[chain] if chain else None,
        found[known] if known else None,
    )


def _known_as(record: StudyRecord, lattices: Sequence[OnLattice], name: str) -> str:
    """What the known values of a figure are: exact or published, and where both."""
    drawn = {lattice.name for lattice in lattices if lattice.known is not None}
    found: dict[str, list[str]] = {}
    for scan, size in zip(record.scans, record.request["sizes"], strict=True):
        if (shown := notation.scanned(size)) in drawn:
            known = scan.results["estimates"][name][catalogue.EXACT]
            found.setdefault(catalogue.known_as(known), []).append(shown)
    if len(found) < 2:
        return "".join(found)
    return ", ".join(f"{what} on {' and '.join(on)}" for what, on in found.items())


def _region(record: StudyRecord, main: str) -> tuple[float, float] | None:
    """Where curves of neighbouring sizes cross, all of them together."""
    rows = [
        row
        for row in record.results.get("crossings", [])
        if (row["observable"], row["method"]) == (FIRST, main)
    ]
    if not rows:
        return None
    return min(row["start"] for row in rows), max(row["stop"] for row in rows)
