# SPDX-License-Identifier: Apache-2.0
"""A size or a spacing is one number, or one for each axis, wherever it is asked for; anything else is one sentence."""

import json

import numpy as np
import pytest
import torch
from workflows import config, message_of, parsed, read

from monai_cl_ext.arguments import per_axis, positive_integer
from monai_cl_ext.bundles import bundle_names
from monai_cl_ext.data import beside_slices, volume_transform
from monai_cl_ext.methods import GCLGlobal
from monai_cl_ext.networks import GCLUNet
from monai_cl_ext.transforms import RandPolicyd, RandWeakAugment, TwoViews, identity_policy, simclr_policy

STAGES = [
    (name, stage)
    for name in bundle_names()
    if name.endswith("segmentation")
    for stage in (*read(name, "metadata")["pretrain_stages"], "train", "inference")
]


@pytest.mark.parametrize("value", [6, np.int64(6), [6, 6], (6, 6), np.array([6, 6]), np.array(6), torch.Size([6, 6])])
def test_one_number_or_one_for_each_axis(value):
    found = per_axis(
        "size", value if not isinstance(value, np.ndarray) or value.ndim else value[()], 2, positive_integer
    )
    assert found == (6, 6) and all(type(number) is int for number in found)


@pytest.mark.parametrize("value", [[6], [6, 6, 6], (), "6", "66", [6, -1], 0, 6.5, None, [6, True], {6: 6}])
def test_anything_else_is_one_sentence(value):
    with pytest.raises(ValueError, match=r"^size must be .*, found "):
        per_axis("size", value, 2, positive_integer)


def test_the_slice_axis_is_left_alone():
    assert beside_slices("image_size", 96, 2) == [96, 96, -1]
    assert beside_slices("pixdim", [1.5, 2.5], 1) == [1.5, -1, 2.5]
    with pytest.raises(ValueError, match=r"image_size must be an integer"):
        beside_slices("image_size", 96.5, 2)


@pytest.mark.parametrize("name", ["image_size", "pixdim"])
def test_the_preparation_of_volumes(name):
    def last(value):
        step = volume_transform(**{name: value}).transforms[-1]
        return list(step.padder.padder.spatial_size if name == "image_size" else step.spacing_transform.pixdim)

    assert last(3) == last([3, 3]) == [3, 3, -1]
    with pytest.raises(ValueError, match=rf"{name} must be one number, or two, one for each axis, found \[3, 3, 3\]"):
        volume_transform(**{name: [3, 3, 3]})


def test_the_preparation_of_volumes_for_patches():
    """An anisotropic spacing of all three axes, in the order of the volume's axes."""
    transform = volume_transform(image_size=[6, 8, 4], pixdim=[1.5, 2, 3], slice_axis=None)
    spacing, size = transform.transforms[-2:]
    assert list(spacing.spacing_transform.pixdim) == [1.5, 2, 3]
    assert list(size.padder.padder.spatial_size) == [6, 8, 4]
    with pytest.raises(ValueError, match="pixdim must be one number, or three"):
        volume_transform(pixdim=[3, 3], slice_axis=None)


@pytest.mark.parametrize("dims", [2, 3])
def test_policies_and_monai_forms(dims):
    image, word = torch.rand(3, *[12] * dims), {2: "two", 3: "three"}[dims]
    for form in (
        lambda size: RandWeakAugment(size=size, spatial_dims=dims)(image),
        lambda size: RandPolicyd("image", simclr_policy(size, dims))({"image": image})["image"],
        lambda size: TwoViews(identity_policy(size, dims))(image)[1],
    ):
        assert form(8).shape == form([8] * dims).shape == (3, *[8] * dims)
        with pytest.raises(ValueError, match=rf"size must be one number, or {word}"):
            form([8] * (5 - dims))


def test_a_method_that_needs_the_size():
    assert GCLGlobal(GCLUNet(), image_size=64).head.state_dict().keys()
    with pytest.raises(ValueError, match="image_size must be one number, or two"):
        GCLGlobal(GCLUNet(), image_size=[64, 64, 64])


@pytest.mark.parametrize("bundle, stage", STAGES)
def test_the_settings_of_every_bundle(bundle, stage):
    def settings(**values):
        parser = parsed(bundle, stage, **values)
        names = ["volume_size", "volume_pixdim"]
        names += [name for name in ("inferer", "validate#inferer") if "@volume_size" in json.dumps(parser.get(name))]
        return [getattr(found, "roi_size", found) for found in map(parser.get_parsed_content, names)]

    assert "volume_size" in config(bundle, stage).read_text()
    one, each = settings(image_size=32, pixdim=2.0), settings(image_size=[32, 32], pixdim=[2.0, 2.0])
    assert one == each and one[:2] == [[32, 32, -1], [2.0, 2.0, -1]] and one[2:] in ([], [[32, 32]])
    assert settings(image_size=32, pixdim=[])[1] is settings(image_size=32, pixdim=None)[1] is None
    for name in ("image_size", "pixdim"):
        with pytest.raises(RuntimeError) as error:
            settings(**{name: [2, 2, 2]})
        assert name in message_of(error) and "found [2, 2, 2]" in message_of(error)
