"""Actions that are none, or have not what they declare: one line before any work."""

import re

import pytest

from genlat.errors import RequestError
from genlat.runs import pipeline
from genlat.runs.file import config
from genlat.runs.stages.screen import Screen
from own_for_tests import SINE_GORDON, written

QUIET = Screen(quiet=True)
VERTEX = '{"vertex": jnp.mean(jnp.cos(phi))}'


def measuring(what):
    return SINE_GORDON.replace(VERTEX, what)


def pushed(force):
    """With a force that is written."""
    return SINE_GORDON + f"\n    def force(self, phi):\n        return {force}\n"


UNSOUND = {
    "a vector": (
        measuring('{"profile": jnp.mean(phi, 0, keepdims=True)}'),
        r"SineGordon\.observables, line 22: 'profile': should be .* the shape \(1,\)",
    ),
    "no dict": (
        SINE_GORDON.replace(f"super().observables(phi) | {VERTEX}", "jnp.sum(phi)"),
        r"SineGordon\.observables, line 22: should give a dict",
    ),
    "a text": (measuring('{"x": "text"}'), "'x': should be a real number, not str"),
    "a complex number": (
        measuring('{"x": 1j * phi[0]}'),
        "'x': should be a real number, not c",
    ),
    "a name that is taken": (
        measuring('{"mag": jnp.mean(phi)}'),
        "'mag': genlat has this name; give it another",
    ),
    "a name that is none": (measuring("{3: jnp.mean(phi)}"), "3: is no name of an"),
    "no observable": (measuring('{"x": jnp.log(-1.0 - phi[0] ** 2)}'), "x is nan at a"),
    "a condition": (
        measuring('{"x": phi[0] if phi[0] > 0 else -phi[0]}'),
        r"sine_gordon\.py, line 23: TracerBoolConversionError",
    ),
    "a force of another shape": (pushed("jnp.sum(phi)"), r"force has the shape \(\)"),
    "a force of another S": (
        pushed("1.01 * super().force(phi)"),
        r"its force is not minus the slope of S: off by a relative 0\.0099",
    ),
    "a force that is no number": (
        pushed("super().force(phi) * jnp.nan"),
        "its force is no number at a random field",
    ),
    "NumPy": (
        SINE_GORDON.replace(
            "mass = self", "np.sum(np.exp(phi))\n        mass = self"
        ).replace(
            "import jax.numpy as jnp", "import jax.numpy as jnp\nimport numpy as np"
        ),
        r"sine_gordon\.py, line 20: TracerArrayConversionError",
    ),
    "an end of the program": (
        SINE_GORDON.replace("axes = range(phi.ndim)", "raise SystemExit(7)"),
        r"sine_gordon\.py, line 17: SystemExit: 7",
    ),
    "even near 0 alone": (
        SINE_GORDON.replace(
            "return (steps + mass) / 2",
            "x = phi / 100\n        steps = jnp.sum(x**2) + jnp.sum(jnp.tanh(x**9)) / 3"
            "\n        return steps / 2",
        ),
        "declares 'sign', but S changes by",
    ),
    "no number": (
        SINE_GORDON.replace("return (steps", "return jnp.log(-1.0 - mass) + (steps"),
        "S is nan at φ = 0",
    ),
    "no scalar": (
        SINE_GORDON.replace("self.alpha * jnp.sum(1", "self.alpha * (1"),
        r"SineGordon\.__call__, line 16: should give one number, not the shape \(4,\)",
    ),
    "complex": (
        SINE_GORDON.replace("return (steps", "return 1j * (steps"),
        "should give a real number, not complex128",
    ),
    "not even": (
        SINE_GORDON.replace("mass) / 2 +", "mass) / 2 + jnp.sum(phi) +"),
        "declares 'sign', but S changes by",
    ),
    "no line": (
        SINE_GORDON.replace("self.alpha * jnp", "self.alpha**2 * jnp"),
        "line = 'alpha': S is not linear in it",
    ),
    "an error": (
        SINE_GORDON.replace("jnp.cos(phi))\n\n", "jnp.cosine(phi))\n\n"),
        r"sine_gordon\.py, line 20: AttributeError",
    ),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_an_action_that_is_none_is_one_line_before_any_work(tmp_path, case):
    theory, says = UNSOUND[case]
    path = written(tmp_path, theory=theory)
    with pytest.raises(RequestError) as caught:
        pipeline.start(config.load(path), tmp_path / "run", QUIET)
    (line,) = caught.value.lines
    assert re.search(says, line), line
    assert not (tmp_path / "run").exists()
