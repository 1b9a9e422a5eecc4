# SPDX-License-Identifier: Apache-2.0
"""Images with a class each, as cross-entropy takes them."""

import pytest
import torch

from monai_cl_ext.transforms import Mirror, PrepareClassified, ViewPolicy, identity_policy


def batch():
    image = torch.rand(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return {"image": image, "class": torch.arange(8, dtype=torch.int32), "volume": torch.arange(8)}


def test_the_image_is_augmented_and_the_class_stays():
    flip = PrepareClassified(ViewPolicy([Mirror(-1)]), seed=1)
    image, label = flip(batch(), torch.device("cpu"), False)
    assert torch.equal(label, torch.arange(8)) and label.dtype == torch.int64
    kept = image.isclose(batch()["image"], atol=1e-5).flatten(1).all(dim=1)
    flipped = image.isclose(batch()["image"].flip(-1), atol=1e-5).flatten(1).all(dim=1)
    assert (kept ^ flipped).all() and kept.any() and flipped.any()
    again = PrepareClassified(ViewPolicy([Mirror(-1)]), seed=1)
    assert torch.equal(image, again(batch())[0]) and not torch.equal(image, again(batch())[0])
    again.set_epoch(0)
    assert torch.equal(image, again(batch())[0])


def test_an_evaluators_images_stay_as_they_are():
    image, _ = PrepareClassified(identity_policy())(batch(), memory_format=torch.channels_last)
    assert torch.equal(image, batch()["image"]) and image.is_contiguous(memory_format=torch.channels_last)


def test_a_batch_without_class_is_a_clear_error():
    with pytest.raises(KeyError, match="supervised training needs 'class' in the batch"):
        PrepareClassified(identity_policy())({"image": batch()["image"]})
