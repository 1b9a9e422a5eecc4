# SPDX-License-Identifier: Apache-2.0
"""The view policies that are shown: by name or from a configuration file, and as the overlay of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_cl_ext.arguments import positive_integer, probability
from monai_cl_ext.transforms import ViewPolicy, scale_policy

NAMES = ("strong", "weak", "weak_med", "basic", "simclr", "gcl", "gcl_intensity", "pcl")
JITTERED = ("strong", "weak", "weak_med", "simclr")
NO_COLORS = {"color": False}
KEY, LOCAL, MOST_STRENGTHS = "view_policy", "local_crop", 5
LOCAL_CROPS = {"strong": [0.05, 0.4], "weak": [0.2, 0.5], "weak_med": [0.2, 0.5]}  # areas, for bundles that have such


@dataclass(frozen=True)
class Setting:
    """A view policy at a strength, and the overlay that gives it to a bundle."""

    name: str
    strength: float
    policy: ViewPolicy
    overlay: dict[str, Any]


@dataclass(frozen=True)
class ViewSettings:
    """What is shown: policies and strengths, the picked one as "strong,0.5", side in pixels and seed of the views.

    A policy is a name, "strong" for ``transforms.strong_policy``, or a JSON file with a ``view_policy``. A blur is
    measured in pixels of the view: best ``size`` is the training's.
    """

    policies: Sequence[str]
    strengths: Sequence[float]
    pick: str = ""
    size: int = 96
    seed: int = 0

    def __post_init__(self) -> None:
        positive_integer("size", self.size)
        if not 0 < len({probability("strengths", strength) for strength in self.strengths} - {0}) <= MOST_STRENGTHS:
            raise ValueError(f"strengths must be 1 to {MOST_STRENGTHS} numbers above 0, found {self.strengths!r}")
        if self.pick not in ("", *(choices := self.choices())):
            raise ValueError(f"pick must be one of {'; '.join(choices)}, found {self.pick}")

    def choices(self, channels: int = 3, volumetric: bool = False) -> dict[str, Setting]:
        """Each policy at each strength above 0, by the name that picks it, as it suits images or slices of volumes.

        Raises:
            ValueError: when a policy is unknown, or its file holds no policy of 2D views that has weaker forms.
        """
        found = {}
        for name in dict.fromkeys(self.policies):
            if name not in NAMES and not Path(name).is_file():
                raise ValueError(f"policy must be one of {', '.join(NAMES)} or a JSON file, found {name!r}")
            for strength in sorted({*map(float, self.strengths)} - {0}):
                try:
                    content = _content(name, channels, volumetric)
                    scaled = scale_policy(ConfigParser(dict(content)).get_parsed_content(KEY), strength)
                    policy = ViewPolicy(scaled.operations, self.size, 2, scaled.padding_mode)
                except Exception as error:
                    cause = error if isinstance(error, ValueError) else error.__cause__ or error
                    reason = f"{type(cause).__name__}: {cause}".splitlines()[0]
                    raise ValueError(f"policy {name}: no {KEY} of 2D views with weaker forms ({reason})") from error
                overlay = {key: content[key] for key in (KEY, LOCAL) if key in content} | {"strength": strength}
                found[f"{name},{strength:g}"] = Setting(name, strength, policy, overlay)
        return found


def _content(name: str, channels: int, volumetric: bool) -> dict[str, Any]:
    """A policy's configuration: no colors where there are none; of slices nothing is clipped, axis 0 is mirrored."""
    if name not in NAMES:
        return ConfigParser.load_config_file(name)
    config: dict[str, Any] = {"_target_": f"monai_cl_ext.transforms.{name}_policy"}
    if name in JITTERED:
        config |= NO_COLORS if volumetric or channels != 3 else {}
        config |= {"limits": None} if volumetric else {}
    config |= {"mirror_axis": 0} if volumetric and name in (*JITTERED, "basic") else {}
    return {KEY: config} | ({LOCAL: LOCAL_CROPS[name]} if name in LOCAL_CROPS else {})
