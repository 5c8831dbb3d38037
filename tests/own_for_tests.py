"""Files of a user's: a theory and a model of their own, as text, and run files."""

import textwrap

SINE_GORDON = textwrap.dedent(
    '''
    import jax.numpy as jnp

    import genlat as gl


    class SineGordon(gl.FieldAction):
        """S = Σ [½ Σ_μ (φ_{x+μ} - φ_x)² + ½ m² φ² + α (1 - cos φ)]"""

        m2: float
        alpha: float
        symmetries = ("sign", "translations", "point_group")
        modes = ("sign",)
        line = "alpha"

        def __call__(self, phi):
            axes = range(phi.ndim)
            steps = sum(jnp.sum((jnp.roll(phi, -1, a) - phi) ** 2) for a in axes)
            mass = self.m2 * jnp.sum(phi**2)
            return (steps + mass) / 2 + self.alpha * jnp.sum(1 - jnp.cos(phi))

        def observables(self, phi):
            return super().observables(phi) | {"vertex": jnp.mean(jnp.cos(phi))}
    '''
)
DIAGONAL = textwrap.dedent(
    '''
    import math
    from typing import ClassVar

    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import jax.random as jr
    from genlat.likelihood import EXACT
    from genlat.models.base import AbstractFlow


    class Diagonal(AbstractFlow):
        """Independent sites, a width for each."""

        log_width: jax.Array
        lattice_shape: tuple = eqx.field(static=True)
        likelihood: ClassVar = EXACT

        @classmethod
        def build(cls, action, key, *, width: float = 0.7):
            start = jnp.full(action.lattice_shape, math.log(width), jnp.float32)
            return cls(start, action.lattice_shape)

        def log_prob_batch(self, phis):
            width = self.log_width[None]
            z = (phis / jnp.exp(width)).astype(jnp.float64)
            terms = -0.5 * z**2 - width - 0.5 * math.log(2 * math.pi)
            return jnp.sum(terms, axis=tuple(range(1, z.ndim)))

        def sample_batch(self, keys):
            z = jax.vmap(lambda k: jr.normal(k, self.lattice_shape, jnp.float32))(keys)
            phis = z * jnp.exp(self.log_width)[None]
            return phis, self.log_prob_batch(phis)

        def sample_batch_with_score(self, keys):
            phis, log_q = self.sample_batch(keys)
            score = -phis / jnp.exp(2 * self.log_width)[None]
            return phis, log_q, jax.lax.stop_gradient(score)
    '''
)
RUN = """
seed = 1
[theory]
name = "sine_gordon.py:SineGordon"
shape = [4]
m2 = 0.7
alpha = 0.5
[mcmc]
chains = 16
samples = 200
therm = 100
[model]
name = "diagonal.py:Diagonal"
[train]
steps = 4
batch = 16
[estimate]
samples = 2000
methods = ["default", "hmc_integration"]
[integration]
couplings = 3
samples = 50
chains = 8
therm = 60
"""


def written(directory, *, theory=SINE_GORDON, model=DIAGONAL, run=RUN):
    """The files in a directory; the run file."""
    (directory / "sine_gordon.py").write_text(theory)
    (directory / "diagonal.py").write_text(model)
    path = directory / "run.toml"
    path.write_text(run)
    return path
