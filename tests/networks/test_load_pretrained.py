# SPDX-License-Identifier: Apache-2.0
"""Loading: what is copied, what is reported, and that nothing is half loaded."""

import copy
import logging
import sys
import types

import pytest
import torch
from monai.networks.nets import BasicUNet, DynUNet
from torch import nn

from monai_cl_ext.handlers import SaveWeights
from monai_cl_ext.networks import GCLUNet, load_pretrained, stages, with_pretrained
from monai_cl_ext.networks.checkpoint import unwrapped
from monai_cl_ext.networks.weight_notes import note_trained_blocks, noted_trained_blocks


def unet(seed=0, classes=2, features=(4, 4, 8, 8, 8, 4), in_channels=1):
    torch.manual_seed(seed)
    return BasicUNet(2, in_channels, classes, features, norm="batch")


def trained(net):
    """The network after one batch, so that running statistics and counters have moved."""
    net.train()(torch.randn(2, 1, 32, 32))
    return net


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def untouched(net, action, message):
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=message) as caught:
        action()
    assert equal(net.state_dict(), before), "a refused load must write nothing"
    return str(caught.value)


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "encoder.", "module.encoder.network.", "_orig_mod."])
@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s}, lambda s: {"epoch": 3, "x": {"state_dict": s}}])
def test_everything_is_loaded_through_wrappings(tmp_path, prefix, wrap):
    source, net = trained(unet(1)), unet(2)
    torch.save(wrap({prefix + name: tensor for name, tensor in source.state_dict().items()}), tmp_path / "a.pt")
    report = load_pretrained(net, tmp_path / "a.pt")
    assert equal(net.state_dict(), source.state_dict())  # the counters, too
    counted = [name for name in net.state_dict() if not name.endswith("num_batches_tracked")]
    assert sorted(report.matched) == sorted(counted)
    assert (report.missing, report.mismatched, report.unused, report.fraction) == ([], [], [], 1.0)


def test_own_names_that_look_like_a_prefix_are_kept():
    source, net = GCLUNet(), GCLUNet()  # its encoder's names start with "encoder."
    for state in (source.state_dict(), {"encoder." + name: tensor for name, tensor in source.state_dict().items()}):
        assert load_pretrained(net, state).unused == []
        assert equal(net.state_dict(), source.state_dict())


def test_checkpoint_of_a_method_loads_into_its_network():
    source, net = unet(1), unet(2)
    method = nn.ModuleDict({"encoder": stages(source), "head": nn.Linear(8, 3)})
    report = load_pretrained(net, method.state_dict())
    assert equal(net.state_dict(), source.state_dict())
    assert report.unused == ["head.bias", "head.weight"]


def test_encoder_into_a_network_with_other_classes():
    source, net = trained(unet(1, classes=2)), unet(2, classes=5)
    before = copy.deepcopy(net.state_dict())
    report = load_pretrained(net, source.state_dict(), part="encoder")
    names = tuple(name + "." for name in stages(net).encoder_prefixes)
    for name, tensor in net.state_dict().items():
        expected = source.state_dict() if name.startswith(names) else before
        assert torch.equal(tensor, expected[name]), name
    assert report.fraction == 1 and all(name.startswith(names) for name in report.matched)
    assert (
        len(report.matched) == len(names) * 2 * 6
    )  # two convolutions, each weight, bias, scale, shift, mean, variance


def test_encoder_and_first_decoder_blocks():
    source, net = unet(1), unet(2)
    before = copy.deepcopy(net.state_dict())
    load_pretrained(net, source.state_dict(), part="encoder", blocks=2)
    for name, tensor in net.state_dict().items():
        loaded = not name.startswith(("upcat_2", "upcat_1", "final_conv"))
        assert torch.equal(tensor, (source.state_dict() if loaded else before)[name]), name
    untouched(net, lambda: load_pretrained(net, source.state_dict(), part="encoder", blocks=5), "blocks .* 0 to 4")
    untouched(net, lambda: load_pretrained(net, source.state_dict(), blocks=1), "blocks belongs to part='encoder'")


def test_exclude_names_what_may_differ():
    source, net = unet(1, classes=2), unet(2, classes=5)
    message = untouched(net, lambda: load_pretrained(net, source.state_dict()), "2 of another shape")
    assert "final_conv.weight (2, 4, 1, 1) for (5, 4, 1, 1)" in message and "exclude" in message
    kept = net.final_conv.weight.clone()
    for exclude in (["final_conv"], "final_conv.", ("final_conv.weight", "final_conv.bias")):
        assert load_pretrained(net, source.state_dict(), exclude=exclude).fraction == 1
        assert torch.equal(net.final_conv.weight, kept)
    # "down_1" must not reach "down_10", nor "final_conv" a name that merely starts like it
    untouched(
        net, lambda: load_pretrained(net, source.state_dict(), exclude=["final_con"]), "exclude names 'final_con'"
    )


def test_threshold_counts_tensors_of_the_part():
    source, net = unet(1).state_dict(), unet(2)
    for name in ("conv_0.conv_0.conv.weight", "down_1.convs.conv_0.conv.bias"):
        del source[name]
    source["final_conv.weight"] = torch.zeros(7, 4, 1, 1)
    total = 2 * 9 * 6 + 4 * 2 + 2  # 18 convolutions with normalization, 4 transposed ones, the last
    message = untouched(net, lambda: load_pretrained(net, source), "2 missing")
    assert f"{total - 3} of {total} tensors matched" in message and "conv_0.conv_0.conv.weight" in message
    untouched(net, lambda: load_pretrained(net, source, minimum=(total - 2.5) / total), "at least")
    report = load_pretrained(net, source, minimum=(total - 3) / total)
    assert report.fraction == pytest.approx((total - 3) / total)
    assert report.missing == ["conv_0.conv_0.conv.weight", "down_1.convs.conv_0.conv.bias"]
    assert report.mismatched == ["final_conv.weight"]
    assert report.shapes == {"final_conv.weight": ((7, 4, 1, 1), (2, 4, 1, 1))}
    assert torch.equal(net.down_4.convs.conv_1.conv.weight, source["down_4.convs.conv_1.conv.weight"])


def test_another_network_is_refused_even_without_a_threshold():
    net = unet()
    untouched(net, lambda: load_pretrained(net, GCLUNet().state_dict(), minimum=0.0), "0 of 118 tensors matched")
    with pytest.raises(ValueError, match="minimum"):
        load_pretrained(net, net.state_dict(), minimum=1.5)
    with pytest.raises(ValueError, match="part must be one of 'all', 'encoder', found 'decoder'"):
        load_pretrained(net, net.state_dict(), part="decoder")
    with pytest.raises(TypeError, match="found Linear"):
        load_pretrained(nn.Linear(1, 1), {"weight": torch.ones(1, 1)}, part="encoder")


def test_running_statistics_can_start_fresh():
    source, net = trained(unet(1)), unet(2)
    report = load_pretrained(net, source.state_dict(), buffers=False)
    assert report.fraction == 1 and set(report.matched) == dict(net.named_parameters()).keys()
    for name, tensor in net.named_buffers():
        fresh = torch.ones_like(tensor) if name.endswith("var") else torch.zeros_like(tensor)
        assert torch.equal(tensor, fresh), name
    # a checkpoint without statistics fits then, and only then
    state = {name: tensor for name, tensor in source.state_dict().items() if "running" not in name}
    assert load_pretrained(net, state, buffers=False).fraction == 1
    untouched(net, lambda: load_pretrained(net, state), "missing")


def test_counters_are_never_missed():
    source, net = unet(1), trained(unet(2))
    state = {name: tensor for name, tensor in source.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert load_pretrained(net, state).fraction == 1
    assert net.conv_0.conv_0.adn.N.num_batches_tracked == 1


def test_frozen_half_precision_and_shared_tensors():
    net = unet(2).requires_grad_(False)
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in unet(1).state_dict().items()
    }
    load_pretrained(net, state)
    assert all(not parameter.requires_grad and parameter.dtype == torch.float32 for parameter in net.parameters())
    assert torch.equal(net.conv_0.conv_0.conv.weight, state["conv_0.conv_0.conv.weight"].float())
    # DynUNet registers each block twice; a file may hold either name
    first, second = (DynUNet(2, 1, 2, [3] * 3, [1, 2, 2], [2, 2], filters=(4, 4, 4)) for _ in range(2))
    only = {name: tensor for name, tensor in first.state_dict().items() if not name.startswith("downsamples")}
    assert len(only) < len(first.state_dict())
    report = load_pretrained(second, only)
    assert equal(second.state_dict(), first.state_dict())
    assert len(report.matched) == len(list(second.parameters())) and report.unused == []
    assert load_pretrained(second, first.state_dict(), part="encoder").fraction == 1


def test_prefixes_are_the_users_to_set():
    source, net = unet(1).state_dict(), unet(2)
    state = {"student.net." + name: tensor for name, tensor in source.items()}
    state |= {"teacher.net." + name: tensor + 1 for name, tensor in source.items()}
    untouched(net, lambda: load_pretrained(net, state), "0 of 118")
    assert len(load_pretrained(net, state, prefixes={"teacher.net.": ""}).unused) == len(source)
    assert torch.equal(net.final_conv.bias, source["final_conv.bias"] + 1)
    message = untouched(net, lambda: load_pretrained(net, state, prefixes=["student.", "teacher.", "net."]), "both")
    assert "'student.net.conv_0.conv_0.conv.weight' and 'teacher.net.conv_0.conv_0.conv.weight'" in message
    renamed = {name.replace("conv_0.", "stem.", 1): tensor for name, tensor in source.items()}
    renamed = {name: tensor for name, tensor in renamed.items() if name.startswith("stem.")}
    assert load_pretrained(net.conv_0, {n.removeprefix("stem."): t for n, t in renamed.items()}).fraction == 1
    assert load_pretrained(net, renamed, prefixes={"stem.": "conv_0."}, minimum=0.1).unused == []
    assert load_pretrained(net, renamed, prefixes={"stem.": "x.", "x.": "conv_0.", "conv_0.": "stem."}, minimum=0.1)


def test_a_tensor_saved_twice_is_no_conflict():
    source, net = unet(1), unet(2)
    method = nn.ModuleDict({"network": source, "encoder": stages(source)})
    load_pretrained(net, method.state_dict())
    assert equal(net.state_dict(), source.state_dict())


def test_bad_files_are_named(tmp_path):
    net = unet()
    absent, cut, text, objects = (tmp_path / name for name in ("absent.pt", "cut.pt", "text.pt", "objects.pt"))
    with pytest.raises(FileNotFoundError, match=r"absent\.pt: no such file"):
        load_pretrained(net, absent)
    with pytest.raises(FileNotFoundError, match=tmp_path.name):
        load_pretrained(net, tmp_path)
    torch.save(net.state_dict(), cut)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    text.write_text("these are not weights")
    torch.save(net, objects)
    for path in (cut, text, objects):
        untouched(net, lambda path=path: load_pretrained(net, path), rf"{path.name}: cannot be read as a checkpoint")
    torch.save({"epoch": 3, "lr": 0.1}, text)
    untouched(net, lambda: load_pretrained(net, text), r"text\.pt: no tensors found, keys are \['epoch', 'lr'\]")
    torch.save([1, 2], text)
    untouched(net, lambda: load_pretrained(net, text), "expected a state_dict, found list")
    torch.save({"a": {"w": torch.ones(1)}, "b": {"w": torch.ones(1)}}, text)
    untouched(net, lambda: load_pretrained(net, text), "no tensors found")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    "name", ["conv_0.conv_0.conv.weight", "conv_0.conv_1.adn.N.running_var", "upcat_1.upsample.deconv.bias"]
)
def test_weights_that_are_not_finite_are_named_and_nothing_is_loaded(tmp_path, value, kind, name):
    net, source = unet(2), {key: value.to(kind) for key, value in unet(1).state_dict().items()}
    source[name].view(-1)[-1] = value
    torch.save({"state_dict": {f"module.{key}": tensor for key, tensor in source.items()}}, tmp_path / "a.pt")
    message = rf"a\.pt: NaN or infinite are module\.{name} \(1 of {source[name].numel()} values\); nothing was loaded"
    untouched(net, lambda: load_pretrained(net, tmp_path / "a.pt"), message)
    untouched(net, lambda: with_pretrained(net, tmp_path / "a.pt", minimum=0.1), message)
    # what is not loaded does not matter
    part = {"part": "encoder"} if name.startswith("upcat") else {"exclude": [name.rpartition(".")[0]]}
    assert load_pretrained(net, tmp_path / "a.pt", **part).fraction == 1
    assert all(torch.isfinite(tensor).all() for tensor in net.state_dict().values())


def test_numbers_that_overflow_in_the_networks_type_and_a_counter_that_is_nan_are_refused():
    net, source = unet(2).half(), unet(1).state_dict()
    source["conv_0.conv_0.conv.weight"][0] = 1e6
    untouched(
        net, lambda: load_pretrained(net, source), r"the given state: NaN or infinite are conv_0\.conv_0\.conv\.w"
    )
    counter = "conv_0.conv_0.adn.N.num_batches_tracked"
    source = {**unet(1).state_dict(), counter: torch.tensor(float("nan"))}
    untouched(net, lambda: load_pretrained(net, source), rf"NaN or infinite are {counter}")


def test_a_shared_tensor_with_nan_is_told_as_nan(tmp_path):
    source = unet(1)
    method = nn.ModuleDict({"network": source, "encoder": stages(source)})
    source.conv_0.conv_0.conv.weight.data[0] = float("nan")
    torch.save(method.state_dict(), tmp_path / "a.pt")
    net = unet(2)
    untouched(
        net, lambda: load_pretrained(net, tmp_path / "a.pt"), r"a\.pt: NaN or infinite are \S*conv_0\.conv\.weight"
    )


def test_damage_that_torch_does_not_notice_is_refused(tmp_path):
    net, path = unet(2), tmp_path / "a.pt"
    source = unet(1).state_dict()
    torch.save(source, path)
    content = bytearray(path.read_bytes())
    content[content.index(source["down_1.convs.conv_0.conv.weight"].numpy().tobytes()) + 1] ^= 1
    path.write_bytes(content)
    untouched(
        net, lambda: load_pretrained(net, path), r"a\.pt: cannot be read as a checkpoint .*checksum.*copy it again"
    )


def test_the_weights_of_nnunet_are_found_and_objects_are_named(tmp_path):
    source, net, path = unet(1), unet(2), tmp_path / "a.pth"
    content = {"network_weights": source.state_dict(), "optimizer_state": {"state": {}}, "init_args": {"fold": 0}}
    torch.save(content, path)
    load_pretrained(net, path)
    assert equal(net.state_dict(), source.state_dict())
    torch.save({**content, "logger": copy.Error()}, path)
    untouched(net, lambda: load_pretrained(net, path), r"a\.pth: .*objects of copy\.Error.*save the state_dict alone")


def test_safetensors_are_read_by_their_package(tmp_path, monkeypatch):
    source, net = unet(1), unet(2)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"weights\.safetensors: needs safetensors: .*monai-cl-ext\[safetensors\]"):
        load_pretrained(net, path)
    package = types.SimpleNamespace(load_file=lambda file, device: source.state_dict() if file == path else {})
    monkeypatch.setitem(sys.modules, "safetensors", types.ModuleType("safetensors"))
    monkeypatch.setitem(sys.modules, "safetensors.torch", package)
    load_pretrained(net, path)
    assert equal(net.state_dict(), source.state_dict())


def test_report_is_logged(caplog):
    with caplog.at_level(logging.INFO, "monai_cl_ext"):
        load_pretrained(unet(), unet(1).state_dict())
        assert caplog.records[-1].levelname == "INFO" and "118 of 118 tensors matched" in caplog.text
        load_pretrained(unet(), unet(1, classes=3).state_dict(), minimum=0.9)
        assert caplog.records[-1].levelname == "WARNING" and "(3, 4, 1, 1) for (2, 4, 1, 1)" in caplog.text


def test_with_pretrained_returns_the_network(tmp_path):
    source, net = unet(1), unet(2)
    before = copy.deepcopy(net.state_dict())
    for nothing in ("", None, " "):
        assert with_pretrained(net, nothing, part="encoder") is net
        assert equal(net.state_dict(), before)
    torch.save(source.state_dict(), tmp_path / "a.pt")
    assert with_pretrained(net, str(tmp_path / "a.pt"), part="encoder") is net
    assert torch.equal(net.down_4.convs.conv_0.conv.weight, source.down_4.convs.conv_0.conv.weight)
    with pytest.raises(FileNotFoundError):
        with_pretrained(net, tmp_path / "b.pt")


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s}, lambda s: {"epoch": 3, "x": {"state_dict": s}}])
@pytest.mark.parametrize("noted, asked, taken", [(3, None, 3), (None, None, 0), (0, None, 0), (3, 1, 1), (3, 0, 0)])
def test_the_number_of_pretrained_blocks_is_read_from_the_weights(tmp_path, wrap, noted, asked, taken):
    source, net = trained(unet(1)), unet(2)
    state = source.state_dict()
    if noted is not None:
        note_trained_blocks(state, noted)
    torch.save(wrap(state), tmp_path / "any_name.pt")
    load_pretrained(net, tmp_path / "any_name.pt", part="encoder", blocks=asked)
    names = [f"upcat_{number}.convs.conv_0.conv.weight" for number in (4, 3, 2, 1)]
    assert [torch.equal(net.state_dict()[name], state[name]) for name in names] == [True] * taken + [False] * (
        4 - taken
    )
    unet(3).load_state_dict(state)  # no network takes the note for a tensor


def test_saved_weights_note_the_blocks_that_were_pretrained(tmp_path):
    for blocks in (0, 3):
        SaveWeights(unet(1), str(tmp_path / f"{blocks}.pt"), blocks=blocks).save(None)
        assert noted_trained_blocks(torch.load(tmp_path / f"{blocks}.pt", weights_only=True)) == blocks
    assert unet(1).state_dict().keys() == torch.load(tmp_path / "3.pt", weights_only=True).keys()


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile, lambda net: nn.DataParallel(torch.compile(net))])
@pytest.mark.parametrize("part", ["all", "encoder"])
def test_wrapped_networks_are_loaded_into(wrap, part):
    source, net = unet(1), unet(2)
    report = load_pretrained(wrap(net), source.state_dict(), part=part)
    assert report.fraction == 1 and not (part == "all" and report.unused)
    assert torch.equal(net.state_dict()[report.matched[0]], source.state_dict()[report.matched[0]])


def test_a_network_on_the_meta_device_is_refused():
    with pytest.raises(
        ValueError, match=r"BasicUNet is on the meta device, .* in conv_0.conv_0.conv.weight, .*to_empty"
    ):
        load_pretrained(unet().to("meta"), unet(1).state_dict())


def test_integers_are_no_weights():
    state = unet(1).state_dict()
    state["conv_0.conv_0.conv.weight"] = torch.ones_like(state["conv_0.conv_0.conv.weight"]).to(torch.int8)
    net = unet(2)
    untouched(
        net, lambda: load_pretrained(net, state), r"expected floats, found torch.int8 in conv_0.conv_0.conv.weight"
    )


def test_torchscript_is_told(tmp_path):
    torch.jit.trace(unet(1).eval(), torch.zeros(1, 1, 32, 32)).save(tmp_path / "model.ts")
    with pytest.raises(ValueError, match=r"model.ts: .* \(it is TorchScript: give the state_dict .* model.pt\)"):
        load_pretrained(unet(), tmp_path / "model.ts")


def test_a_mapping_beside_tensors_is_no_wrapping():
    tensors = {"conv.weight": torch.ones(2), "conv.bias": torch.zeros(2)}
    assert unwrapped({**tensors, "meta": {"epoch": 3}}, "file").keys() == tensors.keys()
    assert unwrapped({"meta": {"epoch": torch.ones(1)}}, "file").keys() == {"epoch"}
