# SPDX-License-Identifier: Apache-2.0
"""Policies as MONAI transforms, undone: labels and predictions come back to where the image was."""

import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, TestTimeAugmentation, decollate_batch, set_track_meta
from monai.transforms import Compose, Flipd, Invertd, RandFlipd, ScaleIntensityd, Spacingd
from operation_cases import noise

from monai_cl_ext.transforms import (
    AreaCropResize,
    Contrast,
    CropResize,
    ElasticDeformation,
    Mirror,
    OperationGroup,
    RandPolicy,
    RandPolicyd,
    RandStrongAugmentd,
    RandWeakMedAugmentd,
    Rotation,
    Scaling,
    StepRotation,
    Translation,
    TwoViews,
    TwoViewsd,
    ViewPolicy,
    gcl_finetune_policy,
    gcl_intensity_policy,
    gcl_policy,
    pcl_policy,
)

KEYS, MODES = ["image", "label"], ["bilinear", "nearest"]
SPATIAL = {
    "rotation": lambda d: [Rotation(40.0, d)],
    "step rotation": lambda d: [StepRotation(90.0, d)],
    "flip": lambda d: [Mirror(tuple(range(d)), d)],
    "translation": lambda d: [Translation(0.1, d)],
    "zoom in": lambda d: [Scaling(1.2, 1.4, d)],
    "zoom out": lambda d: [Scaling(0.7, 0.9, d)],
    "crop": lambda d: [CropResize((0.8, 0.95), spatial_dims=d)],
    "area crop": lambda d: [AreaCropResize((0.6, 0.9), spatial_dims=d)],
    "a run": lambda d: [Rotation(30.0, d), Scaling(0.9, 1.2, d), Mirror(0, d), Translation(0.05, d)],
    "two runs and intensities": lambda d: [Rotation(30.0, d), Contrast(0.7, 1.3), CropResize(0.9, spatial_dims=d)],
    "a group": lambda d: [OperationGroup([Rotation(60.0, d), Scaling(0.8, 1.2, d)])],
}
each_policy = pytest.mark.parametrize("name", SPATIAL)
each_dims = pytest.mark.parametrize("dims", [2, 3])
each_size = pytest.mark.parametrize("resized", [False, True])


def policy(name: str, dims: int, resized: bool) -> ViewPolicy:
    size = ((52, 60) if dims == 2 else (44, 50, 54)) if resized else None
    return ViewPolicy(SPATIAL[name](dims), size, spatial_dims=dims, padding_mode="zeros")


def item(dims: int) -> dict[str, MetaTensor]:
    """A large ball and a small one beside it, so that nothing maps the label onto itself."""
    size = (64, 56) if dims == 2 else (52, 46, 48)
    axes = torch.meshgrid(*[torch.arange(side) / side - 0.5 for side in size], indexing="ij")
    large = sum((axis - 0.05) ** 2 for axis in axes) < 0.04
    small = sum((axis - shift) ** 2 for axis, shift in zip(axes, (-0.25, 0.2, -0.15), strict=False)) < 0.015
    label = (large.long() + 2 * small.long()).clamp(max=2)[None].to(torch.uint8)
    affine = torch.diag(torch.tensor([2.0, 3.0, 1.5, 1.0], dtype=torch.float64))
    return {"image": MetaTensor(label.float() / 2, affine=affine), "label": MetaTensor(label, affine=affine)}


def dice(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The smaller one of the Dice scores of the two balls."""
    pairs = [((found == value), (expected == value)) for value in (1, 2)]
    return min((2 * (a & b).sum() / (a.sum() + b.sum())).item() for a, b in pairs)


def kept(form, data) -> torch.Tensor:
    """Where the view holds what was there: ones taken there and back."""
    ones = MetaTensor(torch.ones_like(data["label"].as_tensor()))
    made = {"image": data["image"], "label": ones}
    return form.inverse(form(made))["label"].as_tensor() == 1


@each_size
@each_dims
@each_policy
def test_there_and_back_a_label_is_where_it_was(name, dims, resized):
    form, data = RandPolicyd(KEYS, policy(name, dims, resized), mode=MODES), item(dims)
    moved = 0
    for seed in range(4):
        made = form.set_random_state(seed)(data)
        back = form.inverse(made)
        inside = kept(form.set_random_state(seed), data)
        moved += made["label"].shape != data["label"].shape or dice(made["label"], data["label"]) < 0.9
        assert inside.float().mean() > 0.35
        assert back["label"].shape == data["label"].shape and back["label"].dtype == torch.uint8
        assert dice(back["label"][inside], data["label"][inside]) > 0.9
        torch.testing.assert_close(back["image"].affine, data["image"].affine, atol=1e-4, rtol=0)
        assert (back["image"] - data["image"])[inside].abs().mean() < 0.04
        assert back["image"].applied_operations == [] == back["label"].applied_operations
    assert moved > 0


@each_dims
def test_a_flip_comes_back_exactly(dims):
    form, data = RandPolicyd(KEYS, policy("flip", dims, False), mode=MODES).set_random_state(3), item(dims)
    made = form(data)
    back = form.inverse(made)
    assert not torch.equal(made["label"], data["label"]) and torch.equal(back["label"], data["label"])
    torch.testing.assert_close(back["image"].as_tensor(), data["image"].as_tensor(), atol=2e-5, rtol=0)


@each_dims
def test_a_pipeline_of_monai_s_transforms_and_ours_is_undone_in_its_order(dims):
    data = item(dims)
    run, rotation = policy("a run", dims, True), policy("rotation", dims, False)
    steps = [Flipd(KEYS, spatial_axis=0), RandPolicyd(KEYS, run, mode=MODES), ScaleIntensityd("image")]
    steps += [RandFlipd(KEYS, prob=1.0, spatial_axis=1), RandPolicyd(KEYS, rotation, mode=MODES)]
    pipeline = Compose(steps).set_random_state(5)
    made = pipeline(data)
    assert [each["class"] for each in made["label"].applied_operations] == [
        "Flip",
        "RandPolicyd",
        "RandFlipd",
        "RandPolicyd",
    ]
    back = pipeline.inverse(made)
    assert back["label"].shape == data["label"].shape and dice(back["label"], data["label"]) > 0.85
    torch.testing.assert_close(back["label"].affine, data["label"].affine, atol=1e-4, rtol=0)


@each_dims
@pytest.mark.parametrize("nearest", [False, True])
def test_invertd_brings_a_prediction_back(dims, nearest):
    """What a network gives for the batch of a loader: a channel of probabilities for each class."""
    data = item(dims)
    pipeline = Compose([RandPolicyd(KEYS, policy("a run", dims, True), mode=MODES)]).set_random_state(1)
    batch = next(iter(DataLoader(Dataset([data] * 2, pipeline), batch_size=2)))
    batch["pred"] = torch.cat([batch["label"] == value for value in range(3)], dim=1).float()
    assert isinstance(batch["pred"], MetaTensor)  # as networks give them
    invert = Invertd("pred", pipeline, orig_keys="image", nearest_interp=nearest, to_tensor=True)
    for row in decollate_batch(batch):
        found = invert(row)["pred"]
        assert found.shape == (3, *data["label"].shape[1:])
        assert set(found.unique().tolist()) <= {0.0, 1.0} if nearest else len(found.unique()) > 3
        assert dice(found.argmax(dim=0), data["label"][0]) > 0.9


@each_dims
def test_test_time_augmentation_agrees_with_itself(dims):
    """The network sees the label as its image: every realization must come back to the same label."""
    data = item(dims)
    transform = RandPolicyd(KEYS, policy("rotation", dims, False), mode=MODES).set_random_state(2)
    augmented = TestTimeAugmentation(
        transform, batch_size=2, inferrer_fn=lambda image: (2 * image).round(), orig_key="label", progress=False,
        return_full_data=True,
    )  # fmt: skip
    found = augmented({"image": data["image"], "label": data["label"]}, num_examples=4)
    assert found.shape == (4, *data["label"].shape)
    assert all(dice(each, data["label"]) > 0.85 for each in found)


def test_where_the_chance_fails_the_image_is_resized_only():
    data = item(2)
    for prob, size in ((0.0, None), (0.0, (32, 28)), (0.5, None)):
        rotation = ViewPolicy([Rotation(180.0), Contrast(0.5, 0.6)], size, padding_mode="zeros")
        form = RandPolicyd(KEYS, rotation, prob, MODES).set_random_state(0)
        changed = []
        for _ in range(40):
            made = form(data)
            assert made["image"].shape[1:] == (size or data["image"].shape[1:])
            expected = ViewPolicy([], size).apply({"image": data["image"][None]}, torch.empty(1, 0))["image"][0]
            changed.append(not torch.allclose(made["image"].as_tensor(), expected, atol=1e-5))
            assert dice(form.inverse(made)["label"], data["label"]) > 0.85
        assert sum(changed) == 0 if prob == 0 else 8 < sum(changed) < 32


@pytest.mark.parametrize("prob", [2.0, -0.1, "bilinear"])
def test_chances_without_meaning_are_refused(prob):
    with pytest.raises(ValueError, match="prob must be a number from 0 to 1"):
        RandPolicy(gcl_policy(), prob)


@pytest.mark.parametrize("make", [gcl_finetune_policy, pcl_policy, lambda: ViewPolicy([ElasticDeformation(0.1)])])
def test_elastic_policies_refuse_by_name(make):
    data = item(2)
    for form, given in ((RandPolicyd(KEYS, make(), mode=MODES), data), (RandPolicy(make()), data["image"])):
        for _ in range(3):  # whether this draw deformed or not
            with pytest.raises(NotImplementedError, match="ElasticDeformation in its policy has no inverse"):
                form.inverse(form(given))
    with pytest.raises(RuntimeError) as error:
        pipeline = Compose([RandPolicyd(KEYS, make(), mode=MODES)])
        pipeline.inverse(pipeline(data))
    assert "ElasticDeformation" in str(error.getrepr(chain=True))


@pytest.mark.parametrize("make", [gcl_intensity_policy, lambda: ViewPolicy([Contrast(0.5, 0.6)])])
def test_intensities_alone_leave_every_voxel_where_it_is(make):
    form, data = RandPolicyd(KEYS, make(), mode=MODES), item(3)
    made = form(data)
    back = form.inverse(made)
    assert torch.equal(back["image"], made["image"]) and torch.equal(back["label"], data["label"])
    assert back["image"].applied_operations == [] and not torch.equal(made["image"], data["image"])


@pytest.mark.parametrize("form", [RandStrongAugmentd, RandWeakMedAugmentd])
def test_the_augment_forms_are_undone(form):
    data = item(2)
    augment = form(KEYS, mode=MODES, color=False, crop=(0.8, 1.0)).set_random_state(4)
    made = augment(data)
    back = augment.inverse(made)
    inside = kept(augment.set_random_state(4), data)
    assert not torch.equal(made["label"], data["label"])
    assert dice(back["label"][inside], data["label"][inside]) > 0.9


def test_arrays_and_plain_tensors_are_tracked_as_monai_s_transforms_track_them():
    data = item(2)
    form = RandPolicy(policy("a run", 2, True), mode="nearest").set_random_state(0)
    for given in (data["label"].as_tensor(), data["label"].as_tensor().numpy()):
        made = form(given)
        assert isinstance(made, MetaTensor) and dice(form.inverse(made), data["label"]) > 0.9
    set_track_meta(False)
    try:
        made = form(data["label"].as_tensor())
        assert type(made) is torch.Tensor
        with pytest.raises(ValueError, match="MetaTensor"):
            form.inverse(made)
    finally:
        set_track_meta(True)


def test_a_resampling_to_millimeters_before_it_comes_back_too():
    data = item(3)
    pipeline = Compose([
        Spacingd(KEYS, pixdim=(2.0, 2.0, 2.0), mode=MODES), RandPolicyd(KEYS, policy("crop", 3, False), mode=MODES)
    ]).set_random_state(0)  # fmt: skip
    back = pipeline.inverse(pipeline(data))
    assert back["label"].shape == data["label"].shape and dice(back["label"], data["label"]) > 0.85


def test_both_views_of_two_views_come_back():
    data = item(2)
    form = TwoViewsd(KEYS, policy("a run", 2, True), mode=MODES).set_random_state(0)
    made = form(data)
    back = form.inverse(made)
    assert set(back) == {*data, "image_1", "image_2", "label_1", "label_2"} and back["image"] is data["image"]
    array = TwoViews(policy("a run", 2, True), mode="nearest").set_random_state(0)
    views = array(data["label"])
    assert torch.equal(views[0], made["label_1"]) and torch.equal(views[1], made["label_2"])
    for number, found in enumerate(array.inverse(views), start=1):
        assert made[f"label_{number}"].shape != data["label"].shape and torch.equal(found, back[f"label_{number}"])
        assert dice(back[f"label_{number}"], data["label"]) > 0.9
    only = form.inverse({"image_2": form.set_random_state(0)(data)["image_2"]})  # an inverse takes the record away
    assert set(only) == {"image_2"} and torch.equal(only["image_2"], back["image_2"])


def test_views_of_other_transforms_come_back_where_they_can():
    data = item(2)
    flipped = TwoViewsd(KEYS, RandFlipd(KEYS, prob=1.0, spatial_axis=0)).set_random_state(0)
    made = flipped(data)
    assert torch.equal(flipped.inverse(made)["label_2"], data["label"]) and not torch.equal(
        made["label_2"], data["label"]
    )
    elastic = TwoViewsd(KEYS, pcl_policy(), mode=MODES)
    with pytest.raises(NotImplementedError, match="ElasticDeformation"):
        elastic.inverse(elastic(data))


def test_a_lattice_of_other_noise_is_not_mistaken_for_the_image():
    """A prediction that was never moved back disagrees: the scores above do not come about by chance."""
    data = item(2)
    form = RandPolicyd(KEYS, policy("a run", 2, False), mode=MODES).set_random_state(0)
    assert dice(form(data)["label"], data["label"]) < 0.8 and noise(1).numel() == 1
