# SPDX-License-Identifier: Apache-2.0
"""Published weights of MONAI's SwinUNETR: MONAI's two files and VoCo's."""

from __future__ import annotations

from monai.networks.nets import SwinUNETR
from monai.networks.nets.swin_unetr import filter_swinunetr

from monai_cl_ext.networks.presets.file_names import PREFIXES, FileNames, by_patterns
from monai_cl_ext.networks.presets.preset import Preset

TRANSFORMER = {
    r"(layers\d\.\d+\.blocks\.\d+\.mlp)\.(?:fc|linear)([12])\.(weight|bias)": r"swinViT.\1.linear\2.\3",
    r"((?:patch_embed|layers\dc?)\..+)": r"swinViT.\1",
}
BEFORE = (*PREFIXES, "swinViT.", "swin_vit.")
FIRST = ("patch_embed.proj.weight", "layers1.0.blocks.0.norm1.weight")
PRETEXT_HEADS = r"mask_token|norm\.(weight|bias)|(rotation|contrastive)_(head|pre)\..+|conv(Trans3d)?\..+"


def filtered(name: str) -> str | None:
    """SwinUNETR's name by MONAI's own filter of these weights, None where it passes a tensor over."""
    found = filter_swinunetr(name, None)
    return None if found is None else str(found[0])


def _preset(file: FileNames) -> Preset:
    return Preset(
        file,
        networks={SwinUNETR: ""},
        fills=(r"swinViT\..+", r"(encoder|decoder)(\d+)\..+"),
        remedy=(
            "build SwinUNETR with spatial_dims=3 and the file's feature_size, 48 for all but VoCo's larger ones;"
            " use_v2=True for VoCo, False for MONAI's"
        ),
        first=r"swinViT\.patch_embed\.proj\.weight|encoder1\.layer\.conv[13]\.conv\.weight",
    )


MONAI_SWINVIT = _preset(FileNames(by_patterns(TRANSFORMER), FIRST, PRETEXT_HEADS, prefixes=BEFORE))
MONAI_SSL = _preset(
    FileNames(
        filtered,
        marks=("encoder.patch_embed.proj.weight", "encoder.layers1.0.0.blocks.0.norm1.weight"),
        left_out=r"(?!encoder\.).+|encoder\.(mask_token|norm\.(weight|bias))",
    )
)
VOCO = _preset(
    FileNames(
        by_patterns({**TRANSFORMER, r"((?:encoder|decoder)\d+\..+)": r"\1"}),
        marks=(*FIRST, "encoder1.layer.conv1.conv.weight", "encoder10.layer.conv1.conv.weight"),
        left_out=r"proj_head\..+|out\..+",
        wrappings=("student",),
        prefixes=BEFORE,
    )
)
