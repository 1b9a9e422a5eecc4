# SPDX-License-Identifier: Apache-2.0
"""What a study found and how far it holds, in sentences."""

from __future__ import annotations

from typing import Any

import pandas as pd

from monai_cl_ext.study.comparison import BEST
from monai_cl_ext.study.plan import Plan
from monai_cl_ext.study.report.learning_curve import SIGNIFICANT
from monai_cl_ext.study.report.records import MARK, Study
from monai_cl_ext.study.report.tables import SELECTION
from monai_cl_ext.study.task import Kind
from monai_cl_ext.visualize.wording import counted, listed, p_text


def findings(study: Study) -> list[str]:
    """Which methods differ from scratch in the primary metric, and with how many labeled patients."""
    compared, sentences = study.primary.differences, []
    if study.plan.transductive:
        sentences.append(
            f"{MARK}: pre-training saw the images of validation and test patients, so these scores do not tell how the "
            "methods do on patients that pre-training has not seen. Every row is marked, that of a method without "
            "pre-training too."
        )
    if compared.empty:
        return [*sentences, f"Nothing can be compared: there are scores of {listed(study.methods)} alone."]
    if study.reference == BEST:
        sentences.append("No method was trained from scratch: each is compared with the best of its column.")
    tested = compared[compared["p_holm"].notna()]
    name, title = _reference(study), study.primary.metric.title
    if tested.empty:
        return [
            *sentences,
            f"Nothing tells whether a method differs from {name}: too few patients and draws have scores.",
        ]
    different = tested[tested["p_holm"] < SIGNIFICANT]
    corrected = f"at the level of 5 % after Holm's correction over {compared.attrs['comparisons']} comparisons"
    if different.empty:
        return [*sentences, f"No method differs from {name} in mean {title} {corrected}."]
    for word, part in (("Above", different[different["mean"] > 0]), ("Below", different[different["mean"] < 0])):
        if len(part):
            told = [
                f"{method} with {listed(map(str, rows['labelled']))}"
                for method, rows in part.groupby("method", sort=False)
            ]
            sentences.append(f"{word} {name} in mean {title} {corrected}: {'; '.join(told)} labeled patients.")
    others = [method for method in dict.fromkeys(tested["method"]) if method not in set(different["method"])]
    if others:
        sentences.append(f"No difference from {name} was found for {listed(others)}.")
    return sentences


def numbers(study: Study) -> list[str]:
    """A sentence for each method with a difference that was found; the largest difference where none was."""
    compared = study.primary.differences
    tested = compared[compared["p_holm"].notna()]
    if tested.empty:
        return []
    different = tested[tested["p_holm"] < SIGNIFICANT]
    beginning = f"against {_reference(study)} with"
    if different.empty:
        row = tested.loc[tested["mean"].abs().idxmax()]
        return [f"The largest difference is that of {row['method']} {beginning} {_number(row)}."]
    return [
        f"{method} {beginning} {'; '.join(_number(row) for _, row in rows.iterrows())}."
        for method, rows in different.groupby("method", sort=False)
    ]


def _reference(study: Study) -> str:
    return "the best method" if study.reference == BEST else study.reference


def _number(row: Any) -> str:
    interval = f"[{row['low']:+.3f}, {row['high']:+.3f}]"
    return f"{counted(row['labelled'], 'labeled patient')}: {row['mean']:+.3f} {interval}, {p_text(row['p_holm'])}"


def reservations(study: Study) -> list[str]:
    """How much was tested, how the scored weights were chosen, and what the intervals do not hold."""
    plan, scores = study.plan, study.scores
    folds = len(plan.splits)
    sentences = [
        f"{counted(len(study.methods), 'method')}, {counted(scores['patient'].nunique(), 'test patient')}, "
        f"{counted(plan.draws, 'draw')} of labeled patients, {counted(plan.seeds, 'seed')} a draw, "
        f"{counted(folds, 'test set')}. Intervals are of 95 % and not corrected.",
        f"Scored weights: {SELECTION}.",
    ]
    if any(task.kind == Kind.PRETRAIN for task in study.cells.values()):
        sentences.append(
            "One pre-training of each method"
            f"{' and test set' * (folds > 1)} serves all its fine-tunings: what another seed of pre-training would "
            "change is not in the intervals."
        )
    if plan.draws == 1 and folds == 1:
        sentences.append("One draw: the intervals hold for other test patients, not for other labeled patients.")
    return [*sentences, *_rates(plan), *_missing(study)]


def _rates(plan: Plan) -> list[str]:
    """A sentence on who chose a learning rate, where anybody did."""
    whose = {"Training from scratch": plan.scratch_learning_rates, "Each other method": plan.pretrained_learning_rates}
    chose = [f"{who} among {', '.join(f'{rate:g}' for rate in rates)}" for who, rates in whose.items() if rates]
    if not chose:
        return []
    rest = "" if len(chose) == 2 else "; all others kept that of their bundle, which may cost them"
    return [f"Learning rates were chosen on validation patients. {'; '.join(chose)}{rest}."]


def _missing(study: Study) -> list[str]:
    """A sentence on the fine-tunings without scores, where there are some."""
    plan = study.plan
    keys = ["method", "labelled", "fold", "draw", "seed"]
    done = set(study.scores[keys].itertuples(index=False, name=None))
    planned = [
        (study.shown[method], labelled, fold, draw, seed)
        for method in plan.methods
        for labelled in plan.labelled
        for fold in range(len(plan.splits))
        for draw in range(plan.draws_of(fold, labelled))
        for seed in range(plan.seeds)
    ]
    missing = [cell for cell in planned if cell not in done]
    if not missing:
        return []
    counts = pd.DataFrame(missing, columns=keys).groupby(["method", "labelled"], sort=False).size()
    told = ", ".join(f"{count} of {method} with {labelled}" for (method, labelled), count in counts.items())
    return [f"Of {len(planned)} planned fine-tunings these lack scores: {told} labeled patients."]
