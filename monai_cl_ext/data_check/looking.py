# SPDX-License-Identifier: Apache-2.0
"""Looks at many files in several processes, in order, with a bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from torch.utils.data import DataLoader, Dataset

from monai_cl_ext.cores import usable_cores
from monai_cl_ext.progress import progress_bar

Item = TypeVar("Item")
Result = TypeVar("Result")
FEW = 12  # quicker in this process than another process starts
TAKEN_AT_ONCE = 4


def look_at_all(
    items: Sequence[Item], look: Callable[[Item], Result], workers: int | None = None, progress: bool = True
) -> list[Result]:
    """What ``look`` finds in each item.

    Processes in place of threads, since warnings are caught for each case and Python's filters are common to threads.

    Args:
        items: such as cases.
        look: a function that can be pickled.
        workers: processes; None is one a core.
        progress: shows a bar where there are many items.
    """
    count = min(workers or usable_cores(), len(items))
    loader = DataLoader(
        _Looked(items, look),
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=0 if count == 1 or len(items) < FEW else count,
        prefetch_factor=None if count == 1 or len(items) < FEW else TAKEN_AT_ONCE,
    )
    quiet = not progress or len(items) < FEW
    return list(progress_bar(loader, "Files", len(items), unit="file", quiet=quiet))


class _Looked(Dataset[Any], Generic[Item, Result]):
    """The results, made where they are asked for."""

    def __init__(self, items: Sequence[Item], look: Callable[[Item], Result]) -> None:
        self.items, self.look = items, look

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> Result:
        return self.look(self.items[place])


def _as_it_is(result: Result) -> Result:
    return result
