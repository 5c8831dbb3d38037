"""Files as another program writes them, and their judgement."""

import importlib.util
from pathlib import Path

import numpy as np

from genlat.runs import pipeline
from genlat.runs.given import request
from genlat.runs.stages.screen import Screen

ROOT = Path(__file__).parents[1]
FREE_FIELD = ROOT / "examples" / "judge_free_field.toml"


def example(name):
    """A program of `examples`, as a module."""
    path = ROOT / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(module)
    return module


def written(path, n_draws=4000, n_samples=250):
    """draws.npz and samples.npz of the free field, by the example."""
    path.mkdir(exist_ok=True)
    example("judge_numpy").main(path, n_draws, n_samples)
    return path


def arrays(path):
    with np.load(path) as archive:
        return dict(archive)


def run_file(path, said="", couplings="m2 = 0.81\ng = 0.0", more=""):
    """A run file of the free field, with `said` in its [samples]."""
    file = path / f"{abs(hash((said, couplings, more)))}.toml"
    theory = f'[theory]\nname = "phi4"\nshape = [6, 4]\n{couplings}\n'
    samples = f"[samples]\n{said}\n" if said else ""
    file.write_text(f"seed = 1\n{theory}{samples}{more}")
    return file


def judge(file, draws, samples, out, overrides=()):
    """The results of a judgement; files with log q of their own are pairs."""
    pairs = [
        x if isinstance(x, tuple) or x is None else (x, None) for x in (draws, samples)
    ]
    found, _ = request.judged(file, *pairs, overrides)
    return pipeline.start(found, out, Screen(quiet=True))
