# SPDX-License-Identifier: Apache-2.0
"""The commands ``bundle list`` and ``bundle copy``."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from monai_cl_ext.bundles.build import bundle_names
from monai_cl_ext.bundles.installed import copy_bundle, metadata_of


class BundleCommands:
    """The bundles of this package."""

    def list(self) -> None:
        """Lists the bundles: what each is, its stages and its overlays."""
        for name in bundle_names():
            metadata = metadata_of(name)
            stages = [*metadata["pretrain_stages"], "train", "evaluate", "inference"]
            print(f"{name}\n    {metadata['task']}")
            for title, names in (("stages", stages), ("overlays", metadata["overlays"])):
                lines = textwrap.wrap(f"{title}: {', '.join(names)}", width=92, subsequent_indent=" " * 4)
                print(textwrap.indent("\n".join(lines), " " * 4))

    def copy(self, name: str, output: str, overlay: str | Sequence[str] = ()) -> None:
        """Copies a bundle to OUTPUT/NAME, ready for: python -m monai.bundle run --config_file ...

        Args:
            name: Of a bundle, as bundle list shows it.
            output: Folder of bundles; nothing in it is overwritten.
            overlay: Names of overlays, such as network_gcl,mixup, to be written beside the bundle's stages.
        """
        overlays = overlay.split(",") if isinstance(overlay, str) else overlay
        folder = copy_bundle(str(name), str(output), [str(each).strip() for each in overlays])
        print(f"{name} copied to {folder}")
