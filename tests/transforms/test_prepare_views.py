# SPDX-License-Identifier: Apache-2.0
"""From collated batches to views, tags, augmented images and labels."""

from functools import partial

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.engines import PrepareBatch
from operation_cases import noise

from monai_cl_ext import seeds
from monai_cl_ext.transforms import (
    ElasticDeformation,
    IntensityShift,
    Mirror,
    PrepareImage,
    PrepareViews,
    RandStrongAugmentd,
    Rotation,
    ViewPolicy,
    batched_slic,
    gcl_finetune_policy,
    gcl_policy,
    identity_policy,
)


def batch(label: bool = True) -> dict[str, torch.Tensor]:
    items = {
        "image": noise(6, 1, 24, 24),
        "label": torch.randint(4, (6, 1, 24, 24), dtype=torch.uint8),
        "volume": torch.arange(6),
        "position": torch.linspace(0.1, 1.0, 6, dtype=torch.float64),
        "partition": torch.arange(6) % 4,
    }
    if not label:
        del items["label"]
    return items


def prepare(seed: int = 0) -> PrepareViews:
    return PrepareViews([identity_policy(), gcl_policy(), gcl_policy()], seed=seed)


def images(prepared) -> torch.Tensor:
    return torch.stack([view["image"] for view in prepared[0]])


def test_views_and_tags_in_monai_s_form():
    data = batch()
    made, tags, args, kwargs = prepare()(data, torch.device("cpu"), False)
    assert isinstance(prepare(), PrepareBatch)
    assert [set(view) for view in made] == [{"image", "label"}] * 3
    assert torch.equal(made[0]["image"], data["image"])
    assert not torch.allclose(made[1]["image"], made[2]["image"])
    assert set(tags) == {"volume", "position", "partition"} and args == (tags,) and kwargs == {}
    assert all(torch.equal(tags[name], data[name]) and tags[name].dtype == data[name].dtype for name in tags)


def test_tags_that_the_dataset_lacks_are_left_out():
    made, tags, _, _ = prepare()({"image": noise(2, 1, 24, 24), "volume": torch.arange(2)})
    assert set(tags) == {"volume"} and [set(view) for view in made] == [{"image"}] * 3


def test_views_are_a_function_of_seed_and_epoch():
    first, again, later, other_seed = (prepare(seed) for seed in (5, 5, 5, 6))
    first(batch())  # what was drawn before an epoch began leaves no trace in it
    for views_of, epoch in ((first, 3), (again, 3), (later, 4), (other_seed, 3)):
        views_of.set_epoch(epoch)
    one, two = images(first(batch())), images(first(batch()))
    assert torch.equal(one, images(again(batch()))) and torch.equal(two, images(again(batch())))
    assert not torch.allclose(one[1:], two[1:])
    assert not torch.allclose(one[1:], images(later(batch()))[1:])
    assert not torch.allclose(one[1:], images(other_seed(batch()))[1:])


def test_ranks_draw_differently_and_no_sum_of_numbers_collides(monkeypatch):
    draws = []
    for rank in range(4):
        monkeypatch.setattr(seeds, "rank", lambda rank=rank: rank)
        for seed in range(4):
            for epoch in range(4):
                made = prepare(seed)
                made.set_epoch(epoch)
                draws.append(torch.rand(1, generator=made.generator()).item())
    assert len(set(draws)) == 64


def test_the_views_draw_other_numbers_than_the_trainer():
    """EpochSeed seeds torch itself from (seed, rank, epoch); a view must not repeat its stream."""
    from monai_cl_ext.seeds import mix_seed

    made = prepare(7)
    made.set_epoch(2)
    assert made.generator().initial_seed() != mix_seed(7, 0, 2)


def test_a_view_can_be_made_from_another():
    brighter = ViewPolicy([IntensityShift(1.0, 1.0)])
    made, _, _, _ = PrepareViews([brighter, brighter, brighter], made_from=[None, 0, None])(batch())
    for view, offset in zip(made, (1.0, 2.0, 1.0), strict=True):
        torch.testing.assert_close(view["image"], batch()["image"] + offset)


# superpixels


def blocks(rows: int = 24, columns: int = 24, side: int = 6) -> torch.Tensor:
    """A map (rows, columns) of square segments, no two of one number."""
    return torch.arange(rows)[:, None] // side * (columns // side) + torch.arange(columns) // side


def block_images() -> dict[str, torch.Tensor]:
    """Images (6, 1, 24, 24) that show the number of each pixel's block, shuffled in each image, and a cached map."""
    numbers = torch.stack([torch.randperm(16, generator=torch.Generator().manual_seed(i))[blocks()] for i in range(6)])
    return {"image": numbers[:, None].float() + 1, "superpixel": torch.full((6, 1, 24, 24), 99, dtype=torch.int32)}


def test_each_view_of_the_batch_has_the_map_of_its_own_image():
    prepared = PrepareViews([gcl_policy(), gcl_policy()], superpixels=partial(batched_slic, n_segments=9), seed=1)
    made = prepared(block_images())[0]
    for view in made:
        assert torch.equal(view["superpixel"][:, 0], batched_slic(view["image"], n_segments=9))
        assert view["superpixel"].dtype == torch.int32
    assert not torch.equal(made[0]["superpixel"], made[1]["superpixel"])


@pytest.mark.parametrize("channel", [True, False])
def test_a_map_may_come_with_or_without_a_channel(channel):
    data = block_images()
    expected = data["image"].long()
    (view,), *_ = PrepareViews(
        [identity_policy()], superpixels=lambda images: images.long() if channel else images[:, 0].long()
    )(data)
    assert torch.equal(view["superpixel"], expected) and (data["superpixel"] == 99).all()


def test_views_made_from_others_carry_their_maps_along():
    """The image shows the number of its pixel's segment: inside a block, wherever it went, the map says the same."""
    brighter = ViewPolicy([IntensityShift(0.25, 0.25)])
    spatial = ViewPolicy([Mirror((0, 1)), Rotation(40.0), ElasticDeformation(0.05, 3)], padding_mode="zeros")
    seen = []

    def segments(images):
        seen.append(images)
        return images.round().int()

    prepared = PrepareViews([brighter, brighter, spatial, spatial], [None, None, 0, 1], seed=3, superpixels=segments)
    first, second, third, fourth = prepared(block_images())[0]
    assert len(seen) == 2 and seen[0] is first["image"] and seen[1] is second["image"]
    for source, view in ((first, third), (second, fourth)):
        shown = view["image"] - 0.25
        inside = ((shown - shown.round()).abs() < 1e-4) & (shown > 0.5)
        assert inside.float().mean() > 0.4
        assert (view["superpixel"] == shown.round())[inside].float().mean() > 0.999
        assert view["superpixel"].dtype == torch.int32 and not torch.equal(view["superpixel"], source["superpixel"])
    assert not torch.equal(third["superpixel"], fourth["superpixel"])


def test_without_a_function_the_cached_map_moves_with_the_image():
    data = block_images()
    data["superpixel"] = data["image"].int()
    flip = ViewPolicy([Mirror((1,), axis_probability=1.0)])
    (view, again), *_ = PrepareViews([flip, flip], [None, 0])(data)
    assert torch.equal(view["superpixel"], data["superpixel"].flip(3))
    assert torch.equal(view["superpixel"], view["image"].round().int()) and torch.equal(
        again["superpixel"], data["superpixel"]
    )


@pytest.mark.parametrize(
    "wrong", [lambda images: images, lambda images: images[0].long(), lambda images: images[:, 0, 1:].long()]
)
def test_maps_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match=r"superpixels must give integers \(6, 24, 24\)"):
        PrepareViews([identity_policy()], superpixels=wrong)(block_images())


def test_a_bundle_s_configuration_makes_superpixels():
    slic = {"_target_": "monai_cl_ext.transforms.batched_slic", "_mode_": "callable", "n_segments": 4}
    policy = {"_target_": "monai_cl_ext.transforms.identity_policy"}
    config = {"views": {"_target_": "monai_cl_ext.transforms.PrepareViews", "policies": [policy], "superpixels": slic}}
    (view,), *_ = ConfigParser(config).get_parsed_content("views")(block_images())
    assert torch.equal(view["superpixel"][:, 0], batched_slic(block_images()["image"], n_segments=4))


# bad input, metatensors and labels


@pytest.mark.parametrize("made_from", [[None], [0, None, None], [None, 2, 0], [None, -1, 0]])
def test_a_view_made_from_a_later_one_is_refused(made_from):
    with pytest.raises(ValueError, match="made_from"):
        PrepareViews([identity_policy()] * 3, made_from=made_from)


def test_metatensors_whole_numbers_and_memory_format():
    data = batch() | {"image": MetaTensor(torch.randint(255, (6, 3, 24, 24)))}
    made, _, _, _ = prepare()(data, "cpu", memory_format=torch.channels_last)
    image = made[0]["image"]
    assert type(image) is torch.Tensor and image.dtype == torch.float32
    assert image.is_contiguous(memory_format=torch.channels_last)


def test_masks_of_several_channels_may_be_soft_and_classes_may_not():
    masks = torch.rand(4, 3, 8, 8)
    views = PrepareViews([identity_policy()])
    assert torch.equal(views({"image": torch.rand(4, 1, 8, 8), "label": masks})[0][0]["label"], masks)
    with pytest.raises(ValueError, match="label: expected class numbers, found 0"):
        views({"image": torch.rand(4, 1, 8, 8), "label": masks[:, :1]})


def test_every_tensor_that_is_no_map_is_a_tag():
    data = batch() | {"class": torch.arange(6), "position": torch.rand(6, 3), "name": list("abcdef")}
    _, tags, (again,), _ = prepare()(data)
    assert set(tags) == {"volume", "position", "partition", "class"} & set(data) and again is tags
    assert tags["position"].shape == (6, 3) and torch.equal(tags["class"], torch.arange(6))


def test_an_evaluator_gets_the_image_under_a_policy_and_its_target():
    data = {"image": torch.rand(4, 1, 8, 8), "class": torch.tensor([1, 0, 2, 1], dtype=torch.int32)}
    image, target = PrepareImage(gcl_finetune_policy(size=[6, 6]), "class")(data, "cpu")
    assert image.shape == (4, 1, 6, 6) and target.dtype == torch.int64 and target.tolist() == [1, 0, 2, 1]
    with pytest.raises(KeyError, match=r"expected 'class' in the batch, found \['image'\]"):
        PrepareImage(identity_policy(), "class")({"image": data["image"]})


def test_a_batch_without_images_is_a_clear_error():
    with pytest.raises(KeyError, match="no 'image'"):
        prepare()({"volume": torch.arange(3)})


# bad input, metatensors and labels


def test_a_bundle_s_configuration_makes_them():
    policy = {"_target_": "monai_cl_ext.transforms.gcl_policy", "size": [16, 12], "location": [0.0, 1.0]}
    config = {"views": {"_target_": "monai_cl_ext.transforms.PrepareViews", "policies": [policy, policy], "seed": 3}}
    made = ConfigParser(config).get_parsed_content("views")(batch())[0]
    assert [tuple(view["image"].shape) for view in made] == [(6, 1, 16, 12)] * 2


def test_what_is_no_list_of_policies_is_refused():
    with pytest.raises(TypeError, match=r"found one ViewPolicy: give \[policy\] \* 2"):
        PrepareViews(gcl_policy())
    with pytest.raises(TypeError, match=r"found RandStrongAugmentd: .* strong_policy\(\) in place of"):
        PrepareViews([RandStrongAugmentd("image")])


@pytest.mark.parametrize("name", ["image", "label"])
def test_maps_that_are_no_tensors_are_refused(name):
    batch = {"image": torch.rand(2, 1, 8, 8), "label": torch.zeros(2, 1, 8, 8)}
    with pytest.raises(TypeError, match=rf"the batch's '{name}' must be a tensor .*found ndarray: give torch"):
        PrepareViews([identity_policy()])({**batch, name: batch[name].numpy()})
