# SPDX-License-Identifier: Apache-2.0
"""View policies as MONAI array and dictionary transforms."""

import inspect
import pickle

import monai.transforms
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose, Flip, InvertibleTransform, MapTransform, RandomizableTransform
from operation_cases import channels_of, noise, operations, size_of, sometimes

import monai_cl_ext.transforms as ours
from monai_cl_ext.transforms import (
    CropResize,
    IntensityShift,
    Mirror,
    Operation,
    RandPolicy,
    RandPolicyd,
    Rotation,
    ViewPolicy,
    gcl_finetune_policy,
    strong_policy,
    weak_med_policy,
    weak_policy,
)

AUGMENTS = {"RandStrongAugment": strong_policy, "RandWeakAugment": weak_policy, "RandWeakMedAugment": weak_med_policy}
FORMS = [*AUGMENTS, "RandPolicy", "TwoViews", "Superpixel"]
each_augment = pytest.mark.parametrize("name", AUGMENTS)
each_operation = pytest.mark.parametrize("name", sorted(operations(2)))
each_dims = pytest.mark.parametrize("dims", [2, 3])
AFFINE = torch.tensor([[0, -1.5, 0, 10], [2.0, 0, 0, -4], [0, 0, 3, 7], [0, 0, 0, 1]], dtype=torch.float64)


def form_of(operation: Operation, dims: int = 2, mode: str = "bilinear") -> RandPolicy:
    return RandPolicy(ViewPolicy([operation], spatial_dims=dims), mode=mode)


def issubclass_of(value: object, base: type) -> bool:
    return inspect.isclass(value) and issubclass(value, base)


def test_no_public_name_is_monai_s_and_all_exist():
    assert set(ours.__all__) & set(dir(monai.transforms)) == set()
    assert set(ours.__all__) <= set(dir(ours)) and len(set(ours.__all__)) == len(ours.__all__)


@pytest.mark.parametrize("name", FORMS)
def test_monai_s_names_for_a_dictionary_transform_and_its_arguments(name):
    array, dictionary = getattr(ours, name), getattr(ours, f"{name}d")
    assert getattr(ours, f"{name}D") is getattr(ours, f"{name}Dict") is dictionary
    assert issubclass(dictionary, MapTransform) and not issubclass(array, MapTransform)
    found = list(inspect.signature(dictionary).parameters)
    assert found[0] == "keys" and "allow_missing_keys" in found and array.__doc__ and dictionary.__doc__
    if name.startswith("Rand"):
        assert issubclass(array, RandomizableTransform) and issubclass(dictionary, RandomizableTransform)
        assert "prob" in found and "prob" in inspect.signature(array).parameters
    if name != "Superpixel":
        assert issubclass(array, InvertibleTransform) and issubclass(dictionary, InvertibleTransform)


def test_only_monai_s_aliases_stand_beside_the_public_names():
    """So that no operation gets a second class again."""
    forms = {f"{name}{suffix}" for name in FORMS for suffix in ("", "d", "D", "Dict")}
    assert forms == {name for name in ours.__all__ if issubclass_of(getattr(ours, name), monai.transforms.Transform)}
    aliases = {f"{name}{suffix}" for name in FORMS for suffix in ("D", "Dict")}
    assert len(set(ours.__all__) - aliases) <= 69


@each_dims
@each_operation
def test_a_form_is_the_batched_policy_of_its_parameters(name, dims):
    form, again = (form_of(operations(dims)[name], dims).set_random_state(3) for _ in range(2))
    image = noise(channels_of(name), *size_of(dims))
    made = form(image)
    expected = form.policy.apply({"image": image[None]}, form.params)["image"]
    assert torch.equal(made.as_tensor(), expected[0])
    assert torch.equal(form(image, randomize=False), made)
    assert torch.equal(again(image), made)
    assert any(not torch.equal(again(image), made) for _ in range(10))
    copy = pickle.loads(pickle.dumps(again))
    assert torch.equal(copy(image), again(image))


@each_augment
def test_augment_forms_are_their_policies(name):
    array, dictionary = getattr(ours, name), getattr(ours, f"{name}d")
    label = torch.randint(5, (1, 40, 30), dtype=torch.uint8)
    item = {"image": MetaTensor(noise(3, 40, 30), affine=AFFINE), "label": label}
    form = dictionary(["image", "label"], size=16, crop=(0.2, 0.3), color=False, mode=["bilinear", "nearest"])
    made = form.set_random_state(2)(item)
    policy = AUGMENTS[name](16, crop=(0.2, 0.3), color=False)
    expected = policy.apply({"image": item["image"].as_tensor()[None], "label": label[None]}, form.params)
    assert torch.equal(made["image"].as_tensor(), expected["image"][0])
    assert torch.equal(made["label"].as_tensor(), expected["label"][0]) and made["label"].dtype == torch.uint8
    corner = made["image"].affine[:2, :2].abs().amax(dim=0)
    assert (corner < AFFINE[:2, :2].abs().amax(dim=0) * torch.tensor([40, 30]) / 16).all()  # a part of the image
    alone = array(size=16, crop=(0.2, 0.3), color=False).set_random_state(2)(item["image"])
    assert torch.equal(alone, made["image"]) and torch.equal(alone.affine, made["image"].affine)
    with pytest.raises(TypeError, match="brightnes"):
        array(brightnes=0.3)


@pytest.mark.parametrize("name", ["area_crop", "crop", "mirror", "rotation", "step_rotation", "scaling", "translation"])
@pytest.mark.parametrize("dims", [2, 3])
def test_a_marked_voxel_keeps_its_place_in_the_world(name, dims):
    """The center of mass of a blob, in world coordinates, before and after."""
    size = (60, 50) if dims == 2 else (40, 36, 30)
    places = torch.meshgrid(*[torch.arange(side, dtype=torch.float64) for side in size], indexing="ij")
    blob = torch.exp(-sum((place - side * 0.45) ** 2 for place, side in zip(places, size, strict=True)) / 8)
    operation = sometimes(operations(dims)[name], 1.0)
    policy = ViewPolicy([operation], spatial_dims=dims, padding_mode="zeros")
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
    found = form_of(Mirror((0, 2), spatial_dims=3, axis_probability=1.0), 3)(image)
    expected = Flip((0, 2))(image)
    torch.testing.assert_close(found.affine, expected.affine, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.as_tensor(), expected.as_tensor(), atol=2e-6, rtol=0)


def test_a_new_size_shows_in_the_affine():
    image = MetaTensor(noise(1, 20, 14), affine=AFFINE)
    small = RandPolicy(ViewPolicy([], size=(10, 7)))(image)
    assert small.shape == (1, 10, 7)
    corner = torch.tensor([-0.5, -0.5, 0, 1], dtype=torch.float64)  # the corner of the image, not of a voxel's center
    torch.testing.assert_close(small.affine @ corner, AFFINE @ corner)
    torch.testing.assert_close(small.affine[:2, :2], AFFINE[:2, :2] * 2)


def test_a_dictionary_shares_one_draw_and_reads_labels_nearest():
    label = torch.randint(5, (1, 20, 14), dtype=torch.uint8)
    item = {"image": noise(1, 20, 14), "other": noise(1, 20, 14), "label": label, "name": "case"}
    policy = ViewPolicy([Rotation(30), IntensityShift(5.0, 5.0)])
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
        RandPolicyd(["image", "label"], ViewPolicy([CropResize(0.5)]))(item)
    policy, modes = ViewPolicy([CropResize(0.5)]), ["bilinear", "nearest"]
    made = RandPolicyd(["image", "label"], policy, mode=modes, allow_missing_keys=True)(item)
    assert set(made) == {"image"} and made["image"].shape == (1, 20, 14)


def test_arrays_whole_numbers_and_plain_tensors():
    made = form_of(CropResize(0.5))(np.arange(280, dtype=np.int16).reshape(1, 20, 14))
    assert isinstance(made, MetaTensor) and made.dtype == torch.float32
    label = form_of(CropResize(0.5), mode="nearest")(np.ones((1, 20, 14), dtype=np.int16))
    assert label.dtype == torch.int16 and label.min() == 1
    volume = np.zeros((1, 6, 5, 4), dtype=np.float32)
    assert form_of(IntensityShift(1.0, 1.0))(volume).min() == 1  # without motion in any number of dimensions


def test_compose_seeds_the_forms_and_loader_workers_run_them():
    def pipeline() -> Compose:
        steps = [RandPolicyd(["image"], ViewPolicy([CropResize(0.5)])), RandPolicyd(["image"], gcl_finetune_policy())]
        return Compose(steps).set_random_state(11)

    item = {"image": noise(1, 24, 24)}
    assert torch.equal(pipeline()(item)["image"], pipeline()(item)["image"])
    loader = DataLoader(Dataset([item] * 4, pipeline()), batch_size=2, num_workers=1)
    batches = [batch["image"] for batch in loader]
    assert [tuple(batch.shape) for batch in batches] == [(2, 1, 24, 24)] * 2
    assert not torch.equal(batches[0][0], batches[0][1])


def test_metadata_are_kept_where_they_came_in():
    meta = {"filename_or_obj": "case.nii", "patient": 7}
    item = {"image": MetaTensor(noise(1, 20, 14), affine=AFFINE, meta=meta), "other": noise(1, 20, 14)}
    made = RandPolicyd(["image", "other"], ViewPolicy([IntensityShift(0.5, 0.5)]))(item)
    assert made["image"].meta["filename_or_obj"] == "case.nii" and made["image"].meta["patient"] == 7
    assert torch.equal(made["image"].affine, AFFINE) and not item["image"].applied_operations
    views = ours.TwoViews(ViewPolicy([Rotation(90)]))(item["image"])
    for view in (*views, *(ours.TwoViewsd("image", gcl_finetune_policy())(item)[f"image_{i}"] for i in (1, 2))):
        assert isinstance(view, MetaTensor) and view.meta["filename_or_obj"] == "case.nii"


def test_strange_modes_are_refused():
    with pytest.raises(ValueError, match="mode"):
        form_of(Rotation(10), mode="bicubic")
    with pytest.raises(ValueError):
        RandPolicyd(["a", "b"], ViewPolicy([Mirror()]), mode=["nearest"] * 3)
