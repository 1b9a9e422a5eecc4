# SPDX-License-Identifier: Apache-2.0
"""Runs one stage of a bundle in this process, once: a stage that is done is not run again."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ignite.engine import Engine
from monai.bundle import ConfigParser, ConfigWorkflow

from monai_cl_ext.files import write_text
from monai_cl_ext.study.bundles import Bundle
from monai_cl_ext.study.handover import handed_over
from monai_cl_ext.study.own_code import own_code


class TrainingHandler(Protocol):
    """What looks at a training beside the handlers of its bundle."""

    def attach(self, engine: Engine) -> None:
        """Adds its handlers to the engine before it runs."""


def run_stage(
    bundle: Bundle,
    stages: Sequence[str],
    settings: Mapping[str, Any],
    data: Mapping[str, Any] | None = None,
    *,
    name: str = "",
    handler: TrainingHandler | None = None,
    logged: bool = True,
) -> float:
    """Runs a stage unless the bundle's folder says that it is done; one that was stopped goes on where it stopped.

    The folder keeps ``<name>.json``, the arguments of ``python -m monai.bundle run --args_file <name>.json``, and
    ``<name>.done``; lists among the data lie in ``<name>_data.json``, which the arguments name. A bundle without the
    key ``resume`` begins a stopped stage anew.

    Args:
        bundle: in a folder of its own, see :meth:`Bundle.copy`: weights and results are written there.
        stages: names of config files, later ones laid over the first: ("train",), ("train", "evaluate").
        settings: values by config id, as a configuration holds them: text may be an expression.
        data: by config id what is no configuration: lists of cases, splits, paths, see :func:`handed_over`.
        name: of the run; the last one of the stages by default.
        handler: is attached to a training.
        logged: by the bundle's ``logging.conf``; False leaves loggers as they are.

    Returns:
        Seconds that the stage took when it ran.

    Raises:
        ValueError: when the config does not know a setting, or the folder holds this run under other settings.
    """
    name, root = name or stages[-1], bundle.folder
    files = [str(bundle.path(name)) for name in bundle.configs(*stages)]
    config = ConfigParser.load_config_files(files)
    listed = root / f"{name}_data.json"
    values, lists = handed_over({**(data or {}), "bundle_root": str(root)}, listed)
    settings = {**settings, **values} | ({"resume": True} if "resume" in config else {})
    _check_known(settings, ConfigParser(config), files)
    _keep(listed, lists)
    _keep(root / f"{name}.json", json.dumps({"config_file": files, **settings}, indent=1))
    done = root / f"{name}.done"
    if done.is_file():
        return float(done.read_text(encoding="utf-8"))
    start = time.perf_counter()
    with own_code(root):
        log = None if logged else False
        workflow = ConfigWorkflow(files, logging_file=log, workflow_type=None, **settings)
        workflow.initialize()
        if handler is not None and "train#trainer" in str(config["run"]):
            trainer = workflow.parser.get_parsed_content("train#trainer")
            handler.attach(trainer)
        workflow.run()
        workflow.finalize()
    seconds = time.perf_counter() - start
    write_text(done, f"{seconds:.1f}\n")
    return seconds


def _check_known(settings: Mapping[str, Any], parser: ConfigParser, files: Sequence[str]) -> None:
    for name in settings:
        if name not in parser:
            raise ValueError(
                f"the setting {name!r} is in none of {', '.join(files)}; "
                "settings are ids of a config, such as learning_rate or train#trainer#max_epochs"
            )


def _keep(path: Path, text: str) -> None:
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ValueError(
            f"{path} tells of other settings than those of this run; give another output, or remove {path.parent}"
        )
    write_text(path, text)
