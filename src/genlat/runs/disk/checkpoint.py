"""Checkpoints of any pytree of arrays: one file each, verified when loaded.

A file is a line with the SHA-256 of the rest, followed by an uncompressed npz archive
of the leaves, each under its path in the tree, and of the file's own name: one in the
place of another is sound, but not what it says.
"""

import io
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PyTree, Shaped

from genlat.errors import DamagedError
from genlat.runs.disk import files

T = TypeVar("T", bound=PyTree)

KEEP = 3


def save(directory: Path, step: int, tree: PyTree) -> None:
    """Write `step-NNNNNNNN.checkpoint` whole, then remove all but the newest three."""
    archive, path = io.BytesIO(), directory / f"step-{step:08d}.checkpoint"
    np.savez(archive, allow_pickle=False, **{files.RECORD: path.stem}, **_leaves(tree))
    files.write_sealed(path, archive.getvalue())
    for old in paths(directory)[:-KEEP]:
        old.unlink()


def paths(directory: Path) -> list[Path]:
    """The checkpoints on disk, oldest first."""
    return sorted(directory.glob("step-*.checkpoint"))


def load_newest(directory: Path, skeleton: T) -> T | None:
    """The newest sound checkpoint in the shape of `skeleton`; None if there is none.

    A damaged file is skipped for the one before it: steps are made again from there.

    **Raises:** `ValueError` if a sound one does not fit `skeleton`.
    """
    for path in reversed(paths(directory)):
        try:
            return load(path, skeleton)
        except DamagedError:
            continue
    return None


def load(path: Path, skeleton: T) -> T:
    """One checkpoint, in the shape of `skeleton`: same leaves, shapes and dtypes.

    **Raises:** `DamagedError` if the file is not what was written; `ValueError` if it
    holds another kind of tree.
    """
    found = files.read_archive(path)
    expected = _leaves(skeleton)
    if _shapes(found) != _shapes(expected):
        raise ValueError(f"{path}: holds another model or training state")
    leaves, structure = jax.tree.flatten(skeleton)
    restored = [
        _like(leaf, found[name]) for leaf, name in zip(leaves, expected, strict=True)
    ]
    return jax.tree.unflatten(structure, restored)


def _leaves(tree: PyTree) -> dict[str, Shaped[np.ndarray, "..."]]:
    with_paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path): np.asarray(_key_data(leaf))
        for path, leaf in with_paths
    }


def _shapes(leaves: dict[str, np.ndarray]) -> dict[str, tuple]:
    return {name: (leaf.shape, leaf.dtype) for name, leaf in leaves.items()}


def _is_key(leaf: object) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(
        leaf.dtype, jax.dtypes.prng_key
    )


def _key_data(leaf: Any) -> Any:
    return jr.key_data(leaf) if _is_key(leaf) else leaf


def _like(leaf: Any, array: Shaped[np.ndarray, "..."]) -> Any:
    """`array` as the kind of leaf it was saved from."""
    if _is_key(leaf):
        return jr.wrap_key_data(jnp.asarray(array))
    return jnp.asarray(array) if isinstance(leaf, jax.Array) else array
