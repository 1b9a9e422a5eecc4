# SPDX-License-Identifier: Apache-2.0
"""Methods: one file a paper's method, a network with its heads and losses."""

from .adversary import Adversary
from .augmented_training import AugmentedTraining
from .bcp import BCP
from .byol import BYOL
from .caussl import CauSSL
from .cross_pseudo_supervision import CrossPseudoSupervision
from .dan import DAN
from .desd import DeSD
from .dino import DINO
from .dira import DiRA
from .dtc import DTC
from .ema_self_training import EMASelfTraining
from .gcl_global import GCLGlobal
from .gcl_local import GCLLocal
from .instance import InstanceContrast
from .learned_augmentation import LearnedAugmentation
from .mcnet import MCNet
from .mean_teacher import MeanTeacher
from .method import Method, NetworkMethod
from .mixup import Mixup
from .moco import MoCo
from .moco_v3 import MoCoV3
from .momentum import MomentumMethod
from .parameter_groups import weight_decay_groups
from .partition_contrast import PartitionContrast
from .pcl import PCL
from .random_boxes import RandomBoxes
from .restoration import Restoration
from .rotation import RotationPrediction
from .sassnet import SASSNet
from .self_training import SelfTraining
from .semi_supervised import SemiSupervised
from .signed_distances import SignedDistances
from .simclr import SimCLR
from .simsiam import SimSiam
from .simtriplet import SimTriplet
from .supercl import SuperCL
from .supervised import Supervised
from .swav import SwAV
from .two_stages import TwoStages
from .uamt import UAMT
from .unimatch import UniMatch
from .urpc import URPC
from .wcl import WCL

__all__ = [
    "AugmentedTraining",
    "BCP",
    "BYOL",
    "DAN",
    "DINO",
    "DTC",
    "PCL",
    "UAMT",
    "URPC",
    "SASSNet",
    "WCL",
    "Adversary",
    "CauSSL",
    "CrossPseudoSupervision",
    "DeSD",
    "DiRA",
    "GCLGlobal",
    "GCLLocal",
    "InstanceContrast",
    "MCNet",
    "LearnedAugmentation",
    "MeanTeacher",
    "Method",
    "Mixup",
    "MoCo",
    "MoCoV3",
    "MomentumMethod",
    "NetworkMethod",
    "PartitionContrast",
    "RandomBoxes",
    "Restoration",
    "RotationPrediction",
    "SelfTraining",
    "SemiSupervised",
    "SignedDistances",
    "SimCLR",
    "SimSiam",
    "SimTriplet",
    "SuperCL",
    "Supervised",
    "SwAV",
    "EMASelfTraining",
    "TwoStages",
    "UniMatch",
    "weight_decay_groups",
]
