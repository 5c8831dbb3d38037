"""The inverse of the continuous flow can be differentiated, at given configurations."""

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from models_for_tests import a_model


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 4)], ids=str)
def test_gradient_of_log_prob_is_that_of_finite_differences(shape):
    """In the parameters and in φ, at configurations the model did not draw."""
    model = a_model(shape, n_steps=3)
    phis = 0.9 * jr.normal(jr.key(3), (5, *shape))
    flat, unravel = jax.flatten_util.ravel_pytree((model, phis))
    weights = jnp.array([0.2, -0.7, 1.1, -0.4, 0.3])

    @jax.jit
    def value(flat):
        model, phis = unravel(flat)
        return model.log_prob_batch(phis) @ weights

    found = jax.jit(jax.grad(value))(flat)
    step = 1e-5
    n_parameters = flat.size - phis.size
    for key in jr.split(jr.key(4), 2):
        draw = unravel(jr.normal(key, flat.shape))
        # the frequency is not trained
        draw = eqx.tree_at(lambda x: x[0].field.frequency, draw, jnp.zeros(()))
        direction = jax.flatten_util.ravel_pytree(draw)[0]
        for kept in (jnp.arange(flat.size) < n_parameters, jnp.ones(flat.size, bool)):
            along = jnp.where(kept, direction, 0)
            ahead, behind = (value(flat + e * along) for e in (step, -step))
            expected = (ahead - behind) / (2 * step)
            np.testing.assert_allclose(found @ along, expected, rtol=1e-7)


def test_gradient_is_finite_and_close_in_single_precision():
    shape = (4, 6)
    phis = 0.9 * jr.normal(jr.key(3), (5, 4, 6))

    @eqx.filter_jit
    def gradient(model, phis):
        found = eqx.filter_grad(lambda m: jnp.mean(m.log_prob_batch(phis)))(model)
        return jax.flatten_util.ravel_pytree(found)[0]

    exact = gradient(a_model(shape, n_steps=3), phis)
    single = gradient(
        a_model(shape, n_steps=3, dtype=jnp.float32), phis.astype(jnp.float32)
    )
    assert single.dtype == jnp.float32
    scale = float(jnp.max(jnp.abs(exact)))
    np.testing.assert_allclose(single, exact, atol=1e-5 * scale)


def test_what_cannot_be_inverted_is_nan_not_a_number():
    """A field so strong that a step is no contraction; weak ones beside it are fine."""
    model = a_model((4, 6), n_steps=1, strength=6.0)
    small, large = 1e-3 * jnp.ones((1, 4, 6)), 3 * jr.normal(jr.key(3), (1, 4, 6))
    evaluate = eqx.filter_jit(lambda model, phis: model.log_prob_batch(phis))
    log_q = evaluate(model, jnp.concatenate([small, large]))
    assert jnp.isnan(log_q[1])
    fine = evaluate(a_model((4, 6), n_steps=8), jnp.concatenate([small, large]))
    assert jnp.all(jnp.isfinite(fine))
    gradient = jax.jit(jax.grad(lambda x: model.log_prob_batch(x)[0]))(large)
    assert not jnp.all(jnp.isfinite(gradient))
