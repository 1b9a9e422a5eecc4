# SPDX-License-Identifier: Apache-2.0
"""Builds the stand-alone folder of a bundle from the source in this package."""

from __future__ import annotations

import copy
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from functools import cache, reduce
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from monai_cl_ext.bundles.json_text import json_text
from monai_cl_ext.files import write_text

SOURCE = Path(__file__).with_name("source")
BUNDLES = SOURCE / "bundles"
SHARED = "shared"
BASE = "pretrain"  # what every stage of pre-training begins with
DROPPED = "-"
PLACES = {"LICENSE": "LICENSE", "logging.conf": "configs/logging.conf", "data_license.txt": "docs/data_license.txt"}
METADATA = "configs/metadata.json"
Config = dict[str, Any]


def bundle_names() -> list[str]:
    """Names of the bundles that can be built."""
    return sorted(path.name for path in BUNDLES.iterdir() if path.is_dir())


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
    folder = Path(output) / name
    for path, text in bundle_files(name).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_text(folder / path, text)
    return folder


@cache
def bundle_files(name: str) -> Mapping[str, str]:
    """The text of each file of a bundle, by its path in the bundle's folder; raises as :func:`build_bundle`."""
    if name not in bundle_names():
        raise FileNotFoundError(f"found no bundle {name!r} in the package; it has {', '.join(bundle_names())}")
    own = BUNDLES / name
    layers = [*(SOURCE / layer for layer in (SHARED, *_read(own / "metadata.json")["layers"])), own]
    header, page = _page(own / "README.md")
    metadata = _metadata(layers, header)
    stages = metadata["pretrain_stages"]
    names = {path.stem for layer in layers for path in layer.glob("*.json")} - {BASE, "metadata", *stages}
    configs = {config: _merged(layers, config) for config in names}
    for stage in stages:
        lines = _merged(layers, stage) if stage != BASE else {}
        configs[stage] = reduce(_laid_over, [{"stage": stage}, lines], _merged(layers, BASE))
    files = {place: layer / file for layer in layers for file, place in PLACES.items() if (layer / file).is_file()}
    return {
        **{f"configs/{config}.json": json_text(_ordered(content)) for config, content in sorted(configs.items())},
        **{place: path.read_text(encoding="utf-8") for place, path in files.items()},
        METADATA: json_text(metadata),
        "docs/README.md": _readme(page, layers, name, metadata),
    }


def _metadata(layers: Iterable[Path], header: Config) -> Config:
    """Of all layers, with the formats of the stages of pre-training, and the stages that overlays are for by name."""
    metadata = _laid_over(_merged(layers, "metadata"), header)
    outputs = metadata.pop("pretrain_outputs")
    del metadata["layers"]
    for stage in metadata["pretrain_stages"]:
        inputs = metadata["network_data_format"]["inputs"]
        metadata[f"{stage}_data_format"] = {"inputs": inputs, "outputs": outputs[stage]}
    for overlay in metadata["overlays"].values():
        groups = [metadata["pretrain_stages"] if stage == BASE else [stage] for stage in overlay["stages"]]
        overlay["stages"] = [stage for group in groups for stage in group]
    return metadata


def _merged(layers: Iterable[Path], config: str) -> Config:
    """What the layers hold under the name of a config, laid over each other."""
    first, *others = [_read(layer / f"{config}.json") for layer in layers if (layer / f"{config}.json").is_file()]
    return reduce(_laid_over, others, first)


def _laid_over(config: Config, patch: Config) -> Config:
    """The config with a patch laid over it as MONAI does, without the ids that the patch drops."""
    parser = ConfigParser(copy.deepcopy(config))
    for name in patch.get(DROPPED, []):
        parent, _, last = name.rpartition("#")
        del parser[parent][last]
    for name, value in copy.deepcopy(patch).items():
        if name != DROPPED:
            merge_kv(parser, name, value)
    laid: Config = parser.get()
    return laid


def _ordered(config: Config) -> Config:
    """Each id behind those that it refers to, and else in its order, as where two refer to each other."""
    refers = {name: set(re.findall(r"[@%](\w+)", json.dumps(value))) for name, value in config.items()}
    ordered: Config = {}

    def add(name: str) -> None:
        if name in ordered:
            return
        for other in config:
            if other in refers[name] and name not in refers[other]:
                add(other)
        ordered[name] = config[name]

    for name in config:
        add(name)
    return ordered


def _read(path: Path) -> Config:
    content: Config = json.loads(path.read_text(encoding="utf-8"))
    return content


def _page(path: Path) -> tuple[Config, str]:
    """What the head of a bundle's page gives for metadata.json, and the page below it."""
    _, head, page = path.read_text(encoding="utf-8").split("---\n", 2)
    entries = [line.split(": ", 1) for line in head.splitlines()]
    references = [value for name, value in entries if name == "reference"]
    return {**{name: value for name, value in entries if name != "reference"}, "references": references}, page.lstrip()


def _readme(page: str, layers: Iterable[Path], name: str, metadata: Config) -> str:
    """The page with what the layers hold in the places of its comments, such as ``<!-- data -->``."""
    parts = {
        path.stem: path.read_text(encoding="utf-8").strip() for layer in layers for path in layer.glob("pages/*.md")
    }
    cited = [textwrap.fill(f"[{number}] {text}.", 120) for number, text in enumerate(metadata["references"], start=1)]
    parts["references"] = "\n\n".join(["## References", *cited])
    text = re.sub(r"(?m)^<!-- (\w+) -->$", lambda found: parts[found[1]], page)
    return text.replace("{bundle}", name).replace("{stage}", metadata["pretrain_stages"][-1])
