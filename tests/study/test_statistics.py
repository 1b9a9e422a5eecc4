# SPDX-License-Identifier: Apache-2.0
"""Intervals and tests hold what they promise in simulated studies whose truth is known."""

import itertools

import numpy as np
import pytest
from scipy import stats

from monai_cl_ext.study.statistics import (
    average_ranks,
    cohen_dz,
    complete_folds,
    crossed_interval,
    crossed_mean,
    labels_to_match,
    permutation_p_value,
)

STUDIES = 10000


def simulate(seed, shape, ratio, noise):
    """Studies (..., draws, patients) of mean 0; variances of draws and noise in units of the patients'."""
    *lead, draws, patients = shape
    rng = np.random.default_rng(seed)
    by_patient, by_draw = rng.standard_normal((*lead, 1, patients)), rng.standard_normal((*lead, draws, 1))
    return by_patient + ratio**0.5 * by_draw + noise**0.5 * rng.standard_normal(shape)


def tolerance(share, count=STUDIES):
    """Four standard errors of a share that is counted in so many studies."""
    return 4 * np.sqrt(share * (1 - share) / count)


def held(found, level=0.95):
    return (np.abs(found.mean) <= found.half_width(level)).mean()


def held_by_patients_only(values):
    by_patient = values.mean(-2)
    half = stats.t.ppf(0.975, values.shape[-1] - 1) * stats.sem(by_patient, axis=-1)
    return (np.abs(by_patient.mean(-1)) <= half).mean()


@pytest.mark.parametrize("draws", [5, 10])
@pytest.mark.parametrize("patients", [20, 50])
@pytest.mark.parametrize("ratio", [0, 0.25, 0.5])
@pytest.mark.parametrize("noise", [0.25, 1])
def test_the_interval_holds_95_percent_from_five_draws_on(draws, patients, ratio, noise):
    values = simulate(draws + patients, (STUDIES, draws, patients), ratio, noise)
    assert 0.94 - tolerance(0.94) <= held(crossed_mean([values])) <= 0.97 + tolerance(0.97)


@pytest.mark.parametrize("ratio", [0.25, 0.5, 2])
def test_the_interval_holds_with_three_draws_also_at_the_level_that_holm_needs(ratio):
    found = crossed_mean([simulate(1, (2 * STUDIES, 3, 50), ratio, 0.25)])
    assert 0.94 - tolerance(0.94, 2 * STUDIES) <= held(found) <= 0.98
    assert held(found, 0.995) >= 0.99 - tolerance(0.99, 2 * STUDIES)


def test_satterthwaites_freedom_would_be_short_with_three_draws():
    found = crossed_mean([simulate(1, (2 * STUDIES, 3, 50), 0.25, 0.25)])
    parts = found.draws**2 / 2 + found.patients**2 / 49 + found.noise**2 / 98
    half = stats.t.ppf(0.9975, found.standard_error() ** 4 / parts) * found.standard_error()
    assert (np.abs(found.mean) <= half).mean() < 0.985 < held(found, 0.995)


@pytest.mark.parametrize("ratio", [0.25, 0.5])
def test_an_interval_over_patients_alone_is_short_where_draws_vary(ratio):
    values = simulate(2, (STUDIES, 5, 50), ratio, 0.25)
    assert held_by_patients_only(values) < 0.80
    assert held_by_patients_only(simulate(2, (STUDIES, 5, 50), 0, 0.25)) == pytest.approx(0.95, abs=tolerance(0.95))


@pytest.mark.parametrize("draws", [1, 2, 3])
@pytest.mark.parametrize("sizes", [[20] * 5, [20, 20, 20, 20, 15], [10] * 3])
def test_the_interval_holds_with_draws_of_each_fold(draws, sizes):
    folds = [simulate(10 * draws + fold, (STUDIES, draws, size), 0.5, 0.25) for fold, size in enumerate(sizes)]
    assert 0.94 - tolerance(0.94) <= held(crossed_mean(folds)) <= 0.97 + tolerance(0.97)
    assert held_by_patients_only(np.concatenate(folds, axis=-1)) < 0.9


@pytest.mark.parametrize("draws", [3, 5])
def test_false_positives_of_a_family_where_methods_differ_by_draw_and_not_in_the_mean(draws):
    families, methods, patients = 2000, 4, 20
    scores = 0.06 * simulate(3, (families, methods + 1, draws, patients), 0.17, 0.25)
    differences = scores[:, 1:] - scores[:, :1]
    crossed = crossed_mean([differences]).p_value()
    permutation = np.concatenate([permutation_p_value(part, 999) for part in differences[:500].mean(-2)])
    bound = 0.05 / methods
    assert (crossed.min(1) <= bound).mean() <= 0.05 + tolerance(0.05, families)
    assert (permutation.reshape(-1, methods).min(1) <= bound).mean() > 0.10


def test_false_positives_of_the_permutation_test_where_methods_differ_by_patient_only():
    differences = simulate(4, (4000, 5, 12), 0, 0.25).mean(-2)
    p_values = np.concatenate([permutation_p_value(part, 499) for part in np.split(differences, 200)])
    assert (p_values <= 0.05).mean() == pytest.approx(0.05, abs=tolerance(0.05, 4000))


def test_mean_squares_are_those_of_explicit_sums():
    values = simulate(5, (3, 7), 0.5, 1)
    mean = values.mean()
    draw, patient, rest = 0.0, 0.0, 0.0
    for d in range(3):
        draw += 7 * (values[d].mean() - mean) ** 2 / 2
    for p in range(7):
        patient += 3 * (values[:, p].mean() - mean) ** 2 / 6
    for d, p in itertools.product(range(3), range(7)):
        rest += (values[d, p] - values[d].mean() - values[:, p].mean() + mean) ** 2 / 12
    found = crossed_mean([values])
    assert [float(found.draws), float(found.patients), float(found.noise)] == pytest.approx(
        [draw / 21, patient / 21, rest / 21]
    )
    assert (found.draw_freedom, found.patient_freedom) == (2, 6)
    share = draw / (draw + patient)
    error = np.sqrt(max(draw + patient - rest, draw, patient) / 21)
    half = error * (share * stats.t.ppf(0.975, 2) + (1 - share) * stats.t.ppf(0.975, 6))
    estimate = crossed_interval(values)
    assert (estimate.low, estimate.high) == pytest.approx((mean - half, mean + half))


@pytest.mark.parametrize(("sizes", "bias"), [([7, 7, 7], 0.02), ([12, 6, 3], 0.05)])
def test_the_variance_is_right_on_average_and_nearly_so_for_folds_of_unlike_size(sizes, bias):
    draws = 4
    folds = [simulate(60 + fold, (20000, draws, size), 0.5, 0.5) for fold, size in enumerate(sizes)]
    found = crossed_mean(folds)
    told = (found.draws + found.patients - found.noise).mean()
    true = sum((size / 21) ** 2 * (0.5 / draws + 1 / size + 0.5 / (draws * size)) for size in sizes)
    assert found.mean.var() == pytest.approx(true, rel=0.04)
    assert told == pytest.approx(true, rel=bias)


def test_the_p_value_and_the_interval_agree():
    found = crossed_mean([simulate(6, (500, 3, 20), 0.25, 0.5) + 0.6])
    p_values = found.p_value()
    for level in (0.5, 0.9, 0.95, 0.999):
        np.testing.assert_array_equal(p_values < 1 - level, np.abs(found.mean) > found.half_width(level))


def test_one_draw_is_the_t_test_over_patients_and_says_so():
    values = simulate(7, (1, 20), 0, 0.5) + 0.3
    found = crossed_interval(values, level=0.9)
    test = stats.ttest_1samp(values[0], 0)
    interval = test.confidence_interval(0.9)
    assert (found.low, found.high, found.p_value) == pytest.approx((interval.low, interval.high, test.pvalue))
    assert "not for other draws" in found.warning


def test_one_draw_in_each_fold_is_the_t_test_over_folds():
    values = simulate(8, (1, 20), 0, 0.5) + 0.3
    found = crossed_interval(values, groups=np.arange(20) % 4)
    test = stats.ttest_1samp([values[0, fold::4].mean() for fold in range(4)], 0)
    interval = test.confidence_interval(0.95)
    assert (found.low, found.high, found.p_value) == pytest.approx((interval.low, interval.high, test.pvalue))
    assert "not for other draws" not in found.warning


def test_order_shift_and_scale_change_nothing_else():
    values, groups = simulate(9, (4, 15), 0.5, 0.5), np.repeat(["a", "b", "c"], 5)
    found = crossed_interval(values, groups=groups)
    rng = np.random.default_rng(0)
    draws, patients = rng.permutation(4), rng.permutation(15)
    again = crossed_interval(10 * values[draws][:, patients] + 3, groups=groups[patients])
    assert (again.mean, again.low, again.high) == pytest.approx(
        (10 * found.mean + 3, 10 * found.low + 3, 10 * found.high + 3)
    )


def test_folds_are_not_one_fold():
    values = simulate(10, (3, 20), 0.5, 0.25)
    one, four = crossed_interval(values), crossed_interval(values, groups=np.arange(20) % 4)
    assert one.mean == pytest.approx(four.mean)
    assert one.high - one.low != pytest.approx(four.high - four.low, rel=0.01)


def test_a_draw_that_broke_off_and_a_patient_without_a_score_are_left_out_and_counted():
    values = simulate(11, (4, 10), 0.5, 0.25)
    broken = values.copy()
    broken[2, :7] = np.nan
    broken[:, 9] = np.nan
    found, expected = crossed_interval(broken), crossed_interval(values[[0, 1, 3], :9])
    assert (found.mean, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high))
    assert (found.draws, found.patients, found.missing) == (3, 9, 13)
    assert "13 of 40 cells" in found.warning


def test_a_fold_that_lacks_a_draw_keeps_the_others():
    values, groups = simulate(12, (3, 12), 0.5, 0.25), np.repeat([0, 1, 2], 4)
    values[2, groups == 1] = np.nan
    assert [fold.shape for fold in complete_folds(values, groups)] == [(3, 4), (2, 4), (3, 4)]
    assert crossed_interval(values, groups=groups).missing == 4


def test_degenerate_studies():
    nothing = crossed_interval(np.full((3, 4), np.nan))
    assert np.isnan(nothing.mean) and np.isnan(nothing.p_value) and "no draw and patient" in nothing.warning
    single = crossed_interval([[0.5]])
    assert single.mean == 0.5 and np.isnan(single.low) and np.isnan(single.p_value)
    same = crossed_interval(np.zeros((3, 20)))
    assert (same.low, same.high, same.p_value) == (0, 0, 1)
    for alike in (np.ones((3, 20)), np.array([[0.8, 0.7, 0.6, 0.9]]) - [[0.7, 0.6, 0.5, 0.8]]):  # but for rounding
        found = crossed_interval(alike)
        assert found.mean == pytest.approx(alike[0, 0]) and np.isnan([found.low, found.high, found.p_value]).all()
        assert found.warning.startswith("all scores are the same") and np.isnan(cohen_dz(alike[0]))
    assert "one patient" in crossed_interval([[0.1], [0.2], [0.4]]).warning


def test_warnings_follow_the_simulation():
    calm, wild = simulate(13, (5, 50), 0, 0.25), simulate(13, (5, 50), 2, 0.25)
    assert crossed_interval(calm).warning == ""
    assert "draws vary more" in crossed_interval(wild).warning
    assert "draws vary more" not in crossed_interval(simulate(13, (12, 50), 2, 0.25)).warning
    assert "two draws" in crossed_interval(calm[:2]).warning
    assert "8 patients" in crossed_interval(calm[:, :8]).warning
    one_a_fold = crossed_interval(calm[:1], groups=[patient % 5 for patient in range(50)]).warning
    assert one_a_fold.startswith("one draw or one patient a fold: they are not told apart")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": np.zeros(4)}, r"\(draws, patients\), found \(4,\)"),
        ({"values": np.zeros((2, 4)), "groups": [0, 1]}, "each of the 4 patients"),
        ({"values": np.zeros((2, 4)), "level": 95}, "between 0 and 1, found 95"),
    ],
)
def test_unfit_values_are_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        crossed_interval(**arguments)


def test_the_permutation_test_tries_all_sign_flips_of_few_patients():
    differences = np.array([0.11, 0.05, -0.02, 0.09, 0.04, 0.07])
    means = [abs((np.array(signs) * differences).mean()) for signs in itertools.product((-1, 1), repeat=6)]
    expected = np.mean(np.array(means) >= abs(differences.mean()) - 1e-12)
    assert permutation_p_value(differences) == pytest.approx(expected)
    assert permutation_p_value(-differences) == pytest.approx(expected)
    assert permutation_p_value(np.zeros(6)) == 1


def test_effect_size_is_in_units_of_the_spread_over_patients():
    assert cohen_dz([1.0, 3.0]) == pytest.approx(2 / np.sqrt(2))
    assert np.isnan(cohen_dz([1.0, 1.0])) and np.isnan(cohen_dz([1.0]))


def test_labels_to_match_are_linear_over_the_logarithm():
    scratch = {1: 0.5, 2: 0.6, 8: 0.8}
    found = labels_to_match(scratch, {1: 0.55, 2: 0.7, 4: 0.8, 8: 0.9, 16: 0.4}).set_index("labelled")
    assert found.loc[[1, 2, 4], "labels"].tolist() == pytest.approx([2**0.5, 4, 8])
    assert found.loc[[1, 2, 4], "ratio"].tolist() == pytest.approx([2**0.5, 2, 2])
    assert found["note"].tolist() == ["", "", "", ">8", "<1"]
    assert found.loc[[8, 16], "labels"].isna().all() and found.loc[[8, 16], "ratio"].isna().all()


def test_labels_to_match_of_distances_and_of_a_curve_that_dips():
    distances = labels_to_match({1: 20.0, 4: 10.0}, {1: 15.0}, higher_is_better=False)
    assert distances["labels"].tolist() == pytest.approx([2])
    dips = labels_to_match({1: 0.5, 2: 0.7, 4: 0.6, 8: 0.8}, {1: 0.65, 2: 0.5})
    assert dips["labels"].tolist() == pytest.approx([2**0.75, 1])


@pytest.mark.parametrize("curve", [{}, {1: np.nan}, {0: 0.5}])
def test_labels_to_match_needs_whole_curves(curve):
    with pytest.raises(ValueError, match="method must give a finite score"):
        labels_to_match({1: 0.5}, curve)


def test_ranks_are_those_of_friedman_and_nemenyi():
    rng = np.random.default_rng(0)
    values = rng.random((14, 4)) + [0.0, 0.3, 0.0, 0.6]
    found = average_ranks(values)
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)  # Demsar 2006: four methods, fourteen data sets
    assert found.ranks.sum() == pytest.approx(10) and found.ranks.argmin() == 3
    statistic = 12 * 14 / (4 * 5) * ((found.ranks**2).sum() - 4 * 25 / 4)
    assert found.statistic == pytest.approx(statistic)
    assert found.p_value == pytest.approx(stats.chi2.sf(statistic, 3))
    np.testing.assert_allclose(average_ranks(values, higher_is_better=False).ranks, 5 - found.ranks)


@pytest.mark.parametrize("values", [np.zeros((5, 2)), np.zeros((1, 3)), np.full((5, 3), np.nan), np.zeros(4)])
def test_ranks_need_three_methods_and_whole_rows(values):
    with pytest.raises(ValueError, match="two or more patients, three or more methods"):
        average_ranks(values)
