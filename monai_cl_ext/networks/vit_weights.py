# SPDX-License-Identifier: Apache-2.0
"""Loads weights of vision transformers, published ones and this package's."""

from __future__ import annotations

from pathlib import Path

from monai_cl_ext.networks.backbones.vit import MultiCropViT
from monai_cl_ext.networks.checkpoint import WRAPPERS, read_state
from monai_cl_ext.networks.loading import LoadReport, load_pretrained
from monai_cl_ext.networks.vit_classifier import ViTClassifier


def load_dino_weights(net: MultiCropViT | ViTClassifier, path: str | Path) -> LoadReport:
    """Copies the published weights of a plain vision transformer of DINO or timm into ``net``: preset ``"timm_vit"``.

    Every tensor must fit, but for the channels of the first convolution and the grid of the position embeddings. The
    CLS token takes in its own position embedding, which changes no result. What this package has written is read by
    ``load_pretrained`` instead.

    Args:
        net: built with the arguments of the published network.
        path: the file.

    Returns:
        The report of ``load_pretrained``, which is also logged.

    Raises:
        FileNotFoundError, ImportError, ValueError: see ``load_pretrained``; nothing is loaded then.
    """
    return load_pretrained(net, path, preset="timm_vit")


def load_backbone(net: ViTClassifier, path: str | Path, preset: str = "") -> LoadReport:
    """Copies the weights of ``path`` into the backbone of a classifier.

    Args:
        net: the classifier; its linear layer is left alone.
        path: weights of a ``MultiCropViT`` or of a whole ``ViTClassifier``, or published ones.
        preset: kind of published file, see ``load_pretrained``; where empty, a file with the names of DINO and timm is
            read as ``"timm_vit"``.

    Returns:
        The report of ``load_pretrained``.

    Raises:
        FileNotFoundError, ImportError, ValueError: see ``load_pretrained``; every tensor of the backbone has to be
            matched.
    """
    if preset:
        return load_pretrained(net, path, preset=preset)
    if any(name.split(".")[-1] == "pos_embed" for name in read_state(path)):
        return load_dino_weights(net, path)
    return load_pretrained(net, path, prefixes={**dict.fromkeys(WRAPPERS, ""), "": "backbone."}, exclude=["linear"])
