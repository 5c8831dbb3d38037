"""Coupling flows by name: RealNVP, NICE, rational-quadratic splines."""

import itertools
import math

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from genlat import lattice
from genlat.models.bijections.base import AbstractBijection
from genlat.models.bijections.chain import Chain
from genlat.models.bijections.coupling import Conditioner, Coupling
from genlat.models.bijections.fourier import FourierScaling
from genlat.models.bijections.transformers import (
    AbstractTransformer,
    Additive,
    Affine,
    OddRationalQuadraticSpline,
    RationalQuadraticSpline,
)
from genlat.models.bijections.zero_mode import ZeroMode
from genlat.models.conditioners import ConvNet, DenseNet, Parity
from genlat.models.flow import Flow
from genlat.models.gaussian import GaussianPair
from genlat.models.phase_mixture import PhaseMixture
from genlat.models.prior import AbstractPrior


def build(
    prior: AbstractPrior,
    key: PRNGKeyArray,
    *,
    kind: str = "realnvp",
    n_layers: int = 16,
    splitting: str = "checkerboard",
    conditioner: str = "conv",
    hidden: tuple[int, ...] = (16, 16, 16),
    kernel_size: int = 3,
    is_equivariant: bool = False,
    fourier: bool = False,
    zero_mode: bool = False,
) -> Flow:
    """An untrained flow: the identity on the prior.

    From z to φ: `ZeroMode` if asked for, the couplings, which move both halves of the
    sites in turn (stripes: along every axis in turn), and `FourierScaling` if asked for
    or `kind = "nice"`, which preserves volume without it.

    **Arguments:**

    - `kind`: `"realnvp"` affine, `"nice"` additive, `"spline"` rational-quadratic.
    - `n_layers`: couplings, ≥ 2: with one, half of the sites never move.
    - `splitting`: as `active_sites`.
    - `conditioner`, `hidden`, `kernel_size`: `ConvNet` or `DenseNet`; the latter has no
      kernel, that of the former is at least 3.
    - `is_equivariant`: odd layers, f(-z) = -f(z), so q is as even as the prior.
      RealNVP then has two networks in every layer, one odd and one even.

    **Raises:** `ValueError` for other values, or extents that the splitting forbids.
    """
    shape = prior.lattice_shape
    if kind not in ("realnvp", "nice", "spline"):
        raise ValueError(f'kind must be "realnvp", "nice" or "spline", got {kind!r}')
    if conditioner not in ("conv", "dense"):
        raise ValueError(f'conditioner must be "conv" or "dense", got {conditioner!r}')
    if n_layers < 2:
        raise ValueError(f"n_layers must be >= 2, got {n_layers}")
    if conditioner == "conv" and kernel_size == 1:
        # the site itself is frozen where the others move
        raise ValueError("kernel_size must reach a neighbour, 3 or more, got 1")

    def network(n_outputs: int, parity: Parity, key: PRNGKeyArray) -> Conditioner:
        if conditioner == "conv":
            return ConvNet(shape, n_outputs, parity, key, hidden, kernel_size)
        return DenseNet(shape, n_outputs, parity, key, hidden)

    def networks(of: AbstractTransformer, key: PRNGKeyArray) -> tuple[Conditioner, ...]:
        if not is_equivariant:
            return (network(of.n_odd + of.n_even, "none", key),)
        wanted: list[tuple[int, Parity]] = [(of.n_odd, "odd"), (of.n_even, "even")]
        keys = jr.split(key)
        return tuple(
            network(n, parity, key)
            for (n, parity), key in zip(wanted, keys, strict=True)
            if n > 0
        )

    site_width, mean_width = _widths(prior)
    axes = [axis for axis, extent in enumerate(shape) if extent > 1] or [0]
    bijections: list[AbstractBijection] = []
    if zero_mode:
        bijections.append(ZeroMode(shape, mean_width))
    turns = itertools.cycle([(axis, parity) for axis in axes for parity in (0, 1)])
    for (axis, parity), layer_key in zip(turns, jr.split(key, n_layers), strict=False):
        transformer = _transformer(kind, is_equivariant, site_width)
        nets = networks(transformer, layer_key)
        bijections.append(Coupling(shape, transformer, nets, splitting, parity, axis))
    if fourier or kind == "nice":
        bijections.append(FourierScaling(shape))
    return Flow(prior, Chain(tuple(bijections)))


def _transformer(
    kind: str, is_equivariant: bool, site_width: Float[Array, ""]
) -> AbstractTransformer:
    if kind == "nice":
        return Additive()
    if kind == "realnvp":
        return Affine()
    # draws of the prior beyond this would not be bent
    bound = 4 * site_width
    if is_equivariant:
        return OddRationalQuadraticSpline(bound)
    return RationalQuadraticSpline(bound)


def _widths(prior: AbstractPrior) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Root mean square of φ at a site, and of its average over the lattice.

    Of two phases those of the wider one.
    """
    if isinstance(prior, PhaseMixture):
        phases = _widths(prior.broken), _widths(prior.symmetric)
        site_width, mean_width = (
            jnp.maximum(*both) for both in zip(*phases, strict=True)
        )
        return site_width, mean_width
    assert isinstance(prior, GaussianPair)
    index, _ = lattice.momentum_orbits(prior.lattice_shape)
    variance = jnp.exp(2 * prior.log_std[index])
    mean = 0.0 if prior.mean is None else prior.mean
    zero_mode = variance[(0,) * variance.ndim] / math.prod(prior.lattice_shape)
    return jnp.sqrt(jnp.mean(variance) + mean**2), jnp.sqrt(zero_mode + mean**2)
