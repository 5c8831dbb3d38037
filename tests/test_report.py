"""The report's page, drawn from the files of synthetic runs in the broken phase."""

import html
import html.parser
import json
import re
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from genlat.report import diagnostics, drawings, house, notation, page
from genlat.runs import records
from genlat.runs.disk import files, metrics, store
from genlat.runs.file import catalogue
from report_for_tests import CHAIN, FIGURES, LOG_Z, METHODS, UNUSABLE, spoil, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = write_run(tmp_path_factory.mktemp("report") / "run")
    page.write(directory)
    return directory


@pytest.fixture(scope="module")
def text(run):
    return (run / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def lost_run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("report") / "lost"
    return write_run(directory, covers_both_modes=False)


@pytest.fixture(scope="module")
def lost(lost_run):
    return page.write(lost_run).read_text(encoding="utf-8")


class Reader(html.parser.HTMLParser):
    """Words, ids, and everything a page could load or run."""

    def __init__(self, text):
        super().__init__()
        self.words, self.ids, self.loads, self.tags = [], [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            self.ids += [value] if name == "id" else []
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.loads.append(value)
            self.loads += re.findall(r"url\(([^)]*)\)", value or "")

    def handle_data(self, data):
        self.words.append(data)
        self.loads += re.findall(r"url\(([^)]*)\)|@import (\S*)", data)


def test_every_figure_is_a_file_and_on_the_page(run, text):
    assert {path.stem for path in (run / "figures").glob("*.svg")} == FIGURES
    assert text.count("<figure>") == text.count("<figcaption>") == len(FIGURES)
    for path in (run / "figures").glob("*.svg"):
        box = ET.parse(path).getroot().attrib["viewBox"].split()
        assert float(box[2]) == pytest.approx(72 * house.WIDTH)


def test_every_observable_and_method_is_in_the_table(run, text):
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    words = Reader(text).words
    for name, by_method in results["estimates"].items():
        assert name in words
        for estimate in by_method.values():
            values = np.ravel(estimate["value"]), np.ravel(estimate["error"])
            for value, error in zip(*values, strict=True):
                shown = notation.number({"value": value, "error": error})
                assert shown in "".join(words)
    assert set(METHODS) <= set(words)


def test_every_method_says_what_it_is_before_its_first_number(text):
    before = text[: text.index("<table")]
    for method in METHODS:
        sentence = catalogue.explained(method)
        assert sentence
        assert f"<code>{method}</code>: {html.escape(sentence)}" in before
    assert catalogue.explained("a method of old") == ""


def test_says_what_the_run_says(text):
    words = " ".join(Reader(text).words)
    assert "φ⁴ theory, 16 × 8 lattice" in words
    assert "κ = 0.3, λ = 0.022, seed 1" in words
    assert "870 independent per second" in words
    assert "700 MiB" in words
    assert "0.410(10), N\u00a0=\u00a020,000" in words  # the untrained Gaussian
    assert "16 couplings, 5 rounds" in words
    assert "smallest overlap 0.20" in words
    assert "4,096 by hmc+cluster" in words
    assert "their kernel visits every mode" in words
    assert "evidence: part of Z" in words
    assert "no evidence" not in words
    assert "2.03 !" in words  # one error is twice another


def test_verdicts_are_sentences_with_reasons(text, lost, tmp_path):
    old = page.write(write_run(tmp_path / "run", is_old=True)).read_text("utf-8")
    for found, sentence, reasons in (
        (text, "These numbers can be trusted", ["mode weight 1.002"]),
        (lost, "Do not trust these numbers", ["covers 50% of p & ", "disagree"]),
        (old, "cannot be told yet", ["nothing fails <yet>"]),
    ):
        reader = Reader(found)
        at = reader.words.index("Estimates")
        head = " ".join(reader.words[:at])
        assert all(part in head for part in (sentence, *reasons))
        assert found.split("<main>")[0].count("<li>") == len(reasons)


def test_a_lost_mode_is_seen_everywhere(lost_run, lost):
    """Half of Z is missing, and the reverse ESS is better than ever."""
    record = records.read(lost_run)
    assert record.results["diagnostics"]["ess"]["value"] > 0.99
    drawn = {drawing.name: drawing.figure for drawing in drawings.draw(record)}
    chain, _, raw, reweighted = (
        patch.get_data() for patch in drawn["magnetisation"].axes[0].patches
    )
    for bars, share in ((chain, 0.5), (raw, 0.0), (reweighted, 0.0)):
        density, edges, _ = bars
        is_left = edges[1:] < 0
        weight = np.sum((density * np.diff(edges))[is_left])
        assert weight == pytest.approx(share, abs=0.2)
    words = [text.get_text() for text in drawn["log_weights"].axes[0].texts]
    share = int(words[0].split()[0].replace(",", "")) / 4096
    assert share == pytest.approx(0.5, abs=5 * 0.5 / 4096**0.5)
    assert "mag −" not in lost
    assert lost.count('class="far"') > 6
    assert "hmc_integration" in [label.get_text() for label in _names(drawn["log_z"])]


def test_training_data_are_named_apart_from_those_of_the_evaluation():
    data = {"n": 31968, "independent": 12542.1, "chains": 48, "held_out_chains": 16}
    page = diagnostics.diagnostics({"training_data": data})
    assert "31,968 of 48 chains" in page
    assert "worth 12,542 independent configurations; 16 chains were held out" in page
    assert "Training data" not in diagnostics.diagnostics({})


def test_nothing_stands_out_in_a_good_run(text):
    """Negative control, but for the cross-check that is made to disagree."""
    assert text.count('class="far"') == 1


def test_unusable_numbers_are_not_shown(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    spoil(copy)
    text = page.write(copy).read_text(encoding="utf-8")
    words = " ".join(Reader(text).words)
    assert "nan" not in words.lower()
    assert f"Unusable: {UNUSABLE}." in words
    assert "Unusable: the series never changes." in words
    assert "no evidence: the kernel does not provably visit every mode" in words
    assert "their kernel does not provably visit every mode" in words
    found = records.read(copy).results["estimates"]
    assert f"{found['phi2'][CHAIN]['value']:.6g}" not in words
    for name, method in (("log_z", "p_estimator"), ("mag", CHAIN)):
        by_method = found[name]
        assert notation.number(by_method[method]) == "unusable"
        assert notation.pull(by_method[method], by_method["exact"]) is None
    drawn = {
        drawing.name: drawing.figure for drawing in drawings.draw(records.read(copy))
    }
    assert "unusable" in [text.get_text() for text in drawn["log_z"].axes[0].texts]
    _, labels = drawn["two_point"].axes[0].get_legend_handles_labels()
    assert labels == ["nis", "nmcmc"]


def test_bounds_and_costs_are_those_of_the_results(run):
    record = records.read(run)
    found, cost = record.results["estimates"], record.results["cost"]
    drawn = {drawing.name: drawing.figure for drawing in drawings.draw(record)}
    shown = [text.get_text() for text in drawn["log_z"].axes[0].texts]
    bound = found["free_energy_density_upper"]["nis"]
    log_z = {"value": -128 * bound["value"], "error": 128 * bound["error"]}
    assert notation.number(log_z) in shown
    assert log_z["value"] < LOG_Z

    axes = drawn["seconds_to_error"].axes[0]
    seconds = [float(np.ravel(line.get_xdata())[0]) for line in axes.lines]
    errors = [found["log_z"][method]["error"] for method in METHODS[3:6]]
    smallest = min(*errors, found["log_z"]["nis"]["error"])
    labels = [label.get_text() for label in _names(drawn["seconds_to_error"])]
    assert f"log_z to {smallest:.1g}" in labels
    for kind in ("seconds_at_unit_error", "seconds_at_unit_error_trained"):
        wanted = cost[kind]["log_z"]["nis"] / smallest**2
        assert any(abs(x / wanted - 1) < 1e-9 for x in seconds)


@pytest.mark.parametrize("source", ["a table", "tabulated: a table"])
def test_figures_call_exact_what_is(run, tmp_path, source):
    copy = shutil.copytree(run, tmp_path / "copy")
    results = files.read_json(copy / "results.json")
    for name in ("log_z", "two_point"):
        by_method = results["estimates"][name]
        by_method["exact"] = {**by_method["bar" if name == "log_z" else "nis"]}
        by_method["exact"]["source"] = source
    files.write_json(copy / "results.json", results)
    drawn = {x.name: x.figure for x in drawings.draw(records.read(copy))}
    name = "exact" if source == "a table" else "published"
    ticks = drawn["log_z"].axes[0].get_yticklabels()
    assert ticks[0].get_text() == name
    assert drawn["log_z"].axes[0].get_xlabel().endswith(f"relative to {name}")
    top, bottom = drawn["two_point"].axes
    assert name in top.get_legend_handles_labels()[1]
    assert bottom.get_ylabel() == f"pull against\n{name}"


def test_the_slowest_observable_is_shown(run, text):
    """In the figure and in the table; those that are as slow are one as good."""
    record = records.read(run)
    drawn = {drawing.name: drawing.figure for drawing in drawings.draw(record)}
    titles = [axes.get_title("left") for axes in drawn["autocorrelation"].axes]
    tau_int = record.results["diagnostics"]["tau_int"]
    for method, title in zip((CHAIN, "nmcmc"), titles, strict=True):
        tau = {name: of_method[method]["value"] for name, of_method in tau_int.items()}
        assert min(tau.values()) < 0.95 * max(tau.values())
        says = re.search(rf">τ_int, {re.escape(method)}<.*?observable, (\w+)", text)
        drawn_name = title.removeprefix(f"{method}, ").partition(":")[0]
        for name in (says[1], drawn_name):
            assert tau[name] == pytest.approx(max(tau.values()), rel=1e-9)


def test_a_loss_leads_to_nothing_that_is_unusable(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    results = files.read_json(copy / "results.json")
    del results["estimates"]["log_z"]["exact"]
    levels = []
    for flaw in ({}, {"error": None, "unusable": UNUSABLE}):
        results["estimates"]["log_z"]["nis"] |= flaw
        results["diagnostics"]["prior"]["ess"] |= flaw
        files.write_json(copy / "results.json", results)
        found = drawings.draw(records.read(copy))
        figure = next(x.figure for x in found if x.name == "training")
        levels.append([len(axes.lines) - 2 for axes in figure.axes])
    assert levels == [[1, 1], [0, 0]]


def test_old_runs_still_draw(tmp_path):
    """No samples of p, no integration, configurations of the chain in one row."""
    record = records.read(write_run(tmp_path / "run", n=400, is_old=True))
    names = {drawing.name for drawing in drawings.draw(record)}
    assert names == FIGURES - {"integration", "seconds_to_error"}


def _names(figure):
    return figure.axes[0].get_yticklabels()


def test_loads_nothing_and_runs_nothing(text):
    reader = Reader(text)
    assert reader.loads  # figures refer to their own parts
    targets = [
        load if isinstance(load, str) else "".join(load) for load in reader.loads
    ]
    inside = [target for target in targets if target.startswith("#")]
    assert all(x.startswith(("#", "data:image/png;base64,")) for x in targets), targets
    assert {x[1:] for x in inside} <= set(reader.ids)
    assert "http" not in text
    assert not {"script", "link", "iframe", "object", "embed", "img", "b"} & reader.tags


def test_ids_do_not_clash(text):
    ids = Reader(text).ids
    assert len(ids) > 50
    assert len(set(ids)) == len(ids)


def test_figures_follow_the_colour_scheme(text):
    body = text.split("</style>", 1)[1]
    assert "var(--ink)" in body
    assert not any(light in body for light, _ in house.THEME.values())
    for column in (0, 1):
        assert house.variables(column) in text


@pytest.mark.parametrize("column", [0, 1])
def test_colours_have_contrast(column):
    def luminance(name):
        levels = [
            int(house.THEME[name][column][k : k + 2], 16) / 255 for k in (1, 3, 5)
        ]
        linear = [
            x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in levels
        ]
        return 0.05 + np.dot(linear, (0.2126, 0.7152, 0.0722))

    def contrast(one, other):
        ratio = luminance(one) / luminance(other)
        return max(ratio, 1 / ratio)

    for name in ("blue", "vermilion", "green", "purple", "ochre"):
        assert contrast(name, "paper") > 3
    for name in ("ink", "muted"):
        assert contrast(name, "paper") > 4.5


def test_same_records_same_bytes(run, text, tmp_path):
    copy = shutil.copytree(run, tmp_path / "elsewhere")
    shutil.rmtree(copy / "figures")
    page.write(copy)
    assert (copy / "report.html").read_text(encoding="utf-8") == text
    assert not list(copy.rglob("*.part"))
    for path in (run / "figures").iterdir():
        assert (copy / "figures" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("missing", "lost"),
    [
        (["metrics.jsonl"], {"training"}),
        (["ensembles/chain-00000.h5"], set()),
        (["ensembles/target-00000.h5"], set()),
        (
            ["results.json"],
            {"two_point", "cost", "log_z", "integration", "seconds_to_error"},
        ),
        (
            ["ensembles/flow-00000.h5", "ensembles/nmcmc-00000.h5", "metrics.jsonl"],
            {"log_weights", "training"},
        ),
        (["ensembles", "metrics.jsonl", "results.json"], FIGURES),
    ],
)
def test_partial_runs_lose_figures_only(run, tmp_path, missing, lost):
    copy = shutil.copytree(run, tmp_path / "run")
    for name in ("figures", *missing):
        path = copy / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    names = {drawing.name for drawing in drawings.draw(records.read(copy))}
    assert names == FIGURES - lost


def test_an_unfinished_run_says_so(run, tmp_path):
    (tmp_path / "run").mkdir()
    shutil.copy(run / "config.toml", tmp_path / "run")
    words = Reader(page.write(tmp_path / "run").read_text(encoding="utf-8")).words
    assert "This run has not finished" in " ".join(words)
    assert "Estimates" not in words


@pytest.mark.parametrize("shape", [(32,), (4, 6, 8), (64, 8), (12, 12), (2, 3, 4, 5)])
def test_any_lattice_draws(tmp_path, shape):
    directory = write_run(tmp_path / "run", shape, n=400)
    names = {drawing.name for drawing in drawings.draw(records.read(directory))}
    assert names == FIGURES


def test_a_page_of_many_samples_stays_small(tmp_path):
    path = page.write(write_run(tmp_path / "run", n=50_000))
    assert path.stat().st_size < 1_000_000


def test_values_that_are_not_finite_are_not_hidden(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    block = store.read(store.path(copy, "flow", 0))
    block.arrays["log_q"][:3] = np.nan
    block.arrays["observables/mag"][:3] = np.nan
    store.write(store.path(copy, "flow", 0), block)
    results = files.read_json(copy / "results.json")
    results["estimates"]["phi2"]["nis"] |= {"value": None, "error": None}
    results["diagnostics"] |= {"ess": None, "non_finite": 3}
    files.write_json(copy / "results.json", results)
    metrics.append(
        copy, [{"step": 700, "seconds": 70.0, "loss": np.nan, "ess": np.nan}]
    )
    words = " ".join(Reader(page.write(copy).read_text(encoding="utf-8")).words)
    assert "3 that are not finite are left out" in words
