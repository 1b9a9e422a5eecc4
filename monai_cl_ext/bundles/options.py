# SPDX-License-Identifier: Apache-2.0
"""Refuses options of a run that nothing reads, before its data are prepared."""

from __future__ import annotations

import difflib
import json
import re
import warnings
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
    """Checks the configuration of the run that begins; the first item of its ``run``.

    Of an id that nothing reads in this run, but in another stage of the bundle, it warns: settings are often given to
    all stages alike.

    Raises:
        ValueError: when the run was given an id that no stage reads, or "true" or "false" as text.
    """
    workflow = caller_of(ConfigWorkflow)
    if workflow is None:
        return
    config = dict(workflow.parser.get())
    metadata = config.pop("_meta_", {})
    _refuse_text(config)
    own = {workflow.init_id, workflow.run_id, workflow.final_id}
    own |= {id_of(each["id"]) for each in (workflow.properties or {}).values()}
    files = list(_ids_of_files(workflow.config_root_path, metadata))
    unread = unread_ids(config, own | laid_ids(config, files))
    elsewhere = unread & set().union(*files)
    if "train_stages" not in metadata:
        return
    if unread - elsewhere:
        raise ValueError(_message(unread - elsewhere, ids_of(config) - unread, workflow.config_root_path))
    if elsewhere:
        warnings.warn(
            f"{', '.join(sorted(elsewhere))}: given, but read by other stages of this bundle alone", stacklevel=2
        )


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


def laid_ids(config: Mapping[str, Any], files: Iterable[set[str]]) -> set[str]:
    """The ids of those files of a bundle that were laid together: of which the configuration has every id at the top.

    One may be unread where something else replaces what read it, such as ``learning_rate`` beside another optimizer, or
    where a study lays an overlay over every stage.

    Args:
        config: of the run.
        files: the ids of each file.
    """
    own = ids_of(config)
    return set().union(*(ids for ids in files if {name for name in ids if "#" not in name} <= own))


def _ids_of_files(folder: Path, metadata: Mapping[str, Any]) -> Iterator[set[str]]:
    """The ids of each config file of a bundle, and of each overlay that its metadata names."""
    for path in (*folder.glob("*.json"), *map(shared_overlay, metadata.get("overlays", ()))):
        if path.name != "metadata.json":
            with suppress(OSError, ValueError):  # it is not there, or no JSON, so it was not laid
                yield ids_of(json.loads(path.read_text(encoding="utf-8")))


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
        f"no stage of this bundle reads {', '.join(names)}: {meant}Options are the ids at the top of the run's config "
        f"files in {folder}; an id of your own has to be referred to, as @{names[0]}"
    )
