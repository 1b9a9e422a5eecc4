# SPDX-License-Identifier: Apache-2.0
"""Published vision transformers: DINO, DINOv2, MAE with RETFound, and timm's, which all have timm's names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from monai.networks.blocks.patchembedding import PatchEmbeddingBlock
from monai.networks.blocks.selfattention import SABlock
from monai.networks.nets import UNETR, ViT
from torch import nn

from monai_cl_ext.networks.backbones.vit import MultiCropViT
from monai_cl_ext.networks.checkpoint import WRAPPERS
from monai_cl_ext.networks.presets.adapting import square_grid
from monai_cl_ext.networks.presets.file_names import FileNames, State, by_patterns
from monai_cl_ext.networks.presets.preset import Positions, Preset
from monai_cl_ext.networks.vit_classifier import ViTClassifier

EPSILON = 1e-6  # of the published layer norms
HEAD_WIDTH = 64  # of the published ones, but for the largest: ViT-H, g and G
HEADS_OF_WIDTH = dict.fromkeys((1280, 1408, 1664), 16)
HEADS = r"(head|head_dist|fc_norm|pre_logits)\..+"
NAMES = {
    r"cls_token": "cls_token",
    r"pos_embed": "patch_embedding.position_embeddings",
    r"patch_embed\.proj\.(weight|bias)": r"patch_embedding.patch_embeddings.\1",
    r"blocks\.(\d+)\.(norm1|norm2|attn\.qkv)\.(weight|bias)": r"blocks.\1.\2.\3",
    r"blocks\.(\d+)\.attn\.proj\.(weight|bias)": r"blocks.\1.attn.out_proj.\2",
    r"blocks\.(\d+)\.mlp\.fc([12])\.(weight|bias)": r"blocks.\1.mlp.linear\2.\3",
    r"norm\.(weight|bias)": r"norm.\1",
}
LAYER_SCALE = {r"blocks\.(\d+)\.ls([12])\.gamma": r"blocks.\1.ls\2.gamma"}  # is gone before the network is looked at
SCALED = {"ls1": "attn.proj", "ls2": "mlp.fc2"}
REGISTERS = "the network has no register tokens, take the published weights without registers"
GATED = "the network has no gated (SwiGLU) layers, take ViT-S, ViT-B or ViT-L"


def with_class_position(tensors: State) -> tuple[State, list[str]]:
    """The tensors, the first position embedding added to the CLS token that it belongs to, which changes no result."""
    positions = tensors["pos_embed"]
    state = {**tensors, "cls_token": tensors["cls_token"] + positions[:, :1], "pos_embed": positions[:, 1:]}
    lacking = [] if "norm.weight" in tensors else ["the file has no final norm, that of the network was left as it is"]
    return state, lacking


def without_layer_scale(tensors: State) -> tuple[State, list[str]]:
    """The tensors, each LayerScale multiplied into the linear layer before it, which changes no result."""
    scales = {name: name.split(".") for name in tensors if re.fullmatch(r"blocks\.\d+\.ls[12]\.gamma", name)}
    kept = {name: tensor for name, tensor in tensors.items() if name not in scales}
    for name, (_, block, scale, _) in scales.items():
        layer = f"blocks.{block}.{SCALED[scale]}"
        for part in (f"{layer}.weight", f"{layer}.bias"):
            if part in kept:
                rows = tensors[name].double().view(-1, *[1] * (kept[part].ndim - 1))
                kept[part] = rows * kept[part].double()
    kept, notes = with_class_position(kept)
    return kept, [f"{len(scales)} LayerScale vectors multiplied into the linear layers before them", *notes]


def other_norms_or_heads(network: nn.Module) -> list[str]:
    """Says where layer norms have another epsilon than the published ones, and attention another number of heads."""
    found = {module.eps for module in network.modules() if isinstance(module, nn.LayerNorm)} - {EPSILON}
    differences = [f"its layer norms have epsilon {found.pop()}, the published ones {EPSILON}"] if found else []
    attention = [module for module in network.modules() if isinstance(module, SABlock)]
    for width, heads in {(each.hidden_input_size, each.num_heads) for each in attention}:
        published = HEADS_OF_WIDTH.get(width, width // HEAD_WIDTH)
        if heads != published and width % HEAD_WIDTH == 0:
            differences.append(
                f"it has {heads} heads, published transformers of width {width} have {published}: build it with"
                f" num_heads={published}, unless the publisher says otherwise"
            )
    return differences


def grid_of(network: nn.Module) -> Sequence[int] | None:
    """Patches along each axis of the network's images.

    MONAI's ViT keeps their number alone: its grid is taken to be alike along each axis, None where it cannot be.
    """
    if isinstance(network, UNETR):
        return network.feat_size
    vit = network.backbone if isinstance(network, ViTClassifier) else network
    if isinstance(vit, MultiCropViT):
        return vit.grid
    embedding: PatchEmbeddingBlock = vit.patch_embedding
    return square_grid(int(embedding.n_patches), embedding.patch_embeddings.weight.ndim - 2)


def _preset(left_out: str, marks: tuple[str, ...] = (), wrappings: tuple[str, ...] = ()) -> Preset:
    names: Mapping[str, str] = {**NAMES, **(LAYER_SCALE if marks else {})}
    return Preset(
        file=FileNames(
            renamed=by_patterns(names),
            marks=("cls_token", "pos_embed", "patch_embed.proj.weight", *marks),
            left_out=left_out,
            wrappings=wrappings,
            prefixes=WRAPPERS,
            refused={r"register_tokens|reg_token": REGISTERS, r"blocks\.\d+\.mlp\.w(12|3)\..+": GATED},
        ),
        networks={ViT: "", ViTClassifier: "backbone.", UNETR: "vit."},
        fills=(r"cls_token|patch_embedding\..+|blocks\.\d+\.(?:norm1|norm2|attn|mlp)\..+", r"norm\..+"),
        remedy=(
            "build it with the published one's num_layers, hidden_size, mlp_dim, num_heads and patch_size, and"
            " qkv_bias=True; where the sides of the images differ take MultiCropViT, not MONAI's ViT"
        ),
        first=r"patch_embedding\.patch_embeddings\.weight",
        positions=Positions("patch_embedding.position_embeddings", grid_of),
        optional=("cls_token",),
        converted=without_layer_scale if marks else with_class_position,
        differences=other_norms_or_heads,
    )


DINO = _preset(r"head\..+", wrappings=("teacher",))
DINOV2 = _preset("mask_token", marks=("blocks.0.ls1.gamma", "blocks.0.ls2.gamma"), wrappings=("teacher",))
MAE = _preset(rf"mask_token|decoder_.+|{HEADS}")
TIMM_VIT = _preset(HEADS)
