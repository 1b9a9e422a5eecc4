# SPDX-License-Identifier: Apache-2.0
"""Scores of segmentations for each volume, and what embeddings tell during pre-training."""

from monai_cl_ext.metrics.embedding_record import EmbeddingRecord
from monai_cl_ext.metrics.handler import SegmentationScoresHandler
from monai_cl_ext.metrics.overlay_record import OverlayRecord
from monai_cl_ext.metrics.probe import EmbeddingCollapse, PartitionProbe
from monai_cl_ext.metrics.segmentation import segmentation_scores
from monai_cl_ext.metrics.superpixels import superpixel_report

__all__ = [
    "EmbeddingCollapse",
    "EmbeddingRecord",
    "OverlayRecord",
    "PartitionProbe",
    "SegmentationScoresHandler",
    "segmentation_scores",
    "superpixel_report",
]
