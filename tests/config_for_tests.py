"""A good run file, and what is refused in a bad one."""

import pytest

from genlat.runs.file import config

GOOD = """
seed = 1
[theory]
name = "phi4"
shape = [6, 4]
kappa = 0.21
lam = 0.031
[mcmc]
[model]
[train]
[estimate]
"""


def load(tmp_path, text, overrides=()):
    path = tmp_path / "run.toml"
    path.write_text(text)
    return config.load(path, overrides)


def refusals(tmp_path, text, overrides=()):
    with pytest.raises(config.RequestError) as error:
        load(tmp_path, text, overrides)
    assert all("\n" not in line for line in error.value.lines)
    return error.value.lines
