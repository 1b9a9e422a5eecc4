# SPDX-License-Identifier: Apache-2.0
"""The commands ``store list`` and ``store remove``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_cl_ext.data.store.folder import default_store
from monai_cl_ext.data.store.listing import Holding, holdings, remove

UNITS = ("B", "KB", "MB", "GB", "TB")


class StoreCommands:
    """The store of prepared volumes, which trainings map instead of reading volumes again."""

    def list(self, store: str | None = None) -> None:
        """Lists what was prepared: how often, how large, when it was last used, and by which steps.

        Args:
            store: Its folder; by default MONAI_CL_EXT_STORE, or monai_cl_ext in the user's cache.
        """
        folder = Path(store or default_store())
        found = holdings(folder)
        print(f"{folder}: {as_size(sum(holding.size for holding in found))} in {len(found)} ways of preparation")
        for holding in found:
            print(_told(holding))

    def remove(
        self, name: str | Sequence[str] = (), unused_for_days: float | None = None, store: str | None = None
    ) -> None:
        """Removes prepared volumes; whoever needs them again prepares them again. Not while a training uses them.

        Args:
            name: Names that store list shows, with commas between them.
            unused_for_days: Also what nobody has used for so many days, single volumes too; 0 is everything.
            store: Its folder; by default MONAI_CL_EXT_STORE, or monai_cl_ext in the user's cache.
        """
        names = [each.strip() for each in (name.split(",") if isinstance(name, str) else name) if each.strip()]
        if not names and unused_for_days is None:
            raise ValueError("remove: found neither --name nor --unused_for_days; give what is to be removed")
        removed = remove(Path(store or default_store()), names, unused_for_days)
        for holding in removed:
            print(_told(holding))
        print(f"{as_size(sum(holding.size for holding in removed))} removed")


def as_size(size: float) -> str:
    """A number of bytes, as a reader takes it in."""
    unit = 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.3g} {UNITS[unit]}"


def _told(holding: Holding) -> str:
    shape = " x ".join(map(str, holding.shape)) or "constant"
    spacing = " x ".join(f"{length:.3g}" for length in holding.spacing)
    lines = [
        f"{holding.folder.name}  {holding.volumes} volumes, {as_size(holding.size)}, "
        f"unused for {holding.idle_days:.1f} days",
        f"    {', '.join(holding.steps)}",
        f"    one of {holding.place}: {shape} (slices, channels, rows, columns) at {spacing}",
    ]
    return "\n".join(lines)
