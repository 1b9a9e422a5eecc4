# SPDX-License-Identifier: Apache-2.0
"""Published weights of vision transformers: every tensor arrives, or nothing is loaded."""

import copy

import pytest
import torch
from published_vit import published, reference

from monai_cl_ext.networks import MultiCropViT, load_dino_weights, load_pretrained, with_pretrained

SMALL = {"hidden_size": 24, "mlp_dim": 96, "num_layers": 3, "num_heads": 2}


def small(**arguments):
    torch.manual_seed(0)
    return MultiCropViT(**{"in_channels": 1, "img_size": 32, "patch_size": 8, **SMALL, **arguments})


def state():
    return published(24, 3, 8, 1, 4)


def saved(tmp_path, content):
    torch.save(content, tmp_path / "vit.pth")
    return tmp_path / "vit.pth"


def test_vit_s_16_computes_what_its_published_weights_say(tmp_path):
    source = published()
    net = with_pretrained(MultiCropViT(), saved(tmp_path, source), load_dino_weights)
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        found = net.double().eval()(image.double())
    torch.testing.assert_close(found, reference(source, image, heads=6), rtol=1e-8, atol=1e-8)


def test_every_tensor_arrives_in_its_place(tmp_path):
    source, net = state(), small()
    report = load_dino_weights(net, saved(tmp_path, source))
    assert (report.fraction, report.unused) == (1.0, [])
    assert len(report.matched) == len(source) == len(net.state_dict())
    own = {tuple(tensor.flatten().tolist()) for tensor in net.state_dict().values()}
    position = source.pop("pos_embed")
    source |= {"cls_token": source["cls_token"] + position[:, :1], "pos_embed": position[:, 1:]}
    assert own == {tuple(tensor.flatten().tolist()) for tensor in source.values()}


@pytest.mark.parametrize("prefix", ["", "module.backbone.", "backbone.", "model."])
def test_prefixes_wrappings_and_heads_are_taken_off(tmp_path, prefix):
    heads = {"head.weight": torch.ones(5, 24), "head.bias": torch.ones(5), "head.mlp.0.weight": torch.ones(7, 24)}
    content = {"state_dict": {prefix + name: tensor for name, tensor in {**state(), **heads}.items()}}
    net, plain = small(), small()
    load_dino_weights(net, saved(tmp_path, content))
    load_dino_weights(plain, saved(tmp_path, state()))
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in plain.state_dict().items())


def changed(**changes):
    source = {**state(), **changes}
    return {name: tensor for name, tensor in source.items() if tensor is not None}


REFUSED = {
    "a tensor more": (changed(**{"blocks.1.ls1.gamma": torch.ones(24)}), {}, r"blocks\.1\.ls1\.gamma.*1 in all"),
    "register tokens": (changed(reg_token=torch.ones(1, 4, 24)), {}, "holds reg_token.*no register tokens"),
    "a tensor less": (changed(**{"blocks.2.mlp.fc1.bias": None}), {}, r"1 missing \(blocks\.2\.mlp\.linear1\.bias"),
    "no positions": (changed(pos_embed=None), {}, r"lacking are \['pos_embed'\]"),
    "more blocks": (state(), {"num_layers": 2}, "12 tensors have no place.*num_layers"),
    "fewer blocks": (state(), {"num_layers": 4}, "12 missing"),
    "another patch": (state(), {"patch_size": 4, "img_size": 16}, r"\(24, 1, 8, 8\) for \(24, 1, 4, 4\)"),
    "another width": (state(), {"hidden_size": 32}, "of another shape"),
    "two networks": (state() | {"module." + name: each + 1 for name, each in state().items()}, {}, "two networks"),
    "this package's names": (small().state_dict(), {}, "For a file with the network's own names leave preset out"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(tmp_path, case):
    content, arguments, message = REFUSED[case]
    net = small(**arguments)
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=message) as caught:
        load_dino_weights(net, saved(tmp_path, content))
    assert "vit.pth" in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("name", ["pos_embed", "cls_token", "blocks.1.attn.qkv.weight", "norm.bias"])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_weights_that_are_not_finite_are_named_as_in_the_file(tmp_path, name, kind):
    source = {key: tensor.to(kind) for key, tensor in state().items()} | {"head.bias": torch.full((5,), float("nan"))}
    net = small()
    load_dino_weights(net, saved(tmp_path, source))  # a head is not loaded
    before = copy.deepcopy(net.state_dict())
    source[name].view(-1)[0] = float("inf")
    with pytest.raises(ValueError, match=rf"vit\.pth: NaN or infinite are {name} \(1 of"):
        load_dino_weights(net, saved(tmp_path, {"model": source}))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_an_empty_path_leaves_the_network_and_an_absent_file_is_an_error(tmp_path):
    net = small()
    before = copy.deepcopy(net.state_dict())
    assert all(with_pretrained(net, nothing, load_dino_weights) is net for nothing in ("", None))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    with pytest.raises(FileNotFoundError, match="absent"):
        load_dino_weights(net, tmp_path / "absent.pth")


def test_own_weights_go_through_the_general_loader(tmp_path):
    net, other = small(), small(drop_path=0.2)
    report = load_pretrained(other, saved(tmp_path, net.state_dict()))
    assert (report.fraction, report.unused) == (1.0, [])
