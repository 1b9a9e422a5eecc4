# SPDX-License-Identifier: Apache-2.0
"""The operations as MONAI array and dictionary transforms."""

import inspect
import pickle

import monai.transforms
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose, Flip, MapTransform, RandomizableTransform
from operation_cases import noise, operations

import monai_cl_ext.transforms as ours
from monai_cl_ext.transforms import (
    Brightness,
    Mirror,
    RandBrightness,
    RandCropResize,
    RandCropResized,
    RandMirror,
    RandPolicy,
    RandPolicyd,
    RandRotation,
    Rotation,
    ViewPolicy,
    gcl_finetune_policy,
    strong_policy,
    weak_med_policy,
    weak_policy,
)

ARGUMENTS = {
    "AdditiveNoise": (0.1, 0.2),
    "AreaCropResize": ((0.3, 0.6),),
    "Brightness": (-0.3, 0.3),
    "Contrast": (0.7, 1.3),
    "CropResize": (0.6,),
    "ElasticDeformation": (0.05,),
    "GaussianBlur": (0.5, 2.0),
    "Greyscale": (1.0,),
    "Hue": (0.4,),
    "IntensityScaling": (0.5, 1.5),
    "Mirror": ((0, 1),),
    "PolynomialBiasField": (0.0, 0.3),
    "Rotation": (40.0,),
    "Saturation": (0.2, 1.8),
    "Scaling": (0.6, 1.6),
    "Solarisation": (0.5, 0.5),
    "Translation": (0.2,),
    "Turn": (45.0,),
}
FORMS = list(ARGUMENTS)
AUGMENTS = {"Strong": strong_policy, "Weak": weak_policy, "WeakMed": weak_med_policy}
each_augment = pytest.mark.parametrize("name", AUGMENTS)
each_form = pytest.mark.parametrize("name", FORMS)
AFFINE = torch.tensor([[0, -1.5, 0, 10], [2.0, 0, 0, -4], [0, 0, 3, 7], [0, 0, 0, 1]], dtype=torch.float64)


def test_no_public_name_is_monai_s():
    assert set(ours.__all__) & set(dir(monai.transforms)) == set()
    assert set(ours.__all__) <= set(dir(ours))


@each_form
def test_monai_s_three_names_and_the_operation_s_arguments(name):
    array, dictionary = getattr(ours, f"Rand{name}"), getattr(ours, f"Rand{name}d")
    assert getattr(ours, f"Rand{name}D") is getattr(ours, f"Rand{name}Dict") is dictionary
    assert issubclass(array, RandomizableTransform) and issubclass(dictionary, MapTransform)
    own = list(inspect.signature(getattr(ours, name)).parameters)
    assert list(inspect.signature(array).parameters) == [*own, "mode"]
    assert list(inspect.signature(dictionary).parameters) == ["keys", *own, "mode", "allow_missing_keys"]
    assert array.__doc__ and dictionary.__doc__


@each_form
def test_a_form_is_the_batched_operation_of_its_parameters(name):
    form = getattr(ours, f"Rand{name}")(*ARGUMENTS[name]).set_random_state(3)
    image = noise(3, 20, 14)
    made = form(image)
    expected = ViewPolicy([getattr(ours, name)(*ARGUMENTS[name])]).apply({"image": image[None]}, form.params)["image"]
    assert torch.equal(made.as_tensor(), expected[0])
    assert torch.equal(form(image, randomize=False), made)
    again = getattr(ours, f"Rand{name}")(*ARGUMENTS[name]).set_random_state(3)
    assert torch.equal(again(image), made)
    assert name == "Greyscale" or any(not torch.equal(again(image), made) for _ in range(10))


@each_augment
def test_augment_forms_are_their_policies(name):
    array, dictionary = getattr(ours, f"Rand{name}Augment"), getattr(ours, f"Rand{name}Augmentd")
    assert getattr(ours, f"Rand{name}AugmentD") is getattr(ours, f"Rand{name}AugmentDict") is dictionary
    for form, before, after in ((array, [], ["mode"]), (dictionary, ["keys"], ["mode", "allow_missing_keys"])):
        own = inspect.signature(AUGMENTS[name]).parameters
        assert sorted(inspect.signature(form).parameters) == sorted([*before, *own, *after]) and form.__doc__
    label = torch.randint(5, (1, 40, 30), dtype=torch.uint8)
    item = {"image": MetaTensor(noise(3, 40, 30), affine=AFFINE), "label": label}
    form = dictionary(["image", "label"], 16, crop=(0.2, 0.3), saturation=0.5, mode=["bilinear", "nearest"])
    made = form.set_random_state(2)(item)
    policy = AUGMENTS[name](16, crop=(0.2, 0.3), saturation=0.5)
    expected = policy.apply({"image": item["image"].as_tensor()[None], "label": label[None]}, form.params)
    assert torch.equal(made["image"].as_tensor(), expected["image"][0])
    assert torch.equal(made["label"].as_tensor(), expected["label"][0]) and made["label"].dtype == torch.uint8
    corner = made["image"].affine[:2, :2].abs().amax(dim=0)
    assert (corner < AFFINE[:2, :2].abs().amax(dim=0) * torch.tensor([40, 30]) / 16).all()  # a part of the image
    alone = array(16, crop=(0.2, 0.3), saturation=0.5).set_random_state(2)(item["image"])
    assert torch.equal(alone, made["image"]) and torch.equal(alone.affine, made["image"].affine)


@pytest.mark.parametrize("name", ["area_crop", "crop", "mirror", "rotation", "turn", "scaling", "translation"])
@pytest.mark.parametrize("dims", [2, 3])
def test_a_marked_voxel_keeps_its_place_in_the_world(name, dims):
    """The centre of mass of a blob, in world coordinates, before and after."""
    size = (60, 50) if dims == 2 else (40, 36, 30)
    places = torch.meshgrid(*[torch.arange(side, dtype=torch.float64) for side in size], indexing="ij")
    blob = torch.exp(-sum((place - side * 0.45) ** 2 for place, side in zip(places, size, strict=True)) / 8)
    operation = operations(dims)[name]
    operation.probability = 1.0
    policy = ViewPolicy([operation], spatial_dims=dims, padding="zeros")
    image = MetaTensor(blob[None], affine=AFFINE)
    moved = RandPolicy(policy).set_random_state(1)(image)

    def in_the_world(volume: MetaTensor) -> torch.Tensor:
        mass = volume.as_tensor()[0]
        voxel = [(mass * place).sum() / mass.sum() for place in places]
        return volume.affine.double() @ torch.tensor([*voxel, *[0.0] * (3 - dims), 1.0], dtype=torch.float64)

    assert not torch.allclose(moved.affine, image.affine, atol=1e-3)
    torch.testing.assert_close(in_the_world(moved), in_the_world(image), atol=0.02, rtol=0)
    assert torch.equal(image.affine, AFFINE)


def test_the_affine_of_a_mirror_is_monai_s_flip():
    image = MetaTensor(noise(1, 12, 9, 7), affine=AFFINE)
    found = RandMirror((0, 2), spatial_dims=3, probability=1.0)(image)
    expected = Flip((0, 2))(image)
    torch.testing.assert_close(found.affine, expected.affine, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.as_tensor(), expected.as_tensor(), atol=2e-6, rtol=0)


def test_a_new_size_shows_in_the_affine():
    image = MetaTensor(noise(1, 20, 14), affine=AFFINE)
    small = RandPolicy(ViewPolicy([], size=(10, 7)))(image)
    assert small.shape == (1, 10, 7)
    corner = torch.tensor([-0.5, -0.5, 0, 1], dtype=torch.float64)  # the corner of the image, not of a voxel's centre
    torch.testing.assert_close(small.affine @ corner, AFFINE @ corner)
    torch.testing.assert_close(small.affine[:2, :2], AFFINE[:2, :2] * 2)


def test_a_dictionary_shares_one_draw_and_reads_labels_nearest():
    label = torch.randint(5, (1, 20, 14), dtype=torch.uint8)
    item = {"image": noise(1, 20, 14), "other": noise(1, 20, 14), "label": label, "name": "case"}
    policy = ViewPolicy([Rotation(30), Brightness(5.0, 5.0)])
    form = RandPolicyd(["image", "other", "label"], policy, mode=["bilinear", "bilinear", "nearest"])
    made = form.set_random_state(0)(item)
    assert torch.equal(made["image"], made["other"]) and made["image"].min() > 4 and made["name"] == "case"
    assert made["label"].dtype == torch.uint8 and set(made["label"].unique().tolist()) <= set(range(5))
    expected = policy.apply({"image": item["image"][None], "label": label[None]}, form.params)
    assert torch.equal(made["label"].as_tensor(), expected["label"][0])
    assert torch.equal(item["label"], label)


def test_missing_keys_raise_unless_allowed():
    item = {"image": noise(1, 20, 14)}
    with pytest.raises(KeyError, match="label"):
        RandCropResized(["image", "label"], 0.5)(item)
    made = RandCropResized(["image", "label"], 0.5, mode=["bilinear", "nearest"], allow_missing_keys=True)(item)
    assert set(made) == {"image"} and made["image"].shape == (1, 20, 14)


def test_arrays_whole_numbers_and_plain_tensors():
    made = RandCropResize(0.5)(np.arange(280, dtype=np.int16).reshape(1, 20, 14))
    assert isinstance(made, MetaTensor) and made.dtype == torch.float32
    label = RandCropResize(0.5, mode="nearest")(np.ones((1, 20, 14), dtype=np.int16))
    assert label.dtype == torch.int16 and label.min() == 1
    assert RandBrightness(1.0, 1.0)(np.zeros((1, 6, 5, 4), dtype=np.float32)).min() == 1  # intensities in 3D as well


def test_compose_seeds_the_forms_and_loader_workers_run_them():
    def pipeline() -> Compose:
        steps = [RandCropResized(["image"], 0.5), RandPolicyd(["image"], gcl_finetune_policy())]
        return Compose(steps).set_random_state(11)

    item = {"image": noise(1, 24, 24)}
    assert torch.equal(pipeline()(item)["image"], pipeline()(item)["image"])
    loader = DataLoader(Dataset([item] * 4, pipeline()), batch_size=2, num_workers=1)
    batches = [batch["image"] for batch in loader]
    assert [tuple(batch.shape) for batch in batches] == [(2, 1, 24, 24)] * 2
    assert not torch.equal(batches[0][0], batches[0][1])


@each_form
def test_forms_survive_pickling(name):
    form = getattr(ours, f"Rand{name}d")(["image"], *ARGUMENTS[name]).set_random_state(5)
    copy, item = pickle.loads(pickle.dumps(form)), {"image": noise(3, 20, 14)}
    assert torch.equal(form(item)["image"], copy(item)["image"])


def test_strange_modes_are_refused():
    with pytest.raises(ValueError, match="mode"):
        RandRotation(10, mode="bicubic")
    with pytest.raises(ValueError):
        RandPolicyd(["a", "b"], ViewPolicy([Mirror()]), mode=["nearest"] * 3)
