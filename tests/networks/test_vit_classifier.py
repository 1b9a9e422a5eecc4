# SPDX-License-Identifier: Apache-2.0
"""The classifier on a vision transformer: what it reads, what it trains, what it loads."""

import pytest
import torch
from monai.networks.utils import convert_to_torchscript
from published_vit import published, reference

from monai_cl_ext.networks import MultiCropViT, ViTClassifier, load_backbone, with_pretrained

BACKBONE = {"in_channels": 1, "img_size": 32, "patch_size": 8, "hidden_size": 24, "mlp_dim": 96, "num_layers": 3,
            "num_heads": 2}  # fmt: skip


def classifier(frozen=False, blocks=2, **arguments):
    torch.manual_seed(0)
    return ViTClassifier(MultiCropViT(**BACKBONE, **arguments), 5, blocks, frozen)


def saved(net, path):
    torch.save(net.state_dict(), path)
    return path


def test_logits_are_linear_in_the_last_blocks_tokens(tmp_path):
    """Against the published network's forward, written out, on its weights."""
    state = published(24, 3, 8, 1, 4)
    torch.save(state, tmp_path / "vit.pth")
    net = with_pretrained(classifier(), tmp_path / "vit.pth", load_backbone).double().eval()
    image = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    tokens = reference(state, image, heads=2, last=2)
    expected = torch.stack([net.linear.weight @ row + net.linear.bias for row in tokens])
    torch.testing.assert_close(net(image), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_probe_trains_the_linear_layer_alone(frozen):
    net = classifier(frozen, drop_path=0.5).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    torch.nn.functional.cross_entropy(net(torch.randn(6, 1, 32, 32)), torch.arange(6) % 5).backward()
    torch.optim.SGD(trained, lr=1.0).step()
    moved = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == ({"linear.weight", "linear.bias"} if frozen else set(before))
    assert net.training and net.linear.training and net.backbone.training != frozen
    image = torch.randn(4, 1, 32, 32)
    assert torch.equal(net(image), net(image)) == frozen  # stochastic depth is off in a frozen backbone
    assert classifier(frozen).state_dict().keys() == before.keys()


def test_a_backbone_is_loaded_whole_from_each_kind_of_file(tmp_path):
    backbone = MultiCropViT(**BACKBONE)
    whole = {f"module.{name}": value for name, value in classifier().state_dict().items()}
    for path in (saved(backbone, tmp_path / "backbone.pt"), tmp_path / "whole.pt"):
        if path.stem == "whole":
            torch.save(whole, path)
        torch.manual_seed(1)
        net = ViTClassifier(MultiCropViT(**BACKBONE), 7, 2, True)
        linear = net.linear.weight.clone()
        assert load_backbone(net, path).fraction == 1 and torch.equal(net.linear.weight, linear)
        source = torch.load(path, weights_only=True)
        names = {name: name if path.stem == "backbone" else f"module.backbone.{name}" for name in backbone.state_dict()}
        assert all(torch.equal(value, source[names[name]]) for name, value in net.backbone.state_dict().items())


def test_what_does_not_fit_is_refused_and_nothing_is_written(tmp_path):
    net = classifier()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    smaller = {**BACKBONE, "num_layers": 2}
    for other in (smaller, {**BACKBONE, "hidden_size": 12}, {**BACKBONE, "img_size": 16}):
        with pytest.raises(ValueError, match="tensors matched"):
            load_backbone(net, saved(MultiCropViT(**other), tmp_path / "other.pt"))
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_backbone(net, tmp_path / "nothing.pt")
    assert all(with_pretrained(net, nothing, load_backbone) is net for nothing in ("", None))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    with pytest.raises(ValueError, match="blocks must be one of 1, 2, 3, found 4"):
        classifier(blocks=4)


@pytest.mark.parametrize("size", [32, 16])
def test_a_scripted_classifier_gives_the_same(size, tmp_path):
    net = classifier().eval()
    image = torch.randn(2, 1, size, size)
    scripted = convert_to_torchscript(net, filename_or_obj=str(tmp_path / "net.ts"))
    torch.testing.assert_close(scripted(image), net(image))
    torch.testing.assert_close(torch.jit.load(str(tmp_path / "net.ts"))(image), net(image))


@pytest.mark.parametrize("own", [True, False])
def test_a_backbone_that_is_not_finite_is_named_and_not_loaded(tmp_path, own):
    net = classifier()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = classifier().state_dict() if own else published(24, 3, 8, 1, 4)
    name = "backbone.norm.weight" if own else "norm.weight"
    state[name][3] = float("nan")
    torch.save(state, tmp_path / "vit.pth")
    with pytest.raises(ValueError, match=rf"vit\.pth: NaN or infinite are {name} \(1 of 24 values\)"):
        load_backbone(net, tmp_path / "vit.pth")
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
