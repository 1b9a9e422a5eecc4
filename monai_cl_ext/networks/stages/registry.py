# SPDX-License-Identifier: Apache-2.0
"""Registry of the networks with known stages."""

from __future__ import annotations

from functools import singledispatch

from torch import nn

from monai_cl_ext.networks.stages.base import Stages


@singledispatch
def stages(net: nn.Module) -> Stages:
    """Encoder levels and decoder blocks of a network, chosen by its class or a base class of it.

    Known are GCLUNet, PCLUNet, ResEncUNet, UAMTVNet and MONAI's AttentionUnet, BasicUNet, DynUNet, ResNet (an encoder
    without decoder), SegResNet, SwinUNETR, UNet, UNETR and VNet, 2D and 3D, and in 2D BCDUNet, RollingUNet, UCTransNet
    and UKAN.
    ``stages.register(MyNet, function)`` adds a class; the function takes the network and returns its :class:`Stages`.

    Args:
        net: the network itself, without a wrapper such as DistributedDataParallel.

    Raises:
        TypeError: when the class is unknown.
    """
    known = sorted(kind.__name__ for kind in stages.registry if kind is not object)
    raise TypeError(
        f"net must be one of {', '.join(known)}, found {type(net).__name__}:"
        " unwrap it, or add its class with stages.register(class, function)"
    )
