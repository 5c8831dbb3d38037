"""The report, drawn from the files of a synthetic run in the broken phase."""

import html.parser
import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import jax.random as jr
import numpy as np
import pytest

from genlat.estimators import autocorrelation, nmcmc, tails, weights
from genlat.report import drawings, figures, house, page, tables
from genlat.runs import files, metrics, records, store

CONFIG = """seed = 1

[theory]
name = "phi4"
shape = {shape}
kappa = 0.3
lam = 0.022

[mcmc]
kernel = ["hmc", "cluster"]

[model]
name = "cnf"
init = "</pre><script>alert(1)</script> & co"
"""
METHODS = ("nis", "nmcmc", "hmc+cluster", "exact")
FIGURES = {
    *("training", "log_weights", "magnetisation", "two_point"),
    *("autocorrelation", "samples", "cost"),
}


def write_run(directory: Path, shape: tuple[int, ...] = (16, 8), n: int = 6000) -> Path:
    """What a finished run with a chain and a model leaves behind."""
    random = np.random.default_rng(7)
    (directory / "ensembles").mkdir(parents=True)
    (directory / "config.toml").write_text(CONFIG.format(shape=list(shape)))
    chain = _chain(random, shape)
    log_w = 135 + random.normal(-0.02, 0.2, n)
    flow = _measured(_fields(random, shape, n), 1) | {"phi": _fields(random, shape, 9)}
    flow["action"] = flow["observables/action_density"] * np.prod(shape)
    flow["log_q"] = -flow["action"] - log_w
    neural = nmcmc.run(jr.key(3), log_w.reshape(20, -1))
    for name, arrays in (
        ("chain", chain),
        ("flow", flow),
        ("nmcmc", {"index": neural.index, "accepted": neural.accepted}),
    ):
        store.write(store.path(directory, name, 0), store.Block(arrays, {}))
    steps = np.arange(700)
    loss = -134.99 + np.exp(-steps / 60) + 0.05 * random.normal(size=steps.size)
    ess = 0.97 - 0.4 * np.exp(-steps / 90) + 0.01 * random.normal(size=steps.size)
    metrics.append(
        directory,
        [
            {"step": int(k), "seconds": 0.1 * k, "loss": loss[k], "ess": ess[k]}
            for k in steps
        ],
    )
    files.write_json(directory / "results.json", _results(chain, flow, log_w, neural))
    return directory


def _fields(random, shape, *batch, memory=0.0, flip=0.5):
    """±2.1 and smooth noise; along the last axis of the batch AR(1) with sign flips."""
    noise = random.normal(size=(*batch, *shape))
    signs = np.where(random.random(batch) < flip, -1.0, 1.0).cumprod(axis=-1)
    time = len(batch) - 1
    for t in range(1, batch[-1]):
        now, before = ((slice(None),) * time + (k,) for k in (t, t - 1))
        noise[now] = memory * noise[before] + np.sqrt(1 - memory**2) * noise[now]
    for axis in range(-len(shape), 0):
        noise = 0.6 * noise + 0.4 * np.roll(noise, 1, axis)
    return 2.1 * signs.reshape(*batch, *(1 for _ in shape)) + noise


def _chain(random, shape):
    fields = _fields(random, shape, 8, 300, memory=0.9, flip=0.1)
    accepted = np.full((8, 300), 0.9)
    phi = fields[0, ::30]
    return _measured(fields, 2) | {"phi": phi, "acceptance": accepted}


def _measured(phi, batch_axes):
    batch = phi.shape[:batch_axes]
    mag = phi.reshape(*batch, -1).mean(-1)
    phi2 = (phi**2).reshape(*batch, -1).mean(-1)
    slices = phi.reshape(*batch, phi.shape[batch_axes], -1).mean(-1)
    lags = range(slices.shape[-1] // 2 + 1)
    two_point = [np.mean(slices * np.roll(slices, t, -1), axis=-1) for t in lags]
    found = {
        "mag": mag,
        "abs_mag": np.abs(mag),
        "phi2": phi2,
        "two_point": np.stack(two_point, -1),
    }
    found["action_density"] = 0.05 * phi2 - 0.4
    return {f"observables/{name}": values for name, values in found.items()}


def _results(chain, flow, log_w, neural):
    names = [name for name in flow if name.startswith("observables/")]
    estimates = {
        "log_z": {
            "nis": weights.log_z(log_w).to_json(),
            "exact": {"value": 134.943, "error": 0.002, "source": "a <b>table</b>"},
        }
    }
    tau_int = {}
    for name in names:
        key = name.removeprefix("observables/")
        followed = flow[name][neural.index]
        estimates[key] = {
            "nis": weights.reweighted_mean(log_w, flow[name]).to_json(),
            "nmcmc": autocorrelation.mean(followed).to_json(),
            "hmc+cluster": autocorrelation.mean(chain[name]).to_json(),
        }
        if chain[name].ndim == 2:
            tau_int[key] = {
                "nmcmc": autocorrelation.tau_int(followed).to_json(),
                "hmc+cluster": autocorrelation.tau_int(chain[name]).to_json(),
            }
    estimates["mag"]["exact"] = {"value": 0.0, "error": 0.0, "source": "symmetry"}
    return {
        "schema": "genlat.results/1",
        "config": {},
        "provenance": {"genlat": "0.1.0", "started": "2026-01-01T00:00:00+00:00"},
        "estimates": estimates,
        "diagnostics": {
            "acceptance": {"hmc+cluster": {"value": 0.9, "error": 0.001, "n": 2400}},
            "tau_int": tau_int,
            "ess": weights.ess_estimate(log_w).to_json(),
            "kl_per_site": weights.kl_reverse(log_w, 128).to_json(),
            "pareto_k": tails.pareto_k(log_w),
            "non_finite": 0,
            "weights": {"largest_share": weights.largest_share(log_w)},
            "prior": {"ess": {"value": 0.41, "error": 0.01, "n": 20000}},
            "integrator": {
                "steps": 12,
                "shift_log_z": 1e-5,
                "shift_error": 2e-6,
                "statistical_error": 3e-4,
            },
        },
        "verdict": {"trust": "unknown", "reasons": ["nothing fails <yet>"]},
        "cost": {
            "train_seconds": 70.0,
            "sample_seconds": 6.7,
            "mcmc_seconds": 21.3,
            "parameters": 1234,
            "peak_memory_bytes": 700 * 2**20,
            "ess_per_second": {"nis": 870.0, "nmcmc": 512.0, "hmc+cluster": 95.0},
        },
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = write_run(tmp_path_factory.mktemp("report") / "run")
    page.write(directory)
    return directory


@pytest.fixture(scope="module")
def text(run):
    return (run / "report.html").read_text(encoding="utf-8")


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
                shown = tables.number({"value": value, "error": error})
                assert shown in "".join(words)
    assert set(METHODS) <= set(words)


def test_says_what_the_run_says(text):
    words = " ".join(Reader(text).words)
    assert "φ⁴ theory, 16 × 8 lattice" in words
    assert "κ = 0.3, λ = 0.022, seed 1" in words
    assert "cannot be told yet" in words
    assert "nothing fails <yet>" in words
    assert "870 independent per second" in words
    assert "0.410(10), N = 20,000" in words  # the untrained Gaussian


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

    for name in ("blue", "vermilion", "green", "purple"):
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
        (["results.json"], {"two_point", "cost"}),
        (
            ["ensembles/flow-00000.h5", "ensembles/nmcmc-00000.h5", "metrics.jsonl"],
            {"log_weights", "training"},
        ),
        (["ensembles", "metrics.jsonl", "results.json"], FIGURES),
    ],
)
def test_partial_runs_lose_sections_only(run, tmp_path, missing, lost):
    copy = shutil.copytree(run, tmp_path / "run")
    for name in ("figures", *missing):
        path = copy / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    words = Reader(page.write(copy).read_text(encoding="utf-8")).words
    assert {path.stem for path in (copy / "figures").glob("*")} == FIGURES - lost
    assert ("Estimates" in words) == ("results.json" not in missing)


@pytest.mark.parametrize("shape", [(32,), (4, 6, 8), (64, 8), (12, 12), (2, 3, 4, 5)])
def test_any_lattice_draws(tmp_path, shape):
    directory = write_run(tmp_path / "run", shape, n=400)
    names = {drawing.name for drawing in drawings.draw(records.read(directory))}
    assert names == FIGURES


def test_a_page_of_many_samples_stays_small(tmp_path):
    path = page.write(write_run(tmp_path / "run", n=100_000))
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


def test_figures_draw_their_numbers():
    random = np.random.default_rng(5)
    value, error = np.array([3.1, 1.4, 0.2]), np.array([0.3, 0.2, 0.1])
    found = {"nis": (value, error), "exact": (value - 0.5, 0.4 / 0.3 * error)}
    pulls = figures.two_point(found, "exact").axes[1].lines[0].get_ydata()
    assert pulls == pytest.approx([1.0, 1.5, 3.0])  # 0.5 over 5/3 of the errors

    log_w = 200 + random.normal(size=4000)
    bars = figures.log_weights(log_w).axes[0].patches[0].get_data()
    assert np.sum(bars.values) == 4000
    mean = np.sum(bars.values * (bars.edges[1:] + bars.edges[:-1]) / 2) / 4000
    assert mean == pytest.approx(-0.5, abs=0.1)  # of a log-normal weight of mean 1

    mag = np.repeat([-1.3, 1.3], 2000)
    log_w = np.where(mag > 0, np.log(3.0), 0.0) - 800
    raw, reweighted = figures.magnetisation(None, (mag, log_w)).axes[0].patches
    for bars, share in ((raw, 0.5), (reweighted, 0.75)):
        density, edges, _ = bars.get_data()
        assert np.sum(density * np.diff(edges)) == pytest.approx(1)
        assert density[-1] * (edges[-1] - edges[-2]) == pytest.approx(share)

    noisy = 5.0 + random.normal(size=5000)
    drawn = figures.training(
        np.arange(5000) / 7, noisy, noisy / 10, log_z=-5.2, prior_ess=None
    ).axes[0]
    pale, average, level = drawn.lines
    assert len(pale.get_xdata()) <= figures.POINTS
    assert level.get_ydata()[0] == 5.2
    assert np.std(average.get_ydata()) == pytest.approx(1 / np.sqrt(101), rel=0.3)


def test_far_pulls_stand_out():
    def found(value):
        return {"value": value, "error": 0.3}

    near = {"phi2": {"nis": found(1.0), "hmc": found(2.2)}}
    far = {"phi2": {"nis": found(1.0), "hmc": found(2.3)}}  # 1.3 / (0.3 √2) = 3.06
    assert "far" not in tables.estimates(near)
    assert "−3.1 σ !" in tables.estimates(far)
    assert tables.pull(found(2.3), {"value": 2.0, "error": 0.4}) == pytest.approx(0.6)
    assert tables.pull(found(1.0), {"value": 1.0, "error": None}) is None
    assert tables.number({"value": -85.74724, "error": 0.00042}) == "−85.74724(42)"
    assert tables.number({"value": 12.1100473, "error": 0.0}) == "12.1100473"
