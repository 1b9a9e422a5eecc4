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
from monai_cl_ext.handlers.run_config import as_written, caller_of

ROOMS = ("train", "validate")
"""Ids that only gather others, as ``train#dataset``."""

REFERENCE = re.compile(r"@\w+(?:(?:::|#)\w+)*")

MISSPELLED = 0.8
"""Names that difflib finds at least as alike as this are taken for one that was meant."""


def check_options() -> None:
    """Checks the configuration of the run that begins; the first item of its ``run``.

    Of an id that nothing in this run reads, but another one of the bundle does, it warns: settings are often given to
    all stages alike.

    Raises:
        ValueError: when the run was given an id that no stage reads, or one of an overlay that serves this stage and
            was not laid over it, or "true" or "false" as text.
    """
    workflow = caller_of(ConfigWorkflow)
    if workflow is None:
        return
    config = dict(workflow.parser.get())
    metadata = config.pop("_meta_", {})
    _refuse_text(config)
    if "train_stages" not in metadata:
        return
    own = {workflow.init_id, workflow.run_id, workflow.final_id}
    own |= {id_of(each["id"]) for each in (workflow.properties or {}).values()}
    files, serving = files_of(workflow.config_root_path, metadata), serving_overlays(metadata, config.get("stage"))
    laid, values = laid_ids(config, metadata, files), values_of(config)
    changed = {name: value for name, value in values.items() if name not in laid}
    for name in sorted(unread_ids(config, own) - laid):
        owners = {file for file, values in files.items() if name in values}
        if owners and owners <= serving:
            overlays = " or ".join(sorted(owners))
            raise ValueError(f"nothing in this run reads {name}: it needs the overlay {overlays}, which was not given")
        if owners:
            warnings.warn(f"{name}: given, but nothing in this run reads it", stacklevel=2)
        else:
            _check_unknown(name, values, changed, workflow.config_root_path)


def unread_ids(config: Mapping[str, Any], known: Iterable[str] = ()) -> set[str]:
    """Ids of a configuration that neither another part of it refers to by ``@`` nor MONAI reads itself.

    Args:
        config: as MONAI laid it together, without the metadata.
        known: ids that may be unread.
    """
    text = json.dumps(config, default=str, skipkeys=True, ensure_ascii=False)
    read = {id_of(name) for name in REFERENCE.findall(text)}
    read |= {"imports", "initialize", "run", "finalize", *known}
    read |= {id_of(each["id"]) for each in TrainProperties.values()}
    read |= {name for settings in DEFAULT_EXP_MGMT_SETTINGS.values() for name in settings["configs"]}
    unread = {name for name in values_of(config) if name not in read and name.partition("#")[0] not in read}
    return {name for name in unread if not name.startswith("_") and name not in ROOMS}


def laid_ids(
    config: Mapping[str, Any], metadata: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]
) -> set[str]:
    """Ids of a configuration that are as the files of its bundle have them, which therefore nobody gave.

    One may be unread where something else replaces what read it, such as ``learning_rate`` beside another optimizer. A
    file was laid if the configuration has all of its ids at the top, and something else in it as it has it.

    Args:
        config: of the run.
        metadata: of the bundle.
        files: what :func:`files_of` gives.
    """
    serving, values = serving_overlays(metadata, config.get("stage")), values_of(config)
    kept = [file for name, file in files.items() if name in serving or name not in metadata.get("overlays", {})]
    found: set[str] = set()
    for file in kept:
        same = {name for name, value in file.items() if name in values and as_written(values[name]) == value}
        whole = values.keys() >= {name for name in file if name.partition("#")[0] not in ROOMS}
        if whole and len(same) >= min(2, len(file)):
            found |= same
    return found


def serving_overlays(metadata: Mapping[str, Any], stage: Any) -> set[str]:
    """Names of the overlays of a bundle that may be laid over a stage."""
    return {name for name, of in metadata.get("overlays", {}).items() if stage in of.get("stages", [stage])}


def files_of(folder: Path, metadata: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What stands in each config file of a bundle, by its ids: its stages, its evaluation and its overlays."""
    stages = (
        *metadata.get("pretrain_stages", ()),
        *metadata["train_stages"],
        "evaluate",
        "multi_gpu_train",
        "inference",
    )
    files = {}
    for name in (*stages, *metadata.get("overlays", {})):
        path = folder / f"{name}.json"
        with suppress(OSError, ValueError):  # not there, or no JSON: it was not laid
            content = json.loads((path if path.is_file() else shared_overlay(name)).read_text(encoding="utf-8"))
            files[name] = values_of(content)
    return files


def values_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration holds, or a file that is laid over one, by its ids; of rooms by the ids in them."""
    values: dict[str, Any] = {}
    for name, value in config.items():
        if name.lstrip("+") in ROOMS and isinstance(value, dict):
            values |= {f"{name.lstrip('+')}#{part}": inside for part, inside in value.items()}
        else:
            values[id_of(name)] = value
    return values


def id_of(name: str) -> str:
    """The id at the top that a longer id or a reference is in; in a room the one below: ``train#dataset``."""
    top, *below = re.split("::|#", name.lstrip("+@"))
    return "#".join([top, *below[:1]]) if top in ROOMS else top


def _check_unknown(name: str, values: Mapping[str, Any], changed: Mapping[str, Any], folder: Path) -> None:
    """Refuses an id that is in no file of the bundle, unless it may be one of the user's own that a ``%`` copied.

    MONAI keeps no trace of a ``%``: of what it referred to there are two, the other where the files of the bundle have
    something else, among what was ``changed``.
    """
    others = values.keys() - {name}
    elsewhere = {repr(part) for other, value in changed.items() if other != name for part in _parts(value)}
    if not difflib.get_close_matches(name, others, cutoff=MISSPELLED) and any(
        repr(part) in elsewhere for part in _parts(values[name])
    ):
        warnings.warn(f"{name}: nothing in this run reads it, unless it is copied as %{name}", stacklevel=3)
        return
    close = difflib.get_close_matches(name, sorted(others))
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(
        f"no stage of this bundle reads {name}: {meant}Options are the ids at the top of the run's config files in "
        f"{folder}; an id of your own has to be referred to, as @{name}"
    )


def _parts(value: Any) -> Iterator[Any]:
    """A value and all that is in it, but for truth values, None and what is empty, which are everywhere."""
    if value is not None and not isinstance(value, bool) and value not in ("", [], {}):
        yield value
    if isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _parts(part)


def _refuse_text(value: Any, name: str = "") -> None:
    """Refuses "true" and "false" as text, as the command line reads ``--resume true``, and text is true."""
    if isinstance(value, dict):
        for part, inside in value.items():
            if part != "_disabled_":
                _refuse_text(inside, f"{name}#{part}" if name else part)
    elif isinstance(value, list):
        for position, inside in enumerate(value):
            if isinstance(inside, (dict, list)):
                _refuse_text(inside, f"{name}#{position}")
    elif isinstance(value, str) and value.lower() in ("true", "false"):
        raise ValueError(f"{name} is the text {value!r}, which is no truth value: write True or False")
