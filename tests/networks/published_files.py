# SPDX-License-Identifier: Apache-2.0
"""Files of published weights made anew: their names and wrappings, random values, the published sizes by default."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from published_vit import published
from torch import Tensor

State = dict[str, Tensor]
DEPTHS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


def random(shapes: dict[str, tuple[int, ...]], seed: int = 0, device: str = "cpu") -> State:
    generator = None if device == "meta" else torch.Generator().manual_seed(seed)
    return {name: 0.1 * torch.randn(shape, generator=generator, device=device) for name, shape in shapes.items()}


def before(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


# vision transformers; the published ViT-S/16 has width 384, 12 blocks, patch 16, a grid of 14


def vit(width: int = 24, blocks: int = 3, patch: int = 8, channels: int = 3, grid: int = 4, **_: Any) -> State:
    return published(width, blocks, patch, channels, grid)


def dino(**sizes: Any) -> dict[str, Any]:
    """DINO's full checkpoint; the teacher is what counts."""
    teacher = vit(**sizes)
    student = {name: tensor + 1 for name, tensor in teacher.items()}
    width = teacher["cls_token"].shape[-1]
    head = random({"mlp.0.weight": (32, width), "mlp.0.bias": (32,), "last_layer.weight_g": (8, 1),
                   "last_layer.weight_v": (8, 32)})  # fmt: skip
    return {
        "student": before("module.backbone.", student) | before("module.head.", head),
        "teacher": before("backbone.", teacher) | before("head.", head),
        "optimizer": {"state": {}, "param_groups": []},
        "epoch": 800,
        "args": Namespace(arch="vit_small", patch_size=16, out_dim=65536),
        "dino_loss": {"center": torch.zeros(1, 8)},
    }


def dinov2(registers: int = 0, **sizes: Any) -> State:
    state = vit(**sizes)
    width, blocks = state["cls_token"].shape[-1], 1 + max(int(n.split(".")[1]) for n in state if "blocks" in n)
    scales = {f"blocks.{block}.ls{index}.gamma": (width,) for block in range(blocks) for index in (1, 2)}
    extra = {"mask_token": (1, width), **({"register_tokens": (1, registers, width)} if registers else {})}
    return state | random({**scales, **extra}, seed=1)


def mae(**sizes: Any) -> dict[str, Any]:
    """MAE's and RETFound's checkpoint of a whole training, arguments and NumPy numbers included."""
    state = vit(**sizes)
    width, count = state["cls_token"].shape[-1], state["pos_embed"].shape[1]
    decoder = random({
        "mask_token": (1, 1, 16), "decoder_pos_embed": (1, count, 16), "decoder_embed.weight": (16, width),
        "decoder_embed.bias": (16,), "decoder_blocks.0.norm1.weight": (16,), "decoder_norm.bias": (16,),
        "decoder_pred.weight": (12, 16),
    })  # fmt: skip
    args = Namespace(model="mae_vit_large_patch16", lr=np.float64(0.5), mask_ratio=0.75)
    return {"model": state | decoder, "optimizer": {"state": {}}, "epoch": 799, "scaler": {}, "args": args}


def timm_vit(pooled: bool = False, **sizes: Any) -> State:
    """A classifier; of the mean of all tokens (``global_pool="avg"``) it has its norm behind the mean."""
    state = vit(**sizes)
    if pooled:
        state = {name.replace("norm.", "fc_norm.") if name[:5] == "norm." else name: t for name, t in state.items()}
    return state | random({"head.weight": (5, state["cls_token"].shape[-1]), "head.bias": (5,)})


# SwinUNETR, of feature size 48, VoCo's larger ones 96 and 192


def swin_shapes(width: int, channels: int, mlp: str, convolutions: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "patch_embed.proj.weight", (width, channels, 2, 2, 2)
    yield "patch_embed.proj.bias", (width,)
    for level, heads in enumerate((3, 6, 12, 24)):
        wide = width * 2**level
        for block in (0, 1):
            start = f"layers{level + 1}.0.blocks.{block}."
            for norm in ("norm1", "norm2"):
                yield from ((f"{start}{norm}.{kind}", (wide,)) for kind in ("weight", "bias"))
            yield f"{start}attn.relative_position_bias_table", (13**3, heads)
            yield f"{start}attn.relative_position_index", (7**3, 7**3)
            for name, out, into in (("attn.qkv", 3 * wide, wide), ("attn.proj", wide, wide),
                                    (f"mlp.{mlp}1", 4 * wide, wide), (f"mlp.{mlp}2", wide, 4 * wide)):  # fmt: skip
                yield f"{start}{name}.weight", (out, into)
                yield f"{start}{name}.bias", (out,)
        start = f"layers{level + 1}.0.downsample."
        yield f"{start}reduction.weight", (2 * wide, 8 * wide)
        yield from ((f"{start}norm.{kind}", (8 * wide,)) for kind in ("weight", "bias"))
        if convolutions:
            yield from ((f"layers{level + 1}c.0.layer.conv{i}.conv.weight", (wide, wide, 3, 3, 3)) for i in (1, 2))


def swin(width: int = 12, channels: int = 1, mlp: str = "fc", convolutions: bool = False, device: str = "cpu") -> State:
    state = random(dict(swin_shapes(width, channels, mlp, convolutions)), device=device)
    return {name: tensor.mul(100).long() if name.endswith("_index") else tensor for name, tensor in state.items()}


def monai_swinvit(**sizes: Any) -> dict[str, Any]:
    state = swin(**sizes)
    wide = 16 * state["patch_embed.proj.bias"].shape[0]
    heads = random({
        "norm.weight": (wide,), "norm.bias": (wide,), "rotation_head.weight": (4, wide), "rotation_head.bias": (4,),
        "contrastive_head.weight": (512, wide), "contrastive_head.bias": (512,), "convTrans3d.bias": (1,),
        "convTrans3d.weight": (wide, 1, 2, 2, 2),  # the published kernel has 32 x 32 x 32 voxels
    })  # fmt: skip
    return {"epoch": 3, "state_dict": before("module.", state | heads)}


def monai_ssl(**sizes: Any) -> dict[str, Any]:
    named = {name.replace(".0.", ".0.0.", 1) if "layers" in name else name: tensor
             for name, tensor in swin(mlp="linear", **sizes).items()}  # fmt: skip
    width = named["patch_embed.proj.bias"].shape[0]
    rest = random({"mask_token": (1, width), "norm.weight": (16 * width,), "norm.bias": (16 * width,)})
    return {"model": before("encoder.", named | rest) | random({"decoder.0.weight": (8, 8)}), "epoch": 1}


def residual(name: str, into: int, out: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        f"{name}.conv1.conv.weight": (out, into, 3, 3, 3), f"{name}.conv2.conv.weight": (out, out, 3, 3, 3),
    }  # fmt: skip
    return shapes if into == out else {**shapes, f"{name}.conv3.conv.weight": (out, into, 1, 1, 1)}


def voco(width: int = 12, channels: int = 1, decoder: bool = False, head: bool = False, device: str = "cpu") -> State:
    """VoCo_B_SSL_head.pt, with the decoder VoComni_B.pt, or with the head that VoCo's training has."""
    shapes: dict[str, tuple[int, ...]] = {}
    for number, into, out in ((1, channels, width), (2, width, width), (3, 2 * width, 2 * width),
                              (4, 4 * width, 4 * width), (10, 16 * width, 16 * width)):  # fmt: skip
        shapes |= residual(f"encoder{number}.layer", into, out)
    if decoder:
        for number, into, out in ((5, 16, 8), (4, 8, 4), (3, 4, 2), (2, 2, 1), (1, 1, 1)):
            shapes[f"decoder{number}.transp_conv.conv.weight"] = (into * width, out * width, 2, 2, 2)
            shapes |= residual(f"decoder{number}.conv_block", 2 * out * width, out * width)
        shapes |= {"out.conv.conv.weight": (21, width, 1, 1, 1), "out.conv.conv.bias": (21,)}
    if head:
        shapes["proj_head.layer1.0.weight"] = (32, 24 * width)
    transformer = swin(width, channels, "linear", convolutions=True, device=device)
    return before("swinViT.", transformer) | random(shapes, 1, device)


# MedicalNet's ResNets


def medicalnet(depth: int = 10, width: int = 64, channels: int = 1, device: str = "cpu") -> dict[str, Any]:
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (width, channels, 7, 7, 7)}

    def norm(name: str, wide: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.{kind}": (wide,) for kind in ("weight", "bias", "running_mean", "running_var")} | {
            f"{name}.num_batches_tracked": ()
        }

    shapes |= norm("bn1", width)
    into, grown = width, 4 if depth >= 50 else 1
    for level, count in enumerate(DEPTHS[depth]):
        wide = width * 2**level
        for block in range(count):
            name = f"layer{level + 1}.{block}"
            sides = ((into, wide, 1), (wide, wide, 3), (wide, 4 * wide, 1)) if grown == 4 else (
                (into, wide, 3), (wide, wide, 3))  # fmt: skip
            for index, (before_, after, side) in enumerate(sides, 1):
                shapes[f"{name}.conv{index}.weight"] = (after, before_, side, side, side)
                shapes |= norm(f"{name}.bn{index}", after)
            if block == 0 and depth not in (18, 34) and (level > 0 or into != wide * grown):
                shapes[f"{name}.downsample.0.weight"] = (wide * grown, into, 1, 1, 1)
                shapes |= norm(f"{name}.downsample.1", wide * grown)
            into = wide * grown
    state = random(shapes, device=device)
    state = {name: tensor.abs() + 0.5 if name.endswith("var") else tensor for name, tensor in state.items()}
    state = {name: tensor.long() if name.endswith("tracked") else tensor for name, tensor in state.items()}
    return {"state_dict": before("module.", state)}


# nnssl's residual encoder U-Net, as nnU-Net names it

NNSSL_HEADS = {
    "": (),
    "projector": ("projector.layer1.0", "projector.layer2.0", "projector.layer3.0"),
    "swin_unetr": ("rotation_proj_head", "contrast_proj_head", "recon_proj_head.0", "recon_proj_head.4"),
}


def openmind(
    features: tuple[int, ...] = (32, 64, 128, 256, 320, 320),
    blocks: tuple[int, ...] = (1, 3, 4, 6, 6, 6),
    channels: int = 1,
    dims: int = 3,
    decoder: bool = True,
    head: str = "",
    sparse: bool = False,
    device: str = "cpu",
) -> dict[str, Any]:
    """A checkpoint; like nnU-Net's it names every layer twice, and the encoder once more within the decoder.

    With ``head`` "projector" it is that of VoCo and SimCLR, with "swin_unetr" that of SwinUNETR's pre-training, both
    without decoder; with ``sparse`` it is SparK's.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def unit(name: str, into: int, out: int, side: int = 3, bias: bool = True) -> None:
        shapes[f"{name}.conv.weight"] = (out, into, *[side] * dims)
        if bias:
            shapes[f"{name}.conv.bias"] = (out,)
        shapes.update({f"{name}.norm.weight": (out,), f"{name}.norm.bias": (out,)})

    unit("encoder.stem.convs.0", channels, features[0])
    into = features[0]
    for level, (wide, count) in enumerate(zip(features, blocks, strict=True)):
        for block in range(count):
            name = f"encoder.stages.{level}.blocks.{block}"
            unit(f"{name}.conv1", into, wide)
            unit(f"{name}.conv2", wide, wide)
            if into != wide:
                unit(f"{name}.skip.{1 if level else 0}", into, wide, 1, bias=False)
            into = wide
    state = random(shapes, device=device)
    if decoder:
        shapes.clear()
        for index, (below, wide) in enumerate(zip(features[:0:-1], features[-2::-1], strict=True)):
            shapes |= {f"decoder.transpconvs.{index}.weight": (below, wide, *[2] * dims)}
            shapes |= {f"decoder.transpconvs.{index}.bias": (wide,)}
            shapes |= {f"decoder.seg_layers.{index}.weight": (1, wide, *[1] * dims)}
            shapes |= {f"decoder.seg_layers.{index}.bias": (1,)}
            unit(f"decoder.stages.{index}.convs.0", 2 * wide, wide)
        state |= random(shapes, 1, device)
    twice = {name.replace(".conv.", ".all_modules.0.").replace(".norm.", ".all_modules.1."): tensor
             for name, tensor in state.items()}  # fmt: skip
    state |= twice
    if decoder:
        state |= before("decoder.", {name: tensor for name, tensor in state.items() if name.startswith("encoder.")})
    if sparse:  # convolutions and norms of the encoder are copies, only those within all_modules are trained
        state |= {name: tensor + 1 for name, tensor in state.items() if re.search(r"encoder.*\.(conv|norm)\.", name)}
    state |= random({f"{name}.{kind}": (4,) for name in NNSSL_HEADS[head] for kind in ("weight", "bias")}, 2, device)
    plan = {"key_to_encoder": "encoder.stages", "key_to_stem": "encoder.stem", "pretrain_num_input_channels": channels}
    return {"network_weights": state, "nnssl_adaptation_plan": plan, "trainer_name": "BaseMAETrainer"}
