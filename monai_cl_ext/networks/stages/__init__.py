# SPDX-License-Identifier: Apache-2.0
"""Stages of networks, one file per stock network, which registers its class.

The name ``monai_cl_ext.networks.stages`` is the function, however it is imported; take what else is here with
``from monai_cl_ext.networks.stages import ...``.
"""

from monai_cl_ext.networks.stages.attention_unet import AttentionUnetStages
from monai_cl_ext.networks.stages.base import Stages
from monai_cl_ext.networks.stages.basic_unet import basic_unet_stages
from monai_cl_ext.networks.stages.dyn_unet import dyn_unet_stages
from monai_cl_ext.networks.stages.own_unet import own_unet_stages
from monai_cl_ext.networks.stages.registry import stages
from monai_cl_ext.networks.stages.resnet import ResNetStages
from monai_cl_ext.networks.stages.segresnet import SegResNetStages
from monai_cl_ext.networks.stages.swin_unetr import SwinUNETRStages
from monai_cl_ext.networks.stages.uctransnet import UCTransNetStages
from monai_cl_ext.networks.stages.unet import UNetStages
from monai_cl_ext.networks.stages.unetr import UNETRStages
from monai_cl_ext.networks.stages.vnet import vnet_stages

__all__ = [
    "AttentionUnetStages",
    "ResNetStages",
    "SegResNetStages",
    "Stages",
    "SwinUNETRStages",
    "UCTransNetStages",
    "UNETRStages",
    "UNetStages",
    "basic_unet_stages",
    "dyn_unet_stages",
    "own_unet_stages",
    "stages",
    "vnet_stages",
]
