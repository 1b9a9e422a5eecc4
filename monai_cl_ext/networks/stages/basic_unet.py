# SPDX-License-Identifier: Apache-2.0
"""Stages of MONAI's BasicUNet."""

from __future__ import annotations

from monai.networks.nets import BasicUNet

from monai_cl_ext.networks.stages.base import Stages
from monai_cl_ext.networks.stages.registry import stages


def basic_unet_stages(net: BasicUNet) -> Stages:
    """Stages of MONAI's BasicUNet: five encoder levels, four decoder blocks."""
    return Stages(
        net,
        encoder=("conv_0", "down_1", "down_2", "down_3", "down_4"),
        blocks=("upcat_4", "upcat_3", "upcat_2", "upcat_1"),
        output="final_conv",
    )


stages.register(BasicUNet, basic_unet_stages)
