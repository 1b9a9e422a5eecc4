# SPDX-License-Identifier: Apache-2.0
"""Methods: one file a paper's method, a network with its heads and losses."""

from .dino import DINO
from .gcl_global import GCLGlobal
from .gcl_local import GCLLocal
from .instance import InstanceContrast
from .method import Method
from .parameter_groups import regularised_groups
from .pcl import PCL
from .restoration import Restoration
from .rotation import RotationPrediction
from .supercl import SuperCL
from .wcl import WCL

__all__ = [
    "DINO",
    "PCL",
    "WCL",
    "GCLGlobal",
    "GCLLocal",
    "InstanceContrast",
    "Method",
    "Restoration",
    "RotationPrediction",
    "SuperCL",
    "regularised_groups",
]
