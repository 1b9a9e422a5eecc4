# SPDX-License-Identifier: Apache-2.0
"""Views, distances and measures of a whole sample equal those of single images, compared one by one."""

import math

import advice_samples
import pytest
import torch

from monai_cl_ext.advise.comparison import Comparer
from monai_cl_ext.advise.distances import negative_distances, positive_distances, standard_of
from monai_cl_ext.advise.settings import Setting
from monai_cl_ext.advise.spaces import Space, pixel_space, random_space
from monai_cl_ext.advise.views import view_batches
from monai_cl_ext.transforms import IntensityShift, ViewPolicy, identity_policy, scale_policy, strong_policy

GREY = strong_policy(color=False)


def one_by_one(sample, policy, size):
    """AUC and alignment of pixels by loops over images, from the views alone."""
    first, second = (torch.cat(list(view_batches(sample.image, policy, size, 0, view))) for view in (1, 2))
    originals = [image.flatten().tolist() for image in torch.cat(list(view_batches(sample.image, identity_policy(),
                                                                                   size, 0, 0)))]  # fmt: skip
    mean = [sum(column) / len(originals) for column in zip(*originals, strict=True)]

    def unit(image):
        centred = [value - middle for value, middle in zip(image.flatten().tolist(), mean, strict=True)]
        length = math.sqrt(sum(value**2 for value in centred))
        return [value / length for value in centred]

    rows = [[unit(image) for image in views] for views in (first, second)]
    positive = [math.dist(one, other) for one, other in zip(*rows, strict=True)]
    negative = [
        math.dist(one, other)
        for i, one in enumerate(rows[0]) for j, other in enumerate(rows[1])
        if sample.patient[i] != sample.patient[j]
    ]  # fmt: skip
    won = sum((far > near) + 0.5 * (far == near) for far in negative for near in positive)
    return won / len(positive) / len(negative), sum(distance**2 for distance in positive) / len(positive)


def test_a_comparison_is_that_of_single_images():
    sample = advice_samples.sample(count=12, per_patient=2)
    compare = Comparer(sample, [pixel_space()], size=32, seed=0)  # 32 pixels: nothing is averaged
    found = compare(Setting("strong", 1.0, GREY)).spaces["pixels"].measures
    auc, alignment = one_by_one(sample, GREY, 32)
    assert 0.5 < auc < 1
    assert found["auc"] == pytest.approx(auc, abs=1e-4) and found["alignment"] == pytest.approx(alignment, rel=1e-4)


def test_pairs_of_one_patient_are_no_negative_pairs():
    first = torch.eye(4)
    patient = torch.tensor([0, 0, 1, 2])
    assert len(negative_distances(first, first, patient)) == 4 * 3 - 2
    assert torch.allclose(negative_distances(first, first, patient), torch.tensor(2.0).sqrt().double())
    assert positive_distances(first, first.flip(0)).tolist() == pytest.approx([math.sqrt(2)] * 4)


def test_features_are_centred_scaled_by_group_and_of_unit_length():
    features = torch.tensor([[[1.0, 3.0], [0.0, 0.0]], [[3.0, 1.0], [0.0, 20.0]]])
    standard = standard_of(features)
    assert standard.mean.tolist() == [[2, 2], [0, 10]]
    assert standard.scale.flatten().tolist() == pytest.approx([1, math.sqrt(50)])
    expected = torch.tensor([-1, 1, 0, -10 / math.sqrt(50)])
    assert torch.allclose(standard(features)[0], expected / expected.norm())
    with pytest.raises(ValueError, match="look the same"):
        standard_of(torch.ones(3, 2, 2))


def test_stronger_views_of_an_image_lie_farther_apart_and_identical_ones_nowhere():
    sample = advice_samples.sample(count=40)
    compare = Comparer(sample, [pixel_space(), random_space(1)], size=32, seed=0)
    found = [compare(Setting(str(strength), strength, scale_policy(GREY, strength))) for strength in (0, 0.3, 1)]
    for space in ("pixels", "random encoder"):
        nothing, weak, strong = (rung.spaces[space].measures for rung in found)
        assert nothing["auc"] == 1 and nothing["alignment"] == 0 and nothing["histogram_overlap"] == 0
        assert 1 > weak["auc"] > strong["auc"] + 0.05 and 0 < weak["alignment"] < strong["alignment"]
        assert weak["histogram_overlap"] < strong["histogram_overlap"] and weak["d_prime"] > strong["d_prime"]


def test_views_are_the_same_for_a_seed_and_their_draws_at_every_strength():
    images = advice_samples.smooth(60)  # more than a batch

    def views(policy, seed=0, view=1):
        return torch.cat(list(view_batches(images, policy, 32, seed, view)))

    policy = ViewPolicy([IntensityShift(-0.5, 0.5)])
    offsets = (views(policy) - images).mean(dim=(1, 2, 3))
    halved = (views(scale_policy(policy, 0.5)) - images).mean(dim=(1, 2, 3))
    assert torch.allclose(halved, offsets / 2, atol=1e-6) and offsets.std() > 0.1
    assert torch.equal(views(policy), views(policy))
    assert not torch.equal(views(policy), views(policy, view=2)) and not torch.equal(views(policy), views(policy, 1))
    assert list(view_batches(images, GREY, 20, 0, 1))[0].shape[1:] == (1, 20, 20)


def test_a_space_that_separates_nothing_is_at_chance():
    noise = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    place = iter(noise.split(1))
    space = Space("noise", "", lambda views: torch.cat([next(place) for _ in views])[:, :, None])
    compare = Comparer(advice_samples.sample(count=100), [space], size=8, seed=0)
    measures = compare(Setting("", 1.0, identity_policy())).spaces["noise"].measures
    assert abs(measures["auc"] - 0.5) < 0.1 and abs(measures["d_prime"]) < 0.3
