# SPDX-License-Identifier: Apache-2.0
"""Published weights of nnssl's residual encoder U-Net (OpenMind, Wald et al. 2024), of nnU-Net's names."""

from __future__ import annotations

from monai_cl_ext.networks.backbones.res_enc_unet import ResEncUNet
from monai_cl_ext.networks.checkpoint import equal_tensors
from monai_cl_ext.networks.presets.file_names import FileNames, State, by_patterns
from monai_cl_ext.networks.presets.preset import Preset

ENCODER = r"(?:decoder\.)?encoder\."  # nnU-Net's decoder names the encoder once more
LAYERS = {r"(?:conv|all_modules\.0)": "conv", r"(?:norm|all_modules\.1)": "norm"}  # and each layer twice
PLACES = {
    ENCODER + r"stem\.convs\.0": "encoder.0.stem",
    ENCODER + r"stages\.(\d+)\.blocks\.(\d+)\.(conv1|conv2)": r"encoder.\1.blocks.\2.\3",
    ENCODER + r"stages\.(\d+)\.blocks\.(\d+)\.(skip)\.[01]": r"encoder.\1.blocks.\2.\3",
    r"decoder\.stages\.(\d+)\.convs\.(\d+)": r"decoder.\1.units.\2",
}
HEADS = r"decoder\.seg_layers|projector|(?:rotation|contrast|recon)_proj_head"


def as_computed(tensors: State) -> tuple[State, list[str]]:
    """The tensors without those of a layer's first name where its second one holds others.

    nnU-Net computes by the second, ``all_modules``. SparK's sparse convolutions are copies, one for each name, so that
    what stands by the first was never trained.
    """
    first = {name: name.replace(".all_modules.0.", ".conv.").replace(".all_modules.1.", ".norm.") for name in tensors}
    untrained = {
        one for name, one in first.items() if one in tensors and not equal_tensors(tensors[one], tensors[name])
    }
    kept = {name: tensor for name, tensor in tensors.items() if name not in untrained}
    told = "layers have two names with other values by each (SparK), those of all_modules were taken"
    return kept, [told] if untrained else []


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
        left_out=rf"(?:{HEADS})\..+",
        prefixes=("module.", "_orig_mod."),
    ),
    networks={ResEncUNet: ""},
    fills=(r"encoder\..+", r"decoder\.(\d+)\..+"),
    remedy="build ResEncUNet with its defaults, spatial_dims=3",
    first=r"encoder\.0\.stem\.conv\.weight",
    converted=as_computed,
)
