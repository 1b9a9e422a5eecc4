# SPDX-License-Identifier: Apache-2.0
"""Every method on patches of volumes whose sides all differ: a step of training with the policies of its bundle."""

import pytest
import torch
from every_method import CALLS, ROWS, batch, multiples_of_32
from monai.data import MetaTensor
from torch import Tensor

from monai_cl_ext.methods import Method
from monai_cl_ext.networks import patch_discriminator
from monai_cl_ext.transforms import PrepareViews


def patches(kind=torch.clone, dims: int = 3) -> dict[str, Tensor]:
    """A batch of patches, whose positions are their centers."""
    position = torch.rand(ROWS, dims, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return {name: kind(value) for name, value in {**batch(dims), "position": position}.items()}


def with_meta(tensor: Tensor) -> Tensor:
    if tensor.ndim < 5:
        return MetaTensor(tensor)
    return MetaTensor(tensor, affine=torch.diag(torch.tensor([0.5, 1.0, 5.0, 1.0], dtype=torch.float64)))


def begun(name: str, data: dict[str, Tensor], dims: int = 3) -> tuple[Method, list, dict]:
    """A method with equal weights in every call, and the views and tags of a batch."""
    case = CALLS[name]
    torch.manual_seed(0)
    method = case.make(dims)
    if name == "Supervised of classes":
        method.network(torch.zeros(ROWS, 1, *case.policies(dims)[0].size))  # a lazy layer takes its width
    prepare = PrepareViews(case.policies(dims), **case.views)
    prepare.set_epoch(1)
    method.set_epoch(1)
    views, tags, *_ = prepare(data)
    torch.manual_seed(1)
    return method, views, tags


def trained(method: Method) -> list[Tensor]:
    return [parameter for parameter in method.parameters() if parameter.requires_grad]


@pytest.mark.parametrize("name", CALLS)
def test_steps_of_training_reach_the_first_layer_that_is_trained(name):
    method, views, tags = begun(name, patches())
    sides = [tuple(view["image"].shape[2:]) for view in views]
    assert all(len({*side}) > 1 and min(side) <= max(side) / 2 for side in sides)  # no cubes
    optimizer = torch.optim.SGD(trained(method), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        losses = method(views, tags)
        losses["loss"].backward()
        assert all(value.isfinite() and value.ndim == 0 for value in losses.values())
        gradients = [parameter.grad for parameter in trained(method)]
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
        kernels = [gradient for gradient in gradients if gradient.ndim == 5]
        assert (kernels or gradients)[0].abs().max() > 0
        optimizer.step()
        method.after_step()
        method.iteration += 1
    assert all(weight.isfinite().all() for weight in method.predictor.state_dict().values())
    method.pairs(views, tags)
    if type(method).embed is not Method.embed:
        assert method.eval().embed(views[0]["image"]).shape[0] == ROWS


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_metatensors_give_what_plain_tensors_give(name):
    expected, found = (
        method(views, tags)["loss"]
        for method, views, tags in (begun(name, patches(kind)) for kind in (torch.clone, with_meta))
    )
    assert type(found) is Tensor and found.item() == expected.item()


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_bfloat16_gives_about_what_single_precision_gives(name):
    """In slices where a network needs large patches: without AVX-512 a convolution of those takes PyTorch 9 s."""
    dims = 2 if list(CALLS[name].policies(3)[0].size) == multiples_of_32(3) else 3
    method, views, tags = begun(name, patches(dims=dims), dims)
    expected = method(views, tags)["loss"]
    method, views, tags = begun(name, patches(dims=dims), dims)
    with torch.autocast("cpu", torch.bfloat16):
        loss = method(views, tags)["loss"]
    loss.backward()
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(expected.item(), rel=0.1, abs=0.1)
    assert all(parameter.grad.isfinite().all() for parameter in trained(method))


@pytest.mark.parametrize("size", [(16, 16, 16), (4, 32, 16), (8, 8, 9)])
def test_the_discriminator_takes_flat_patches(size):
    discriminator = patch_discriminator(1, spatial_dims=3, width=2)
    assert discriminator(torch.rand(1, 1, *size)).shape == (1, 1, *[-(-side // 8) for side in size])
