# SPDX-License-Identifier: Apache-2.0
"""Loads published weights of DINO's and timm's vision transformers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from monai_cl_ext.networks.backbones.vit import MultiCropViT
from monai_cl_ext.networks.checkpoint import read_state
from monai_cl_ext.networks.loading import WRAPPERS, LoadReport, load_pretrained, refuse_not_finite

POSITIONS = "patch_embedding.position_embeddings"
NAMES = {
    r"cls_token": "cls_token",
    r"pos_embed": POSITIONS,
    r"patch_embed\.proj\.(weight|bias)": r"patch_embedding.patch_embeddings.\1",
    r"blocks\.(\d+)\.(norm1|norm2|attn\.qkv)\.(weight|bias)": r"blocks.\1.\2.\3",
    r"blocks\.(\d+)\.attn\.proj\.(weight|bias)": r"blocks.\1.attn.out_proj.\2",
    r"blocks\.(\d+)\.mlp\.fc([12])\.(weight|bias)": r"blocks.\1.mlp.linear\2.\3",
    r"norm\.(weight|bias)": r"norm.\1",
}
"""Patterns of the published names, and the network's names of the same tensors."""

HEADS = ("head.", "head_dist.", "fc_norm.", "pre_logits.")
"""Beginnings of the published names of what follows the network; these tensors are left out."""


def load_dino_weights(net: MultiCropViT, path: str | Path) -> LoadReport:
    """Copies the published weights of a vision transformer of DINO or timm into ``net``; every tensor must fit.

    The file, of torch or safetensors, holds a state_dict with timm's names (``cls_token``, ``pos_embed``,
    ``patch_embed.proj.*``, ``blocks.N.*``, ``norm.*``), also behind prefixes of wrappers; heads are left out. The CLS
    token takes in its own position embedding, which changes no result. What this package has written is read by
    ``load_pretrained`` instead.

    Args:
        net: built with the arguments of the published network; ``img_size`` is the size that it was trained for.
        path: the file.

    Returns:
        The report of ``load_pretrained``, which is also logged.

    Raises:
        FileNotFoundError, ImportError: see :func:`~monai_cl_ext.networks.checkpoint.read_state`.
        ValueError: when the file cannot be read, holds a tensor that the network has no place for, or lacks one, or one
            has another shape, or holds NaN or infinity; nothing is loaded then.
    """
    state = read_state(path)
    source = {_bare(name): tensor for name, tensor in state.items()}
    if len(source) < len(state):
        raise ValueError(f"{path}: holds two networks behind different prefixes: save the state_dict of one of them")
    source = {name: tensor for name, tensor in source.items() if not name.startswith(HEADS)}
    unknown = [name for name in source if _own_name(name) is None]
    lacking = [name for name in ("cls_token", "pos_embed") if name not in source or source[name].ndim != 3]
    if unknown or lacking:
        raise ValueError(
            f"{path}: expected the names of a vision transformer of DINO or timm; lacking are {lacking}, without a"
            f" place in {type(net).__name__} are {unknown[:6]} ({len(unknown)} in all): give the weights of a plain"
            " ViT, or load_pretrained for a file with this network's own names"
        )
    refuse_not_finite(str(path), source)
    own = {str(_own_name(name)): tensor for name, tensor in _with_class_position(source).items()}
    surplus = sorted(own.keys() - net.state_dict().keys())
    if surplus:
        raise ValueError(
            f"{path}: {len(surplus)} tensors have no place in this network, such as {surplus[:4]}: build it with the"
            f" published one's num_layers, found {len(net.blocks)}"
        )
    try:
        return load_pretrained(net, own, prefixes=())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _bare(name: str) -> str:
    """The name without the prefixes of wrappers."""
    for prefix in WRAPPERS:
        if name.startswith(prefix):
            return _bare(name[len(prefix) :])
    return name


def _own_name(name: str) -> str | None:
    """The network's name of a published tensor."""
    for pattern, replacement in NAMES.items():
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(replacement)
    return None


def _with_class_position(source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, the first position embedding added to the CLS token that it belongs to."""
    positions = source["pos_embed"]
    return {**source, "cls_token": source["cls_token"] + positions[:, :1], "pos_embed": positions[:, 1:]}
