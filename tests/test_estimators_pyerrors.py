"""The Γ-method against pyerrors, written by others, on the same chains.

Both sum the same ρ(t); three choices differ, and each is tested for what it does:

- the window: pyerrors takes S = 2 unless told, and sums ρ where we sum |ρ|;
- replica: pyerrors subtracts each one's own mean, we the common one. Its error misses
  their scatter: 30 % too low for 20 replica of 10 τ_int;
- τ_int below ½, of alternating chains, becomes ½ in pyerrors: its error is 60 % too
  large for ρ(t) = (-0.45)^t.

Its `tau_int` is ½ + Σ ρ(t), as ours.
"""

import math
from typing import NamedTuple

import numpy as np
import pytest

from genlat.estimators import autocorrelation, derived

# pyerrors 2.17 imports a part of SciPy that is deprecated; nothing here needs it
pytestmark = pytest.mark.filterwarnings(
    "ignore:`scipy.odr` is deprecated:DeprecationWarning"
)


@pytest.fixture
def pyerrors():
    import pyerrors

    return pyerrors


def _chains(r, shape, seed):
    """Stationary AR(1) of mean 0.4 and standard deviation 1.7; time is axis -1."""
    x = np.random.default_rng(seed).normal(size=shape)
    for t in range(1, shape[-1]):
        x[..., t] = r * x[..., t - 1] + math.sqrt(1 - r**2) * x[..., t]
    return 0.4 + 1.7 * x


class Found(NamedTuple):
    error: float
    tau: float
    tau_error: float


def _ours(analysis):
    return Found(analysis.mean.error, analysis.tau_int.value, analysis.tau_int.error)


def _obs(pyerrors, values, *, means=None, ensemble="chain"):
    """`values` as an `Obs`; with `means`, as deviations from them."""
    names = [f"{ensemble}|r{k:03d}" for k in range(len(values))]
    if means is None:
        return pyerrors.Obs(list(values), names)
    centred = [x - mean for x, mean in zip(values, means, strict=True)]
    return pyerrors.Obs(centred, names, idl=_idl(values), means=list(means))


def _idl(values):
    return [range(1, x.size + 1) for x in values]


def _theirs(obs, **options):
    obs.gamma_method(**options)
    (ensemble,) = obs.e_names
    return Found(obs.dvalue, obs.e_tauint[ensemble], obs.e_dtauint[ensemble])


def _theirs_at(obs, window):
    """Their ρ(t) and formulas, with our window: they have no option for one."""
    obs.gamma_method(S=1.5)
    (ensemble,) = obs.e_names
    deltas = np.concatenate(list(obs.deltas.values()))
    tau = 0.5 + np.sum(obs.e_rho[ensemble][1 : window + 1])
    tau_error = 2 * tau * math.sqrt((window + 0.5 - tau) / obs.N)
    tau *= (1 + (2 * window + 1) / obs.N) / (1 + 1 / obs.N)
    variance = np.mean(deltas**2) * (1 + 1 / obs.N)
    return Found(math.sqrt(2 * tau * variance / obs.N), tau, tau_error)


def _assert_close(ours, theirs, *, error, tau, tau_error):
    assert ours.error == pytest.approx(theirs.error, rel=error)
    assert ours.tau == pytest.approx(theirs.tau, rel=tau)
    assert ours.tau_error == pytest.approx(theirs.tau_error, rel=tau_error)


LONG = [(0.35, 1, 20_000), (0.83, 1, 40_000), (0.93, 1, 100_000), (0.83, 8, 20_000)]


@pytest.mark.parametrize(("r", "n_chains", "n"), LONG)
def test_long_chains_agree_up_to_the_window(pyerrors, r, n_chains, n):
    """Noise of a window W is √(2(2W + 1)/N) in the variance: some per cent."""
    values = _chains(r, (n_chains, n), seed=1)
    analysis, obs = autocorrelation.analyse(values), _obs(pyerrors, values)
    assert analysis.mean.value == pytest.approx(obs.value, rel=1e-14)
    _assert_close(_ours(analysis), _theirs(obs), error=0.04, tau=0.08, tau_error=0.25)
    _assert_close(
        _ours(analysis), _theirs(obs, S=1.5), error=0.02, tau=0.04, tau_error=0.1
    )
    wider = autocorrelation.analyse(values, window_factor=2.0)
    _assert_close(_ours(wider), _theirs(obs), error=0.02, tau=0.04, tau_error=0.1)


def test_the_comparison_has_power(pyerrors):
    """Negative control: S = 0 is the naive error, which ignores τ_int = 5.4."""
    values = _chains(0.83, (1, 40_000), seed=1)
    naive = _theirs(_obs(pyerrors, values), S=0)
    ours = _ours(autocorrelation.analyse(values))
    with pytest.raises(AssertionError):
        _assert_close(ours, naive, error=0.04, tau=math.inf, tau_error=math.inf)
    with pytest.raises(AssertionError):
        _assert_close(ours, naive, error=math.inf, tau=0.08, tau_error=math.inf)


@pytest.mark.parametrize(
    ("r", "n_chains", "n"), [*LONG, (-0.45, 1, 20_000), (-0.45, 4, 5_000)]
)
def test_with_our_window_and_mean_they_are_the_same(pyerrors, r, n_chains, n):
    """What is left: 1 - t/n in the variance, τ/n of it, and Γ(0) corrected by 2τ/N."""
    values = _chains(r, (n_chains, n), seed=2)
    analysis = autocorrelation.analyse(values)
    obs = _obs(pyerrors, values, means=np.full(n_chains, np.mean(values)))
    theirs = _theirs_at(obs, analysis.window)
    bound = (2 * analysis.tau_int.value + 1) / n
    # of alternating chains theirs is too small: `_truncated_sum_variance`
    tau_error = 0.01 if r > 0 else 0.15
    _assert_close(_ours(analysis), theirs, error=bound, tau=bound, tau_error=tau_error)


def test_a_shifted_replica_counts_here_only(pyerrors):
    """Negative control: with each replica's own mean taken off they differ."""
    values = _chains(0.83, (8, 2_000), seed=3)
    shifted = values + np.where(np.arange(8) == 3, 3.0, 0.0)[:, None]
    before, after = (_theirs(_obs(pyerrors, x)).error for x in (values, shifted))
    assert after == pytest.approx(before, rel=1e-10)
    ours = autocorrelation.analyse(shifted)
    common = _obs(pyerrors, shifted, means=np.full(8, np.mean(shifted)))
    assert ours.mean.error > 1.2 * after
    assert ours.mean.error == pytest.approx(
        _theirs_at(common, ours.window).error, rel=2 * ours.window / 2_000
    )


N_REPEATS = 200


def test_short_replica_need_the_common_mean(pyerrors):
    """Pulls of 20 chains of 10 τ_int: unit width here, wider there."""
    chains = _chains(0.9, (N_REPEATS, 20, 100), seed=4)
    offsets = chains.mean(axis=(1, 2)) - 0.4
    ours = np.array([autocorrelation.mean(values).error for values in chains])
    theirs = np.array([_theirs(_obs(pyerrors, values)).error for values in chains])
    tolerance = 5 / math.sqrt(2 * N_REPEATS)
    assert np.std(offsets / ours) == pytest.approx(1, abs=tolerance)
    assert np.std(offsets / theirs) > 1 + tolerance


def _functions(anp):
    """Of ⟨x⟩, ⟨x²⟩, ⟨x⁴⟩: the variance, a cumulant, and something with no name."""
    return {
        "variance": lambda m: m[1] - m[0] ** 2,
        "binder": lambda m: 1 - m[2] / (3 * m[1] ** 2),
        "mixed": lambda m: anp.log(m[1]) * anp.exp(-0.3 * m[0]) + anp.sqrt(m[2]) / m[1],
    }


@pytest.mark.parametrize("name", ["variance", "binder", "mixed"])
@pytest.mark.parametrize(("n_chains", "n"), [(1, 40_000), (8, 20_000)])
def test_errors_propagate_alike(pyerrors, name, n_chains, n):
    """Correlated observables of one chain; our gradient is numerical, theirs is not."""
    import autograd.numpy as anp

    function = _functions(anp)[name]
    x = _chains(0.7, (n_chains, n), seed=5)
    powers = (x, x**2, x**4)
    ours = derived.mean(
        {"powers": np.stack(powers, axis=-1)}, lambda means: function(means["powers"])
    )
    inputs = [_obs(pyerrors, values) for values in powers]
    theirs = pyerrors.derived_observable(function, inputs)
    error = _theirs(theirs, S=1.5).error
    assert ours.value == pytest.approx(theirs.value, rel=1e-12)
    assert ours.error == pytest.approx(error, rel=0.03)
    # negative control: as if the three came from three runs
    apart = [
        _obs(pyerrors, values, ensemble=f"run{k}") for k, values in enumerate(powers)
    ]
    independent = pyerrors.derived_observable(function, apart)
    independent.gamma_method(S=1.5)
    assert ours.error != pytest.approx(independent.dvalue, rel=0.03)
