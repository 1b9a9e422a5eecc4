# SPDX-License-Identifier: Apache-2.0
"""Methods: one file a paper's method, a network with its heads and losses."""

from .dino import DINO
from .gcl_global import GCLGlobal
from .gcl_local import GCLLocal
from .instance import InstanceContrast
from .method import Method, NetworkMethod
from .mixup import Mixup
from .parameter_groups import weight_decay_groups
from .partition_contrast import PartitionContrast
from .pcl import PCL
from .restoration import Restoration
from .rotation import RotationPrediction
from .self_training import SelfTraining
from .simclr import SimCLR
from .supercl import SuperCL
from .supervised import Supervised
from .wcl import WCL

__all__ = [
    "DINO",
    "PCL",
    "WCL",
    "GCLGlobal",
    "GCLLocal",
    "InstanceContrast",
    "Method",
    "Mixup",
    "NetworkMethod",
    "PartitionContrast",
    "Restoration",
    "RotationPrediction",
    "SelfTraining",
    "SimCLR",
    "SuperCL",
    "Supervised",
    "weight_decay_groups",
]
