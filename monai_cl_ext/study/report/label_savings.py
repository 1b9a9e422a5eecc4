# SPDX-License-Identifier: Apache-2.0
"""How many labeled patients each method saves, as a table."""

from __future__ import annotations

from monai_cl_ext.study.comparison import Comparison
from monai_cl_ext.study.statistics import labels_to_match
from monai_cl_ext.visualize.table import Table


def labels_table(primary: Comparison) -> Table | None:
    """Labeled patients that the reference would need for the mean score of each method; None where it has no curve.

    Args:
        primary: the methods in the metric of the curves.
    """
    means = primary.summary
    curves = {
        str(method): dict(zip(rows["labelled"], rows["mean"], strict=True))
        for method, rows in means.dropna(subset="mean").groupby("method", sort=False)
    }
    reference = curves.pop(primary.reference, {})
    if len(reference) < 2 or not curves:
        return None
    counts = sorted(set(means["labelled"]))
    rows = []
    for method, curve in curves.items():
        found = labels_to_match(reference, curve, primary.metric.higher_is_better).set_index("labelled")
        cells = {
            count: row.note or f"{row.labels:.1f} (× {row.ratio:.2g})"
            for count, row in zip(found.index, found.itertuples(), strict=True)
        }
        rows.append([method, *(cells.get(count, "–") for count in counts)])
    return Table(
        f"Labeled patients that {primary.reference} needs for the same mean {primary.metric.title}",
        ["method", *(f"{count} labeled" for count in counts)],
        rows,
        f"Read from the curve of {primary.reference}, linear in {primary.metric.title} over the logarithm of the "
        "number; in brackets over "
        "the number that the method had: above 1 it saves labels. > and <: outside the numbers that were tried. These "
        "are points on curves of means, without intervals.",
    )
