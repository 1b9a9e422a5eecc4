# SPDX-License-Identifier: Apache-2.0
"""Finds the stages of a network by its class."""

from __future__ import annotations

from functools import singledispatch

from monai.networks.nets import AttentionUnet, BasicUNet, DynUNet, SegResNet, SwinUNETR, UNet
from torch import nn

from monai_cl_ext.networks.gcl_unet import GCLUNet
from monai_cl_ext.networks.pcl_unet import PCLUNet
from monai_cl_ext.networks.stages_attention_unet import AttentionUnetStages
from monai_cl_ext.networks.stages_generic import Stages
from monai_cl_ext.networks.stages_segresnet import SegResNetStages
from monai_cl_ext.networks.stages_swin_unetr import SwinUNETRStages
from monai_cl_ext.networks.stages_unet import UNetStages


@singledispatch
def stages(net: nn.Module) -> Stages:
    """The stages of a network, chosen by its class or a base class of it.

    Known are GCLUNet, PCLUNet and MONAI's AttentionUnet, BasicUNet, DynUNet, SegResNet, SwinUNETR and UNet, 2D and 3D.
    Two of them have parts that another division could place elsewhere. In SwinUNETR the transformer alone is the
    encoder, and the image itself is the first feature; the blocks encoder1 to encoder4 and encoder10 belong to the
    decoder blocks that take their results. In UNet the last decoder block is also the layer that gives the classes.
    ``stages.register(MyNet, function)`` adds a class; the function takes the network and returns its :class:`Stages`.

    Args:
        net: the network itself, not wrapped (in DistributedDataParallel, for example).

    Raises:
        TypeError: when the class is unknown.
        ValueError: when a DynUNet has deep supervision.
    """
    known = sorted(kind.__name__ for kind in stages.registry if kind is not object)
    raise TypeError(
        f"net must be one of {', '.join(known)}, found {type(net).__name__}:"
        " unwrap it, or add its class with stages.register(class, function)"
    )


def _own_unet(net: GCLUNet | PCLUNet) -> Stages:
    return Stages(
        net,
        encoder=[f"encoder.{index}" for index in range(len(net.encoder))],
        blocks=[f"decoder.{index}" for index in range(len(net.decoder))],
        output="output",
    )


def _basic_unet(net: BasicUNet) -> Stages:
    return Stages(
        net,
        encoder=("conv_0", "down_1", "down_2", "down_3", "down_4"),
        blocks=("upcat_4", "upcat_3", "upcat_2", "upcat_1"),
        output="final_conv",
    )


def _dyn_unet(net: DynUNet) -> Stages:
    if net.deep_supervision:
        raise ValueError(
            "a DynUNet with deep supervision returns more than its last map: pre-train one with deep_supervision=False,"
            " then load_pretrained(net, path, part='encoder') into yours"
        )
    return Stages(
        net,
        encoder=("input_block", *(f"downsamples.{index}" for index in range(len(net.downsamples))), "bottleneck"),
        blocks=[f"upsamples.{index}" for index in range(len(net.upsamples))],
        output="output_block",
    )


stages.register(GCLUNet, _own_unet)
stages.register(PCLUNet, _own_unet)
stages.register(AttentionUnet, AttentionUnetStages)
stages.register(BasicUNet, _basic_unet)
stages.register(DynUNet, _dyn_unet)
stages.register(SegResNet, SegResNetStages)
stages.register(SwinUNETR, SwinUNETRStages)
stages.register(UNet, UNetStages)
