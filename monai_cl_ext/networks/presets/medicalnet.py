# SPDX-License-Identifier: Apache-2.0
"""Published weights of MedicalNet (Chen et al. 2019), 3D ResNets of MONAI's names."""

from __future__ import annotations

from monai.networks.nets import ResNet
from torch import nn

from monai_cl_ext.networks.presets.file_names import FileNames, by_patterns
from monai_cl_ext.networks.presets.preset import Preset


def other_strides(network: nn.Module) -> list[str]:
    """Says where MONAI's ResNet steps over voxels that MedicalNet's does not, and the other way round."""
    first = network.get_submodule("conv1").stride
    stride = [] if set(first) == {2} else [f"conv1 has stride {first}, the published one 2 (conv1_t_stride=2)"]  # type: ignore[arg-type]
    return [*stride, "layer3 and layer4 have stride 2, the published ones stride 1 and dilation 2 and 4"]


MEDICALNET = Preset(
    file=FileNames(
        renamed=by_patterns({r"((?:conv1|bn1)\..+|layer[1-4]\.\d+\..+)": r"\1"}),
        marks=("conv1.weight", "bn1.running_mean", "layer4.0.conv1.weight"),
        left_out=r"conv_seg\..+",
    ),
    networks={ResNet: ""},
    fills=(r"(?:conv1|bn1|layer[1-4])\..+",),
    remedy=(
        "build MONAI's resnet of the file's depth with spatial_dims=3, shortcut_type='A' for resnet18 and resnet34,"
        " otherwise shortcut_type='B' and bias_downsample=False"
    ),
    first=r"conv1\.weight",
    differences=other_strides,
)
