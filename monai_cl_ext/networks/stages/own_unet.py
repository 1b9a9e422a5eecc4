# SPDX-License-Identifier: Apache-2.0
"""Stages of BCDUNet, GCLUNet, PCLUNet, ResEncUNet, RollingUNet, UAMTVNet and UKAN."""

from __future__ import annotations

from monai_cl_ext.networks.backbones.bcdunet import BCDUNet
from monai_cl_ext.networks.backbones.gcl_unet import GCLUNet
from monai_cl_ext.networks.backbones.pcl_unet import PCLUNet
from monai_cl_ext.networks.backbones.res_enc_unet import ResEncUNet
from monai_cl_ext.networks.backbones.rolling_unet import RollingUNet
from monai_cl_ext.networks.backbones.uamt_vnet import UAMTVNet
from monai_cl_ext.networks.backbones.ukan import UKAN
from monai_cl_ext.networks.backbones.unet_base import UNetBase
from monai_cl_ext.networks.stages.base import Stages
from monai_cl_ext.networks.stages.registry import stages


def own_unet_stages(net: UNetBase) -> Stages:
    """Stages of networks that are a :class:`UNetBase`: their encoder levels and decoder blocks, one by one."""
    return Stages(
        net,
        encoder=[f"encoder.{index}" for index in range(len(net.encoder))],
        blocks=[f"decoder.{index}" for index in range(len(net.decoder))],
        output="output",
    )


stages.register(BCDUNet, own_unet_stages)
stages.register(GCLUNet, own_unet_stages)
stages.register(PCLUNet, own_unet_stages)
stages.register(ResEncUNet, own_unet_stages)
stages.register(RollingUNet, own_unet_stages)
stages.register(UAMTVNet, own_unet_stages)
stages.register(UKAN, own_unet_stages)
