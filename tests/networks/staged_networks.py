# SPDX-License-Identifier: Apache-2.0
"""Every network with stages and a decoder, small, and what its stages are to be."""

import pytest
import torch
from monai.networks.nets import UNETR, AttentionUnet, BasicUNet, DynUNet, SegResNet, SwinUNETR, UNet, VNet
from monai.networks.nets.unet import CheckpointUNet

from monai_cl_ext.networks import (
    UKAN,
    BCDUNet,
    GCLUNet,
    PCLUNet,
    ResEncUNet,
    RollingUNet,
    UAMTVNet,
    UCTransNet,
)


def swin(dims, **arguments):
    arguments = {"depths": (2, 1, 1, 1), "num_heads": (3, 3, 6, 6), "window_size": 4, "feature_size": 12} | arguments
    return SwinUNETR(1, 3, spatial_dims=dims, **arguments)


def unetr(dims, size, **arguments):
    return UNETR(1, 3, size, 4, hidden_size=24, mlp_dim=32, num_heads=3, spatial_dims=dims, **arguments)


NETWORKS = {
    "gcl": lambda dims, size: GCLUNet(1, 3, spatial_dims=dims),
    "basic": lambda dims, size: BasicUNet(dims, 1, 3, (4, 4, 8, 12, 16, 6), norm=("batch", {})),
    "basic_upsample": lambda dims, size: BasicUNet(dims, 1, 3, (4, 4, 8, 12, 16, 6), upsample="nontrainable"),
    "segresnet": lambda dims, size: SegResNet(dims, 8, 1, 3, dropout_prob=0.2, blocks_down=(1, 2, 1), blocks_up=(1, 2)),
    "segresnet_bare": lambda dims, size: SegResNet(
        dims, 8, 1, 3, blocks_down=(1, 1), blocks_up=(1,), use_conv_final=False
    ),
    "dynunet": lambda dims, size: DynUNet(dims, 1, 3, [3] * 4, [1, 2, 2, 2], [2, 2, 2], filters=(4, 6, 8, 10)),
    "dynunet_residual": lambda dims, size: DynUNet(
        dims, 1, 3, [3] * 3, [1, 2, 2], [2, 2], filters=(4, 6, 8), res_block=True
    ),
    "dynunet_deep": lambda dims, size: DynUNet(
        dims, 1, 3, [3] * 4, [1, 2, 2, 2], [2, 2, 2], filters=(4, 6, 8, 10), deep_supervision=True, deep_supr_num=2
    ),
    "pcl": lambda dims, size: PCLUNet(1, 3, 2, spatial_dims=dims),
    "unet": lambda dims, size: UNet(dims, 1, 3, (4, 6, 8, 10), (2, 1, 2)),
    "unet_residual": lambda dims, size: UNet(dims, 1, 3, (4, 6, 8, 10), (2, 2, 2), num_res_units=2, norm="batch"),
    "unet_shallow": lambda dims, size: UNet(dims, 1, 3, (4, 6), (2,), num_res_units=1),
    "unet_checkpointed": lambda dims, size: CheckpointUNet(dims, 1, 3, (4, 6, 8), (2, 2), num_res_units=1),
    "attention": lambda dims, size: AttentionUnet(dims, 1, 3, (4, 6, 8, 10), (2, 2, 2)),
    "attention_shallow": lambda dims, size: AttentionUnet(dims, 1, 3, (4, 6), (2,)),
    "swin": lambda dims, size: swin(dims),
    "swin_v2": lambda dims, size: swin(dims, use_v2=True, normalize=False, patch_norm=True, depths=(1, 1, 1, 1)),
    "unetr": lambda dims, size: unetr(dims, size),
    "unetr_plain": lambda dims, size: unetr(dims, size, proj_type="perceptron", res_block=False, conv_block=False),
    "vnet": lambda dims, size: VNet(dims, 1, 3),
    "uamt": lambda dims, size: UAMTVNet(1, 3, features=4, spatial_dims=dims),
    "res_enc": lambda dims, size: ResEncUNet(1, 3, (4, 6, 8, 8), (1, 2, 1, 2), spatial_dims=dims),
    "rolling": lambda dims, size: RollingUNet(1, 3, 4),
    "ukan": lambda dims, size: UKAN(1, 3, (16, 20, 24)),
    "bcd": lambda dims, size: BCDUNet(1, 3, 4, dense_blocks=2),
    "bcd_released": lambda dims, size: BCDUNet(1, 3, 4, bidirectional=False, norm=False),
    "uctrans": lambda dims, size: UCTransNet(1, 3, size, 4),
}
PLANAR = ("rolling", "ukan", "bcd", "bcd_released", "uctrans")  # of images alone
# widths of the features, widths of the decoder's maps, and how many times smaller than the image these maps are
SHAPES = {
    "gcl": ((16, 32, 64, 128, 128, 128), (128, 128, 64, 32, 16), (16, 8, 4, 2, 1)),
    "basic": ((4, 4, 8, 12, 16), (12, 8, 4, 6), (8, 4, 2, 1)),
    "basic_upsample": ((4, 4, 8, 12, 16), (12, 8, 4, 6), (8, 4, 2, 1)),
    "segresnet": ((8, 16, 32), (16, 8), (2, 1)),
    "segresnet_bare": ((8, 16), (8,), (1,)),
    "dynunet": ((4, 6, 8, 10), (8, 6, 4), (4, 2, 1)),
    "dynunet_residual": ((4, 6, 8), (6, 4), (2, 1)),
    "dynunet_deep": ((4, 6, 8, 10), (8, 6, 4), (4, 2, 1)),
    "pcl": ((2, 4, 8, 16, 32), (16, 8, 4, 2), (8, 4, 2, 1)),
    "unet": ((4, 6, 8, 10), (6, 4, 3), (2, 2, 1)),
    "unet_residual": ((4, 6, 8, 10), (6, 4, 3), (4, 2, 1)),
    "unet_shallow": ((4, 6), (3,), (1,)),
    "unet_checkpointed": ((4, 6, 8), (4, 3), (2, 1)),
    "attention": ((4, 6, 8, 10), (8, 6, 4), (4, 2, 1)),
    "attention_shallow": ((4, 6), (4,), (1,)),
    "swin": ((1, 12, 24, 48, 96, 192), (96, 48, 24, 12, 12), (16, 8, 4, 2, 1)),
    "swin_v2": ((1, 12, 24, 48, 96, 192), (96, 48, 24, 12, 12), (16, 8, 4, 2, 1)),
    "unetr": ((1, 24, 24, 24, 24), (32, 16, 8, 4), (8, 4, 2, 1)),
    "unetr_plain": ((1, 24, 24, 24, 24), (32, 16, 8, 4), (8, 4, 2, 1)),
    "vnet": ((16, 32, 64, 128, 256), (256, 128, 64, 32), (8, 4, 2, 1)),
    "uamt": ((4, 8, 16, 32, 64), (32, 16, 8, 4), (8, 4, 2, 1)),
    "res_enc": ((4, 6, 8, 8), (8, 6, 4), (4, 2, 1)),
    "rolling": ((4, 8, 16, 32, 64), (32, 16, 8, 4), (8, 4, 2, 1)),
    "ukan": ((2, 4, 16, 20, 24), (20, 16, 4, 2), (16, 8, 4, 1)),
    "bcd": ((4, 8, 16, 32), (16, 8, 4), (4, 2, 1)),
    "bcd_released": ((4, 8, 16, 32), (16, 8, 4), (4, 2, 1)),
    "uctrans": ((4, 8, 16, 32, 32), (16, 8, 4, 4), (8, 4, 2, 1)),
}
SIZES = {2: ((32, 64), (96, 32)), 3: ((32, 32, 64), (64, 32, 32))}


def each_network(leave_out=(), marks_in_3d=()):
    """Parametrizes a test by ``kind`` and ``dims``, the networks of images by 2 alone."""
    cases = [
        pytest.param(kind, dims, marks=marks_in_3d if dims == 3 else ())
        for dims in SIZES
        for kind in NETWORKS
        if kind not in leave_out and (dims == 2 or kind not in PLANAR)
    ]
    return pytest.mark.parametrize("kind, dims", cases)


def built(kind, dims, seed=0, size=None):
    """The network, and images of the size, the first of SIZES when None."""
    torch.manual_seed(seed)
    size = SIZES[dims][0] if size is None else size
    return NETWORKS[kind](dims, size), torch.randn(2, 1, *size)
