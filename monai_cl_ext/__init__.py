# SPDX-License-Identifier: Apache-2.0
"""Contrastive pre-training for medical images, inside MONAI."""

__version__ = "0.1.0"
