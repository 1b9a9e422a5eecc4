# SPDX-License-Identifier: Apache-2.0
"""Presets: each kind of published file arrives whole and in its place, or the load says why not and writes nothing."""

import copy
import logging
from argparse import Namespace
from functools import cache

import numpy as np
import published_files as files
import pytest
import torch
from monai.networks.nets import UNETR, BasicUNet, SwinUNETR, ViT, resnet10, resnet18, resnet50
from monai.networks.nets.swin_unetr import filter_swinunetr
from monai.networks.utils import copy_model_state
from published_vit import reference

from monai_cl_ext.networks import (
    PRESETS,
    MultiCropViT,
    ResEncUNet,
    ViTClassifier,
    load_pretrained,
    with_pretrained,
)
from monai_cl_ext.networks.presets.adapting import inflated
from monai_cl_ext.networks.published import published_weights

TINY = ((4, 6, 8, 8), (1, 2, 1, 2))  # features and blocks of a small residual encoder U-Net


def vit(**arguments):
    torch.manual_seed(0)
    small = {"img_size": 32, "patch_size": 8, "hidden_size": 24, "mlp_dim": 96, "num_layers": 3, "num_heads": 2}
    return MultiCropViT(**{**small, **arguments})


def swin(width=12, channels=1, **arguments):
    torch.manual_seed(0)
    return SwinUNETR(channels, 2, feature_size=width, spatial_dims=3, **arguments)


def resnet(build=resnet10, channels=1, **arguments):
    torch.manual_seed(0)
    settings = {"shortcut_type": "B", "bias_downsample": False, "conv1_t_stride": 2, "feed_forward": False}
    return build(spatial_dims=3, n_input_channels=channels, **{**settings, **arguments})


def res_enc(channels=1, dims=3):
    torch.manual_seed(0)
    return ResEncUNet(channels, 3, *TINY, spatial_dims=dims)


# preset -> the network, the file, how many of its tensors have no use
KINDS = {
    "dino": (vit, files.dino, 4),
    "dinov2": (vit, files.dinov2, 1),
    "mae": (vit, files.mae, 7),
    "timm_vit": (vit, files.timm_vit, 2),
    "monai_swinvit": (swin, files.monai_swinvit, 8),
    "monai_ssl": (swin, files.monai_ssl, 4),
    "voco": (lambda: swin(use_v2=True), files.voco, 0),
    "medicalnet": (resnet, files.medicalnet, 0),
    "openmind": (res_enc, lambda: files.openmind(*TINY), 6),
}
LOADED = {"dino": 42, "dinov2": 42, "mae": 42, "timm_vit": 42, "monai_swinvit": 126, "monai_ssl": 126, "voco": 145,
          "medicalnet": 60, "openmind": 76}  # fmt: skip


def saved(tmp_path, content):
    torch.save(content, tmp_path / "file.pth")
    return tmp_path / "file.pth"


def refused(net, path, message, **arguments):
    before = copy.deepcopy(net.state_dict())
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        load_pretrained(net, path, **arguments)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items()), "half loaded"
    return str(caught.value)


@pytest.fixture(scope="module")
def saved_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    for name, (_, make, _) in KINDS.items():
        torch.save(make(), folder / f"{name}.pth")
    return folder


def test_every_preset_is_tested():
    assert set(KINDS) == set(PRESETS)


@pytest.mark.parametrize("preset", KINDS)
def test_a_file_arrives_whole(preset, saved_files, caplog):
    build, _, unneeded = KINDS[preset]
    with caplog.at_level(logging.INFO, "monai_cl_ext"):
        report = load_pretrained(build(), saved_files / f"{preset}.pth", preset=preset)
    assert (report.fraction, report.unused, report.inflated, report.interpolated) == (1.0, [], [], [])
    assert (len(report.matched), len(report.left_out)) == (LOADED[preset], unneeded)
    text = caplog.records[-1].getMessage()
    assert f"{LOADED[preset]} of {LOADED[preset]} tensors matched" in text
    assert (f"{unneeded} left out" in text) == (unneeded > 0)


REAL = {
    "dino": lambda: (MultiCropViT(), files.dino(width=384, blocks=12, patch=16, grid=14)),
    "medicalnet": lambda: (resnet(resnet50), files.medicalnet(50, device="meta")),
    "monai_swinvit": lambda: (swin(48), files.monai_swinvit(width=48, device="meta")),
    "monai_ssl": lambda: (swin(48), files.monai_ssl(width=48, device="meta")),
    "voco": lambda: (swin(48, use_v2=True), files.voco(48, decoder=True, device="meta")),
    "openmind": lambda: (ResEncUNet(), files.openmind(device="meta")),
}


@pytest.mark.parametrize("preset", REAL)
def test_the_published_sizes_are_those_of_the_network(preset, monkeypatch):
    monkeypatch.setattr("monai_cl_ext.networks.published.refuse_not_finite", lambda *arguments: None)  # has no values
    for module in ("published", "presets.res_enc_unet"):
        monkeypatch.setattr(
            f"monai_cl_ext.networks.{module}.equal_tensors", lambda first, second: first.shape == second.shape
        )
    monkeypatch.setattr("monai_cl_ext.networks.presets.file_names.equal_tensors", lambda first, second: False)
    with torch.device("meta" if preset in ("medicalnet", "openmind") else "cpu"):
        net, content = REAL[preset]()
    found = published_weights(net, content, preset)
    own = {name: tensor.shape for name, tensor in net.state_dict().items() if name in found.filled}
    assert {name: tensor.shape for name, tensor in found.state.items()} == own
    parameters = sum(net.state_dict()[name].numel() for name in own if "index" not in name and "running" not in name)
    if preset == "openmind":
        outputs = 32 * 2 + 2  # the network's, for two classes
        assert parameters == sum(each.numel() for each in net.parameters()) - outputs
    if preset == "voco":
        assert parameters > 7.1e7  # 72 M, the publisher says


# values land where they must


@pytest.mark.parametrize("preset", ["dino", "dinov2", "mae", "timm_vit"])
def test_a_vision_transformer_computes_what_its_weights_say(preset, saved_files):
    net = vit()
    load_pretrained(net, saved_files / f"{preset}.pth", preset=preset)
    state = files.dinov2() if preset == "dinov2" else files.vit()
    image = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        found = net.double().eval()(image)
    torch.testing.assert_close(found, reference(state, image, heads=2), rtol=1e-5, atol=1e-5)
    if preset == "dinov2":  # the scales are no ones, so forgetting them shows
        plain = reference(files.vit(), image, heads=2)
        assert (found - plain).abs().max() > 0.1


def test_a_classifier_takes_them_too(saved_files):
    net = ViTClassifier(vit(), 5, 2)
    linear = net.linear.weight.clone()
    assert load_pretrained(net, saved_files / "dino.pth", preset="dino").fraction == 1
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        found = net.double().eval().backbone(image.double())
    torch.testing.assert_close(found, reference(files.vit(), image, heads=2), rtol=1e-8, atol=1e-8)
    assert torch.equal(net.linear.weight, linear.double())


def test_swin_unetr_gets_what_monai_itself_would_give_it(saved_files):
    net, expected = swin(), swin()
    load_pretrained(net, saved_files / "monai_swinvit.pth", preset="monai_swinvit")
    expected.load_from(files.monai_swinvit())
    assert all(torch.equal(tensor, expected.state_dict()[name]) for name, tensor in net.state_dict().items())
    net, expected = swin(), swin()
    load_pretrained(net, saved_files / "monai_ssl.pth", preset="monai_ssl")
    _, loaded, _ = copy_model_state(expected, files.monai_ssl()["model"], filter_func=filter_swinunetr)
    assert len(loaded) == 126
    assert all(torch.equal(tensor, expected.state_dict()[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("decoder, head", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": files.before("module.", s)},
                                  lambda s: {"student": files.before("backbone.", s), "teacher": {}}])  # fmt: skip
def test_voco_fills_all_that_it_holds(decoder, head, wrap, tmp_path):
    source, net, expected = files.voco(decoder=decoder, head=head), swin(use_v2=True), swin(use_v2=True)
    report = load_pretrained(net, saved(tmp_path, wrap(source)), preset="voco")
    kept = {name: tensor for name, tensor in source.items() if not name.startswith(("out.", "proj_head."))}
    missing, unexpected = expected.load_state_dict(kept, strict=False)
    assert unexpected == [] and all(name.startswith("out" if decoder else ("out", "decoder")) for name in missing)
    assert all(torch.equal(tensor, expected.state_dict()[name]) for name, tensor in net.state_dict().items())
    assert len(report.matched) == len(kept) and report.fraction == 1
    assert len(report.left_out) == len(source) - len(kept)


@pytest.mark.parametrize("build, depth", [(resnet10, 10), (resnet18, 18), (resnet50, 50)])
def test_medicalnet_fills_resnets_of_both_shortcuts(build, depth, tmp_path):
    kind = {"shortcut_type": "A"} if depth == 18 else {}
    net, expected = resnet(build, widen_factor=0.125, **kind), resnet(build, widen_factor=0.125, **kind)
    content = files.medicalnet(depth, width=8)
    report = load_pretrained(net, saved(tmp_path, content), preset="medicalnet")
    expected.load_state_dict({name.removeprefix("module."): each for name, each in content["state_dict"].items()})
    assert all(torch.equal(tensor, expected.state_dict()[name]) for name, tensor in net.state_dict().items())
    assert report.differences == ["layer3 and layer4 have stride 2, the published ones stride 1 and dilation 2 and 4"]
    other = resnet(build, widen_factor=0.125, shortcut_type="B" if depth == 18 else "A")
    message = refused(other, tmp_path / "file.pth", "downsample", preset="medicalnet")
    assert "shortcut_type='A' for resnet18" in message
    biased = resnet(build, widen_factor=0.125, shortcut_type="B", bias_downsample=True, conv1_t_stride=1)
    message = refused(biased, tmp_path / "file.pth", "downsample", preset="medicalnet")
    assert "bias_downsample=False" in message and ("conv1 has stride (1, 1, 1)" in message)


def test_a_classification_layer_is_not_counted(tmp_path):
    net = resnet(resnet10, widen_factor=0.125, feed_forward=True, num_classes=3)
    assert load_pretrained(net, saved(tmp_path, files.medicalnet(width=8)), preset="medicalnet").fraction == 1


@pytest.mark.parametrize("dims", [2, 3])
def test_a_residual_encoder_u_net_computes_what_its_weights_say(dims, tmp_path):
    content = files.openmind(*TINY, dims=dims)
    net = res_enc(dims=dims)
    report = load_pretrained(net, saved(tmp_path, content), preset="openmind")
    assert report.fraction == 1 and set(report.matched) == {n for n in net.state_dict() if not n.startswith("output")}
    image = torch.randn(2, 1, *[16] * dims, dtype=torch.float64)
    expected = residual_u_net(content["network_weights"], image)
    found = {}
    net.double().decoder[-1].register_forward_hook(lambda module, given, result: found.update(last=result))
    with torch.no_grad():
        net(image)
    torch.testing.assert_close(found["last"], expected, rtol=1e-9, atol=1e-9)


def residual_u_net(state, x):
    """nnU-Net's residual encoder U-Net up to its last decoder stage, written out by its published names."""
    state = {name: tensor.double() for name, tensor in state.items()}
    dims = x.ndim - 2
    conv = {2: torch.conv2d, 3: torch.conv3d}[dims]
    transposed = {2: torch.conv_transpose2d, 3: torch.conv_transpose3d}[dims]

    def unit(name, x, stride=1, padding=1):
        x = conv(x, state[f"{name}.conv.weight"], state.get(f"{name}.conv.bias"), stride=stride, padding=padding)
        axes = tuple(range(2, x.ndim))
        x = (x - x.mean(axes, keepdim=True)) / (x.var(axes, unbiased=False, keepdim=True) + 1e-5).sqrt()
        scale, shift = (state[f"{name}.norm.{kind}"].view(1, -1, *[1] * dims) for kind in ("weight", "bias"))
        return x * scale + shift

    def leaky(x):
        return torch.where(x > 0, x, 0.01 * x)

    def halved(x):
        for axis in range(2, x.ndim):
            x = (x.unfold(axis, 2, 2)).mean(-1)
        return x

    x = leaky(unit("encoder.stem.convs.0", x))
    skips = []
    for level, count in enumerate(TINY[1]):
        for block in range(count):
            name = f"encoder.stages.{level}.blocks.{block}"
            stride = 2 if level and not block else 1
            y = unit(f"{name}.conv2", leaky(unit(f"{name}.conv1", x, stride)))
            x = halved(x) if stride == 2 else x
            x = unit(f"{name}.skip.1", x, padding=0) if f"{name}.skip.1.conv.weight" in state else x
            x = leaky(x + y)
        skips.append(x)
    for index, skip in enumerate(skips[-2::-1]):
        name = f"decoder.transpconvs.{index}"
        x = transposed(x, state[f"{name}.weight"], state[f"{name}.bias"], stride=2)
        x = leaky(unit(f"decoder.stages.{index}.convs.0", torch.cat((x, skip), 1)))
    return x


@pytest.mark.parametrize("head, unneeded", [("projector", 6), ("swin_unetr", 8)])
def test_heads_of_pretext_tasks_of_nnssl_are_left_out(head, unneeded, tmp_path):
    source = files.openmind(*TINY, decoder=False, head=head)
    report = load_pretrained(res_enc(), saved(tmp_path, source), preset="openmind")
    assert (report.fraction, len(report.left_out), report.notes) == (1.0, unneeded, [])
    assert all(name.startswith("encoder.") for name in report.matched)


def test_of_sparse_layers_those_are_taken_that_were_trained(tmp_path):
    net, expected = res_enc(), res_enc()
    report = load_pretrained(net, saved(tmp_path, files.openmind(*TINY, sparse=True)), preset="openmind")
    load_pretrained(expected, files.openmind(*TINY), preset="openmind")
    assert report.fraction == 1 and all(
        torch.equal(tensor, expected.state_dict()[name]) for name, tensor in net.state_dict().items()
    )
    assert report.notes == ["layers have two names with other values by each (SparK), those of all_modules were taken"]


def test_an_encoder_alone_leaves_the_decoder(tmp_path):
    path = saved(tmp_path, files.openmind(*TINY, decoder=False))
    report = load_pretrained(res_enc(), path, preset="openmind")
    assert report.fraction == 1 and all(name.startswith("encoder.") for name in report.matched)
    whole = saved(tmp_path, files.openmind(*TINY))
    assert load_pretrained(res_enc(), whole, preset="openmind", part="encoder").matched == report.matched
    one = load_pretrained(res_enc(), whole, preset="openmind", part="encoder", blocks=1)
    assert {name.split(".")[0] for name in set(one.matched) - set(report.matched)} == {"decoder"}
    excluded = load_pretrained(res_enc(), whole, preset="openmind", exclude=["encoder.0", "decoder"])
    assert excluded.fraction == 1 and all(not name.startswith("encoder.0") for name in excluded.matched)


# other channels and sizes


def test_gray_images_give_what_they_give_with_their_channel_repeated(saved_files):
    net = vit(in_channels=1)
    report = load_pretrained(net, saved_files / "dino.pth", preset="dino")
    assert report.inflated == ["patch_embedding.patch_embeddings.weight from 3 to 1 channels"]
    image = torch.randn(1, 1, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        found = net.double().eval()(image)
    expected = reference(files.vit(), image.expand(-1, 3, -1, -1), heads=2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("preset, layers", [("voco", 3), ("medicalnet", 1), ("openmind", 1), ("monai_swinvit", 1)])
def test_more_channels_that_are_alike_give_the_same(preset, layers, tmp_path):
    builds = {
        "voco": (lambda channels: swin(channels=channels, use_v2=True), files.voco, "encoder1"),
        "monai_swinvit": (lambda channels: swin(channels=channels), files.monai_swinvit, "swinViT.patch_embed"),
        "medicalnet": (
            lambda channels: resnet(channels=channels, widen_factor=0.125), lambda: files.medicalnet(width=8), "conv1"
        ),
        "openmind": (res_enc, KINDS["openmind"][1], "encoder.0.stem"),
    }  # fmt: skip
    build, make, first = builds[preset]
    path = saved(tmp_path, make())
    one, four = build(1), build(4)
    load_pretrained(one, path, preset=preset)
    report = load_pretrained(four, path, preset=preset)
    assert report.fraction == 1 and len(report.inflated) == layers
    assert all("from 1 to 4 channels" in line for line in report.inflated)
    image = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        expected = one.eval().get_submodule(first)(image)
        found = four.eval().get_submodule(first)(image.expand(-1, 4, -1, -1, -1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels, wanted", [(3, 1), (1, 3), (3, 4), (4, 4)])
def test_inflation_keeps_the_sum_over_channels(channels, wanted):
    weight = torch.randn(5, channels, 2, 3)
    found = inflated(weight, wanted)
    assert found.shape == (5, wanted, 2, 3)
    torch.testing.assert_close(found.sum(1), weight.double().sum(1))
    assert all(torch.equal(found[:, index], found[:, 0]) for index in range(wanted))


@pytest.mark.parametrize("size", [48, 24, (64, 16)])
def test_positions_are_interpolated_as_the_network_does_for_such_images(size, saved_files):
    """(64, 16) has as many patches as the published 32 x 32."""
    net, published = vit(img_size=size), vit()
    report = load_pretrained(net, saved_files / "dino.pth", preset="dino")
    load_pretrained(published, saved_files / "dino.pth", preset="dino")
    image = torch.randn(1, 3, *((size, size) if isinstance(size, int) else size))
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(image), published.eval()(image), rtol=1e-4, atol=1e-5)
    (line,) = report.interpolated
    assert line.startswith("patch_embedding.position_embeddings from [4, 4] to [")


def test_positions_of_volumes_are_interpolated():
    source = files.vit(channels=1)
    source |= files.random({"patch_embed.proj.weight": (24, 1, 8, 8, 8), "pos_embed": (1, 65, 24)})
    cube, published = vit(in_channels=1, spatial_dims=3, img_size=24), vit(in_channels=1, spatial_dims=3)
    report = load_pretrained(cube, source, preset="mae")
    load_pretrained(published, source, preset="mae")
    assert report.interpolated == ["patch_embedding.position_embeddings from [4, 4, 4] to [3, 3, 3]"]
    image = torch.randn(1, 1, 24, 24, 24)
    with torch.no_grad():
        torch.testing.assert_close(cube.eval()(image), published.eval()(image), rtol=1e-4, atol=1e-5)
    source["pos_embed"] = torch.zeros(1, 64, 24)
    refused(cube, source, "the given state: 63 position embeddings are no grid alike along 3 axes", preset="mae")


def test_monais_own_transformers_take_them_and_differences_are_told():
    source = files.vit(blocks=12, patch=16, channels=1)
    net = UNETR(1, 2, (32, 48), 4, 24, 96, 2, spatial_dims=2, qkv_bias=True)
    report = load_pretrained(net, source, preset="mae")
    assert report.fraction == 1 and report.left_out == ["vit.cls_token"]
    assert report.differences == ["its layer norms have epsilon 1e-05, the published ones 1e-06"]
    assert report.interpolated == ["vit.patch_embedding.position_embeddings from [4, 4] to [2, 3]"]
    assert torch.equal(net.vit.blocks[1].attn.qkv.bias, source["blocks.1.attn.qkv.bias"])
    source = files.vit(channels=1)
    classifying = ViT(1, (32, 32), (8, 8), 24, 96, 3, 2, classification=True, spatial_dims=2, qkv_bias=True)
    assert load_pretrained(classifying, source, preset="mae").fraction == 1
    for size, line in ((64, ["patch_embedding.position_embeddings from [4, 4] to [8, 8]"]), (32, [])):
        plain = ViT(1, (size, size), (8, 8), 24, 96, 3, 2, spatial_dims=2, qkv_bias=True)
        report = load_pretrained(plain, source, preset="mae")
        expected = vit(in_channels=1, img_size=size)
        load_pretrained(expected, source, preset="mae")
        assert report.interpolated == line and report.fraction == 1
        assert torch.equal(plain.patch_embedding.position_embeddings, expected.patch_embedding.position_embeddings)
    oblong = ViT(1, (64, 32), (8, 8), 24, 96, 3, 2, spatial_dims=2, qkv_bias=True)
    refused(oblong, source, r"\(1, 16, 24\) for \(1, 32, 24\).*where the sides .* take MultiCropViT", preset="mae")
    biasless = ViT(1, (32, 32), (8, 8), 24, 96, 3, 2, spatial_dims=2)
    refused(biasless, source, r"3 tensors have no place in this ViT, .*attn\.qkv\.bias.*qkv_bias=True", preset="mae")


@pytest.mark.parametrize("width, heads, published", [(384, 12, 6), (768, 8, 12), (1280, 20, 16)])
def test_another_number_of_heads_is_told(width, heads, published, caplog):
    """It has no tensor: all of them match, and the features are others."""
    source = files.vit(width=width, blocks=1)
    sizes = {"hidden_size": width, "mlp_dim": 4 * width, "num_layers": 1}
    with caplog.at_level(logging.INFO, "monai_cl_ext"):
        assert load_pretrained(vit(**sizes, num_heads=published), source, preset="dino").differences == []
        (told,) = load_pretrained(vit(**sizes, num_heads=heads), source, preset="dino").differences
    assert told.startswith(f"it has {heads} heads, published transformers of width {width} have {published}: build it")
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"] and told in caplog.text


def test_a_classifier_of_the_mean_has_no_final_norm(tmp_path):
    path = saved(tmp_path, files.timm_vit(pooled=True))
    net = vit()
    torch.nn.init.constant_(net.norm.weight, 2.0)
    report = load_pretrained(net, path, preset="timm_vit")
    assert (len(report.matched), report.fraction) == (40, 1.0) and net.norm.weight.eq(2).all()
    assert report.left_out == ["fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"]
    assert report.notes == ["the file has no final norm, that of the network was left as it is"]
    half = {name: tensor for name, tensor in files.timm_vit().items() if name != "norm.bias"}
    refused(vit(), half, r"41 of 42 tensors matched; 1 missing \(norm.bias\)", preset="timm_vit")


# what does not fit


@cache
def untrained(preset):
    """A network for tests that load nothing into it."""
    return KINDS[preset][0]()


ALIKE = {("dino", "timm_vit"), ("mae", "timm_vit")}
"""Preset and another's file that it reads as well: a plain transformer and its head."""


@pytest.mark.parametrize("preset, other", [(p, o) for p in KINDS for o in KINDS if p != o])
def test_another_kind_of_file_is_refused_and_the_right_preset_named(preset, other, saved_files):
    path = saved_files / f"{other}.pth"
    if (preset, other) in ALIKE:
        assert load_pretrained(KINDS[preset][0](), path, preset=preset).fraction == 1
        return
    message = refused(untrained(preset), path, "it fits preset", preset=preset)
    assert repr(other) in message.partition("it fits preset")[2] and path.name in message


def changed(make, **changes):
    content = {**make(), **changes}
    return {name: tensor for name, tensor in content.items() if tensor is not None}


REFUSED = {
    "registers": (vit, lambda: files.dinov2(registers=4), "dinov2", "register_tokens: the network has no register"),
    "gated layers": (
        vit, lambda: changed(files.dinov2, **{"blocks.0.mlp.w12.weight": torch.ones(4, 4)}), "dinov2", "SwiGLU"),
    "no scales": (
        vit, files.timm_vit, "dinov2", "lacking are .*ls1.gamma.*it fits preset 'dino' and 'mae' and 'timm_vit'"),
    "another network": (
        lambda: BasicUNet(3, 1, 2), files.voco, "voco", "preset 'voco' is for SwinUNETR, found BasicUNet"),
    "no v2": (swin, files.voco, "voco", r"8 tensors have no place in this SwinUNETR, .*layers1c.*use_v2=True"),
    "another width": (lambda: swin(24), files.monai_swinvit, "monai_swinvit", "of another shape.*feature_size"),
    "2D": (lambda: SwinUNETR(1, 2, feature_size=12, spatial_dims=2), files.monai_swinvit, "monai_swinvit",
           "of another shape.*spatial_dims=3"),
    "a tensor less": (swin, lambda: {k: v for k, v in files.swin().items() if "layers3.0.blocks.1.attn.qkv" not in k},
                      "monai_swinvit", r"124 of 126 tensors matched; 2 missing \(swinViT.layers3.0.blocks.1.attn"),
    "more blocks": (lambda: vit(num_layers=2), files.dino, "dino", "12 tensors have no place.*num_layers"),
    "a damaged alias": (
        res_enc,
        lambda: changed(lambda: files.openmind(*TINY)["network_weights"],
                        **{"decoder.encoder.stem.convs.0.all_modules.0.weight": torch.ones(4, 1, 3, 3, 3)}),
        "openmind", "second tensor for 'encoder.0.stem.conv.weight', with other values"),
    "two networks": (vit, lambda: files.vit() | files.before("module.", {k: v + 1 for k, v in files.vit().items()}),
                     "timm_vit", "two networks behind different prefixes"),
    "not finite": (vit, lambda: changed(files.vit, **{"blocks.1.mlp.fc1.bias": torch.full((96,), torch.nan)}),
                   "timm_vit", r"NaN or infinite are blocks\.1\.mlp\.fc1\.bias"),
    "no preset": (vit, files.vit, "dinov9", "preset must be one of 'dino', 'dinov2', .*'voco', found 'dinov9'"),
    "own names": (vit, lambda: vit().state_dict(), "dino", "For a file with the network's own names leave preset out"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(case, tmp_path):
    build, make, preset, message = REFUSED[case]
    refused(build(), saved(tmp_path, make()), message, preset=preset)


def test_arguments_that_contradict_a_preset_are_refused(saved_files):
    refused(vit(), saved_files / "dino.pth", "leave prefixes out", preset="dino", prefixes=["teacher."])
    for nothing in ("", None):
        with pytest.raises(ValueError, match=r"preset 'dino' \(weights in a bundle\) says how .* no file is named"):
            with_pretrained(vit(), nothing, preset="dino")
    assert with_pretrained(vit(), "", preset="")
    with pytest.raises(FileNotFoundError, match="absent"):
        load_pretrained(vit(), saved_files / "absent.pth", preset="dino")


class Mine:
    """An object that only code can read back."""


def test_plain_objects_are_read_and_others_still_refused(tmp_path):
    plain = {
        "args": Namespace(lr=0.1, model="x"),
        "best": np.float32(0.5),
        "epoch": np.int64(3),
        "done": np.bool_(True),
    }
    assert load_pretrained(vit(), saved(tmp_path, {"model": files.vit(), **plain}), preset="mae").fraction == 1
    assert load_pretrained(vit(), saved(tmp_path, {"model": vit().state_dict(), **plain})).fraction == 1
    path = saved(tmp_path, {"model": files.vit(), "args": Namespace(hidden=Mine())})
    refused(vit(), path, r"holds objects of test_presets\.Mine, which may run code", preset="mae")
    with pytest.raises(Exception, match="argparse"):
        torch.load(saved(tmp_path, {"args": Namespace()}), weights_only=True)  # nothing is left allowed
