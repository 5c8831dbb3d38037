"""Errors of draws of q as samples of p foresee them: closed forms and exact chains."""

import numpy as np
import pytest

from genlat.estimators import foreseen, spread, weights


def lognormal(ess, n, rng, of_p=True):
    """ln p/q of log-normal weights."""
    s2 = -np.log(ess)
    return rng.normal(s2 / 2 if of_p else -s2 / 2, np.sqrt(s2), n)


def exact_variance(p, q, a):
    """n times the variance of an average over Metropolis with proposals from q."""
    u = p / q
    accept = np.minimum(1, u[None, :] / u[:, None])
    kernel = q[None, :] * accept
    np.fill_diagonal(kernel, 0)
    np.fill_diagonal(kernel, 1 - kernel.sum(axis=1))
    centred = a - p @ a
    fundamental = np.linalg.inv(np.eye(p.size) - kernel + np.outer(np.ones(p.size), p))
    return 2 * p @ (centred * (fundamental @ centred)) - p @ centred**2


@pytest.mark.parametrize("seed", range(5))
def test_the_error_of_a_chain_is_that_of_its_transition_matrix(seed):
    rng = np.random.default_rng(seed)
    m = 40
    q = rng.dirichlet(np.full(m, 0.7)) + 1e-9
    q /= q.sum()
    p, a = np.full(m, 1 / m), rng.normal(size=m)
    found = foreseen.chain(p / q, a + 5, 1000, m)
    assert found.error**2 * 1000 == pytest.approx(exact_variance(p, q, a), rel=1e-9)


def test_equal_weights_are_independent_draws_that_are_all_accepted():
    a = np.random.default_rng(1).normal(size=500)
    for error in (foreseen.chain, foreseen.importance):
        found = error(np.ones(500), a - a.mean(), 100, 500)
        assert found.error == pytest.approx(np.std(a) / 10, rel=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_a_chain_is_never_more_precise_than_importance_sampling(seed):
    """A theorem: take g = (1 + u) a/2 in the variational form of (1 - P)⁻¹."""
    rng = np.random.default_rng(seed)
    log_u = rng.normal(0, rng.uniform(0.1, 3), 300)
    u = np.exp(log_u)
    u *= np.mean(1 / u)
    a = rng.normal(size=300) + rng.normal() * log_u
    a -= a.mean()
    of_chain = foreseen.chain(u, a, 1, 300)
    assert of_chain.error >= foreseen.importance(u, a, 1, 300).error


@pytest.mark.parametrize("ess", [0.9, 0.5, 0.2])
def test_log_normal_weights(ess):
    """Errors of ln Z and of the ESS in closed form; moments of u are exp(k² s²/2)."""
    m, n, rng = 200_000, 1000, np.random.default_rng(3)
    u = np.exp(lognormal(ess, m, rng))
    error = foreseen.importance(u, np.ones(m), n, m).error
    assert error == pytest.approx(np.sqrt((1 / ess - 1) / n), rel=0.03)
    if ess > 0.4:  # u³ below has a relative error of .04 there
        r = 1 / ess
        exact = 4 * r - 4 * r**2 + r**4 - 1
        found = foreseen.importance(u, 2 - u * ess, n, m).error
        assert found == pytest.approx(np.sqrt(exact / n), rel=0.1)


def errors_of_exact(ess, m, repeats, of):
    """Of `repeats` sets of m samples, in units of the error in closed form."""
    r, found = 1 / ess, []
    exact = {"log_z": r - 1, "ess": 4 * r - 4 * r**2 + r**4 - 1}[of]
    for k in range(repeats):
        u = np.exp(lognormal(ess, m, np.random.default_rng([7, k])))
        a = np.ones(m) if of == "log_z" else 2 - u * ess
        one = foreseen.importance(u, a, 1, m)
        found.append((one.error / np.sqrt(exact), one.concentration, one.skewness))
    return np.array(found).T


@pytest.mark.parametrize("of", ["log_z", "ess"])
def test_what_cancels_near_weights_of_one_is_taken_out(of):
    """Of E_p[u a²] - E_p[a]² at an ESS of .99: 2·10⁻⁴ of two numbers of noise 10⁻³.

    The influence of ln Z is nearly Gaussian there and that of the ESS χ² of one degree
    of freedom, of which the concentrations are 3/m and 15/m; the skewnesses are those
    of log-normal weights.
    """
    m = 8000
    errors, concentrations, skewnesses = errors_of_exact(0.99, m, 100, of)
    wanted = {"log_z": (3, 0.3), "ess": (15, -3.24)}[of]
    assert np.mean(errors) == pytest.approx(1, abs=0.01)
    assert np.std(errors) < 1.5 * np.sqrt(wanted[0] / m) / 2
    assert np.median(concentrations) * m == pytest.approx(wanted[0], rel=0.3)
    assert np.mean(skewnesses) == pytest.approx(wanted[1], abs=0.3)


def test_what_samples_do_not_meet_of_q_is_not_taken_for_noise():
    """2 % of q far from all samples: their mean of 1/u is .98, u is 1/.98."""
    u, n = np.full(4000, 1 / 0.98), 1000
    u *= np.exp(np.random.default_rng(2).normal(0, 0.01, u.size))
    error = foreseen.importance(u, np.ones(u.size), n, u.size).error
    assert error == pytest.approx(np.sqrt((1 / 0.98 - 1) / n), rel=0.05)


def test_it_is_known_better_than_from_the_draws():
    """Concentration, degrees of freedom and skewness against those of replicas."""
    ess, n, m = 0.2, 100_000, 8000
    errors, theirs, values = [], [], []
    for k in range(300):
        rng = np.random.default_rng([4, k])
        of_p, of_q = lognormal(ess, m, rng), lognormal(ess, n, rng, of_p=False)
        u, log_z = foreseen.met(of_p, n), weights.log_z(of_q)
        errors.append(foreseen.importance(u, np.ones(m), n, m))
        theirs.append(log_z.error)
        values.append(log_z.value)
    ours = np.array([found.error for found in errors])
    assert np.std(ours) < 0.5 * np.std(theirs)
    scatter = np.std(ours**2) / np.mean(ours**2)
    concentration = np.median([found.concentration for found in errors])
    assert concentration == pytest.approx(scatter**2, rel=0.3)
    skew = np.median([found.skewness for found in errors])
    r = 1 / ess
    # a third moment, part of which lies where draws are not expected
    assert 0.7 < skew / ((r + 2) * np.sqrt(r - 1) / np.sqrt(n)) < 1
    # 300 values: their standard deviation is known to 4.1 %
    assert np.mean(ours) == pytest.approx(np.std(values), rel=0.17)


@pytest.mark.parametrize(
    ("ess", "of", "rel"), [(0.9, "log_z", 0.1), (0.99, "ess", 0.3), (0.3, "mean", 0.2)]
)
def test_how_well_draws_will_know_their_error(ess, of, rel):
    """Against the fourth moment of their own influences, median of 20 replicas."""
    n, m, ours, theirs = 100_000, 8000, [], []
    for k in range(20):
        rng = np.random.default_rng([9, k])
        u = foreseen.met(lognormal(ess, m, rng), n)
        w = np.exp(lognormal(ess, n, rng, of_p=False))
        x, y = rng.normal(size=m), rng.normal(size=n)
        a, b = {
            "log_z": (np.ones(m), np.ones(n)),
            "ess": (2 - u * ess, 2 - w * ess),
            "mean": (x, y),
        }[of]
        ours.append(foreseen.freedom_of_draws(u, a, n, m))
        theirs.append(spread.of_independent(w * b - np.mean(w * b)).freedom)
    assert np.median(ours) == pytest.approx(np.median(theirs), rel=rel)


def test_how_well_a_chain_will_know_its_error():
    """Times of 60 chains of 2000 steps, all at u = 1/4 where three in four are refused.

    Influences are then t a with exponential t and normal a, of kurtosis 6 x 3.
    """
    rng = np.random.default_rng(10)
    a = rng.normal(size=4000)
    found = foreseen.freedom_of_steps(np.full(4000, 4.0), a, 120_000, 4000)
    n_kept, theirs = 120_000 // 4, []
    for _ in range(20):
        times = rng.geometric(1 / 4, n_kept)
        d, _ = spread.shape(times * rng.normal(size=n_kept))
        theirs.append(2 / (d - 1 / n_kept))
    assert found == pytest.approx(np.mean(theirs), rel=0.25)


def test_no_weight_is_too_large_to_foresee_a_freedom():
    for lower in (-700.0, 0.0, 700.0):
        u = foreseen.ratio(np.array([lower, 0.0, 1.0]))
        for of in (foreseen.freedom_of_draws, foreseen.freedom_of_steps):
            found = of(u, np.array([1.0, 2.0, 4.0]), 1000, 3)
            assert 2 <= found <= 1000
            assert of(u, np.zeros(3), 1000, 3) == np.inf


def test_correlated_samples_know_less():
    u, a = np.exp(lognormal(0.5, 4000, np.random.default_rng(5))), np.ones(4000)
    many = foreseen.importance(u, a, 1000, 4000)
    few = foreseen.importance(u, a, 1000, 400)
    assert few.error == many.error
    assert few.concentration == pytest.approx(10 * many.concentration)
    assert few.freedom < many.freedom / 5


def test_weights_that_draws_do_not_meet_are_cut():
    """One of 1000 samples where q is a million times less: no draw comes there."""
    log_ratio = np.zeros(1000)
    log_ratio[7] = np.log(1e6)
    assert np.all(foreseen.met(log_ratio, 1000) == 1)
    # with n = 2·10⁹ two draws are expected there
    assert foreseen.met(log_ratio, 2 * 10**9)[7] == pytest.approx(1e6)
    # two of 1000 at u = 8 meet n/(1000 · 8) each: 1 together at n = 4000
    log_ratio[7:9] = np.log(8)
    assert np.max(foreseen.met(log_ratio, 4100)) == pytest.approx(8)
    assert np.max(foreseen.met(log_ratio, 3900)) == 1
    log_ratio[7:9] = np.inf
    assert np.all(np.isfinite(foreseen.met(log_ratio, 10**9)))


def test_nothing_that_fluctuates_has_no_error():
    for error in (foreseen.chain, foreseen.importance):
        assert error(np.ones(10), np.zeros(10), 10, 10) == spread.NONE
        assert error(np.ones(10), np.ones(10), 10, 10) == spread.NONE


@pytest.mark.parametrize("ess", [0.9, 0.5, 0.2])
def test_draws_know_the_error_of_samples(ess):
    """Of ⟨1/u⟩ over m samples of p, in closed form: error² = (1/ESS - 1)/m."""
    n, m, rng = 200_000, 1000, np.random.default_rng(11)
    u = np.exp(lognormal(ess, n, rng, of_p=False))
    found = foreseen.average(u, 1 - 1 / u, m)
    assert found.error == pytest.approx(np.sqrt((1 / ess - 1) / m), rel=0.03)
    assert found.skewness < 0  # rare large 1/u pull 1 - 1/u down
    freedom = foreseen.freedom_of_average(u, 1 - 1 / u, m)
    # as many samples as draws, of which the degrees of freedom are n/m times as many
    many = spread.of_independent(1 - 1 / np.exp(lognormal(ess, n, rng)))
    if ess > 0.8:
        assert freedom == pytest.approx(many.freedom * m / n, rel=0.2)
    assert 2 <= freedom <= 1.5 * many.freedom * m / n


def test_samples_repeated_say_what_they_said_once():
    """A chain that stays ten steps where it is: ten times the samples, worth the same.

    Their mean of 1/u may be off 1 by two errors of 100 draws, six of 1000.
    """
    rng = np.random.default_rng(3)
    x = rng.normal(size=100)
    u = np.exp(0.05 * (x - x.mean() + 0.2))
    for a in (np.ones(100), x**2 - np.mean(x**2) + 1, 2 - u):
        for of in (foreseen.importance, foreseen.freedom_of_draws):
            once = of(u, a, 1000, 100)
            often = of(np.repeat(u, 10), np.repeat(a, 10), 1000, 100)
            assert often == pytest.approx(once, rel=1e-9)
    # most of u - 1 cancels in ln Z, which E_p[1/u] = 1 takes out
    error = foreseen.importance(np.repeat(u, 10), np.ones(1000), 1000, 100).error
    assert error == pytest.approx(0.05 / np.sqrt(1000), rel=0.2)
