# SPDX-License-Identifier: Apache-2.0
"""Published weights of nnssl's residual encoder U-Net (OpenMind, Wald et al. 2024), of nnU-Net's names."""

from __future__ import annotations

from monai_cl_ext.networks.backbones.res_enc_unet import ResEncUNet
from monai_cl_ext.networks.presets.file_names import FileNames, by_patterns
from monai_cl_ext.networks.presets.preset import Preset

ENCODER = r"(?:decoder\.)?encoder\."  # nnU-Net's decoder names the encoder once more
LAYERS = {r"(?:conv|all_modules\.0)": "conv", r"(?:norm|all_modules\.1)": "norm"}  # and each layer twice
PLACES = {
    ENCODER + r"stem\.convs\.0": "encoder.0.stem",
    ENCODER + r"stages\.(\d+)\.blocks\.(\d+)\.(conv1|conv2)": r"encoder.\1.blocks.\2.\3",
    ENCODER + r"stages\.(\d+)\.blocks\.(\d+)\.(skip)\.[01]": r"encoder.\1.blocks.\2.\3",
    r"decoder\.stages\.(\d+)\.convs\.(\d+)": r"decoder.\1.units.\2",
}

OPENMIND = Preset(
    file=FileNames(
        renamed=by_patterns(
            {
                rf"{place}\.{layer}\.(?P<kind>weight|bias)": rf"{own}.{name}.\g<kind>"
                for place, own in PLACES.items()
                for layer, name in LAYERS.items()
            }
            | {r"decoder\.transpconvs\.(\d+)\.(weight|bias)": r"decoder.\1.up.\2"}
        ),
        marks=("encoder.stem.convs.0.conv.weight", "encoder.stages.0.blocks.0.conv1.conv.weight"),
        left_out=r"decoder\.seg_layers\..+|projector\..+",
        prefixes=("module.", "_orig_mod."),
    ),
    networks={ResEncUNet: ""},
    fills=(r"encoder\..+", r"decoder\.(\d+)\..+"),
    remedy="build ResEncUNet with its defaults, spatial_dims=3",
    first=r"encoder\.0\.stem\.conv\.weight",
)
