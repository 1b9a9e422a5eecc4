# SPDX-License-Identifier: Apache-2.0
"""Keeps the state of a run at each epoch, and goes on from it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from monai.engines import Workflow

from monai_cl_ext.distributed import gather_integers, on_first_process, rank, world_size
from monai_cl_ext.files import load_tensors, remove_leftovers, save_tensors
from monai_cl_ext.fingerprint import fingerprint
from monai_cl_ext.finite import not_finite
from monai_cl_ext.names import first_names

STATE = re.compile(r"resume_checkpoint_([0-9]+)\.pt")
KEPT = 2


class _Facts:
    """What a resumed run must agree with, and the best metrics so far."""

    def __init__(self, settings: Mapping[str, Any], evaluator: Workflow | None) -> None:
        self.settings = fingerprint({**settings, "processes": world_size()})
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
        found = {"processes": self.settings["processes"], **found}  # states of before do not tell it
        return [
            f"{name}: was {_short(found.get(name))}, is {_short(self.settings.get(name))}"
            for name in sorted({*self.settings, *found})
            if found.get(name) != self.settings.get(name)
        ]


class Resume:
    """Saves at the end of every epoch; with ``resume`` it goes on after the last complete one.

    A resumed run equals an uninterrupted one, because all randomness of an epoch follows from its number (see
    ``EpochSeed``): on a CPU bit for bit on the same machine and number of threads, on CUDA up to kernels that are not
    deterministic, unless ``torch.use_deterministic_algorithms`` asks for those that are. The two newest states are
    kept, and each can be resumed from: a state is checked to be finite and written atomically before an older one is
    removed. States are read with ``weights_only=True``. The newest that can be read is gone on from; a warning names
    the damaged ones that are passed over. A run that had completed writes its final weights again and stops.

    Args:
        save_dict: what has a state, such as ``{"method": ..., "optimizer": ..., "lr_scheduler": ...}``; the engine
            itself and the ``optimizers`` of a method are added on attaching. Never the DistributedDataParallel wrapper.
        directory: folder of the states, one for each stage; all processes look into the same one.
        resume: whether to go on from a state found in the folder; without one the run starts at the beginning and says
            so. False starts anew and removes the states of the run before when it starts.
        settings: what makes the run what it is, numbers and objects (see ``fingerprint``); a state saved under others
            is refused.
        evaluator: the evaluator whose best metric is kept.

    Raises:
        ValueError: when none of the states can be read, when the state was saved under other settings or by a run of
            fewer epochs, or belongs to another network or optimizer; on starting, when processes go on from different
            epochs.
        FloatingPointError: at the end of an epoch, when a tensor of the state is NaN or infinite; nothing is written.
        OSError: at the end of an epoch, when the state cannot be written; the states before it are kept. Of several
            processes all raise what the first, which writes, has raised.
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
        objects = {**self.save_dict, **_own_optimizers(self.save_dict), "facts": self.facts, "engine": engine}
        if rank() == 0:
            remove_leftovers(self.directory, STATE.pattern)
        found = _states(self.directory)
        if not self.resume:
            engine.add_event_handler(Events.STARTED, _forget, found)
        elif found:
            path, state = self._newest(found)
            self._load(path, state, objects, engine)
        else:
            self.logger.info("nothing to resume in %s: starting at the beginning", self.directory)
        engine.add_event_handler(Events.STARTED, _agree, engine.state.epoch)
        # n_saved=None: Checkpoint removes before it writes, so removing is left to _save
        checkpoint = Checkpoint(
            objects, self._save, filename_prefix="resume", n_saved=None,
            global_step_transform=lambda engine, _: engine.state.epoch,
        )  # fmt: skip
        engine.add_event_handler(Events.EPOCH_COMPLETED, checkpoint)

    @on_first_process
    def _save(self, state: Mapping[str, Any], name: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Writes a state, then removes those before the one before it, and those that an earlier run left ahead."""
        path = self.directory / name
        save_tensors(path, state)
        states = _states(self.directory)
        newest = states.index(path) + 1
        for other in states[: max(0, newest - KEPT)] + states[newest:]:
            other.unlink(missing_ok=True)

    def _newest(self, states: list[Path]) -> tuple[Path, dict[str, Any]]:
        """The newest state that can be read, and its path."""
        damaged = []
        for path in reversed(states):
            try:
                state = _read(path)
            except ValueError as error:
                damaged.append(str(error))
                continue
            if damaged and rank() == 0:
                self.logger.warning("going on from %s, since newer states are damaged: %s", path, "; ".join(damaged))
            return path, state
        raise ValueError(
            f"none of the states can be resumed from: {'; '.join(damaged)}. Remove them to start at the beginning"
        )

    def _load(self, path: Path, state: Mapping[str, Any], objects: Mapping[str, Any], engine: Engine) -> None:
        differences = self.facts.differences(state["facts"]["settings"])
        if differences:
            raise ValueError(
                f"{path} was saved by a run with other settings: {'; '.join(differences)}. Resume with the settings "
                "that it was saved with, or start anew with resume=False"
            )
        saved, planned = int(state["engine"]["max_epochs"]), engine.state.max_epochs
        if planned > saved:  # loading would set it back; in federated rounds it grows only after this
            raise ValueError(
                f"{path} was saved by a run of {saved} epochs, found {planned}: learning rates and weights were "
                f"scheduled for {saved}. Resume with max_epochs {saved}, or start anew with resume=False"
            )
        try:
            Checkpoint.load_objects(objects, state)
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} does not fit this run: {error}. Start anew with resume=False") from error
        self.logger.info("resumed %s: epoch %d of %d", path, engine.state.epoch, engine.state.max_epochs)
        if engine.state.epoch >= engine.state.max_epochs:
            engine.add_event_handler(Events.STARTED, _stop_completed_run, engine.state.epoch)


def _own_optimizers(save_dict: Mapping[str, Any]) -> dict[str, Any]:
    """The optimizers that methods hold, each named after both."""
    return {
        f"{name}_{own}": optimizer
        for name, value in save_dict.items()
        for own, optimizer in getattr(value, "optimizers", {}).items()
    }


def _states(directory: Path) -> list[Path]:
    """The states in a folder, the newest last."""
    paths = directory.iterdir() if directory.is_dir() else ()
    epochs = {path: int(found[1]) for path in paths if (found := STATE.fullmatch(path.name)) and path.is_file()}
    return sorted(epochs, key=lambda path: epochs[path])


def _read(path: Path) -> dict[str, Any]:
    """The state in a file; a ValueError says what is the matter with it."""
    state = load_tensors(path)
    facts = state.get("facts") if isinstance(state, Mapping) else None
    if not isinstance(facts, Mapping) or not isinstance(facts.get("settings"), Mapping) or "engine" not in state:
        raise ValueError(f"{path}: is no state of a run")
    bad = not_finite(state)
    if bad:
        raise ValueError(f"{path}: NaN or infinite are {first_names(bad)}")
    return state


@on_first_process
def _forget(engine: Engine, paths: list[Path]) -> None:
    """Removes the states of an earlier run, so that nothing goes on from them; federated rounds start several times."""
    while paths:
        paths.pop().unlink(missing_ok=True)


def _agree(engine: Engine, epoch: int) -> None:
    """Stops processes that would go on from different states, such as those of machines without a shared folder."""
    epochs = gather_integers(epoch, engine.state.device)
    if len(set(epochs)) > 1:
        raise ValueError(f"the processes resume after epochs {epochs}: give all of them the same, shared directory")


def _stop_completed_run(engine: Engine, epoch: int) -> None:
    """Ignite starts a done run again from epoch 0; end it instead, so that COMPLETED writes the final weights."""
    engine.state.epoch, engine.state.iteration = epoch, epoch * engine.state.epoch_length
    engine.terminate()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
