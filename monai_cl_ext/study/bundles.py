# SPDX-License-Identifier: Apache-2.0
"""Finds a bundle by name, and the config files that make a method of it."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from monai_cl_ext.bundles import bundle_names, installed_bundle, shared_overlay
from monai_cl_ext.study.layout import EVAL_LAST

FOLDER_VARIABLE = "MONAI_CL_BUNDLES"
CHECKOUT = Path(__file__).resolve().parents[2] / "bundles"
LEFT_OUT = ("models", "eval", EVAL_LAST, "data", "runs", "mlruns*", "__pycache__", ".pytest_cache", ".git")


@dataclass(frozen=True)
class Bundle:
    """A MONAI bundle with overlays: config files that are laid over those of its stages.

    ``overlays`` in metadata.json says of an overlay by its name which ``stages`` it is for, every stage where it is not
    named; what other ``pretrain_stages`` there are with it; and which overlays of this package serve the bundle, whose
    files do not lie in its folder.

    Attributes:
        folder: of the bundle; it holds configs/.
        overlays: names of files in configs/ without suffix, or of this package's overlays; later ones win.
    """

    folder: Path
    overlays: tuple[str, ...] = ()
    _read: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False, compare=False)
    _parsers: dict[tuple[str, ...], ConfigParser] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """As in a study: "gcl_segmentation+strategy_gr"."""
        return "+".join((self.folder.name, *self.overlays))

    @property
    def pretrain_stages(self) -> list[str]:
        """Names of the config files of pre-training in their order; none for a bundle that does not pre-train."""
        stages = self.read("metadata").get("pretrain_stages", [])
        for overlay in self.overlays:
            stages = self.known_overlays.get(overlay, {}).get("pretrain_stages", stages)
        return list(stages)

    @property
    def train_stages(self) -> list[str]:
        """Names of the config files of training in their order, "train" last and for most bundles alone."""
        return list(self.read("metadata").get("train_stages", ["train"]))

    @property
    def known_overlays(self) -> dict[str, dict[str, list[str]]]:
        """What metadata.json says of overlays by name."""
        return dict(self.read("metadata").get("overlays", {}))

    def configs(self, *stages: str) -> list[str]:
        """Names of the files of a run, such as "train", "evaluate", and then of the overlays for the first of them.

        Raises:
            ValueError: when an overlay itself names its stages, which nothing would read.
        """
        known = self.known_overlays
        for overlay in self.overlays:
            for key in {"stages", "pretrain_stages"} & self.read(overlay).keys():
                raise ValueError(
                    f"{self.path(overlay)} holds {key!r}, which belongs into {self.path('metadata')}: "
                    f'"overlays": {{"{overlay}": {{"{key}": [...]}}}}'
                )
        concerned = [name for name in self.overlays if stages[0] in known.get(name, {}).get("stages", [stages[0]])]
        return [*stages, *concerned]

    def path(self, config: str) -> Path:
        """Where a config file lies, in the bundle or among the overlays of this package.

        Raises:
            FileNotFoundError: when the bundle has none of this name; lists those that it has.
        """
        path = self.folder / "configs" / f"{config}.json"
        if path.is_file():
            return path
        known = {} if config == "metadata" else self.known_overlays
        served = [name for name in known if shared_overlay(name).is_file()]
        if config in served:
            return shared_overlay(config)
        found = ", ".join(sorted({*served, *(file.stem for file in path.parent.glob("*.json"))})) or "none"
        raise FileNotFoundError(f"{path} does not exist; the bundle has the configs: {found}")

    def read(self, config: str) -> dict[str, Any]:
        """Content of a config file, which is read once.

        Raises:
            ValueError: when the file is no JSON object.
        """
        if config not in self._read:
            path = self.path(config)
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ValueError(f"{path} is not JSON: {error}") from error
            if not isinstance(content, dict):
                raise ValueError(f"{path}: expected a JSON object of ids and values, found {type(content).__name__}")
            self._read[config] = content
        return self._read[config]

    def parser(self, *stages: str) -> ConfigParser:
        """The configuration of a run of stages with the overlays laid over it, to be looked at and not to be run.

        It is laid together as MONAI lays the files of ``monai.bundle run`` together.
        """
        if stages not in self._parsers:
            parser = ConfigParser({})
            for name in self.configs(*stages):
                for key, value in copy.deepcopy(self.read(name)).items():
                    merge_kv(parser, key, value)
            self._parsers[stages] = parser
        return self._parsers[stages]

    def known(self, stages: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the settings whose ids the configuration of the stages has."""
        parser = self.parser(*stages)
        return {name: value for name, value in settings.items() if name in parser}

    def with_overlays(self, overlays: Sequence[str]) -> Bundle:
        """The same bundle under these overlays instead; what was read of its files is read no more.

        Raises:
            FileNotFoundError: when it has none of such a name.
        """
        bundle = replace(self, overlays=tuple(overlays))
        for overlay in overlays:
            bundle.path(overlay)
        return bundle

    def copy(self, folder: Path) -> Bundle:
        """The bundle, without its weights, results and data, in a folder of its own, with the files of its overlays.

        Raises:
            ValueError: when that folder lies in the bundle.
        """
        if folder.resolve().is_relative_to(self.folder.resolve()):
            raise ValueError(
                f"{folder} lies in the bundle {self.folder}, which is to be copied there; give another output"
            )
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True)
        for overlay in self.overlays:
            if not (folder / "configs" / f"{overlay}.json").is_file():
                shutil.copy(self.path(overlay), folder / "configs")
        return Bundle(folder, self.overlays)


def find_bundle(name: str, folders: Sequence[str | Path] = ()) -> Bundle:
    """A bundle by its path, or by its name in one of the folders where bundles are kept.

    Args:
        name: path or name, then "+" and the name of each overlay: "gcl_segmentation+strategy_gr".
        folders: searched first; then those of the environment variable MONAI_CL_BUNDLES, then bundles/ of a checkout,
            then the bundles of this package.

    Raises:
        FileNotFoundError: when there is no such bundle or overlay; names the places that were searched.
    """
    parts = name.split("+")
    variable = [part for part in os.environ.get(FOLDER_VARIABLE, "").split(os.pathsep) if part]
    homes = [Path(), *map(Path, (*folders, *variable, CHECKOUT))]
    for length in range(len(parts), 0, -1):  # a folder's name may hold a + itself
        plain, overlays = "+".join(parts[:length]), parts[length:]
        for home in homes:
            if (home / plain / "configs" / "metadata.json").is_file():
                return Bundle((home / plain).resolve()).with_overlays(overlays)
    if parts[0] in bundle_names():
        return Bundle(installed_bundle(parts[0])).with_overlays(parts[1:])
    searched = ", ".join(str(home / parts[0]) for home in homes)
    raise FileNotFoundError(
        f"found no bundle {parts[0]!r} (a folder with configs/metadata.json); searched {searched}; "
        f"give its path, the folder of your bundles in {FOLDER_VARIABLE}, or one of the package's, "
        f"{', '.join(bundle_names())}"
    )
