"""Coupling flows carried to larger lattices."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat.models import coupling_flow
from genlat.models.gaussian import GaussianPair
from genlat.training.transfer import enlarge_couplings
from models_for_tests import a_spectrum


def flow(shape, conditioner="conv", *, fourier=False, mean=0.7):
    prior = GaussianPair(a_spectrum(shape), mean)
    model = coupling_flow.build(
        prior, jr.key(0), kind="realnvp", n_layers=4, conditioner=conditioner,
        hidden=(3,), fourier=fourier,
    )  # fmt: skip
    leaves, tree = jax.tree.flatten(model)
    moved = [
        jnp.asarray(
            np.float64(leaf) + 0.3 * np.random.default_rng(i).normal(size=leaf.shape)
        )
        for i, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(tree, moved)


forward = eqx.filter_jit(lambda model, z: model.bijection.forward_and_log_det(z))


def test_layers_do_on_a_tiled_field_what_they_did_on_a_tile():
    small, blank = flow((4, 6)), flow((8, 12))
    large = enlarge_couplings(small, blank)
    z = jr.normal(jr.key(2), (4, 6))
    phi, log_det = forward(small, z)
    tiled, log_det_tiled = forward(large, jnp.tile(z, (2, 2)))
    np.testing.assert_allclose(tiled, jnp.tile(phi, (2, 2)), atol=1e-12)
    np.testing.assert_allclose(log_det_tiled, 4 * log_det, rtol=1e-12)
    wrong, _ = forward(blank, jnp.tile(z, (2, 2)))
    assert np.abs(wrong - tiled).max() < 1e-12  # the same parameters by construction
    moved = jax.tree.map(lambda leaf: leaf + 0.1, blank)
    again = forward(enlarge_couplings(small, moved), jnp.tile(z, (2, 2)))[0]
    np.testing.assert_array_equal(again, tiled)  # nothing of the blank is kept


def test_functions_of_momentum_are_padded():
    small, blank = flow((4, 6), fourier=True), flow((8, 6), fourier=True)
    large = enlarge_couplings(small, blank)
    for pick in (
        lambda f: f.prior.log_std,
        lambda f: f.bijection.bijections[-1].log_scale,
    ):
        assert pick(large).shape == pick(blank).shape
        # the zero mode sees the whole kernel, which is the same
        np.testing.assert_allclose(pick(large)[0], pick(small)[0], rtol=1e-6)
    np.testing.assert_array_equal(large.prior.mean, small.prior.mean)
    keys = jr.split(jr.key(3), 3)
    phis, log_q = eqx.filter_jit(lambda model: model.sample_batch(keys))(large)
    found = eqx.filter_jit(lambda model: model.log_prob_batch(phis))(large)
    np.testing.assert_allclose(found, log_q, rtol=1e-9)


def test_what_cannot_be_carried_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        enlarge_couplings(flow((4, 4), "dense"), flow((6, 6), "dense"))
    with pytest.raises(ValueError, match="cannot carry"):
        enlarge_couplings(flow((4, 6)), flow((4, 4)))
    with pytest.raises(ValueError, match="symmetries"):
        enlarge_couplings(flow((4, 6)), flow((6, 6)))
