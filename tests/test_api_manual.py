"""The PyTorch example of docs/judge.md, where it can run."""

import importlib.util

import numpy as np
import pytest

from judged_for_tests import example, written


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
)
def test_pytorch_example(tmp_path):
    files = written(tmp_path / "first", n_draws=200, n_samples=20)
    example("judge_pytorch").main(files / "samples.npz", tmp_path, n_draws=200)
    with np.load(tmp_path / "draws.npz") as draws:
        assert draws["phi"].shape == (200, 6, 4)
