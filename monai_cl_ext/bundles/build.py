# SPDX-License-Identifier: Apache-2.0
"""Builds the stand-alone folder of a bundle from the source in this package."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from monai_cl_ext import __version__
from monai_cl_ext.bundles.json_text import json_text
from monai_cl_ext.bundles.layers import Config, laid_over, merged, ordered_config, read_config
from monai_cl_ext.files import write_text

SOURCE = Path(__file__).with_name("source")
BUNDLES = SOURCE / "bundles"
TRAINED = Path(__file__).with_name("trained")
SHARED = "shared"
BASE, TRAINING = "pretrain", "train"  # what every stage of pre-training, or of training, begins with
PLACES = {"LICENSE": "LICENSE", "logging.conf": "configs/logging.conf", "data_license.txt": "docs/data_license.txt"}
OWN_PACKAGE = "monai-cl-ext"
METADATA = "configs/metadata.json"


def bundle_names() -> list[str]:
    """Names of the bundles that can be built."""
    return sorted(path.name for path in BUNDLES.iterdir() if path.is_dir())


def trained_names() -> list[str]:
    """Names of the bundles that come with weights."""
    return sorted(path.name for path in TRAINED.iterdir())


def build_bundle(name: str, output: str | Path) -> Path:
    """Writes a bundle to ``output/name``: configs, license, README; the same bytes each time.

    Args:
        name: one of :func:`bundle_names`.
        output: folder of bundles; files of the bundle that are there are overwritten.

    Returns:
        The bundle's folder.

    Raises:
        FileNotFoundError: when there is no such bundle; lists those that there are.
    """
    return write_files(bundle_files(name), Path(output) / name)


def write_files(files: Mapping[str, str], folder: Path) -> Path:
    """Writes texts to a folder by their paths in it, each atomically; folders are made. Returns the folder."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_text(folder / path, text)
    return folder


@cache
def bundle_files(name: str) -> Mapping[str, str]:
    """The text of each file of a bundle, by its path in the bundle's folder; raises as :func:`build_bundle`."""
    if name not in bundle_names():
        raise FileNotFoundError(
            f"found no bundle {name!r} in the package; it has {', '.join(bundle_names() + trained_names())}"
        )
    return files_of(BUNDLES / name)


def files_of(own: Path) -> dict[str, str]:
    """The text of each file of the bundle whose own layer lies in a folder, anywhere; the folder's name is its name."""
    layers = [*(SOURCE / layer for layer in (SHARED, *read_config(own / "metadata.json")["layers"])), own]
    header, page = _page(own / "README.md")
    metadata = _metadata(layers, header)
    before, training = metadata["pretrain_stages"], [stage for stage in metadata["train_stages"] if stage != TRAINING]
    names = {path.stem for layer in layers for path in layer.glob("*.json")} - {BASE, "metadata", *before, *training}
    configs = {config: merged(layers, config) for config in names}
    # stages of pre-training share the bundle's own pretrain.json, while its train.json is the last stage of training
    bases = dict.fromkeys(before, (BASE, layers)) | dict.fromkeys(training, (TRAINING, layers[:-1]))
    for stage, (base, below) in bases.items():
        begun = laid_over(merged(below, base), {"stage": stage})
        configs[stage] = begun if stage == base else merged(layers, stage, begun)
    files = {place: layer / file for layer in layers for file, place in PLACES.items() if (layer / file).is_file()}
    return {
        **{f"configs/{config}.json": json_text(ordered_config(content)) for config, content in sorted(configs.items())},
        **{place: path.read_text(encoding="utf-8") for place, path in files.items()},
        METADATA: json_text(metadata),
        "docs/README.md": _readme(page, layers, own.name, metadata),
    }


def _metadata(layers: Iterable[Path], header: Config) -> Config:
    """Of all layers, with the formats of the stages of pre-training, and the stages that overlays are for by name."""
    metadata = laid_over(merged(layers, "metadata"), header)
    metadata["required_packages_version"][OWN_PACKAGE] = __version__
    outputs = metadata.pop("pretrain_outputs")
    del metadata["layers"]
    for stage in metadata["pretrain_stages"]:
        inputs = metadata["network_data_format"]["inputs"]
        metadata[f"{stage}_data_format"] = {"inputs": inputs, "outputs": outputs[stage]}
    for overlay in metadata["overlays"].values():
        several = {BASE: metadata["pretrain_stages"], TRAINING: metadata["train_stages"]}
        if isinstance(overlay["stages"], str):  # one stage, where a list may name all of a kind
            overlay["stages"] = [overlay["stages"]]
            continue
        groups = [several.get(stage, [stage]) for stage in overlay["stages"]]
        overlay["stages"] = [stage for group in groups for stage in group]
    return metadata


def _page(path: Path) -> tuple[Config, str]:
    """What the head of a bundle's page gives for metadata.json, and the page below it."""
    _, head, page = path.read_text(encoding="utf-8").split("---\n", 2)
    entries = [line.split(": ", 1) for line in head.splitlines()]
    references = [value for name, value in entries if name == "reference"]
    return {**{name: value for name, value in entries if name != "reference"}, "references": references}, page.lstrip()


def _readme(page: str, layers: Iterable[Path], name: str, metadata: Config) -> str:
    """The page with what the layers hold in the places of its comments, such as ``<!-- data -->``."""
    pages = [path for layer in layers for path in layer.glob("pages/*.md")]
    parts = {path.stem: path.read_text(encoding="utf-8").strip() for path in pages}
    cited = [textwrap.fill(f"[{number}] {text}.", 120) for number, text in enumerate(metadata["references"], start=1)]
    parts["references"] = "\n\n".join(["## References", *cited])
    text = re.sub(r"(?m)^<!-- (\w+) -->$", lambda found: parts[found[1]], page)
    text = text.replace("{first_stage}", [*metadata["pretrain_stages"], "train"][0])
    return text.replace("{bundle}", name).replace("{stage}", ["train", *metadata["pretrain_stages"]][-1])
