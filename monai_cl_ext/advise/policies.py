# SPDX-License-Identifier: Apache-2.0
"""The policies that an adviser knows by name, and those of a configuration, as overlays that any bundle takes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_cl_ext.transforms import ViewPolicy

NAMES = ("strong", "weak", "weak_med", "basic", "simclr", "gcl", "gcl_intensity", "pcl")
"""Each is ``monai_cl_ext.transforms.<name>_policy``."""

JITTERED = ("strong", "weak", "weak_med", "simclr")
MIRRORED = (*JITTERED, "basic")
KEY, STRENGTH = "view_policy", "strength"
"""What a bundle calls its policy, and how strongly it uses it."""


@dataclass(frozen=True)
class ChosenPolicy:
    """A policy at full strength and how it is written.

    Attributes:
        name: what the reader calls it.
        policy: the policy.
        entries: of an overlay that lays it over that of a bundle.
    """

    name: str
    policy: ViewPolicy
    entries: dict[str, Any]

    def overlay(self, strength: float) -> dict[str, Any]:
        """The overlay that gives a bundle this policy at a strength from 0 to 1."""
        return {**self.entries, STRENGTH: strength}


def choose_policy(policy: str | Path, channels: int, volumetric: bool = False) -> ChosenPolicy:
    """The policy of a name, or the ``view_policy`` of a configuration: an overlay, or a bundle's own.

    A policy of a name has the defaults of its function, but for what does not suit the images: no operation on colours
    where they have not three channels; of slices nothing is clipped and the first axis is mirrored.

    Args:
        policy: a name of :data:`NAMES`, or a file that ends in ``.json`` or ``.yaml``; behind it, after ``#``, the
            entry that holds the policy where it is not ``view_policy``.
        channels: of the images.
        volumetric: whether the images are slices.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the name is unknown, or the file holds no policy of 2D views.
    """
    if str(policy) in NAMES:
        entries = _named(str(policy), channels, volumetric)
    else:
        file, _, entry = str(policy).partition("#")
        content = _content(Path(file), entry or KEY)
        entries = {**_needed(content, content[entry or KEY]), KEY: content[entry or KEY]}
        if STRENGTH in entries:
            raise ValueError(
                f"policy {policy}: found @{STRENGTH} in it, by which a bundle weakens the whole policy; give that "
                "entry another name"
            )
    return ChosenPolicy(Path(str(policy)).name, _built(entries, str(policy)), entries)


def _named(name: str, channels: int, volumetric: bool) -> dict[str, Any]:
    """The entries of an overlay; ``policy`` is what the bundles of DINO read."""
    arguments: dict[str, Any] = {}
    if name in JITTERED and channels != 3:
        arguments |= {"color": False}
    if name in JITTERED and volumetric:
        arguments |= {"limits": None}
    if name in MIRRORED and volumetric:
        arguments |= {"mirror_axis": 0}
    return {"policy": name, KEY: {"_target_": f"monai_cl_ext.transforms.{name}_policy", **arguments}}


def _content(path: Path, entry: str) -> dict[str, Any]:
    """The configuration in a file that holds the entry."""
    if path.suffix not in (".json", ".yaml", ".yml"):
        raise ValueError(f"policy must be one of {', '.join(NAMES)} or a file of JSON, found {str(path)!r}")
    if not path.is_file():
        raise FileNotFoundError(f"policy {path}: found no such file; check the path")
    try:
        content = ConfigParser.load_config_file(path)
    except ValueError as error:
        raise ValueError(f"policy {path}: not readable as a configuration ({error})") from error
    if not isinstance(content, dict) or not content:
        raise ValueError(f"policy {path}: expected a configuration with an entry {entry!r}, found {content!r}")
    if entry not in content:
        found = [name for name in content if name.endswith("policy")] or list(content)[:8]
        raise ValueError(
            f"policy {path}: expected an entry {entry!r}, found {', '.join(found)}; name the entry of the policy after "
            f"a #, as in {path.name}#{found[0]}"
        )
    return content


def _needed(content: dict[str, Any], entry: Any) -> dict[str, Any]:
    """The entries of a configuration that an entry refers to, and those that they refer to."""
    needed: dict[str, Any] = {}
    waiting = [entry]
    while waiting:
        for name in re.findall(r"@(\w+)", json.dumps(waiting.pop())):
            if name in content and name != KEY and name not in needed:
                needed[name] = content[name]
                waiting.append(content[name])
    return needed


def _built(entries: dict[str, Any], source: str) -> ViewPolicy:
    found = ConfigParser(entries).get_parsed_content(KEY)
    if not isinstance(found, ViewPolicy) or (found.moves and found.spatial_dims != 2):
        kind = f"{found.spatial_dims}D views" if isinstance(found, ViewPolicy) else type(found).__name__
        raise ValueError(
            f"policy {source}: expected a ViewPolicy of 2D views, found {kind}; slices are looked at in 2D"
        )
    return found
