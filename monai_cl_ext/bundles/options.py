# SPDX-License-Identifier: Apache-2.0
"""Refuses options of a run that nothing reads, before its data are prepared."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow
from monai.bundle.properties import TrainProperties
from monai.bundle.utils import DEFAULT_EXP_MGMT_SETTINGS

from monai_cl_ext.bundles.installed import shared_overlay
from monai_cl_ext.handlers.run_config import caller_of

ROOMS = ("train", "validate")
"""Ids that only gather others, as ``train#dataset``."""

REFERENCE = re.compile(r"@\w+(?:(?:::|#)\w+)*")


def check_options() -> None:
    """Checks the configuration of the run that is being initialized; called by its ``initialize``.

    Raises:
        ValueError: when the run was given an id that nothing reads, or "true" or "false" as text.
    """
    workflow = caller_of(ConfigWorkflow)
    if workflow is None:
        return
    config = dict(workflow.parser.get())
    metadata = config.pop("_meta_", {})
    _refuse_text(config)
    own = {workflow.init_id, workflow.run_id, workflow.final_id}
    own |= {id_of(each["id"]) for each in (workflow.properties or {}).values()}
    unread = unread_ids(config, own | laid_ids(config, workflow.config_root_path, metadata))
    if "train_stages" in metadata and unread:
        raise ValueError(_message(unread, ids_of(config) - unread, workflow.config_root_path))


def unread_ids(config: Mapping[str, Any], known: Iterable[str] = ()) -> set[str]:
    """Ids of a configuration that neither another part of it refers to nor MONAI reads itself.

    MONAI replaces ``%id`` by what stands there before anything is run: an object or a list that stands in two places
    counts as referred to.

    Args:
        config: as MONAI laid it together, without the metadata.
        known: ids that may be unread.
    """
    text = json.dumps(config, default=str, skipkeys=True, ensure_ascii=False)
    read = {id_of(name) for name in REFERENCE.findall(text)}
    read |= {"imports", "initialize", "run", "finalize", *known}
    read |= {id_of(each["id"]) for each in TrainProperties.values()}
    read |= {name for settings in DEFAULT_EXP_MGMT_SETTINGS.values() for name in settings["configs"]}
    unread = {name for name in ids_of(config) if name not in read and name.partition("#")[0] not in read}
    copies = [repr(part) for part in _parts(config)] if unread else []
    return {name for name in unread if not name.startswith("_") and copies.count(repr(config.get(name))) < 2}


def laid_ids(config: Mapping[str, Any], folder: Path, metadata: Mapping[str, Any]) -> set[str]:
    """The ids of those files of a bundle that were laid together: of which the configuration has every id at the top.

    One may be unread where something else replaces what read it, such as ``learning_rate`` beside another optimizer, or
    where a study lays an overlay over every stage.

    Args:
        config: of the run.
        folder: of the config files.
        metadata: of the bundle, which names the overlays that lie in this package.
    """
    files = [*folder.glob("*.json"), *map(shared_overlay, metadata.get("overlays", ()))]
    laid: set[str] = set()
    for path in files:
        with suppress(OSError, ValueError):  # a file that is not there or no JSON was not laid
            ids = ids_of(json.loads(path.read_text(encoding="utf-8")))
            laid |= ids if {name for name in ids if "#" not in name} <= ids_of(config) else set()
    return laid


def ids_of(config: Mapping[str, Any]) -> set[str]:
    """The ids of a configuration, or of a file that is laid over one; of rooms the ids in them."""
    whole = [name for name in config if name in ROOMS or name in (f"+{room}" for room in ROOMS)]
    inside = {f"{name}#{part}" for name in whole for part in config[name]}
    return {id_of(name) for name in {*config, *inside} - set(whole)}


def id_of(name: str) -> str:
    """The id at the top that a longer id or a reference is in; in a room the one below: ``train#dataset``."""
    top, *below = re.split("::|#", name.lstrip("+@"))
    return "#".join([top, *below[:1]]) if top in ROOMS else top


def _parts(config: Any) -> Iterator[Any]:
    """All objects and lists in a configuration."""
    if isinstance(config, (dict, list)):
        for part in config.values() if isinstance(config, dict) else config:
            if isinstance(part, (dict, list)):
                yield part
                yield from _parts(part)


def _refuse_text(config: Mapping[str, Any], within: str = "") -> None:
    """Refuses "true" and "false" as text, as the command line reads ``--resume true``, and text is true."""
    for name, value in config.items():
        if isinstance(value, dict):
            _refuse_text(value, f"{within}{name}#")
        elif isinstance(value, str) and value.lower() in ("true", "false") and name != "_disabled_":
            raise ValueError(f"{within}{name} is the text {value!r}, which is no truth value: write True or False")


def _message(unread: Iterable[str], known: Iterable[str], folder: Path) -> str:
    """Which ids nothing reads, what may have been meant, and where the ids stand."""
    names = sorted(unread)
    close = [match for name in names for match in difflib.get_close_matches(name, sorted(known))]
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return (
        f"nothing in this run reads {', '.join(names)}: {meant}Options are the ids at the top of the run's config "
        f"files in {folder}; an id of your own has to be referred to, as @{names[0]}"
    )
