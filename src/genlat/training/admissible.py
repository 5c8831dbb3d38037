"""Which gradient may be asked of which objective, by name and in words. No JAX here.

`genlat.training.objectives.ADMISSIBLE` adds how each admissible pair is built.
"""

OBJECTIVES = {
    "reverse_kl": "E_q[ln q + S], the variational free energy",
    "forward_kl": "-E_p[ln q], maximum likelihood on samples of p",
    "symmetric_kl": "reverse plus forward KL, the divergence of Jeffreys",
    "alpha": "ln E_q[(p/q)^alpha] / (alpha (alpha - 1)); alpha = 2 bounds the ESS",
    "log_variance": "variance of ln(p/q) over draws of q that are held fixed",
}
GRADIENTS = {
    "path": "path gradient: less noise near the optimum",
    "total": "derivative of the whole loss",
    "reinforce": "score function with a baseline: draws need not be differentiable",
}
# What an objective is built with, by the names of its arguments.
NEEDS: dict[str, tuple[str, ...]] = {
    "reverse_kl": (),
    "forward_kl": ("data", "augment"),
    "symmetric_kl": ("data", "augment"),
    "alpha": ("alpha",),
    "log_variance": (),
}
REFUSED = {
    ("forward_kl", "reinforce"): (
        "forward_kl: its configurations are data and do not depend on the model, so "
        "there is no score term to weigh; use total or path"
    ),
    ("symmetric_kl", "reinforce"): (
        "symmetric_kl: its forward part has no reinforce gradient; use total or path"
    ),
    ("alpha", "path"): (
        "alpha: the path gradient drops a score term whose mean is not zero here, "
        "because the weights (p/q)^alpha multiply it; use total or reinforce"
    ),
    ("log_variance", "path"): (
        "log_variance: the path gradient drops a score term whose mean is not zero "
        "here; use reinforce"
    ),
    ("log_variance", "total"): (
        "log_variance: its draws are held fixed, and a derivative through them too is "
        "that of another loss; use reinforce"
    ),
}

# Pairs whose loss and gradient of a batch are the means of those of its slices.
ADDITIVE = frozenset(
    (objective, gradient)
    for objective in ("reverse_kl", "forward_kl", "symmetric_kl")
    for gradient in ("path", "total")
)


def refusal(objective: str, gradient: str) -> str | None:
    """Why this pair is refused; None if it is not.

    **Raises:** `ValueError` for an unknown name.
    """
    for kind, name, known in [
        ("objective", objective, OBJECTIVES),
        ("gradient", gradient, GRADIENTS),
    ]:
        if name not in known:
            raise ValueError(f"{kind} must be one of {', '.join(known)}, got {name!r}")
    return REFUSED.get((objective, gradient))
