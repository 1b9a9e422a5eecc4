# SPDX-License-Identifier: Apache-2.0
"""Keeps the state of a run at each epoch, and goes on from it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver
from monai.engines import Workflow

from monai_cl_ext.handlers.fingerprint import fingerprint


class _Facts:
    """What a resumed run must agree with, and the best metrics so far."""

    def __init__(self, settings: Mapping[str, Any], evaluator: Workflow | None) -> None:
        self.settings = fingerprint(dict(settings))
        self.evaluator = evaluator

    def state_dict(self) -> dict[str, Any]:
        best = {}
        if self.evaluator is not None:
            state = self.evaluator.state
            best = {"best_metric": float(state.best_metric), "best_metric_epoch": int(state.best_metric_epoch)}
        return {"settings": self.settings, "best": best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self.evaluator is not None:
            for name, value in state["best"].items():
                setattr(self.evaluator.state, name, value)

    def differences(self, found: Mapping[str, Any]) -> list[str]:
        return [
            f"{name}: was {_short(found.get(name))}, is {_short(self.settings.get(name))}"
            for name in sorted({*self.settings, *found})
            if found.get(name) != self.settings.get(name)
        ]


class Resume:
    """Saves at the end of every epoch; with ``resume`` it goes on after the last complete one.

    A resumed run equals an uninterrupted one bit for bit on the same machine and number of threads, because all
    randomness of an epoch follows from its number (see ``EpochSeed``). The two newest states are kept; each is written
    atomically and read with ``weights_only=True``. A run that had completed writes its final weights again and stops.

    Args:
        save_dict: what has a state, such as ``{"method": ..., "optimizer": ..., "lr_scheduler": ...}``; the engine
            itself is added on attaching. Never the DistributedDataParallel wrapper.
        directory: folder of the states, one for each stage.
        resume: whether to go on from a state found in the folder; without one the run starts at the beginning and says
            so. False starts anew and removes the states of the run before when it starts.
        settings: what makes the run what it is, numbers and objects (see ``fingerprint``); a state saved under others
            is refused.
        evaluator: the evaluator whose best metric is kept.

    Raises:
        ValueError: when the state was saved under other settings, or belongs to another network or optimiser.
    """

    def __init__(
        self,
        save_dict: Mapping[str, Any],
        directory: str,
        resume: bool = False,
        settings: Mapping[str, Any] | None = None,
        evaluator: Workflow | None = None,
    ) -> None:
        self.save_dict = dict(save_dict)
        self.directory = Path(directory)
        self.resume = resume
        self.facts = _Facts(settings or {}, evaluator)
        self.logger = logging.getLogger(__name__)

    def attach(self, engine: Engine) -> None:
        """Loads the state when asked to, and saves on EPOCH_COMPLETED: attach it last."""
        objects = {**self.save_dict, "facts": self.facts, "engine": engine}
        saver = DiskSaver(str(self.directory), atomic=True, require_empty=False)
        checkpoint = Checkpoint(
            objects, saver, filename_prefix="resume", n_saved=2, include_self=True,
            global_step_transform=lambda engine, _: engine.state.epoch,
        )  # fmt: skip
        found = sorted(self.directory.glob("resume_checkpoint_*.pt"), key=_epoch_of)
        if self.resume and found:
            self._load(found[-1], {**objects, "checkpointer": checkpoint}, engine)
        elif self.resume:
            self.logger.info("nothing to resume in %s: starting at the beginning", self.directory)
        else:
            engine.add_event_handler(Events.STARTED, _forget, found, saver)
        engine.add_event_handler(Events.EPOCH_COMPLETED, checkpoint)

    def _load(self, path: Path, objects: Mapping[str, Any], engine: Engine) -> None:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ValueError(f"{path} cannot be read ({error}); delete it to resume from the epoch before") from error
        differences = self.facts.differences(state["facts"]["settings"])
        if differences:
            raise ValueError(
                f"{path} was saved by a run with other settings: {'; '.join(differences)}. Resume with the settings "
                "that it was saved with, or start anew with resume=False"
            )
        try:
            Checkpoint.load_objects(objects, state)
        except (RuntimeError, KeyError, ValueError) as error:
            raise ValueError(f"{path} does not fit this run: {error}. Start anew with resume=False") from error
        self.logger.info("resumed %s: epoch %d of %d", path, engine.state.epoch, engine.state.max_epochs)
        if engine.state.epoch >= engine.state.max_epochs:
            engine.add_event_handler(Events.STARTED, _stop_completed_run, engine.state.epoch)


def _forget(engine: Engine, paths: list[Path], saver: DiskSaver) -> None:
    """Removes the states of an earlier run, so that nothing goes on from them; federated rounds start several times."""
    while paths:
        saver.remove(paths.pop().name)


def _stop_completed_run(engine: Engine, epoch: int) -> None:
    """Ignite starts a done run again from epoch 0; end it instead, so that COMPLETED writes the final weights."""
    engine.state.epoch, engine.state.iteration = epoch, epoch * engine.state.epoch_length
    engine.terminate()


def _epoch_of(path: Path) -> int:
    return int(path.stem.rsplit("_", 1)[-1])


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
