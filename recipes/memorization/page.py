"""The tables and plots of a result of links.py."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hf_privacy.atomic_file import write_atomically
from hf_privacy.auditing import mean_interval
from hf_privacy.reports.link_plots import binned_link_figure, correlation_figure, epsilon_figure, write_figure

TITLES = {
    "correct": "memorization (correctness)",
    "probability": "memorization (probability)",
    "mean_curvature": "curvature, mean over epochs",
    "mean_curvature_norm": "curvature norm, mean over epochs",
    "mean_log_curvature": "log of mean curvature",
    "final_curvature": "curvature, final",
    "final_curvature_norm": "curvature norm, final",
    "final_log_curvature": "log curvature, final",
    "mean_curvature_differences": "curvature by differences, mean over epochs",
    "mean_curvature_norm_differences": "curvature norm by differences, mean over epochs",
    "mean_log_curvature_differences": "log of mean curvature by differences",
    "final_curvature_differences": "curvature by differences, final",
    "final_curvature_norm_differences": "curvature norm by differences, final",
    "final_log_curvature_differences": "log curvature by differences, final",
    "log_curvature_of_references": "log curvature, final, mean of the references",
    "mean_loss": "loss, mean over epochs",
    "final_loss": "loss, final",
    "unconfidence": "1 − confidence",
    "variability": "variability",
    "forgetting": "forgetting events",
    "mean_el2n": "EL2N, mean over epochs",
}
ATTACKS = {
    "loss": "LOSS",
    "lira": "LiRA (shrunk)",
    "curvature_likelihood_ratio": "curvature (LR)",
    "curvature_nll": "curvature (NLL)",
}
QUANTITIES = {
    "curvature": "mean curvature",
    "log_curvature": "mean log curvature",
    "curvature_differences": "mean curvature by differences",
    "log_curvature_differences": "mean log curvature by differences",
    "memorization_correct": "mean memorization (correctness)",
    "memorization_probability": "mean memorization (probability)",
}


def write_page(result: dict[str, Any], folder: Path) -> str:
    """Write tables.md and the plots; the tables."""
    sections, entries = [], result["label_noise"]
    if entries:
        sections += [memorization_table(entries), *map(correlations_table, entries)]
        sections += [auroc_table(entries), link_table(entries), leakage_table(entries), cost_table(entries)]
    for entry in entries:
        named = {TITLES[name]: row for name, row in ordered(entry["correlations"]["correct"]).items()}
        figure = correlation_figure(named, title=f"{result['name']}, {noise(entry)}: with memorization")
        write_figure(folder / f"correlations_{100 * entry['share']:g}.png", figure)
        write_figure(folder / f"link_{100 * entry['share']:g}.png", link_figure(result["name"], entry))
    if result["privacy"]:
        sections += [privacy_table(result["privacy"]), bound_table(result["privacy"]), fits_table(result["privacy"])]
        for kind in ("curvature", "memorization"):
            figure = privacy_figure(result, kind)
            if figure is not None:
                write_figure(folder / f"epsilon_{kind}.png", figure)
    text = "\n\n".join(section for section in sections if section) + "\n"
    write_atomically(folder / "tables.md", text.encode())
    return text


def memorization_table(entries: list[dict]) -> str:
    """Scores and how far they can be trusted."""
    head = ["Wrong labels", "Read from", "Mean", "of given labels", "of wrong labels", "Score ≥ 0.5", "Standard error"]
    counts = [row["n_references"] for row in entries[0]["memorization"]["correct"]["reliability_by_references"]]
    head += [f"Reliability of {count}" for count in counts] + ["References for 0.9"]
    rows = []
    for entry in entries:
        for form, found in entry["memorization"].items():
            wrong = f"{found['mean_mislabelled']:.3f}" if "mean_mislabelled" in found else "–"
            rows.append([noise(entry), {"correct": "correctness", "probability": "probability"}[form]])
            rows[-1] += [f"{found['mean_memorization']:.3f}", f"{found['mean_given']:.3f}", wrong]
            rows[-1] += [f"{100 * found['share_above_0.5']:.1f} %", f"{found['mean_standard_error']:.3f}"]
            rows[-1] += [f"{row['reliability']:.2f}" for row in found["reliability_by_references"]]
            rows[-1] += [str(found.get("n_references_needed", "many more"))]
    return "### Memorization\n\n" + table(head, rows)


def correlations_table(entry: dict) -> str:
    """Every proxy with both forms of the scores."""
    head = ["Proxy", "Pearson", "Spearman", "Cosine", "Pearson (probability)", "Spearman (probability)"]
    rows = []
    for name, found in ordered(entry["correlations"]["correct"]).items():
        soft = entry["correlations"]["probability"][name]
        rows.append([TITLES[name]])
        rows[-1] += [interval(found, kind) for kind in ("pearson", "spearman", "cosine")]
        rows[-1] += [interval(soft, kind) for kind in ("pearson", "spearman")]
    return f"### Correlation with memorization, {noise(entry)}\n\n" + table(head, rows)


def auroc_table(entries: list[dict]) -> str:
    """How well each score finds the planted labels."""
    planted = [entry for entry in entries if entry["mislabel_auroc"]]
    if not planted:
        return ""
    head = ["Score", *(f"{noise(e)} ({e['n_mislabelled_members']} of {e['n_members']:,} members)" for e in planted)]
    rows = [
        [title, *(interval(entry["mislabel_auroc"][name], "auroc", digits=3) for entry in planted)]
        for name, title in TITLES.items()
        if name in planted[0]["mislabel_auroc"]
    ]
    return "### Wrong labels found: AUROC\n\n" + table(head, rows)


def link_table(entries: list[dict]) -> str:
    """Lines of memorization over log curvature, in all and within parts."""
    head = ["Wrong labels", "Slope, all members", "R²", "Classes with a positive slope", "Median R² within classes"]
    head += ["Slope, given labels", "Slope, wrong labels"]
    rows = []
    for entry in entries:
        link = entry["link"]
        fits = [fit for fit in link["by_class"].values() if "slope" in fit]
        squares = sorted(fit["r_squared"] for fit in fits)
        parts = link.get("by_label", {})
        rows.append([noise(entry), interval(link["fit"], "slope", digits=3), f"{link['fit']['r_squared']:.2f}"])
        rows[-1] += [f"{sum(fit['slope'] > 0 for fit in fits)} of {len(fits)}"]
        rows[-1] += [f"{squares[len(squares) // 2]:.2f}" if squares else "–"]
        rows[-1] += [interval(parts.get(kind, {}), "slope", digits=3) for kind in ("given label", "wrong label")]
    return "### Memorization over the log of mean curvature: lines\n\n" + table(head, rows)


def leakage_table(entries: list[dict]) -> str:
    """The attacks, and whose membership the strongest finds."""
    tops = [part["top"] for part in entries[0]["leakage_share"]["shares"]]
    head = ["Wrong labels", "Accuracy, members", "non-members", *(f"AUC, {title}" for title in ATTACKS.values())]
    head += ["LiRA TPR at 1 % FPR", *(f"of it in the top {100 * top:g} %" for top in tops)]
    rows = []
    for entry in entries:
        rows.append([noise(entry), *(f"{100 * entry[f'{side}_accuracy']:.1f} %" for side in ("member", "nonmember"))])
        for name in ATTACKS:
            found = entry["attacks"][name]
            rows[-1].append(f"{found['auc']:.3f} [{found['auc_low']:.3f}, {found['auc_high']:.3f}]")
        at = entry["attacks"]["lira"]["tpr_at_fpr"][0]
        rows[-1].append("–" if at["tpr"] is None else f"{100 * at['tpr']:.1f} %")
        for part in entry["leakage_share"]["shares"]:
            share = "–" if part["share"] is None else f"{100 * part['share']:.1f} %"
            rows[-1].append(f"{share} ({part['n_examples']})")
    return "### Attacks, and the share of the leakage at the top\n\n" + table(head, rows)


def cost_table(entries: list[dict]) -> str:
    """Seconds of both ways, and what the cheaper one knows."""
    head = ["Wrong labels", "Scores from references", "One training", "Curvature, final", "per example cheaper by"]
    head += ["Spearman", "Curvature, all epochs", "per example cheaper by", "Spearman"]
    head += ["By differences, all epochs", "per example cheaper by", "Spearman"]
    rows = []
    for entry in entries:
        cost, found = entry["cost"], entry["correlations"]["correct"]
        rows.append([noise(entry)])
        rows[-1] += [f"{cost['references_seconds']:.0f} s", f"{cost['one_training_seconds']:.1f} s"]
        for which, name in (
            ("final_curvature", "final_log_curvature"),
            ("epochs_curvature", "mean_log_curvature"),
            ("epochs_differences", "mean_log_curvature_differences"),
        ):
            rows[-1] += [f"{cost[f'{which}_seconds']:.1f} s"]
            rows[-1] += [f"{cost[f'{which}_is_cheaper_by']:.1f}×", f"{found[name]['spearman']:.2f}"]
    return "### What the proxies cost\n\n" + table(head, rows)


def privacy_table(privacy: dict) -> str:
    """Level by level: accuracy, curvature, memorization."""
    with_scores = any(level["memorization"] for level in privacy["levels"])
    head = ["ε", "Accuracy, members", "non-members", "Norm of the weights"]
    head += ["Mean curvature of the members", "mean log curvature"]
    head += ["Mean curvature by differences", "mean log curvature by differences"]
    head += ["Mean memorization (correctness)", "(probability)"] if with_scores else []
    rows = []
    for level in privacy["levels"]:
        runs = level["runs"]
        rows.append([level_title(level)])
        for side in ("member_accuracy", "nonmember_accuracy"):
            rows[-1].append(f"{100 * sum(run[side] for run in runs) / len(runs):.1f} %")
        rows[-1].append(over_runs([run["weight_norm"] for run in runs], within=(0.0, math.inf)))
        for quantity in QUANTITIES:
            if quantity in runs[0]:
                lowest = -math.inf if quantity.startswith("log") else 0.0  # a squared norm
                rows[-1].append(over_runs([run[quantity] for run in runs], within=(lowest, math.inf)))
        for form in ("correct", "probability") if level["memorization"] else ():
            rows[-1].append(over_runs(level["memorization"][form]["pair_means"], within=(-1.0, 1.0)))
    return "### Under DP-SGD\n\n" + table(head, rows)


def bound_table(privacy: dict) -> str:
    """Examples above 1 − e^−ε, raw and beyond noise."""
    head = ["ε", "Bound", "Largest score", "Examples above", "beyond noise", "by chance at most"]
    head += ["Tight bound", "Examples above", "beyond noise"]
    rows = []
    for level in privacy["levels"]:
        if not level["memorization"] or level["epsilon"] is None:
            continue
        found = level["memorization"]["correct"]
        paper, tight = found["violations"]["paper"], found["violations"]["tight"]
        rows.append([f"{level['epsilon']:g}", f"{paper['bound']:.5g}", f"{found['largest']:.3f}"])
        rows[-1] += [f"{paper['n_above']:,} of {paper['n_examples']:,}", f"{paper['n_beyond_noise']:,}"]
        rows[-1] += [f"{paper['n_expected_at_most']:.0f}", f"{tight['bound']:.5g}"]
        rows[-1] += [f"{tight['n_above']:,}", f"{tight['n_beyond_noise']:,}"]
    return "### The bound on memorization\n\n" + table(head, rows) if rows else ""


def fits_table(privacy: dict) -> str:
    """The curve a + b(1 − e^−ε) through the runs of DP-SGD, clipping alone as ε = ∞, against a constant."""
    head = ["Quantity", "a", "b", "R²", "p of b = 0", "Spread about the curve", "about a constant", "Points"]
    rows = []
    for name, fit in privacy["fits"].items():
        rows.append([QUANTITIES[name]])
        rows[-1] += [f"{fit[key]:.3g} [{fit[f'{key}_low']:.3g}, {fit[f'{key}_high']:.3g}]" for key in "ab"]
        rows[-1] += [f"{fit['r_squared']:.2f}", f"{fit['p_value']:.1g}"]
        rows[-1] += [f"{fit['residual_std']:.2g}", f"{fit['flat_residual_std']:.2g}", str(fit["n_points"])]
    return "### a + b(1 − e^−ε)\n\n" + table(head, rows)


def link_figure(name: str, entry: dict) -> Any:
    """Memorization over curvature."""
    link = entry["link"]
    return binned_link_figure(
        link["bins"],
        fit=link["fit"],
        group_fits=link.get("by_label"),
        x_label="log of input curvature, mean over epochs",
        title=f"{name}, {noise(entry)}",
    )


def privacy_figure(result: dict, kind: str) -> Any:
    """A panel for each quantity of a kind that has a curve; None where there is none."""
    privacy, series = result["privacy"], {}
    levels = [level for level in privacy["levels"] if level["name"] != "no DP-SGD"]
    for name, fit in privacy["fits"].items():
        if kind not in name:
            continue
        points = []
        for level in levels:
            epsilon = math.inf if level["epsilon"] is None else level["epsilon"]
            form = name.removeprefix("memorization_")
            values = (
                [run[name] for run in level["runs"]] if form == name else level["memorization"][form]["pair_means"]
            )
            points += [(epsilon, value) for value in values]
        series[QUANTITIES[name]] = {"epsilon": [p[0] for p in points], "values": [p[1] for p in points], "fit": fit}
    if not series:
        return None
    bounded = list(series) if kind == "memorization" else []
    return epsilon_figure(series, bounded=bounded, title=f"{result['name']}: DP-SGD, ∞ without noise")


def ordered(found: dict) -> dict:
    """The proxies in the order of their titles. The cosine of a logarithm says nothing: its zero is arbitrary."""
    rows = {name: found[name] for name in TITLES if name in found}
    return {
        name: {key: value for key, value in row.items() if "log" not in name or not key.startswith("cosine")}
        for name, row in rows.items()
    }


def interval(found: dict, key: str, *, digits: int = 2) -> str:
    """A figure with its interval; a dash where there is none."""
    low, high = (f"{key}_low", f"{key}_high") if f"{key}_low" in found else ("low", "high")
    return f"{found[key]:.{digits}f} [{found[low]:.{digits}f}, {found[high]:.{digits}f}]" if key in found else "–"


def over_runs(values: list[float], *, within: tuple[float, float]) -> str:
    """Mean with Student's t interval, as far as the quantity can lie there."""
    found = mean_interval(values, within=within)
    return f"{found['mean']:.3g} [{found['low']:.3g}, {found['high']:.3g}]"


def noise(entry: dict) -> str:
    """The share of wrong labels."""
    return f"{100 * entry['share']:g} %"


def level_title(level: dict) -> str:
    """ε, or what stands for ∞."""
    return f"∞ ({level['name']})" if level["epsilon"] is None else f"{level['epsilon']:g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])
