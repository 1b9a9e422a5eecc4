# SPDX-License-Identifier: Apache-2.0
"""Means and differences of a study are those of hand-made matrices, and unfit scores are told."""

import itertools

import numpy as np
import pandas as pd
import pytest

from monai_cl_ext.study.comparison import Comparison
from monai_cl_ext.study.statistics import cohen_dz, crossed_interval, permutation_p_value

PATIENTS = [f"p{index}" for index in range(12)]


def scores_of(matrices, metric="dice", folds=1):
    """Scores of {(method, labeled): (draws, patients)}; seeds, volumes and classes have the matrix as their mean."""
    rows = []
    for (method, labelled), matrix in matrices.items():
        for (draw, patient), value in np.ndenumerate(matrix):
            for seed, volume, name in itertools.product((0, 1), ("a", "b"), ("LV", "RV")):
                shift = (seed - 0.5) * 0.1 + (volume == "a") * 0.02 - 0.01 + (name == "LV") * 0.2 - 0.1
                rows.append(
                    (
                        method,
                        labelled,
                        patient % folds,
                        draw,
                        seed,
                        f"{PATIENTS[patient]}_{volume}",
                        PATIENTS[patient],
                        name,
                    )
                    + (metric, value + shift, False)
                )
    columns = ["method", "labelled", "fold", "draw", "seed", "volume", "patient", "class", "metric", "value", "missed"]
    return pd.DataFrame(rows, columns=columns)


def matrices(seed=0, methods=("scratch", "a", "b"), counts=(1, 4), draws=3, gain=0.05):
    rng = np.random.default_rng(seed)
    return {
        (name, labelled): 0.6 + gain * index + 0.05 * np.log2(labelled) + 0.05 * rng.standard_normal((draws, 12))
        for labelled in counts
        for index, name in enumerate(methods)
    }


def test_a_patient_is_the_mean_of_its_classes_then_volumes_then_seeds():
    rows = [
        ("a", 1, 0, 0, 0, "v1", "p", "LV", "dice", 0.2, False),
        ("a", 1, 0, 0, 0, "v1", "p", "RV", "dice", 0.4, False),
        ("a", 1, 0, 0, 0, "v2", "p", "LV", "dice", 0.9, False),
        ("a", 1, 0, 0, 0, "v2", "p", "RV", "dice", np.nan, False),
        ("a", 1, 0, 0, 1, "v1", "p", "LV", "dice", 0.0, True),
        ("a", 1, 0, 0, 1, "v1", "p", "LV", "hd95", 99.0, True),
    ]
    scores = pd.DataFrame(rows, columns=scores_of({}).columns)
    found = Comparison(scores, "dice").patient_table
    assert list(found.columns) == ["method", "labelled", "fold", "draw", "patient", "value"]
    assert found["value"].tolist() == pytest.approx([((0.3 + 0.9) / 2 + 0) / 2])


def test_the_summary_has_the_interval_of_each_matrix():
    given = matrices()
    found = Comparison(scores_of(given), "dice").summary.set_index(["method", "labelled"])
    assert list(found.index) == [(name, count) for count in (1, 4) for name in ("scratch", "a", "b")]
    for key, matrix in given.items():
        expected = crossed_interval(matrix)
        assert tuple(found.loc[key, ["mean", "low", "high"]]) == pytest.approx(
            (expected.mean, expected.low, expected.high)
        )
        assert tuple(found.loc[key, ["patients", "draws"]]) == (12, 3)


def test_draws_of_unlike_folds_are_not_paired():
    given = matrices(counts=(1,))
    folds, scores = np.arange(12) % 3, scores_of(given, folds=3)
    found = Comparison(scores, "dice").summary.set_index("method")
    expected = crossed_interval(given["a", 1], groups=folds)
    assert (found.loc["a", "low"], found.loc["a", "high"]) == pytest.approx((expected.low, expected.high))
    compared = Comparison(scores, "dice", "scratch").differences.set_index("method")
    expected = crossed_interval(given["a", 1] - given["scratch", 1], groups=folds)
    assert (compared.loc["a", "low"], compared.loc["a", "p"]) == pytest.approx((expected.low, expected.p_value))


def test_differences_are_paired_and_corrected_over_the_whole_table():
    given = matrices()
    scores = scores_of(given).sample(frac=1, random_state=0)
    found = Comparison(scores, "dice", "scratch").differences
    assert set(found["reference"]) == {"scratch"} and len(found) == 4 and found.attrs["comparisons"] == 4
    for row in found.itertuples():
        matrix = given[row.method, row.labelled] - given["scratch", row.labelled]
        expected = crossed_interval(matrix)
        assert (row.mean, row.low, row.high, row.p) == pytest.approx(
            (expected.mean, expected.low, expected.high, expected.p_value)
        )
        assert row.p_permutation == pytest.approx(float(permutation_p_value(matrix.mean(0))))
        assert row.effect_size == pytest.approx(cohen_dz(matrix.mean(0)))
    ordered = found.sort_values("p")
    assert ordered["p_holm"].tolist() == pytest.approx(
        np.minimum(np.maximum.accumulate(ordered["p"] * [4, 3, 2, 1]), 1).tolist()
    )


def test_the_best_is_corrected_over_all_pairs_because_the_data_chose_it():
    given = matrices(methods=("scratch", "a", "b", "c"), counts=(1,))
    found = Comparison(scores_of(given), "dice", "best").differences.set_index("method")
    assert list(found.index) == ["scratch", "a", "b"] and set(found["reference"]) == {"c"}
    assert (found["mean"] < 0).all() and found.attrs["comparisons"] == 6
    p_values = {
        pair: crossed_interval(given[pair[0], 1] - given[pair[1], 1]).p_value
        for pair in itertools.combinations(("scratch", "a", "b", "c"), 2)
    }
    first = min(p_values, key=p_values.get)
    assert first == ("scratch", "c")
    assert found.loc["scratch", "p_holm"] == pytest.approx(6 * p_values[first])


def test_of_distances_the_smallest_is_best():
    found = Comparison(scores_of(matrices(counts=(1,)), metric="hd95"), "hd95", "best").differences
    assert set(found["reference"]) == {"scratch"} and (found["mean"] > 0).all()


def test_runs_that_one_method_lacks_are_left_out_of_both_and_counted():
    given = matrices(counts=(1,))
    scores = scores_of(given)
    lost = (scores["method"] == "a") & ((scores["draw"] == 1) | (scores["patient"] == "p3"))
    found = Comparison(scores[~lost], "dice", "scratch").differences.set_index("method")
    kept = np.delete((given["a", 1] - given["scratch", 1])[[0, 2]], PATIENTS.index("p3"), axis=1)
    assert found.loc["a", "mean"] == pytest.approx(kept.mean())
    assert (found.loc["a", "patients"], found.loc["a", "draws"]) == (11, 2)
    assert "14 of 36 cells" in found.loc["a", "warning"]
    assert "cells" not in found.loc["b", "warning"]
    assert "14 of 36 cells" in Comparison(scores[~lost], "dice").summary.set_index("method").loc["a", "warning"]


def test_a_reference_without_runs_leaves_no_difference():
    given = matrices(counts=(1,)) | {("a", 4): matrices()["a", 4], ("b", 4): matrices()["b", 4]}
    found = Comparison(scores_of(given), "dice", "scratch").differences
    there, absent = found[found["labelled"] == 1], found[found["labelled"] == 4]
    assert absent[["mean", "p", "p_holm", "p_permutation"]].isna().all(axis=None) and len(absent) == 2
    assert absent["warning"].str.contains("no draw and patient").all()
    assert there["p_holm"].notna().all() and found.attrs["comparisons"] == 2


def test_one_method_has_no_differences():
    scores = scores_of(matrices(methods=("scratch",)))
    assert Comparison(scores, "dice", "scratch").differences.empty
    assert Comparison(scores, "dice", "best").differences.empty


def test_a_patient_that_is_empty_for_every_method_is_left_out():
    given = matrices(counts=(1,))
    scores = scores_of(given)
    scores.loc[scores["patient"] == "p0", "value"] = np.nan
    found = Comparison(scores, "dice").summary
    assert set(found["patients"]) == {11} and found["warning"].str.contains("3 of 36 cells").all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda scores: scores.drop(columns=["fold", "missed"]), r"lack the columns \['fold', 'missed'\]"),
        (lambda scores: scores.assign(metric="iou"), r"which have \['iou'\]: 'dice'"),
        (lambda scores: scores.assign(fold=np.nan), r"empty cells in the columns \['fold'\]"),
        (lambda scores: pd.concat([scores, scores[:3]]), "3 rows twice"),
        (lambda scores: scores.assign(fold=scores["draw"]), "'p0' is tested in 3 folds"),
        (lambda scores: pd.DataFrame(), "found \\[\\]"),
    ],
)
def test_unfit_scores_are_told(change, message):
    with pytest.raises(ValueError, match=message):
        Comparison(change(scores_of(matrices(counts=(1,)))), "dice")


def test_an_unknown_metric_or_reference_is_told():
    scores = scores_of(matrices(counts=(1,)))
    with pytest.raises(ValueError, match="metric must be one of .* 'accuracy'"):
        Comparison(scores, "accuracy")
    with pytest.raises(ValueError, match=r"methods \['scratch', 'a', 'b'\], found 'imagenet'"):
        Comparison(scores, "dice", "imagenet")
