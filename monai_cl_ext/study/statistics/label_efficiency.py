# SPDX-License-Identifier: Apache-2.0
"""How many labeled patients a method saves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd


def labels_to_match(
    reference: Mapping[int, float], method: Mapping[int, float], higher_is_better: bool = True
) -> pd.DataFrame:
    """How many labeled patients the reference needs for the score that a method has with fewer.

    The reference's curve is linear in the score over the logarithm of the number; where it crosses a score more than
    once the smallest number counts.

    Args:
        reference: score by number of labeled patients.
        method: likewise.
        higher_is_better: False for distances.

    Returns:
        Columns labelled, value, labels, ratio, note. ``ratio``: labels / labelled, above 1 where the method saves
        labels. Where the curve does not reach the score, labels is nan and the note says ``>`` the largest number or
        ``<`` the smallest.

    Raises:
        ValueError: when a curve is empty, has a score that is not finite or a number below 1.
    """
    curves = []
    for name, curve in (("reference", reference), ("method", method)):
        counts, scores = np.array(sorted(dict(curve).items()), dtype=float).reshape(-1, 2).T
        if not counts.size or not np.isfinite(scores).all() or counts[0] < 1:
            raise ValueError(
                f"{name} must give a finite score for one or more numbers of labeled patients, found {curve}"
            )
        curves.append((counts, scores))
    (counts, scores), (labelled, wanted) = curves
    sign = 1 if higher_is_better else -1
    rows = []
    for number, score in zip(labelled, wanted, strict=True):
        reached = np.flatnonzero(sign * scores >= sign * score)
        labels, note = float("nan"), ""
        if not reached.size:
            note = f">{counts[-1]:g}"
        elif reached[0] > 0:
            pair = slice(reached[0] - 1, reached[0] + 1)
            labels = float(2 ** np.interp(sign * score, sign * scores[pair], np.log2(counts[pair])))
        elif scores[0] == score:
            labels = float(counts[0])
        else:
            note = f"<{counts[0]:g}"
        rows.append((int(number), float(score), labels, labels / number, note))
    return pd.DataFrame(rows, columns=["labelled", "value", "labels", "ratio", "note"])
