"""Runs whose stages go on in small pieces, so that tiny ones have several of each."""

import pytest

from genlat.runs.stages import chain_stage, sample_stage, train_stage


def in_small_pieces():
    """For a fixture of a module: blocks of a few samples, chunks of ten steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain_stage, "BLOCK", 20)
        patch.setattr(sample_stage, "BLOCK", 200)
        patch.setattr(train_stage, "LONGEST_CHUNK", 10)
        patch.setenv("GENLAT_NO_CACHE", "1")
        yield
