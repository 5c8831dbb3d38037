"""The tables of what says how far the estimates can be trusted."""

import html
from collections.abc import Mapping
from typing import Any

from genlat.report import notation
from genlat.report.notation import CAUTION, COUPLINGS, UNUSABLE, Json
from genlat.report.tables import sigma, table

Row = list[str]
DISAGREE = 1.5  # errors of one estimate that differ by more are highlighted

# diagnostic -> label, and how to read it
WEIGHTS = {
    "ess": ("ESS, reverse", "part of the draws of q that counts; blind to lost modes"),
    "ess_forward": ("ESS, forward", "the same on samples of p: sees lost modes"),
    "kl_per_site": ("KL(q‖p) per site", "distance to the theory, whatever the volume"),
    "kl_forward_per_site": ("KL(p‖q) per site", "the same from p: sees lost modes"),
    "mode_weight": ("Mode weight", "evidence or none"),
    "covered": (
        "ln Ẑ of q less Bennett's",
        "0 if q covers p, whatever the tail of 1/w",
    ),
    "overlap": ("Overlap of q and p", "∫ 2pq/(p + q): 1 where they are the same"),
}
TAILS = {
    "prior": ("ESS of the Gaussian", "the best Gaussian untrained: what training adds"),
    "pareto_k": ("Pareto k", "tail of the weights; above 1/2 they have no variance"),
    "largest_share": ("Largest share", "part of each estimate that hangs on one draw"),
    "pareto_k_forward": ("Pareto k, forward", "the same of the inverse weights on p"),
    "non_finite": ("Non-finite weights", "anything but 0 is a fault"),
    "non_finite_p": ("The same on p", "anything but 0 is a fault"),
}
EVIDENCE = {
    True: "evidence: part of Z that q covers; below 1, q misses modes",
    False: "no evidence: the kernel does not provably visit every mode",
}


def diagnostics(found: Json) -> str:
    """The diagnostics, then consistency relations and errors by other methods."""
    rows = [
        *_weights(found, WEIGHTS),
        *_samples_of_p(found),
        *_training_data(found.get("training_data")),
        *_weights(found, TAILS),
        *_chains(found),
        *_integration(found.get("integration")),
        *_integrator(found.get("integrator")),
    ]
    cells = [[html.escape(text) for text in row] for row in rows]
    return (
        table(["diagnostic", "value", "how to read it"], cells)
        + _consistency(found)
        + _cross_checks(found)
    )


def _weights(found: Json, wanted: Mapping[str, tuple[str, str]]) -> list[Row]:
    flat = {**found, **found.get("weights", {})}
    rows = []
    for key, (label, meaning) in wanted.items():
        if flat.get(key) is not None:
            value = flat[key]["ess"] if key == "prior" else flat[key]
            if key == "mode_weight":
                meaning = EVIDENCE[bool(value.get("is_evidence"))]
            rows.append(_row(label, value, meaning))
    return rows


def _samples_of_p(found: Json) -> list[Row]:
    rows = [
        _row(
            f"Uncovered, q < {entry['threshold']:g} p",
            entry,
            "part of the samples of p where q is that small: outside its support",
        )
        for entry in found.get("uncovered", [])
    ]
    if samples := found.get("p_samples"):
        meaning = {
            True: "their kernel visits every mode",
            False: "their kernel does not provably visit every mode",
        }[bool(samples["visits_every_mode"])]
        source = samples["source"]
        origin = "" if source == "chain" else f"; from {source}"
        value = f"{samples['n']:,} by {samples['kernel']}"
        rows.append(["Samples of p", value, f"{meaning}{origin}"])
        if (slowest := samples.get("slowest")) and slowest["observable"]:
            meaning = (
                f"independent ones, by the slowest observable, {slowest['observable']}"
            )
            rows.append(["Worth of them", f"{slowest['n_eff']:,.0f}", meaning])
    return rows


def _training_data(data: Json | None) -> list[Row]:
    """What was learned from, none of which the model is held against."""
    if data is None:
        return []
    if "chains" in data:
        value = f"{data['n']:,} of {data['chains']} chains"
        rest = f"{data['held_out_chains']} chains were held out"
    else:
        value = f"{data['n']:,} draws of {data['generations']} generations of the model"
        rest = f"weights to the power {data['exponent']:.2g}, 1 for p itself"
    meaning = f"worth {data['independent']:,.0f} independent configurations; {rest}"
    return [["Training data", value, meaning]]


def _chains(found: Json) -> list[Row]:
    rows = [
        _row(f"Acceptance, {method}", value, "accepted part of the proposals")
        for method, value in found.get("acceptance", {}).items()
    ]
    slowest: dict[str, tuple[float, str]] = {}
    for name, by_method in found.get("tau_int", {}).items():
        for method, tau in by_method.items():
            if tau["value"] is not None:
                entry = (tau["value"], name)
                slowest[method] = max(slowest.get(method, entry), entry)
    for method, (_, name) in slowest.items():
        tau = found["tau_int"][name][method]
        meaning = f"slowest observable, {name}; ½ is no memory at all"
        rows.append([f"τ_int, {method}", notation.number(tau), meaning])
    for method, worst in found.get("equilibrium", {}).items():
        if worst:
            meaning = f"probability of a worse one by chance; worst: {worst['worst']}"
            label = f"Drift and memory of chains, {method}"
            rows.append([label, f"p = {worst['p_value']:.2g}", meaning])
    return rows


def _integration(path: Json | None) -> list[Row]:
    if path is None:
        return []
    name = COUPLINGS.get(path["coupling_name"], path["coupling_name"])
    grid, overlaps = path["couplings"], path["overlaps"]
    overlap = f"smallest overlap {min(overlaps):.2f}" if overlaps else "no step"
    ends = f"{name} = {grid[0]:g} … {grid[-1]:g}"
    is_met = path.get("is_converged", True)
    target = f"target error {path['target_error']:g} {'' if is_met else 'not '}met"
    rows = [
        [
            f"Integration along {name}",
            f"{len(grid)} couplings, {path['rounds']} rounds",
            f"{ends}, {overlap}; {target}",
        ]
    ]
    for key, meaning in (
        ("reweighting", "one-sided steps on the same chains, biased sooner"),
        ("thermodynamic", "the slope integrated by Hermite's rule, same chains"),
    ):
        if (other := path.get(key)) is not None:
            rows.append(_row(f"ln Z, {key}", other, meaning))
    return rows


def _integrator(step: Json | None) -> list[Row]:
    if step is None:
        return []
    shift = {"value": step["shift_log_z"], "error": step["shift_error"]}
    error = _plain(step["statistical_error"])
    meaning = f"shift of ln Z with twice as many; its statistical error is {error}"
    return [_row(f"Integrator, {step['steps']} steps", shift, meaning)]


def _consistency(found: Json) -> str:
    rows = [
        [
            html.escape(entry["name"]),
            *(html.escape(_plain(entry[side])) for side in ("left", "right")),
            sigma(entry["pull"]),
        ]
        for entry in found.get("consistency", [])
    ]
    title = "<h3>What must agree</h3>" if rows else ""
    return title + table(["relation", "left", "right", "pull"], rows)


def _cross_checks(found: Json) -> str:
    """Errors of one estimate by several methods, and the ratio of the extremes."""
    entries = {
        (observable, method): errors
        for observable, by_method in found.get("cross_checks", {}).items()
        for method, errors in by_method.items()
    }
    kinds = list(dict.fromkeys(kind for errors in entries.values() for kind in errors))
    rows = []
    for (observable, method), errors in entries.items():
        known = [error for error in errors.values() if error]
        ratio = max(known) / min(known) if known else None
        text = notation.ABSENT if ratio is None else f"{ratio:.2f}"
        is_far = ratio is not None and ratio > DISAGREE
        rows.append(
            [
                f"<code>{html.escape(observable)}</code> {html.escape(method)}",
                *(html.escape(_error(errors.get(kind))) for kind in kinds),
                f'<strong class="far">{text} !</strong>' if is_far else text,
            ]
        )
    title = "<h3>The same errors by other means</h3>" if rows else ""
    return title + table(["estimate", *kinds, "largest / smallest"], rows)


def _error(error: float | None) -> str:
    return notation.ABSENT if error is None else f"{error:.2g}"


def _row(label: str, value: Any, meaning: str) -> Row:
    """The reason takes the place of the meaning where the value is unusable."""
    if not isinstance(value, Mapping):
        return [label, _plain(value), meaning]
    reason = value.get(UNUSABLE, value.get(CAUTION))
    mark = "?" if CAUTION in value and UNUSABLE not in value else ""
    return [label, _plain(value) + mark, meaning if reason is None else str(reason)]


def _plain(value: Any) -> str:
    """An estimate, a count or a number."""
    if value is None:
        return "not finite"
    if isinstance(value, Mapping):
        draws = f", N\u00a0=\u00a0{value['n']:,}" if "n" in value else ""
        return f"{notation.number(value)}{draws}"
    text = f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
    return text.replace("-", "−")
