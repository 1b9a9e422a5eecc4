# SPDX-License-Identifier: Apache-2.0
"""Scores of segmentations and classifications, and what embeddings tell."""

from monai_cl_ext.metrics.classification import bootstrap_intervals, classification_scores
from monai_cl_ext.metrics.classification_handler import ClassificationScoresHandler
from monai_cl_ext.metrics.classification_metric import ClassificationScore
from monai_cl_ext.metrics.nearest_neighbors import NearestNeighbors, nearest_neighbor_probabilities
from monai_cl_ext.metrics.prediction_table import PredictionTable
from monai_cl_ext.metrics.probe import EmbeddingCollapse, EmbeddingSpread, PartitionProbe
from monai_cl_ext.metrics.segmentation import segmentation_scores
from monai_cl_ext.metrics.segmentation_handler import SegmentationScoresHandler
from monai_cl_ext.metrics.superpixels import superpixel_report

__all__ = [
    "ClassificationScore",
    "ClassificationScoresHandler",
    "EmbeddingCollapse",
    "EmbeddingSpread",
    "NearestNeighbors",
    "PartitionProbe",
    "PredictionTable",
    "SegmentationScoresHandler",
    "bootstrap_intervals",
    "classification_scores",
    "nearest_neighbor_probabilities",
    "segmentation_scores",
    "superpixel_report",
]
