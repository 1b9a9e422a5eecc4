# SPDX-License-Identifier: Apache-2.0
"""Weights go from a DynUNet with heads of deep supervision to one without, and back; what does not fit is named."""

import pytest
import torch
from monai.networks.nets import DynUNet

from monai_cl_ext.handlers import SaveWeights
from monai_cl_ext.methods import SimCLR
from monai_cl_ext.networks import load_pretrained, stages

HEADS = "deep_supervision_heads"


def net(dims, heads=0, classes=2, seed=0):
    """A DynUNet with as many heads; its own last map is no head."""
    torch.manual_seed(seed)
    return DynUNet(
        dims, 1, classes, [3] * 5, [1, 2, 2, 2, 2], [2] * 4, filters=(4, 6, 8, 10, 12),
        deep_supervision=heads > 0, deep_supr_num=max(heads, 1),
    )  # fmt: skip


def pretrained(tmp_path, source):
    """The file that our pre-training leaves, after a step, so that no weight is as it was built."""
    method = SimCLR(source)
    image = torch.randn(2, 1, *[32] * stages(source).spatial_dims)
    loss = method([{"image": image}, {"image": image + 1}], {})["loss"]
    optimizer = torch.optim.SGD([each for each in method.parameters() if each.requires_grad], lr=1.0)
    loss.backward()
    optimizer.step()
    SaveWeights(method.predictor, str(tmp_path / "model_pretrain.pt")).save(None)
    return tmp_path / "model_pretrain.pt"


def same_bottleneck(first, second, dims):
    image = torch.randn(1, 1, *[32] * dims)
    return torch.equal(stages(first.eval()).embed(image), stages(second.eval()).embed(image))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("given, taken", [(0, 1), (0, 2), (0, 3), (1, 0), (2, 0), (3, 0), (1, 3), (3, 2), (2, 2)])
def test_the_encoder_goes_to_any_number_of_heads(tmp_path, dims, given, taken):
    source, target = net(dims, given), net(dims, taken, classes=5, seed=1)
    report = load_pretrained(target, pretrained(tmp_path, source), part="encoder")
    assert report.fraction == 1 and same_bottleneck(source, target, dims)
    assert not any(HEADS in name for name in report.matched)


@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_whole_network_goes_both_ways(tmp_path, dims, heads):
    plain, deep = net(dims), net(dims, heads, seed=1)
    file, image = pretrained(tmp_path, plain), torch.randn(1, 1, *[32] * dims)
    with pytest.raises(ValueError, match=rf"missing \({HEADS}.0.conv.conv.weight.*exclude"):
        load_pretrained(deep, file)
    load_pretrained(deep, file, exclude=HEADS)
    assert torch.equal(deep.eval()(image), plain.eval()(image))
    torch.save(deep.state_dict(), tmp_path / "deep.pt")
    other = net(dims, seed=2)
    report = load_pretrained(other, tmp_path / "deep.pt")
    assert torch.equal(other.eval()(image), plain(image))
    assert {name.split(".")[1] for name in report.unused if name.startswith(HEADS)} == set("012"[:heads])


def test_heads_that_the_source_lacks_and_has_in_excess_are_named():
    fewer, more = net(2, 1), net(2, 3, seed=1)
    with pytest.raises(ValueError, match=rf"4 missing \({HEADS}.1"):
        load_pretrained(more, fewer.state_dict())
    load_pretrained(more, fewer.state_dict(), exclude=[f"{HEADS}.1", f"{HEADS}.2"])
    assert torch.equal(
        more.deep_supervision_heads[0].conv.conv.weight, fewer.deep_supervision_heads[0].conv.conv.weight
    )
    report = load_pretrained(fewer, more.state_dict())
    assert report.fraction == 1 and f"{HEADS}.2.conv.conv.bias" in report.unused
