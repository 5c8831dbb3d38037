"""The numbers of scans that never ran, and what the terminal says of them."""

import pytest

from genlat.runs.disk import files
from genlat.runs.scan import scan_request, scan_results, scan_table

ISING = """
seed = 5
[theory]
name = "ising"
shape = [3, 2]
beta = 0.1
[mcmc]
kernel = "heatbath"
[model]
name = "made"
"""


@pytest.fixture
def results(tmp_path):
    """ln Z and its slope -V⟨energy⟩, off by 0.12 over the second interval."""
    (tmp_path / "run.toml").write_text(ISING)
    over = "theory.beta=0.1,0.2,0.3"
    request = scan_request.plan(tmp_path / "run.toml", over, [], None)
    for k, (beta, point) in enumerate(zip(request.values, request.points, strict=True)):
        log_z = {"value": 7.0 + 0.06 * (k + 1) + 0.12 * (k == 2), "error": 0.01}
        exact = {"value": 7.0, "error": 1e-4}
        source = "transfer matrix" if k == 0 else "tabulated: somebody"
        energy = {"value": -0.1, "error": 0.001}
        content = {
            "config": {"theory": {"beta": beta}},
            "estimates": {
                "log_z": {"nis": log_z} | ({"exact": exact | {"source": source}}),
                "energy_density": {"heatbath": energy},
            },
            "diagnostics": {},
            "verdict": {"trust": "no", "reasons": []},
            "cost": {},
        }
        if k == 1:
            del content["estimates"]["log_z"]["exact"]
        (tmp_path / "points" / point).mkdir(parents=True)
        files.write_json(tmp_path / "points" / point / "results.json", content)
    return scan_results.write(tmp_path, request)


def test_every_point_has_its_own_source_and_slopes_have_errors(results):
    known = results["estimates"]["log_z"]["exact"]
    assert known["source"] == ["transfer matrix", None, "tabulated: somebody"]
    derivative = results["thermodynamics"]["derivative"]
    assert derivative["value"] == pytest.approx([0.6] * 3)
    assert derivative["error"] == pytest.approx([0.006] * 3)  # of a negative factor
    first, second, whole = results["consistency"]
    assert first["check"].split(" - ")[1].startswith("integral of -V ⟨energy_density⟩")
    assert first["pull"] == pytest.approx(0, abs=1e-9)
    assert second["pull"] > 8
    assert (whole["start"], whole["stop"]) == (0.1, 0.3)
    assert 5 < whole["pull"] < second["pull"]


def test_the_terminal_has_the_worst_row_and_digits_as_known(results, capsys):
    scan_table.show(results)
    printed = " ".join(capsys.readouterr().out.split())
    pull = results["consistency"][1]["pull"]
    assert f"by heatbath: at most {pull:+.1f}σ, from 0.2 to 0.3" in printed
    assert "ln Z, published" in printed
    assert "7.00000(10)" in printed
    assert "7.060(10)" in printed


def test_a_crossing_has_all_of_its_error(capsys):
    row = {"observable": "binder", "method": "nis", "sizes": [[4, 4], [8, 8]]}
    row |= {"value": 0.25, "error": 0.003, "rule_error": 0.004}
    row |= {"start": 0.24, "stop": 0.31}
    results = {"over": ["theory.shape", "theory.kappa"], "sizes": [], "trust": []}
    scan_table.show_study(results | {"crossings": [row]})
    printed = " ".join(capsys.readouterr().out.split())
    assert "binder by nis, 4x4 and 8x8: cross at theory.kappa = 0.2500(50)," in printed
    assert "between 0.24 and 0.31" in printed
