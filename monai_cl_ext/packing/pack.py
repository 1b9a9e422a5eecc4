# SPDX-License-Identifier: Apache-2.0
"""Packs what was trained as a bundle that stands alone."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from monai_cl_ext.bundles.json_text import json_text
from monai_cl_ext.files import atomic_folder, write_text
from monai_cl_ext.packing.checks import check_bundle
from monai_cl_ext.packing.configs import packed_configs
from monai_cl_ext.packing.metadata import Origin, baked_overlays, packed_metadata
from monai_cl_ext.packing.names import names_of, refuse_names
from monai_cl_ext.packing.page import page
from monai_cl_ext.packing.scores import scores_of
from monai_cl_ext.packing.trained_run import TrainedRun, trained_run
from monai_cl_ext.packing.weights import hashes, pack_weights
from monai_cl_ext.screen import logged_to

PARTS = ("configs", "scripts")
TEXTS = ("LICENSE", "docs", *PARTS)  # all that a pack has beside models/
NOTHING_STATED = Origin()
LEFT_OUT = ("__pycache__", ".*", "*~")  # what interpreters, editors and file managers leave behind


@dataclass(frozen=True)
class Packed:
    """A bundle that was packed.

    Attributes:
        folder: of the bundle.
        checks: what was checked, a line each.
        missing: why each export that is missing is, by its path in the folder.
        unscored: why it has no scores; empty where it has.
    """

    folder: Path
    checks: list[str]
    missing: dict[str, str]
    unscored: str


def pack(run: str, output: str, origin: Origin = NOTHING_STATED, exports: bool = True) -> Packed:
    """Writes a bundle of what was trained: its settings in the configs, its weights, scores and page.

    Left out: states to resume from, records, and names of patients, volumes and places.

    Args:
        run: folder of ``train``, or of a bundle in which train.json has completed.
        output: folder of the bundle, whose name is the bundle's; it must not exist.
        origin: authors of the weights, source and license of the data.
        exports: whether models/ gets TorchScript and ONNX beside the state of the network.

    Raises:
        FileNotFoundError: when nothing was trained there.
        FileExistsError: when there is something at ``output``.
        ValueError: when the weights do not fit or are another training's, a check of the zoo does not hold, or the
            bundle would tell a name.
    """
    trained, target = trained_run(run), Path(os.path.realpath(output))
    if target.exists():
        raise FileExistsError(f"output {target}: exists already; give another, or remove it")
    configs, scores, size = packed_configs(trained), scores_of(trained), _size(trained)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(target) as folder:
        metadata = packed_metadata(trained, origin, configs, size, scores)
        metadata["name"] = target.name.replace("_", " ")
        own, overlays = trained.bundle.folder, [f"{name}.json" for name in baked_overlays(trained)]
        shutil.copy(own / "LICENSE", folder)
        for part in PARTS:
            if (own / part).is_dir():
                shutil.copytree(own / part, folder / part, ignore=shutil.ignore_patterns(*LEFT_OUT, *overlays))
        for name, content in {**configs, "metadata": metadata}.items():
            write_text(folder / "configs" / f"{name}.json", json_text(content))
        (folder / "docs").mkdir()
        write_text(folder / "docs" / "data_license.txt", origin.license_text + "\n")
        channels = metadata["network_data_format"]["inputs"]["image"]["num_channels"]
        with logged_to(Path(os.devnull)):  # exporters and MONAI's commands print what they do
            missing = pack_weights(trained.weights, folder, [channels, *size], exports)
        for name, text in trained.kind.beside_weights(trained.settings).items():
            write_text(folder / "models" / name, text)
        metadata |= {"weights_sha256": hashes(folder)}
        write_text(folder / "configs" / "metadata.json", json_text(metadata))
        write_text(folder / "docs" / "README.md", page(trained, metadata, scores, origin.license_text))
        names, lacking = names_of(trained)
        searched = refuse_names(folder, names) + f"; {lacking}" * bool(lacking)
        with logged_to(Path(os.devnull)):
            checks = [*check_bundle(folder), searched]
    return Packed(target, checks, missing, trained.unscored)


def _size(run: TrainedRun) -> list[int]:
    """Of an image that the network takes."""
    size = run.settings["image_size"]
    return list(size) if isinstance(size, list) else [int(size)] * int(run.settings["spatial_dims"])
