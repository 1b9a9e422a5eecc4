# SPDX-License-Identifier: Apache-2.0
"""Two views of an item: two draws, all keys of a view alike, the original as it was."""

import pickle

import pytest
import torch
from monai.data import CacheDataset, DataLoader, MetaTensor
from monai.transforms import (
    Compose,
    EnsureTyped,
    Flip,
    OneOf,
    RandAffined,
    RandFlip,
    RandFlipd,
    RandGaussianNoise,
    RandGaussianNoised,
    RandLambdad,
    RandRotated,
    RandSimulateLowResolutiond,
    ScaleIntensityd,
)
from operation_cases import noise

from monai_cl_ext.transforms import (
    RandPolicy,
    RandPolicyd,
    Rotation,
    TwoViewsD,
    TwoViewsd,
    TwoViewsDict,
    ViewPolicy,
    gcl_intensity_policy,
    weak_med_policy,
)

AFFINE = torch.diag(torch.tensor([2.0, 3.0, 1.0, 1.0], dtype=torch.float64))
TRANSFORMS = {
    "policy": lambda: ViewPolicy([Rotation(90)]),
    "weak_med": lambda: weak_med_policy(),
    "ours, array": lambda: RandPolicy(ViewPolicy([Rotation(90)])),
    "ours, dictionary": lambda: RandPolicyd(["image", "twin"], ViewPolicy([Rotation(90)])),
    "array": lambda: RandGaussianNoise(prob=1.0),
    "dictionary": lambda: RandAffined(["image", "twin"], prob=1.0, rotate_range=1.0, padding_mode="zeros"),
    "composed": lambda: Compose([RandRotated(["image", "twin"], 1.0, prob=1.0), ScaleIntensityd(["image", "twin"])]),
    "composed, array": lambda: Compose([RandGaussianNoise(prob=1.0), RandFlip(0.5)]),
}
each_transform = pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS.keys())


def item() -> dict:
    image = MetaTensor(noise(3, 24, 24), affine=AFFINE)
    return {"image": image, "twin": image.clone(), "name": "case"}


@each_transform
def test_two_different_views_in_which_keys_agree_and_the_original_stays(make):
    data = item()
    before = data["image"].clone()
    made = TwoViewsd(["image", "twin"], make()).set_random_state(0)(data)
    assert set(made) == {"image", "twin", "name", "image_1", "image_2", "twin_1", "twin_2"}
    assert made["image"] is data["image"] and torch.equal(data["image"], before)
    assert not data["image"].applied_operations and torch.equal(data["image"].affine, AFFINE)
    assert not torch.allclose(made["image_1"], made["image_2"], atol=1e-3)
    for view in ("1", "2"):
        assert torch.equal(made[f"image_{view}"], made[f"twin_{view}"])
        assert not torch.allclose(made[f"image_{view}"].as_tensor(), before.as_tensor(), atol=1e-3)


@each_transform
def test_the_random_state_decides_the_views(make):
    form, again = (TwoViewsd(["image", "twin"], make()).set_random_state(4) for _ in range(2))
    first = form(item())
    assert torch.equal(again(item())["image_2"], first["image_2"])
    other = form(item())
    views = [first["image_1"], first["image_2"], other["image_1"], other["image_2"]]
    pairs = [(one, two) for number, one in enumerate(views) for two in views[number + 1 :]]
    assert not any(torch.allclose(one, two, atol=1e-3) for one, two in pairs)
    assert torch.equal(pickle.loads(pickle.dumps(form))(item())["image_1"], form(item())["image_1"])


def test_labels_move_with_their_images_and_read_nearest():
    label = torch.randint(5, (1, 24, 24), dtype=torch.uint8)
    policy = ViewPolicy([Rotation(90)], padding_mode="zeros")
    data = {"image": label.float(), "label": label}
    made = TwoViewsd(["image", "label"], policy, mode=["nearest", "nearest"]).set_random_state(0)(data)
    for view in ("1", "2"):
        assert torch.equal(made[f"image_{view}"].byte(), made[f"label_{view}"])
        assert made[f"label_{view}"].dtype == torch.uint8


@pytest.mark.parametrize("name", ["policy", "dictionary"])
def test_the_affine_of_each_view_keeps_a_blob_at_its_place_in_the_world(name):
    places = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    blob = torch.exp(-((places[0] - 10) ** 2 + (places[1] - 13) ** 2) / 8)[None]
    data = {"image": MetaTensor(blob, affine=AFFINE), "twin": blob}
    keys = ["image"] if name == "policy" else ["image", "twin"]
    views = TwoViewsd(keys, TRANSFORMS[name]()).set_random_state(1)(data)

    def in_the_world(image: MetaTensor) -> torch.Tensor:
        mass = image.as_tensor()[0]
        voxel = [float((mass * place).sum() / mass.sum()) for place in places]
        return image.affine.double() @ torch.tensor([*voxel, 0.0, 1.0], dtype=torch.float64)

    assert not torch.allclose(views["image_1"].affine, views["image_2"].affine, atol=1e-3)
    for view in ("1", "2"):
        torch.testing.assert_close(in_the_world(views[f"image_{view}"]), in_the_world(data["image"]), atol=0.1, rtol=0)


def test_missing_keys_raise_unless_allowed_and_nothing_is_written_over():
    with pytest.raises(KeyError, match="label"):
        TwoViewsd(["image", "label"], weak_med_policy())(item())
    made = TwoViewsd(["image", "label"], weak_med_policy(), allow_missing_keys=True)(item())
    assert {"image_1", "image_2"} < set(made) and "label_1" not in made
    with pytest.raises(KeyError, match="image_1"):
        TwoViewsd("image", weak_med_policy())({**item(), "image_1": 0})


@pytest.mark.parametrize("transform", [Flip(0), torch.nn.Identity(), lambda image: image, None])
def test_what_draws_nothing_is_refused(transform):
    with pytest.raises(TypeError, match="random MONAI transform"):
        TwoViewsd("image", transform)


def test_names_and_its_place_in_a_pipeline():
    assert TwoViewsD is TwoViewsDict is TwoViewsd
    pipeline = Compose([ScaleIntensityd("image"), TwoViewsd("image", RandGaussianNoised("image", prob=1.0))])
    dataset = CacheDataset([{"image": noise(1, 8, 8)}] * 3, pipeline, progress=False)
    views = [(batch["image_1"], batch["image_2"]) for _ in range(2) for batch in DataLoader(dataset, batch_size=3)]
    (first, second), (later, _) = views
    assert first.shape == (3, 1, 8, 8)
    assert not torch.allclose(first, second) and not torch.allclose(first, later)
    assert not torch.allclose(first[0], first[1])


@pytest.mark.parametrize(
    "transform",
    [
        RandFlipd("image", prob=1.0),
        Compose([RandGaussianNoised("image"), OneOf([RandFlipd("image"), RandRotated(["image", "label"])])]),
        RandPolicyd("image", ViewPolicy([Rotation(10.0)])),
    ],
)
def test_a_transform_that_would_move_the_image_without_its_label_is_refused(transform):
    with pytest.raises(ValueError, match=r"keys \['image'\], expected \['image', 'label'\] .*: \['label'\] would stay"):
        TwoViewsd(["image", "label"], transform)


def test_intensities_of_the_image_alone_may_change():
    item = {"image": noise(1, 8, 8), "label": (noise(1, 8, 8) > 0.5).byte()}
    steps = [
        RandFlipd(["image", "label"], prob=1.0), RandGaussianNoised("image", prob=1.0), EnsureTyped("image"),
        RandPolicyd("image", gcl_intensity_policy()),
    ]  # fmt: skip
    TwoViewsd(["image", "label"], RandSimulateLowResolutiond("image"))
    made = TwoViewsd(["image", "label"], Compose(steps))(item)
    assert torch.equal(made["label_1"], item["label"].flip(1, 2)) and not torch.equal(made["image_1"], item["image"])


def test_a_function_of_the_callers_is_warned_of():
    with pytest.warns(UserWarning, match=r"RandLambdad has the keys \['image'\], .*: be sure that it moves no voxel"):
        TwoViewsd(["image", "label"], RandLambdad("image", torch.sqrt))
