# SPDX-License-Identifier: Apache-2.0
"""Scores of classifications against their definitions, and their intervals over patients."""

import math

import pytest
import torch
from ignite.engine import Engine
from monai.metrics import compute_roc_auc

from monai_cl_ext.metrics import ClassificationScore, bootstrap_intervals, classification_scores


def predictions(count=40, classes=4, seed=0, levels=None):
    """Probabilities that know something of the classes, rounded to a few levels where ties are wanted."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, classes, (count,), generator=generator)
    logits = torch.randn(count, classes, generator=generator, dtype=torch.float64)
    logits[torch.arange(count), label] += 1
    probabilities = logits.softmax(dim=1)
    return ((probabilities * levels).round() / levels if levels else probabilities), label


def auroc_written_out(scores, positive):
    pairs = [(a, b) for a, p in zip(scores, positive, strict=True) if p
             for b, q in zip(scores, positive, strict=True) if not q]  # fmt: skip
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs) if pairs else math.nan


def aupr_written_out(scores, positive):
    if len(set(positive)) < 2:
        return math.nan
    area, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = [p for score, p in zip(scores, positive, strict=True) if score >= threshold]
        found = sum(chosen)
        area += (found / sum(positive) - recall) * found / len(chosen)
        recall = found / sum(positive)
    return area


def mean(values):
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def written_out(probabilities, label):
    columns = [(probabilities[:, c].tolist(), (label == c).tolist()) for c in range(probabilities.shape[1])]
    auroc, aupr = ([area(*column) for column in columns] for area in (auroc_written_out, aupr_written_out))
    predicted = [row.index(max(row)) for row in probabilities.tolist()]
    right = [p == c for p, c in zip(predicted, label.tolist(), strict=True)]
    return {"auroc": mean(auroc), "aupr": mean(aupr), "accuracy": sum(right) / len(right),
            "auroc_each": auroc, "aupr_each": aupr}  # fmt: skip


def agree(found, expected):
    for name, value in expected.items():
        assert found[name].tolist() == pytest.approx(value, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize("levels", [None, 5, 2])
@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_the_definitions_with_and_without_ties(seed, levels):
    probabilities, label = predictions(seed=seed, levels=levels)
    agree(classification_scores(probabilities, label, each=True), written_out(probabilities, label))


@pytest.mark.parametrize("levels", [None, 4])
def test_scores_equal_those_of_scikit_learn_and_monai(levels):
    metrics = pytest.importorskip("sklearn.metrics")
    probabilities, label = predictions(60, 3, seed=5, levels=levels)
    one_hot = torch.nn.functional.one_hot(label, 3)
    found = classification_scores(probabilities, label)
    assert found["auroc"].item() == pytest.approx(metrics.roc_auc_score(one_hot, probabilities, average="macro"))
    assert found["aupr"].item() == pytest.approx(metrics.average_precision_score(one_hot, probabilities))
    assert found["accuracy"].item() == pytest.approx(metrics.accuracy_score(label, probabilities.argmax(dim=1)))
    assert found["auroc"].item() == pytest.approx(float(compute_roc_auc(probabilities, one_hot)))


def test_an_absent_class_is_left_out():
    probabilities, label = predictions(classes=4)
    label = label.clamp(max=2)
    found = classification_scores(probabilities, label, each=True)
    agree(found, written_out(probabilities, label))
    assert found["auroc_each"].isnan().tolist() == [False, False, False, True] and not found["auroc"].isnan()
    one = classification_scores(probabilities, torch.ones_like(label))
    assert one["auroc"].isnan() and one["aupr"].isnan() and not one["accuracy"].isnan()


def test_weights_are_repetitions():
    probabilities, label = predictions(30, 3, levels=6)
    weights = torch.randint(0, 4, (5, 30), generator=torch.Generator().manual_seed(2))
    together = classification_scores(probabilities, label, weights, each=True)
    for row, counts in enumerate(weights):
        repeated = written_out(probabilities.repeat_interleave(counts, 0), label.repeat_interleave(counts))
        agree({name: score[row] for name, score in together.items()}, repeated)


def test_intervals_are_percentiles_over_resampled_patients():
    probabilities, label = predictions(24, 3, levels=8)
    patients = [f"p{row // 3}" for row in range(24)]
    found = bootstrap_intervals(probabilities, label, patients, level=0.8, resamples=60, seed=4)
    drawn = torch.randint(8, (60, 8), generator=torch.Generator().manual_seed(4))
    scores = []
    for draw in drawn.tolist():
        rows = [row for patient in draw for row in range(3 * patient, 3 * patient + 3)]
        scores.append(written_out(probabilities[rows], label[rows]))
    for name in ("auroc", "aupr", "accuracy"):
        values = torch.tensor([score[name] for score in scores], dtype=torch.float64)
        assert [end.item() for end in found[name]] == pytest.approx(
            values.nanquantile(torch.tensor([0.1, 0.9]).double())
        )
    each = torch.tensor([score["auroc_each"] for score in scores], dtype=torch.float64)
    torch.testing.assert_close(found["auroc_each"][0], each.nanquantile(0.1, dim=0))
    again = bootstrap_intervals(probabilities, label, patients, level=0.8, resamples=60, seed=4)
    assert all(
        torch.equal(first, second) for name in found for first, second in zip(found[name], again[name], strict=True)
    )


def test_images_of_one_patient_do_not_narrow_an_interval():
    """Each image ten times, as ten images of one patient: the interval stays; as ten patients it would shrink."""
    probabilities, label = predictions(30, 2, seed=3)
    ten = (probabilities.repeat(10, 1), label.repeat(10))
    patients = list(range(30))
    low, high = bootstrap_intervals(probabilities, label, patients)["auroc"]
    again = bootstrap_intervals(*ten, patients * 10)["auroc"]
    apart = bootstrap_intervals(*ten, range(300))["auroc"]
    assert [end.item() for end in again] == pytest.approx([low.item(), high.item()], abs=1e-12)
    assert apart[1] - apart[0] < 0.5 * (high - low)


def test_resamples_in_turns_are_the_same(monkeypatch):
    probabilities, label = predictions()
    arguments = (probabilities, label, list(range(40)), 0.9, 30)
    whole = bootstrap_intervals(*arguments)
    monkeypatch.setattr("monai_cl_ext.metrics.classification.ELEMENTS", 7 * 40)
    parts = bootstrap_intervals(*arguments)
    assert all(torch.equal(whole[name][end], parts[name][end]) for name in whole for end in (0, 1))


def test_mistakes_are_named():
    probabilities, label = predictions()
    with pytest.raises(ValueError, match=r"classes must be whole numbers from 0 to 3, found \[-1"):
        classification_scores(probabilities, label - 1)
    with pytest.raises(ValueError, match="probabilities must be finite"):
        classification_scores(probabilities / 0 * 0, label)
    with pytest.raises(ValueError, match="at least one image"):
        classification_scores(probabilities[:0], label[:0])
    with pytest.raises(ValueError, match=r"weights must be \(N,\) or \(R, N\) for 40 images"):
        classification_scores(probabilities, label, torch.ones(3))
    with pytest.raises(ValueError, match="a patient for each of 40 images"):
        bootstrap_intervals(probabilities, label, ["p"])


@pytest.mark.parametrize("score", ["auroc", "aupr", "accuracy"])
def test_the_metric_is_that_of_all_batches(score):
    probabilities, label = predictions(levels=7)
    engine = Engine(lambda engine, batch: {"pred": batch[0], "label": batch[1]})
    metric = ClassificationScore(score, output_transform=lambda output: (output["pred"], output["label"]))
    metric.attach(engine, score)
    engine.run(list(zip(probabilities.split(16), label.split(16), strict=True)))
    assert engine.state.metrics[score] == pytest.approx(written_out(probabilities, label)[score])


def test_the_metric_warns_where_there_is_one_class():
    metric = ClassificationScore()
    metric.update((torch.eye(2), torch.zeros(2, dtype=torch.int64)))
    with pytest.warns(UserWarning, match="auroc needs images of at least 2 classes"):
        assert math.isnan(metric.compute())
    with pytest.raises(ValueError, match="score must be one of"):
        ClassificationScore("f1")
