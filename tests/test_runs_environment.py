"""Where compiled code is kept, and that nothing is said where it cannot be."""

import subprocess
import sys

import pytest

CODE = """
import jax
from genlat.runs.stages import environment
environment.prepare()
assert jax.config.jax_enable_x64
assert jax.config.jax_default_matmul_precision == "highest"  # else TF32 on GPUs
print(jax.config.jax_compilation_cache_dir)
jax.jit(lambda x: x * 2)(3.0)
"""


def prepared(monkeypatch, place):
    """The cache that a new process keeps, and what it says."""
    monkeypatch.delenv("GENLAT_NO_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    found = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True
    )
    return found.stdout.strip(), found.stderr


def test_compiled_code_is_kept_where_the_system_keeps_caches(monkeypatch, tmp_path):
    place, said = prepared(monkeypatch, tmp_path / "new")
    assert place.startswith(f"{tmp_path / 'new'}/genlat/jaxlib-")
    assert said == ""


@pytest.mark.parametrize("what", ["file", "/proc"])
def test_a_place_that_cannot_be_written_is_none(monkeypatch, tmp_path, what):
    (tmp_path / "file").write_text("")
    assert prepared(monkeypatch, tmp_path / what) == ("None", "")
