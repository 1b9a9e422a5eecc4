# SPDX-License-Identifier: Apache-2.0
"""Keeps the embeddings of held-out slices of the last validation, for the report page to draw."""

from __future__ import annotations

from pathlib import Path

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from monai_cl_ext.distributed import gather_objects, on_first_process
from monai_cl_ext.files import write_tensors

KEYS = ("embeddings", "volume", "position", "partition")


class EmbeddingRecord:
    """Writes ``embeddings.pt`` after each validation: {"embeddings": (N, D), "volume", "position", "partition": (N,)}.

    The position of patches is (N, 3).

    For ``engines.EmbeddingEvaluator``. Rows wait on their device until then; those of all processes are gathered.

    Args:
        folder: of the run; made when missing.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.rows: dict[str, list[Tensor]] = {}

    def attach(self, engine: Engine) -> None:
        """Collects after each iteration and writes when the epoch completes."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _reset(self, engine: Engine) -> None:
        self.rows = {key: [] for key in KEYS}

    def _collect(self, engine: Engine) -> None:
        for key, values in self.rows.items():
            values.append(engine.state.output[key].detach())

    def _write(self, engine: Engine) -> None:
        own = {key: torch.cat(values).cpu() for key, values in self.rows.items() if values}
        parts = [part for part in gather_objects(own) if part]
        self.rows = {}
        if parts:
            self._save({key: torch.cat([part[key] for part in parts]) for key in KEYS})

    @on_first_process
    def _save(self, rows: dict[str, torch.Tensor]) -> None:
        write_tensors(self.folder / "embeddings.pt", rows)
