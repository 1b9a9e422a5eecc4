# SPDX-License-Identifier: Apache-2.0
"""Records what a run was: data, settings, versions, time, memory, and one batch with its pairs."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite
import monai
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines import Trainer

import monai_cl_ext
from monai_cl_ext.distributed import on_first_process, rank, world_size
from monai_cl_ext.engines.batch_record import batch_record
from monai_cl_ext.event_files import EventFiles
from monai_cl_ext.files import sha256_of, write_tensors, write_text
from monai_cl_ext.fingerprint import fingerprint
from monai_cl_ext.handlers.data_part import files_and_patients
from monai_cl_ext.handlers.evaluated_volumes import volume_names
from monai_cl_ext.handlers.run_config import config_being_built


class RunRecord:
    """Writes ``run_<stage>.json`` when a run begins, after each epoch and when it completes, for the report page.

    A run that is resumed, or goes on in another federated round, adds to its record. The record names the TensorBoard
    files in its folder that are this run's, see ``EventFiles``. Of a trainer whose state has
    ``views`` and ``tags`` (``engines.MethodTrainer``) the first batch is kept in ``batch.pt``, see ``batch_record``.
    The first process writes; nothing waits for the device but the copy of that one batch.

    ``config_<stage>.json`` beside it is the configuration that the run was built from, options of the command line
    included: what a run is packed by. A value that is no JSON stands there as its description.

    Args:
        folder: of the run, beside its scores and its TensorBoard files; made when missing.
        stage: name of the stage, such as "pretrain_global".
        settings: what makes the run what it is; objects are written as their class and its attributes.
        data: the parts of the data by name, such as "training": each a dataset with ``patients`` and ``files`` as
            ``data.SliceDataset``, a MONAI dataset of cases, or a list of cases.
        weights: file of the weights that the run leaves; the SHA-256 that it has when the run completes is recorded, by
            which weights of another run are known.
    """

    def __init__(
        self,
        folder: str,
        stage: str,
        settings: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        weights: str | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.stage = stage
        self.settings = {name: readable(fingerprint(value)) for name, value in (settings or {}).items()}
        self.data = {part: data_facts(content) for part, content in (data or {}).items()}
        self.weights = None if weights is None else Path(weights)
        self.config = config_being_built()
        self.record: dict[str, Any] = {}
        self.started: float | None = None
        self.earlier: dict[str, Any] = {}
        self.events: EventFiles | None = None
        self.asked = 0.0

    @property
    def path(self) -> Path:
        """The file of the record."""
        return self.folder / f"run_{self.stage}.json"

    def attach(self, engine: Engine) -> None:
        """Counts and writes on the first process; every process has to attach it."""
        engine.add_event_handler(Events.STARTED, self._forget)
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        if rank() == 0:
            engine.add_event_handler(Events.GET_BATCH_STARTED, self._wait)
            engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._waited)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)
        engine.add_event_handler(Events.ITERATION_COMPLETED(once=1), self._keep_batch)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)
        engine.add_event_handler(Events.COMPLETED, self._complete)

    @on_first_process
    def _forget(self, engine: Engine) -> None:
        self.started = None
        self.earlier = self._earlier() if engine.state.epoch else {}
        self.events = EventFiles(self.folder, self.earlier.get("event_files", ()))

    @on_first_process
    def _begin(self, engine: Engine) -> None:
        """Begins at the first epoch that is run, since a resumed run that had completed starts and runs none."""
        if self.started is not None:
            return
        assert self.events is not None
        self.record = {
            "stage": self.stage,
            "trains": isinstance(engine, Trainer),
            "begun": self.earlier.get("begun", time.time()),
            "working_directory": os.getcwd(),
            "completed": False,
            "settings": self.settings,
            "data": self.data,
            "versions": versions(),
            "device": _device_name(engine.state.device),
            "threads": torch.get_num_threads(),
            "processes": world_size(),
            "event_files": self.events.update(),
            "max_epochs": engine.state.max_epochs,
            "images": self.earlier.get("images", 0),
            "seconds": self.earlier.get("seconds", 0.0),
            "data_wait_seconds": self.earlier.get("data_wait_seconds", 0.0),
        }
        self.started = time.perf_counter() - self.record["seconds"]
        self.record["epochs"] = engine.state.epoch - 1
        self._save()
        if self.config is not None:
            text = json.dumps(self.config, indent=1, default=lambda value: readable(fingerprint(value)))
            write_text(self.folder / f"config_{self.stage}.json", text)

    def _earlier(self) -> dict[str, Any]:
        try:
            earlier = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return earlier if earlier.get("settings") == self.settings else {}

    def _wait(self, engine: Engine) -> None:
        self.asked = time.perf_counter()

    def _waited(self, engine: Engine) -> None:
        self.record["data_wait_seconds"] += time.perf_counter() - self.asked

    def _count(self, engine: Engine) -> None:
        batch = engine.state.batch
        self.record["images"] += world_size() * len(batch["image"] if isinstance(batch, Mapping) else batch)

    @on_first_process
    def _keep_batch(self, engine: Engine) -> None:
        if getattr(engine.state, "views", None):
            write_tensors(self.folder / "batch.pt", batch_record(engine))

    @on_first_process
    def _write(self, engine: Engine) -> None:
        self._update(engine)

    @on_first_process
    def _complete(self, engine: Engine) -> None:
        if self.started is not None:
            self.record |= {"completed": True, "ended": time.time()}
            if self.weights is not None and self.weights.is_file():
                self.record["weights_sha256"] = sha256_of(self.weights)
            self._update(engine)

    def _update(self, engine: Engine) -> None:
        assert self.started is not None and self.events is not None
        seconds = time.perf_counter() - self.started
        self.record |= {
            "epochs": engine.state.epoch,
            "iterations": engine.state.iteration,
            "seconds": seconds,
            "images_per_second": self.record["images"] / seconds,
            "peak_memory_bytes": _peak_memory(engine.state.device),
            "event_files": self.events.update(),
        }
        self._save()

    def _save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.path, json.dumps(self.record, indent=1))


def data_facts(content: Any) -> dict[str, Any]:
    """Numbers of patients, volumes and slices of one part of the data, and the name and patient of each volume.

    Of pictures, which are many to a patient, it has the patients alone.

    Args:
        content: as :func:`files_and_patients` takes it.
    """
    files, patients = files_and_patients(content)
    parts: dict[str, Any] = {}
    if hasattr(content, "files"):
        parts = {"slices": len(content), "slice_size": list(content[0]["image"].shape[1:])}
    if len(files) == len(patients):
        parts["volume_names"] = volume_names(files)
    return {"patients": len(set(patients)), "volumes": len(patients), **parts, "patient_of_volume": patients}


def readable(value: Any, depth: int = 2) -> Any:
    """A fingerprint for the reader: plain values as they are, an object as "Class(attribute=value, ...)".

    Args:
        value: as ``fingerprint`` gives it.
        depth: levels of objects within objects that are written out; those below are named.
    """
    if isinstance(value, list):
        if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict):
            facts = value[1] if depth else {}
            inner = [f"{name}={readable(fact, depth - 1)}" for name, fact in facts.items() if name != "training"]
            return f"{value[0]}({', '.join(inner)})" if inner else value[0]
        return [readable(item, depth) for item in value]
    return value


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of what it stands on."""
    modules = {"monai_cl_ext": monai_cl_ext, "monai": monai, "torch": torch, "ignite": ignite, "numpy": np}
    return {"python": platform.python_version(), **{name: module.__version__ for name, module in modules.items()}}


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _peak_memory(device: torch.device) -> int | None:
    """Most memory held so far, in bytes: by tensors on a GPU, by the whole process on a CPU where the system tells."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
