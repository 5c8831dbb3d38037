"""Draws of a Gaussian model and samples of the free field, for `genlat judge`.

    python examples/judge_numpy.py OUT
    genlat judge examples/judge_free_field.toml --draws OUT/draws.npz \
        --samples OUT/samples.npz --out judged

No genlat in here: this is what another program has to write. The model is a free field
too, of a mass that is a little wrong.
"""

import sys
from pathlib import Path

import numpy as np

SHAPE, M2, M2_OF_MODEL = (6, 4), 0.81, 0.9


def eigenvalues(m2):
    """Of the quadratic form S = ½ φ·Kφ, momentum by momentum."""
    k = [2 * np.pi * np.fft.fftfreq(extent) for extent in SHAPE]
    return m2 + sum(4 * np.sin(x / 2) ** 2 for x in np.meshgrid(*k, indexing="ij"))


def draw(rng, n, m2):
    """φ = K^(-½) η of normal η."""
    eta = np.fft.fftn(rng.normal(size=(*n, *SHAPE)), axes=(-2, -1))
    return np.fft.ifftn(eta / np.sqrt(eigenvalues(m2)), axes=(-2, -1)).real


def log_prob(phi, m2):
    """ln q(φ) = -½ φ·Kφ + ½ ln det K/2π."""
    modes = np.abs(np.fft.fftn(phi, axes=(-2, -1))) ** 2 / np.prod(SHAPE)
    quadratic = np.sum(eigenvalues(m2) * modes, axis=(-2, -1))
    return -0.5 * quadratic + 0.5 * np.sum(np.log(eigenvalues(m2) / (2 * np.pi)))


def main(out, n_draws=100_000, n_samples=1000):
    rng = np.random.default_rng(1)
    phi = draw(rng, (n_draws,), M2_OF_MODEL)
    np.savez(out / "draws.npz", phi=phi, log_q=log_prob(phi, M2_OF_MODEL))
    phi = draw(rng, (16, n_samples), M2)  # chains, samples of each
    np.savez(out / "samples.npz", phi=phi, log_q=log_prob(phi, M2_OF_MODEL))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
