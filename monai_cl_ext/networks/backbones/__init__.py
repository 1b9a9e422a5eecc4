# SPDX-License-Identifier: Apache-2.0
"""Networks of papers, and vision transformers."""

from monai_cl_ext.networks.backbones.bcdunet import BCDUNet
from monai_cl_ext.networks.backbones.gcl_unet import GCLUNet
from monai_cl_ext.networks.backbones.kan_linear import KANLinear
from monai_cl_ext.networks.backbones.lnsnet import LNSNet
from monai_cl_ext.networks.backbones.pcl_unet import PCLUNet
from monai_cl_ext.networks.backbones.res_enc_unet import ResEncUNet
from monai_cl_ext.networks.backbones.rolling_unet import RollingUNet
from monai_cl_ext.networks.backbones.superpixel_fcn import SuperpixelFCN
from monai_cl_ext.networks.backbones.uamt_vnet import UAMTVNet
from monai_cl_ext.networks.backbones.uctransnet import UCTransNet
from monai_cl_ext.networks.backbones.ukan import UKAN
from monai_cl_ext.networks.backbones.vit import MultiCropViT

__all__ = [
    "BCDUNet",
    "GCLUNet",
    "KANLinear",
    "LNSNet",
    "MultiCropViT",
    "PCLUNet",
    "ResEncUNet",
    "RollingUNet",
    "SuperpixelFCN",
    "UAMTVNet",
    "UCTransNet",
    "UKAN",
]
