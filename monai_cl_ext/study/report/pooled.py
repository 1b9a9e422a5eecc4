# SPDX-License-Identifier: Apache-2.0
"""Tables of the scores by a paper's own formulas."""

from __future__ import annotations

import pandas as pd

from monai_cl_ext.metrics.metric import METRICS, Metric
from monai_cl_ext.visualize.table import Table


def pooled_tables(pooled: pd.DataFrame) -> list[Table]:
    """Means over folds, draws and seeds of the scores that ``paper_compat_scores`` gives.

    Args:
        pooled: columns method, labelled, fold, draw, seed, class, metric, value.
    """
    tables = []
    classes = list(dict.fromkeys(pooled["class"]))
    for metric in dict.fromkeys(pooled["metric"]):
        found, known = pooled[pooled["metric"] == metric], METRICS.get(metric, Metric(metric, metric))
        rows = []
        for method in dict.fromkeys(found["method"]):
            for labelled, part in found[found["method"] == method].groupby("labelled"):
                means = part.groupby("class")["value"].mean().reindex(classes)
                values = [*means, means.mean()]
                cells = ["–" if pd.isna(value) else f"{value:.{known.digits}f}" for value in values]
                rows.append([str(method), str(labelled), *cells])
        way = (
            "In pixels, on each slice of the label's grid, means over slices; a slice on which the class is absent or "
            "was missed counts as 0, which is perfect."
            if known.unit == "distance"
            else "Of all voxels of all test volumes as if they were one image."
        )
        note = f"{way} Means over folds, draws and seeds. Not to be mixed with the other scores of this page."
        title = f"{known.title} as in the papers' code (PCL, SuperCL)"
        tables.append(Table(title, ["method", "labeled patients", *classes, "all classes"], rows, note))
    return tables
