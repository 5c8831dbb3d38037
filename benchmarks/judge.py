"""`genlat judge` on 10⁶ draws of 64x8 and 10⁵ samples: seconds, peak memory.

    python benchmarks/judge.py [N_DRAWS] [N_SAMPLES]

The files, 2.2 GB at full size, are made in a temporary directory first, of the free
field as in `examples/judge_numpy.py`; making them is not counted. What is timed is the
whole command, from its start as a process of its own: checks, hashes, measurement,
neural chain, estimates, verdict and report.
"""

import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SHAPE, M2, M2_OF_MODEL, CHAINS, PIECE = (64, 8), 0.81, 0.83, 100, 10_000
FILE = f"""
seed = 1
[theory]
name = "phi4"
shape = {list(SHAPE)}
m2 = {M2}
g = 0.0
[samples]
visits_every_mode = true
"""


def eigenvalues(m2):
    k = [2 * np.pi * np.fft.fftfreq(extent) for extent in SHAPE]
    return m2 + sum(4 * np.sin(x / 2) ** 2 for x in np.meshgrid(*k, indexing="ij"))


def pieces(rng, n, m2):
    """(phi, ln q) of the model at draws of mass `m2`, in float32 as networks are."""
    of_model = eigenvalues(M2_OF_MODEL)
    log_det = 0.5 * np.sum(np.log(of_model / (2 * np.pi)))
    for _ in range(0, n, PIECE):
        eta = np.fft.fftn(rng.normal(size=(PIECE, *SHAPE)), axes=(1, 2))
        modes = eta / np.sqrt(eigenvalues(m2))
        phi = np.fft.ifftn(modes, axes=(1, 2)).real
        total = np.sum(of_model * np.abs(modes) ** 2, axis=(1, 2))
        yield phi.astype(np.float32), log_det - 0.5 * total / np.prod(SHAPE)


def write(path, rng, n, m2, axes):
    phi = np.lib.format.open_memmap(path / "phi.npy", "w+", np.float32, (n, *SHAPE))
    log_q = np.empty(n)
    for k, (rows, values) in enumerate(pieces(rng, n, m2)):
        phi[k * PIECE : (k + 1) * PIECE] = rows
        log_q[k * PIECE : (k + 1) * PIECE] = values
    phi.flush()
    archive = path / "both.npz"
    np.savez(archive, phi=phi.reshape(*axes, *SHAPE), log_q=log_q.reshape(axes))
    (path / "phi.npy").unlink()
    return archive


def make(root, n_draws, n_samples):
    rng = np.random.default_rng(1)
    for part in ("draws", "samples"):
        (root / part).mkdir()
    write(root / "draws", rng, n_draws, M2_OF_MODEL, (n_draws,))
    write(root / "samples", rng, n_samples, M2, (CHAINS, -1))


def main(n_draws=1_000_000, n_samples=100_000):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        # a process inherits the peak of the one that began it: this one stays small
        maker = multiprocessing.get_context("spawn").Process(
            target=make, args=(root, n_draws, n_samples)
        )
        maker.start()
        maker.join()
        draws, samples = (root / x / "both.npz" for x in ("draws", "samples"))
        (root / "judge.toml").write_text(FILE)
        program = "from genlat.cli import main; main()"
        options = ["--draws", str(draws), "--samples", str(samples), "--quiet"]
        command = [sys.executable, "-c", program, "judge", str(root / "judge.toml")]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.perf_counter()
        out = ["--out", str(root / "out")]
        subprocess.run([*command, *options, *out], check=True)
        seconds = time.perf_counter() - begin
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        results = json.loads((root / "out" / "results.json").read_text())
    cost = results["cost"]
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{n_draws:,} draws, {n_samples:,} samples: {seconds:.1f} s of wall time, "
        f"{cpu:.1f} s of CPU, {cost['peak_memory_bytes'] / 2**30:.2f} GiB at most; "
        f"{results['verdict']['trust']}"
    )
    print(
        {
            key: round(x, 1)
            for key, x in cost.items()
            if key.endswith("_seconds") and isinstance(x, float)
        }
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
