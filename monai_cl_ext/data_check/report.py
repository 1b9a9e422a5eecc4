# SPDX-License-Identifier: Apache-2.0
"""What a check says: short text for a terminal, a page, check.json, and the overlay of settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from monai_cl_ext.data.store import default_store
from monai_cl_ext.data.store.commands import as_size
from monai_cl_ext.data_check.card import CLASS_HEAD, card_rows, card_sentences, class_rows
from monai_cl_ext.data_check.facts import ERROR, LEVELS, CaseFacts, Finding
from monai_cl_ext.data_check.photographs import PictureFacts
from monai_cl_ext.data_check.stored import free_bytes
from monai_cl_ext.data_check.suggestion import Patch, Suggestion
from monai_cl_ext.files import write_text
from monai_cl_ext.names import visible
from monai_cl_ext.visualize.drawing import Drawing
from monai_cl_ext.visualize.page import Markup, Section, saved, write_page
from monai_cl_ext.visualize.table import Table
from monai_cl_ext.visualize.wording import counted

LISTED = 8  # findings of a level in the terminal
OVERLAY = "check_settings.json"
NO_PROMISE = "Settings to start from, by the numbers of the data; nothing was trained."


@dataclass
class Checked:
    """What was found in a folder; ``cases`` are of volumes or of pictures, ``suggestion`` of volumes alone."""

    folder: str
    cases: Sequence[CaseFacts | PictureFacts]
    findings: list[Finding]
    card: dict[str, Any]
    suggestion: Suggestion | None = None
    options: list[str] = field(default_factory=list)
    drawing: Drawing | None = None

    @property
    def errors(self) -> list[Finding]:
        """What keeps a training from starting."""
        return [finding for finding in self.findings if finding.level == ERROR]

    @property
    def verdict(self) -> str:
        """Whether training can start, in a sentence."""
        numbers = {level: sum(finding.level == level for finding in self.findings) for level in LEVELS}
        told = ", ".join(counted(number, level) for level, number in numbers.items() if number)
        return ("Training cannot start" if self.errors else "Training can start") + (f": {told}." if told else ".")

    @property
    def sentences(self) -> list[str]:
        """The data set in a few sentences."""
        return picture_sentences(self.card) if "pictures" in self.card else card_sentences(self.card)

    @property
    def tables(self) -> list[Table]:
        """The data card."""
        if "pictures" in self.card:
            rows = [[name, str(one["pictures"]), str(one["patients"])] for name, one in self.card["classes"].items()]
            return [Table("Classes", ["class", "pictures", "patients"], rows)]
        tables = [
            Table("Volumes", ["", "smallest", "median", "largest"], card_rows(self.card)),
            Table("Classes", CLASS_HEAD, class_rows(self.card)),
        ]
        return [table for table in tables if table.rows]


def picture_sentences(card: dict[str, Any]) -> list[str]:
    """A folder of photographs in a few sentences."""
    refused = card["refused_pictures"]
    sentences = [
        f"{card['pictures']} pictures of {card['patients']} patients in {len(card['classes'])} classes; "
        + (f"{refused} refused." if refused else "all can be read.")
    ]
    if card["size"]:
        low, middle, high = (" x ".join(f"{side:g}" for side in card["size"][end]) for end in ("min", "median", "max"))
        modes = ", ".join(f"{count} {mode}" for mode, count in card["modes"].items())
        size = f"all {low} pixels" if low == high else f"{low} to {high} pixels, median {middle}"
        sentences.append(f"Size: {size}. Colors: {modes}.")
    return sentences


def as_text(checked: Checked) -> str:
    """What a terminal shows."""
    parts = [visible(checked.folder), "\n".join(checked.sentences), *map(str, checked.tables)]
    for level in LEVELS:
        found = [finding for finding in checked.findings if finding.level == level]
        lines = [f"{level}: {visible(finding.message)}" for finding in found[:LISTED]]
        lines += [f"and {counted(len(found) - LISTED, level)} more, in check.html"] if len(found) > LISTED else []
        parts += ["\n".join(lines)] if lines else []
    if checked.suggestion:
        lines = [
            f"  {name} {json.dumps(value)}: {checked.suggestion.reasons[name]}"
            for name, value in checked.suggestion.settings.items()
        ]
        lines += [f"  {what}: {patch}" for what, patch in _patches(checked.suggestion)]
        lines.append(f"  the store: {_stored(checked.suggestion)}")
        parts.append("\n".join(["Settings to start from", *lines]))
    return "\n\n".join([*parts, checked.verdict])


def write_check(checked: Checked, output: Path) -> Path:
    """Writes check.html, check.json and, of volumes that can be read, the overlay; returns where the page is."""
    output.mkdir(parents=True, exist_ok=True)
    suggestion = checked.suggestion
    content = {
        "folder": checked.folder,
        "can_start": not checked.errors,
        "findings": [asdict(finding) for finding in checked.findings],
        "card": checked.card,
        **({"suggestion": asdict(suggestion)} if suggestion else {}),
        "cases": [_case(one) for one in checked.cases],
    }
    write_text(output / "check.json", json.dumps(content, indent=1) + "\n")
    if suggestion:
        write_text(output / OVERLAY, json.dumps(suggestion.settings, indent=4) + "\n")
    sections = [_findings_section(checked), Section("card", "Data card", checked.sentences[1:], checked.tables)]
    if checked.drawing:
        figures = [("", saved([checked.drawing], output / "figures"))]
        sections.append(Section("slices", "Slices", groups=figures))
    if suggestion:
        sections.append(_settings_section(checked, suggestion, output / OVERLAY))
    sections.append(_cases_section(checked.cases))
    lead = [checked.verdict, checked.sentences[0]]
    return write_page(output / "check.html", "data check", f"Check of {checked.folder}", lead, sections)


def _patches(suggestion: Suggestion) -> list[tuple[str, Patch]]:
    """What the suggested 3D patches are for."""
    patches = [
        ("3D patches, with the overlay volumes, within the median volume", suggestion.patch),
        ("those of GCL, PCL and SuperCL, half of the shortest volume at most", suggestion.half_patch),
    ]
    return [(what, patch) for what, patch in patches if patch is not None]


def _stored(suggestion: Suggestion) -> str:
    slices, whole = as_size(suggestion.stored_bytes), as_size(suggestion.stored_volume_bytes)
    more, more_whole = as_size(suggestion.superpixel_bytes), as_size(suggestion.supervoxel_bytes)
    free = as_size(free_bytes(default_store()))
    deep = f"; {whole} for whole volumes in 3D at the spacing of their files, {more_whole} more"
    return (
        f"{slices} for the prepared slices of all volumes, {more} more with SuperCL's superpixels"
        f"{deep if suggestion.patch else ''}; in {visible(default_store())}, where {free} are free"
    )


def _case(one: CaseFacts | PictureFacts) -> dict[str, Any]:
    case = asdict(one)
    case.pop("findings")
    if case.get("segmentation"):
        case["segmentation"].pop("sample")
    return case


def _findings_section(checked: Checked) -> Section:
    rows = [[finding.level, finding.message] for finding in checked.findings]
    text = [] if rows else ["Nothing was found."]
    tables = [Table("What was found", ["level", "what, and what to do"], rows)] if rows else []
    every = [[str(number), file] for number, finding in enumerate(checked.findings, start=1) for file in finding.files]
    folded = [Table("Files of each finding", ["finding, from the top", "file"], every)] if every else []
    return Section("findings", "Findings", text, tables, folded)


def _settings_section(checked: Checked, suggestion: Suggestion, overlay: Path) -> Section:
    rows = [[name, json.dumps(value), suggestion.reasons[name]] for name, value in suggestion.settings.items()]
    rows += [["", str(patch), f"{what}; not in this overlay"] for what, patch in _patches(suggestion)]
    use = Markup("<code>python -m monai.bundle run --dataset_dir {} {} --config_file {}</code>").format(
        visible(checked.folder), visible(" ".join(checked.options)), f"\"['configs/train.json','{overlay.resolve()}']\""
    )
    text = [
        NO_PROMISE, f"{overlay.name} beside this page goes after the bundle's own files:", use,
        f"On disk: {_stored(suggestion)}.",
    ]  # fmt: skip
    return Section("settings", "Settings to start from", text, [Table("Settings", ["id", "value", "why"], rows)])


def _cases_section(cases: Sequence[CaseFacts | PictureFacts]) -> Section:
    if cases and isinstance(cases[0], PictureFacts):
        rows = [
            [one.image, one.patient, one.class_name, " x ".join(map(str, one.size)) or "refused", one.mode]
            for one in cases if isinstance(one, PictureFacts)
        ]  # fmt: skip
        table = Table("Every picture", ["file", "patient", "class", "size", "colors"], rows)
        return Section("cases", "Pictures", folded=[table])
    rows = []
    for one in cases:
        volume = one.volume if isinstance(one, CaseFacts) else None
        if not isinstance(one, CaseFacts) or volume is None:
            rows.append([one.image, one.patient, "refused", "", "", ""])
            continue
        classes = one.segmentation.voxels if one.segmentation else {}
        rows.append([
            one.image, one.patient, " x ".join(map(str, volume.shape)), " x ".join(f"{s:.4g}" for s in volume.spacing),
            volume.orientation, ", ".join(f"{number}: {count:,}" for number, count in classes.items() if number),
        ])  # fmt: skip
    table = Table("Every volume", ["file", "patient", "shape", "spacing", "axes", "voxels of each class"], rows)
    return Section("cases", "Volumes", folded=[table])
