# SPDX-License-Identifier: Apache-2.0
"""Scores of the last checkpoint of each training, beside those of the best one."""

from __future__ import annotations

from monai_cl_ext.study.comparison import KEYS
from monai_cl_ext.study.last_checkpoint import BEST, LAST
from monai_cl_ext.study.report.records import Study
from monai_cl_ext.study.report.tables import cells_table, comparison_tables, interval_remarks, interval_text, on_page
from monai_cl_ext.visualize.page import Section
from monai_cl_ext.visualize.table import Table
from monai_cl_ext.visualize.wording import counted

TITLE = "Last checkpoint"
CELL = KEYS[:5]
SELECTION = f"models/{LAST}, of the last epoch, not chosen on validation patients"


def last_section(study: Study) -> Section:
    """What the last checkpoint is and why it is shown, its scores, and which methods have none."""
    if study.last is None:
        text = [
            "No training of this study has scores of its last checkpoint: none writes one that its inference can load, "
            "or the study was run by a version that did not score it."
        ]
        return Section("last", TITLE, text)
    validation = {case["patient"] for split in study.plan.splits for case in split["validation"]}
    text = [
        f"All other scores of this page are of the best checkpoint, models/{BEST}: the epoch that was best on the "
        f"labels of {counted(len(validation), 'validation patient')}, which a user with few labels does not have. The "
        f"last checkpoint, models/{LAST}, is what the same training ends with when nothing is selected; both are shown "
        "so that it can be seen how much the scores owe to that selection."
    ]
    if study.plan.scratch_learning_rates or study.plan.pretrained_learning_rates:
        text.append("Learning rates, where they were chosen, were chosen on validation patients for both.")
    return Section("last", TITLE, [*text, *_lacking(study)], on_page(last_tables(study)))


def last_tables(study: Study) -> list[Table]:
    """Means and differences from the reference by the last checkpoint, and the differences last - best.

    Args:
        study: with scores of last checkpoints.
    """
    assert study.last is not None
    metric, gains = study.last.metric, study.last_gains
    title = metric.label(study.unit)
    tables = comparison_tables(study.last, SELECTION, study.unit)
    for table in tables:
        table.title = f"{table.title}, last checkpoint"
    if len(gains):
        texts = [interval_text(row, f"+.{metric.digits}f") for row in gains.itertuples()]
        note = (
            f"Difference of {title}, last - best checkpoint of the same training, with its 95 % interval (not "
            "corrected). Below 0 the selection on validation patients helped."
        )
        table = cells_table(f"{metric.title}: last - best checkpoint", gains.assign(text=texts, best=False), note)
        table.remarks = interval_remarks(gains, "difference")
        tables.append(table)
    return tables


def _lacking(study: Study) -> list[str]:
    """A sentence on the fine-tunings that have scores of the best checkpoint alone."""
    assert study.last_scores is not None
    cells = (
        study.scores[CELL]
        .drop_duplicates()
        .merge(study.last_scores[CELL].drop_duplicates(), how="left", indicator=True)
    )
    lacking = cells[cells["_merge"] == "left_only"]
    if lacking.empty:
        return []
    total = cells["method"].value_counts()
    told = [f"{len(rows)} of {total[method]} of {method}" for method, rows in lacking.groupby("method", sort=False)]
    return [
        f"Fine-tunings without a scored last checkpoint: {', '.join(told)}. Their training writes no models/{LAST} "
        "that their inference can load, or they were run by a version that did not score it."
    ]
