# SPDX-License-Identifier: Apache-2.0
"""Kinds of published weights that ``load_pretrained(preset=...)`` reads, one table each."""

from monai_cl_ext.networks.presets.medicalnet import MEDICALNET
from monai_cl_ext.networks.presets.preset import Preset
from monai_cl_ext.networks.presets.res_enc_unet import OPENMIND
from monai_cl_ext.networks.presets.swin_unetr import MONAI_SSL, MONAI_SWINVIT, VOCO
from monai_cl_ext.networks.presets.vision_transformers import DINO, DINOV2, MAE, TIMM_VIT

PRESETS: dict[str, Preset] = {
    "dino": DINO,
    "dinov2": DINOV2,
    "mae": MAE,
    "medicalnet": MEDICALNET,
    "monai_ssl": MONAI_SSL,
    "monai_swinvit": MONAI_SWINVIT,
    "openmind": OPENMIND,
    "timm_vit": TIMM_VIT,
    "voco": VOCO,
}

__all__ = ["PRESETS", "Preset"]
