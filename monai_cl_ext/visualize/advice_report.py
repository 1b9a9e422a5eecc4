# SPDX-License-Identifier: Apache-2.0
"""The report page of an adviser: what was looked at, what was found, the suggestion, and how far it holds."""

from __future__ import annotations

from pathlib import Path

import monai
import torch
from markupsafe import Markup

from monai_cl_ext import __version__
from monai_cl_ext.advise import Advice, Rung
from monai_cl_ext.advise.comparison import MEASURES
from monai_cl_ext.advise.policies import KEY
from monai_cl_ext.advise.spaces import RANDOM
from monai_cl_ext.advise.suggestion import CAUTION
from monai_cl_ext.advise.writing import NUMBERS, OVERLAY, overlay_text
from monai_cl_ext.visualize.advice_curves import NAMES, draw_measure, draw_operations
from monai_cl_ext.visualize.advice_histograms import draw_histograms
from monai_cl_ext.visualize.advice_pictures import draw_gallery, draw_map
from monai_cl_ext.visualize.page import Section, saved, write_page
from monai_cl_ext.visualize.tables import Table, duration

PAGE = "advice.html"


def write_advice_report(advice: Advice, folder: str | Path) -> Path:
    """Writes the page advice.html, and its figures as PNG and SVG into figures/.

    Args:
        advice: what ``advise.advise`` found.
        folder: where to; made when missing.

    Returns:
        Where the page is.
    """
    folder = Path(folder)
    figures = folder / "figures"
    above = [rung for rung in advice.strengths if rung.strength > 0]
    names = {space: f"distances_{space.replace(' ', '_')}" for space in advice.facts["spaces"]}
    sections = [
        _suggestion(advice),
        _drawn("views", "Views", [], saved([draw_gallery(advice)], figures)),
        _drawn("strength", "Measures over strength", [], saved(
            [draw_measure(advice.strengths, measure, advice.strength) for measure in MEASURES], figures
        )),
        _drawn("distances", "Distances of the pairs", list(advice.facts["spaces"].values()), saved(
            [draw_histograms(above, space, name) for space, name in names.items()], figures
        )),
        _drawn("map", "A map of views", [], saved([draw_map(advice)], figures)),
    ]  # fmt: skip
    if advice.operations:
        sections.append(_drawn("operations", "Operations", [], saved([draw_operations(advice.operations)], figures)))
    versions = f"monai_cl_ext {__version__}, monai {monai.__version__}, torch {torch.__version__}"
    facts = advice.facts
    lead = [f"Suggested strength of the policy {facts['policy']}: {advice.strength:g}."]
    channels = "1 channel" if facts["channels"] == 1 else f"{facts['channels']} channels"
    notes = [
        CAUTION,
        f"{facts['data']} Views of {facts['size']} × {facts['size']} pixels, {channels}, seed {facts['seed']}. Reading "
        f"and measuring took {duration(facts['seconds'])}.",
    ]
    title = f"How strongly to augment: the policy {facts['policy']}"
    page = [*sections, _details(advice)]
    return write_page(folder / PAGE, "view policy", title, lead, page, notes, versions)


def _drawn(anchor: str, title: str, text: list[str], figures: list) -> Section:
    return Section(anchor, title, text, groups=[("", figures)])


def _suggestion(advice: Advice) -> Section:
    """Why this strength, the score of each, and the overlay, to be copied."""
    rows = [
        [rung.name, f"{rung.spaces[RANDOM].measures['auc']:.3f}", f"{advice.scores[rung.strength]:.2f}"]
        for rung in advice.strengths
    ]
    score = Table(
        "Score of each strength", ["strength", "AUC", "score"], rows,
        note=f"AUC in the space: {RANDOM}. The score is 1 where the AUC is 0.75 and 0 where it is 1 or 0.5.",
    )  # fmt: skip
    text = [
        *advice.why,
        f"The suggestion as an overlay ({OVERLAY} beside this page), to be named after the bundle's own files in "
        f"config_file. The bundles of GCL, PCL, WCL and the pretext tasks read {KEY} and strength of it; those of "
        "DINO, which know the policies strong, weak and weak_med, policy and strength; that of SuperCL strength alone.",
        Markup("<code>{}</code>").format(overlay_text(advice)),
    ]
    return Section("suggestion", "The suggestion", text, [score])


def _details(advice: Advice) -> Section:
    tables = [
        _numbers(kind, title, space, rungs)
        for space in advice.facts["spaces"]
        for kind, title, rungs in (("strength", "Strengths", advice.strengths), ("operation", "Operations alone",
                                                                                 advice.operations))
        if rungs
    ]  # fmt: skip
    return Section("details", "All figures", [f"The same are in {NUMBERS}, with the histograms."], folded=tables)


def _numbers(kind: str, title: str, space: str, rungs: list[Rung]) -> Table:
    rows = [[rung.name, *(f"{rung.spaces[space].measures[name]:.3f}" for name in MEASURES)] for rung in rungs]
    return Table(f"{title}: {space}", [kind, *(NAMES[name][0] for name in MEASURES)], rows)
