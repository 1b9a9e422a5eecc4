# SPDX-License-Identifier: Apache-2.0
"""Pseudo-values of AUROC and AUPR against explicit loops over scikit-learn, and what their intervals hold."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from monai_cl_ext.study.statistics import crossed_interval, pseudo_values

ORACLES = {"auroc": roc_auc_score, "aupr": average_precision_score}


def drawn(seed: int, patients: int = 12, each: int = 2, classes: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities with ties, classes and patients of photographs; each class has several patients."""
    generator = np.random.default_rng(seed)
    labels = np.arange(patients * each) // 2 % classes
    values = np.round(np.eye(classes)[labels] * 0.3 + generator.random((len(labels), classes)), 1)
    return values, labels, np.repeat(np.arange(patients), each)


@pytest.mark.parametrize("score", ["auroc", "aupr"])
def test_each_value_is_that_of_a_loop_that_leaves_a_patient_out(score):
    values, labels, patients = drawn(0)
    found = pseudo_values(values, labels, patients)[score]
    names = sorted(set(map(str, patients)))
    assert found.shape == (12, 3)
    for label in range(3):
        whole = ORACLES[score](labels == label, values[:, label])
        rest = []
        for name in names:
            kept = np.array([str(patient) != name for patient in patients])
            rest.append(ORACLES[score](labels[kept] == label, values[kept, label]))
        plain = 12 * whole - 11 * np.array(rest)
        np.testing.assert_allclose(found[:, label], plain - plain.mean() + whole, rtol=0, atol=1e-9)


def test_their_mean_is_the_score_of_the_test_set_and_their_spread_that_of_the_jackknife():
    values, labels, patients = drawn(1, patients=30, each=1)
    found = pseudo_values(values, labels, patients)["auroc"]
    assert found.mean() == pytest.approx(roc_auc_score(np.eye(3)[labels], values, average="macro"))
    rest = []
    for patient in patients:
        kept = patients != patient
        rest.append(roc_auc_score(labels[kept] == 0, values[kept, 0]))
    jackknife = 29 / 30 * ((np.array(rest) - np.mean(rest)) ** 2).sum()
    assert found[:, 0].var(ddof=1) / 30 == pytest.approx(jackknife)


def test_a_class_of_one_patient_has_none():
    values, labels, patients = drawn(2)
    labels = np.where((labels == 2) & (patients > 2), 0, labels)
    assert set(patients[labels == 2]) == {2}
    for found in pseudo_values(values, labels, patients).values():
        assert np.isnan(found[:, 2]).all() and np.isfinite(found[:, :2]).all()


def test_many_patients_go_in_turns(monkeypatch):
    values, labels, patients = drawn(3)
    whole = pseudo_values(values, labels, patients)
    monkeypatch.setattr(pseudo_values.__module__ + ".ELEMENTS", 60)
    for score, found in pseudo_values(values, labels, patients).items():
        np.testing.assert_allclose(found, whole[score], atol=1e-12)


def test_as_many_patients_as_images():
    values, labels, patients = drawn(4)
    with pytest.raises(ValueError, match="a patient for each of 24 images, found 23"):
        pseudo_values(values, labels, patients[:-1])


def test_an_interval_over_draws_and_patients_holds_the_true_auroc():
    """Two normal classes: the slope of each draw is random, and its mean AUROC is known by a large sample."""
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    shifts = 0.8 + 0.3 * generator.standard_normal(20_000)

    true, held, trials = norm.cdf(shifts / np.sqrt(2)).mean(), 0, 150
    for _ in range(trials):
        patients = generator.standard_normal(60)
        rows = []
        for shift in 0.8 + 0.3 * generator.standard_normal(4):
            score = shift * labels + np.sqrt(0.7) * patients + np.sqrt(0.3) * generator.standard_normal(60)
            both = np.stack([-score, score], axis=1)
            rows.append(pseudo_values(both, labels, np.arange(60))["auroc"].mean(axis=1))
        found = crossed_interval(np.stack(rows))
        held += found.low <= true <= found.high
    assert 0.9 <= held / trials <= 0.99
