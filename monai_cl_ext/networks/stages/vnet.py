# SPDX-License-Identifier: Apache-2.0
"""Stages of MONAI's VNet."""

from __future__ import annotations

import warnings

from monai.networks.nets import VNet
from torch import nn

from monai_cl_ext.networks.stages.base import Stages
from monai_cl_ext.networks.stages.registry import stages


def vnet_stages(net: VNet) -> Stages:
    """Stages of MONAI's VNet: five encoder levels, four decoder blocks.

    Dropout of a level is part of it; dropout of a skip is part of the decoder block that takes it, so the features are
    those before.

    Warns:
        UserWarning: when the network is 2D and has dropout: MONAI's is that of 3D maps whatever ``dropout_dim`` says,
            which takes a batch of 2D maps for the channels of one volume and drops whole images.
    """
    seen = Stages(
        net,
        encoder=("in_tr", "down_tr32", "down_tr64", "down_tr128", "down_tr256"),
        blocks=("up_tr256", "up_tr128", "up_tr64", "up_tr32"),
        output="out_tr",
    )
    if seen.spatial_dims == 2 and any(isinstance(module, nn.Dropout3d) and module.p > 0 for module in net.modules()):
        warnings.warn(
            "MONAI's VNet drops whole images of a batch in 2D, not channels, whatever dropout_dim says: give"
            " dropout_prob_down=None for an encoder without, or take UAMTVNet(spatial_dims=2)",
            stacklevel=3,
        )
    return seen


stages.register(VNet, vnet_stages)
