# SPDX-License-Identifier: Apache-2.0
"""What trainings recorded, as sections of a page: the first batch, curves, embeddings of held-out slices."""

from __future__ import annotations

from pathlib import Path

from monai_cl_ext.visualize.batch_views import draw_views
from monai_cl_ext.visualize.curves import draw_curves
from monai_cl_ext.visualize.embedding_map import draw_embeddings
from monai_cl_ext.visualize.page import Section, saved
from monai_cl_ext.visualize.pair_map import draw_pair_images, draw_pair_map
from monai_cl_ext.visualize.records import Run
from monai_cl_ext.visualize.superpixel_pairs import draw_superpixels

MAXIMUM_PICTURED = 8  # runs whose pictures a page holds, so that it stays small


def training_sections(runs: list[Run], figures: Path) -> list[Section]:
    """The sections of these runs; without content where nothing was recorded.

    Args:
        runs: see ``find_runs``.
        figures: folder of the PNG and SVG files.
    """
    return [_batches(runs, figures), _curves(runs, figures), _embeddings(runs, figures)]


def _batches(runs: list[Run], figures: Path) -> Section:
    found = [(run, batch) for run in runs if (batch := run.tensors("batch"))]
    section = Section("batch", "One batch", left_out(len(found)))
    for run, batch in found[:MAXIMUM_PICTURED]:
        drawings = [draw_views(batch, f"{file_prefix(run)}views")]
        pairs = "positive" in batch and bool(batch["positive"].any())
        if pairs:
            drawings += [
                draw_pair_map(batch, f"{file_prefix(run)}pair_map"),
                draw_pair_images(batch, f"{file_prefix(run)}pairs"),
            ]
        if "superpixels" in batch:
            drawings.append(draw_superpixels(batch, f"{file_prefix(run)}superpixels"))
        elif not pairs:
            drawings[0].caption += " No pair map: this loss joins places within images, not whole images."
        section.groups.append((run.name, saved(drawings, figures)))
    return section


def _curves(runs: list[Run], figures: Path) -> Section:
    groups = [(stage, saved(drawings, figures)) for stage, drawings in draw_curves(runs).items()]
    return Section("curves", "Curves", groups=groups)


def _embeddings(runs: list[Run], figures: Path) -> Section:
    found = [(run, record) for run in runs if (record := run.tensors("embeddings")) and len(record["embeddings"]) > 1]
    section = Section("embeddings", "Embeddings of held-out slices", left_out(len(found)))
    for run, record in found[:MAXIMUM_PICTURED]:
        section.groups.append((run.name, saved(draw_embeddings(record, f"{file_prefix(run)}embeddings"), figures)))
    return section


def left_out(count: int) -> list[str]:
    """A sentence when there are more runs than a page pictures."""
    shown = MAXIMUM_PICTURED
    return [f"The first {shown} of {count} runs; report on a folder below for others."] if count > shown else []


def file_prefix(run: Run) -> str:
    """Beginning of the names of a run's figures."""
    return f"{run.name}_"
