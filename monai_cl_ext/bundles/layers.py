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

DROPPED = "-"
Config = dict[str, Any]


def merged(layers: Iterable[Path], config: str) -> Config:
    """What the layers hold under the name of a config, laid over each other."""
    first, *others = [read_config(layer / f"{config}.json") for layer in layers if (layer / f"{config}.json").is_file()]
    return reduce(laid_over, others, first)


def laid_over(config: Config, patch: Config) -> Config:
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


def ordered_config(config: Config) -> Config:
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


def read_config(path: Path) -> Config:
    """Content of a config file of the source."""
    content: Config = json.loads(path.read_text(encoding="utf-8"))
    return content
