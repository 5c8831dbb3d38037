"""Every block of docs/python.md runs, in sequence; the PyTorch example where it can."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from judged_for_tests import example, written

ROOT = Path(__file__).parents[1]


def test_every_block_of_the_manual_runs(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 8
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENLAT_NO_CACHE", "1")
    names = {"__name__": "manual"}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
)
def test_pytorch_example(tmp_path):
    files = written(tmp_path / "first", n_draws=200, n_samples=20)
    example("judge_pytorch").main(files / "samples.npz", tmp_path, n_draws=200)
    with np.load(tmp_path / "draws.npz") as draws:
        assert draws["phi"].shape == (200, 6, 4)
