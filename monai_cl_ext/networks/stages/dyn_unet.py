# SPDX-License-Identifier: Apache-2.0
"""Stages of MONAI's DynUNet."""

from __future__ import annotations

from monai.networks.nets import DynUNet

from monai_cl_ext.networks.stages.base import Stages
from monai_cl_ext.networks.stages.registry import stages


def dyn_unet_stages(net: DynUNet) -> Stages:
    """Stages of MONAI's DynUNet.

    The heads of deep supervision belong to no stage: ``output`` gives the finest map alone, in training too, where the
    network itself stacks the heads' maps behind it, (B, maps, classes, *S). So pre-training and loading of an encoder
    know nothing of them; ``methods.Supervised`` calls the network and trains them.
    """
    return Stages(
        net,
        encoder=("input_block", *(f"downsamples.{index}" for index in range(len(net.downsamples))), "bottleneck"),
        blocks=[f"upsamples.{index}" for index in range(len(net.upsamples))],
        output="output_block",
    )


stages.register(DynUNet, dyn_unet_stages)
