"""Starting points that `genlat new` writes. No JAX here."""

from pathlib import Path

from genlat.errors import RequestError
from genlat.runs.disk import files

THEORY = '''\
"""{title}: an action for genlat. Try it: `genlat doctor {stem}.toml`."""

import jax.numpy as jnp

import genlat as gl


class {title}(gl.FieldAction):
    """S = Σ_x [½ Σ_μ (φ_{{x+μ}} - φ_x)² + ½ m² φ_x² + α (1 - cos φ_x)]"""

    # Couplings: fields of [theory] in the run file. A float may vary, an int is fixed;
    # one with a value has it as its default.
    m2: float
    alpha: float

    # Maps that leave S for every φ; delete those that yours has not. Nothing that is
    # not declared is assumed: an odd flow or a reflection needs "sign".
    symmetries = ("sign", "translations", "point_group")

    # Symmetries that carry one mode of e^(-S) to every other one: () for a single mode.
    # Without this line nothing is known of the modes, and no verdict can be "yes".
    modes = ()

    # A coupling in which S is linear, and without which the theory is free or of
    # independent sites: ln Z is integrated along it (methods = ["hmc_integration"]).
    line = "alpha"

    def __call__(self, phi):
        # One configuration, in float64, axis 0 is Euclidean time; returns one number.
        # The force is its derivative.
        steps = sum(jnp.sum((jnp.roll(phi, -1, a) - phi) ** 2) for a in range(phi.ndim))
        mass = self.m2 * jnp.sum(phi**2)
        return (steps + mass) / 2 + self.alpha * jnp.sum(1 - jnp.cos(phi))

    # What is measured beside the observables of every theory.
    def observables(self, phi):
        return super().observables(phi) | {{"vertex": jnp.mean(jnp.cos(phi))}}
'''

RUN = """seed = 1

[theory]
name = "{stem}.py:{title}"
shape = [16, 8]
m2 = 0.2
alpha = 0.5

[mcmc]  # kernels: hmc, and reflection where "sign" is declared
chains = 64
samples = 2000

[model]
name = "cnf"  # odd; for an S without "sign": realnvp or spline

[train]
steps = 200

[estimate]
methods = ["default", "hmc_integration"]
"""


def write(name: str, directory: Path) -> tuple[Path, Path]:
    """A theory of one's own and a run file for it, in `directory`; where they are.

    **Arguments:** `name`: of the class, as in `SineGordon`; files are `sine_gordon`.

    **Raises:** `RequestError` for a name that is none, or files that are there.
    """
    if not name.isidentifier() or not name[0].isupper():
        raise RequestError(f"{name}: should be the name of a class, such as SineGordon")
    stem = "".join(f"_{x.lower()}" if x.isupper() else x for x in name).lstrip("_")
    made = {
        directory / f"{stem}.py": THEORY.format(title=name, stem=stem),
        directory / f"{stem}.toml": RUN.format(title=name, stem=stem),
    }
    if there := [path for path in made if path.exists()]:
        raise RequestError(f"{there[0]}: exists; nothing was written")
    for path, text in made.items():
        files.write_bytes(path, text.encode())
    first, second = made
    return first, second
