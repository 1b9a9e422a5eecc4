# SPDX-License-Identifier: Apache-2.0
"""Figures of a run, and the report page that shows them; needs the extra "report"."""

from monai_cl_ext.extras import need

need("figures and reports", "report", "jinja2", "markupsafe", "matplotlib", "pandas")

from monai_cl_ext.visualize.batch_views import draw_views
from monai_cl_ext.visualize.curves import draw_curves
from monai_cl_ext.visualize.drawing import Drawing
from monai_cl_ext.visualize.embedding_map import draw_embeddings
from monai_cl_ext.visualize.overlays import draw_overlays
from monai_cl_ext.visualize.pair_map import draw_pair_images, draw_pair_map
from monai_cl_ext.visualize.records import Run, find_runs
from monai_cl_ext.visualize.report import evaluated_runs, write_report
from monai_cl_ext.visualize.scores import draw_scores
from monai_cl_ext.visualize.superpixel_pairs import draw_superpixel_maps, draw_superpixels

__all__ = [
    "Drawing",
    "Run",
    "draw_curves",
    "draw_embeddings",
    "draw_overlays",
    "draw_pair_images",
    "draw_pair_map",
    "draw_scores",
    "draw_superpixel_maps",
    "draw_superpixels",
    "draw_views",
    "evaluated_runs",
    "find_runs",
    "write_report",
]
