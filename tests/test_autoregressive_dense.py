"""MADE and HAN: other shapes, the Markov property, and bad input."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat.lattice import forward_neighbour_sum
from genlat.models.autoregressive.hierarchical import HAN
from genlat.models.autoregressive.made import MADE
from genlat.models.autoregressive.masked_dense import MaskedDense
from spins_for_tests import generic


def starts_uniform(build):
    """Whether log q of a new model is that of free spins, built as it would be."""

    @jax.jit
    def log_q():
        model = build(jr.key(0))
        return model.log_prob_batch(jnp.ones((1, *model.lattice_shape), jnp.int8))[0]

    n_sites = math.prod(eqx.filter_eval_shape(build, jr.key(0)).lattice_shape)
    return float(log_q()) == pytest.approx(-n_sites * math.log(2), rel=1e-12)


def test_starts():
    """Uniform, if the heat bath is."""
    assert starts_uniform(lambda key: MADE((5,), key, depth=1, width=3))
    assert starts_uniform(lambda key: HAN((2, 2), key, beta=0.0, depth=1, width=3))


def test_han_has_the_conditional_independence_and_the_heat_bath_of_the_theory():
    """Second differences of log q vanish between squares, and only there."""
    model = generic(lambda: HAN((8, 8), jr.key(0), beta=0.3, depth=2, width=2))
    beta = float(model.beta)
    start = jnp.where(jr.bernoulli(jr.key(1), shape=(8, 8)), 1, -1)
    evaluate = eqx.filter_jit(lambda model, spins: model.log_prob_batch(spins))

    def log_q(*flips):
        """With spins turned around, in four ways."""
        images = [start] * 4
        for number, sites in enumerate(flips):
            for site in sites:
                images[number] = images[number].at[site].multiply(-1)
        return np.asarray(evaluate(model, jnp.stack(images)))

    def interaction(a, b):
        none, first, second, both = log_q([], [a], [b], [a, b])
        return none - first - second + both

    # (1, 2), (2, 1): of the square of (1..3, 1..3); (2, 5), (6, 6): of others
    for a, b in [((1, 2), (2, 5)), ((2, 1), (6, 6)), ((3, 2), (5, 6))]:
        assert interaction(a, b) == pytest.approx(0, abs=1e-10)
    assert abs(interaction((1, 2), (2, 1))) > 1e-3
    assert abs(interaction((1, 2), (0, 2))) > 1e-3
    for site in [(1, 1), (3, 7), (7, 7)]:
        before, after, *_ = log_q([], [site])
        turned = start.at[site].multiply(-1)
        links = [jnp.sum(s * forward_neighbour_sum(s)) for s in (start, turned)]
        assert before - after == pytest.approx(beta * float(links[0] - links[1]))


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda key: MADE((), key, depth=2, width=2), "extent must be >= 1"),
        (lambda key: MADE((4, 0), key, depth=2, width=2), "extent must be >= 1"),
        (lambda key: MADE((4,), key, depth=0, width=2), "depth must be >= 1, got 0"),
        (lambda key: MADE((4,), key, depth=2, width=0), "width must be >= 1, got 0"),
        (
            lambda key: MaskedDense(0, 2, key, depth=1, width=1),
            "n_spins must be >= 1, got 0",
        ),
        (
            lambda key: MaskedDense(2, -1, key, depth=1, width=1),
            "n_context must be >= 0, got -1",
        ),
        (
            lambda key: HAN((4, 8), key, beta=0.4, depth=1, width=1),
            r"must be \(L, L\), L = 2, 4, 8, ..., got \(4, 8\)",
        ),
        (lambda key: HAN((6, 6), key, beta=0.4, depth=1, width=1), r"got \(6, 6\)"),
        (lambda key: HAN((1, 1), key, beta=0.4, depth=1, width=1), r"got \(1, 1\)"),
        (
            lambda key: HAN((4, 4), key, beta=math.inf, depth=1, width=1),
            "beta must be finite, got inf",
        ),
    ],
)
def test_bad_arguments_are_refused(build, match):
    with pytest.raises(ValueError, match=match):
        build(jr.key(0))
