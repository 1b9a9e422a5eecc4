# SPDX-License-Identifier: Apache-2.0
"""Layers of configs: patches that are laid over each other as MONAI lays the config files of a run."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

DROPPED, OWN_NAMES, INCLUDED = "-", "@", "<"
Config = dict[str, Any]


def merged(layers: Iterable[Path], config: str, base: Config | None = None) -> Config:
    """What the layers hold under the name of a config, laid over each other, and over a base if one is given."""
    files = [layer / f"{config}.json" for layer in layers if (layer / f"{config}.json").is_file()]
    patches = [patch for file in files for patch in _patches(file)]
    return reduce(laid_over, patches) if base is None else reduce(laid_over, patches, base)


def _patches(file: Path) -> list[Config]:
    """Content of a file, behind that of the files that it includes."""
    content = read_config(file)
    included = content.pop(INCLUDED, [])
    return [*(patch for name in included for patch in _patches(file.parent / name)), content]


def laid_over(config: Config, patch: Config) -> Config:
    """The config with a patch laid over it as MONAI does, without the ids that the patch drops.

    What the patch says of the inside of an id that the config does not have is kept as it is, for the stage that an
    overlay is laid over.
    """
    parser = ConfigParser(copy.deepcopy(config))
    for name in patch.get(DROPPED, []):
        parent, _, last = name.rpartition("#")
        del parser[parent][last]
    laid: Config = parser.get()
    for name, value in copy.deepcopy(patch).items():
        if name.lstrip("+").split("#")[0] in laid:
            merge_kv(parser, name, value)
        elif name != DROPPED:
            laid[name] = value
    return laid


def ordered_config(config: Config) -> Config:
    """Description and imports first, then each id behind those that it refers to, and else in its order.

    Two ids that refer to each other keep their order.
    """
    refers = {name: set(re.findall(r"[@%](\w+)", json.dumps(value))) for name, value in config.items()}
    ordered: Config = {}

    def add(name: str) -> None:
        if name in ordered:
            return
        for other in config:
            if other in refers[name] and name not in refers[other]:
                add(other)
        ordered[name] = config[name]

    for name in sorted(config, key=lambda name: (name != "_desc_", name != "imports")):
        add(name)
    return ordered


def read_config(path: Path) -> Config:
    """Content of a config file of the source."""
    content: Config = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_spelled_out)
    return content


def _spelled_out(pairs: list[tuple[str, Any]]) -> Config:
    """An object of a config, where ``"@": ["a", "b"]`` stands for ``"a": "@a", "b": "@b"``."""
    entries = [{each: f"@{each}" for each in value} if name == OWN_NAMES else {name: value} for name, value in pairs]
    return {name: value for entry in entries for name, value in entry.items()}
