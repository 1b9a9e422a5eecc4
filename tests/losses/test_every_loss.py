# SPDX-License-Identifier: Apache-2.0
"""What holds of every public loss: MONAI's MetaTensors, and torch's meta device."""

import pytest
import torch
from every_loss import CALLS
from monai.data import MetaTensor

from monai_cl_ext import losses

NAMES = pytest.mark.parametrize("name", CALLS)
WITHOUT_GRADIENT = {"nearest_neighbor_components", "sinkhorn"}
BUILDING_BLOCKS = {"different", "same", "matching", "both_known", "sample_tags", "pair_matrices", "groupwise", "joint",
                   "pairwise", "Rule", "sigmoid_ramp_up", "uncertainty_threshold"}  # fmt: skip


def test_every_public_loss_has_a_call():
    assert {name.split()[0] for name in CALLS} == set(losses.__all__) - BUILDING_BLOCKS


def result(name, wrap=lambda tensor, index: tensor):
    """Value and gradients; ``wrap`` turns argument number ``index`` into what the loss is called with."""
    call = CALLS[name]
    views = [view.clone().requires_grad_() for view in call.views]
    value = call.on("cpu")(*(wrap(argument, index) for index, argument in enumerate([*views, *call.tags])))
    if value.requires_grad:
        value.backward()
    return value, [view.grad for view in views]


@NAMES
@pytest.mark.parametrize("which", ["all", "first", "even", "last"])
def test_metatensors_give_the_plain_loss_and_gradient(name, which):
    expected, gradients = result(name)
    count = len(CALLS[name].views) + len(CALLS[name].tags)
    chosen = {"all": range(count), "first": [0], "even": range(0, count, 2), "last": [count - 1]}[which]

    def wrap(tensor, index):
        if index not in chosen:
            return tensor
        collated = MetaTensor(tensor, meta={"filename_or_obj": ["a.nii"] * len(tensor)})
        collated.is_batch = True
        return collated

    value, found = result(name, wrap)
    assert type(value) is torch.Tensor and torch.equal(value, expected)
    assert any(gradient is not None for gradient in gradients) == (name not in WITHOUT_GRADIENT)
    for gradient, wanted in zip(found, gradients, strict=True):
        assert gradient is wanted is None or torch.equal(gradient, wanted)


@NAMES
def test_forward_and_backward_run_on_the_meta_device(name):
    """``.item()``, ``.cpu()``, ``nonzero`` and sums of tensors on two devices raise there; no loss needs them."""
    call = CALLS[name]
    views = [view.to("meta").requires_grad_() for view in call.views]
    value = call.on("meta")(*views, *(tag.to("meta") for tag in call.tags))
    assert value.device.type == "meta"
    if name not in WITHOUT_GRADIENT:
        value.backward()
        assert any(view.grad is not None for view in views)


@NAMES
@pytest.mark.parametrize("dtype, autocast", [(torch.float16, torch.bfloat16), (torch.bfloat16, torch.float16)])
def test_one_half_precision_under_autocast_of_the_other_gives_the_loss_of_float32(name, dtype, autocast):
    call = CALLS[name]
    views = call.views.to(dtype)
    expected = call.on("cpu")(*views.float(), *call.tags)
    with torch.autocast("cpu", autocast):
        found = call.on("cpu")(*views, *call.tags)
    # the first two give half precision, and the call of the third takes its softmax in it
    rounds = name.split()[0] in ("sharpen", "average_superpixel_map", "UncertaintyMaskedConsistencyLoss")
    rounded = 1e-2 if rounds else 1e-5
    torch.testing.assert_close(found.float(), expected.float(), rtol=rounded, atol=rounded)


@NAMES
def test_a_tag_on_another_device_is_an_error(name):
    call = CALLS[name]
    if not call.tags or name in ("average_superpixel_map", "PartitionContrastiveLoss gr"):
        pytest.skip("no tag, or none that is compared")
    with pytest.raises((ValueError, RuntimeError), match="device"):
        call.on("meta")(*(view.to("meta") for view in call.views), *call.tags)


@pytest.mark.parametrize(
    "loss", [losses.PyramidConsistencyLoss(), losses.MutualConsistencyLoss(), losses.CrossPseudoSupervisionLoss(),
             losses.DualTaskConsistencyLoss()],
)  # fmt: skip
def test_an_empty_batch_of_maps_costs_nothing(loss):
    first, second = torch.zeros(2, 0, 3, 8, 8).requires_grad_()
    given = {
        losses.CrossPseudoSupervisionLoss: (first, second),
        losses.DualTaskConsistencyLoss: (second[:, 1:], first),
    }.get(type(loss), ([first, second],))
    value = loss(*given)
    value.backward()
    assert value.item() == 0
