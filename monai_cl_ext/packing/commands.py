# SPDX-License-Identifier: Apache-2.0
"""The commands ``bundle list``, ``bundle copy`` and ``bundle pack``."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from monai_cl_ext.bundles.build import bundle_names, trained_names
from monai_cl_ext.bundles.installed import copy_bundle, metadata_of


class BundleCommands:
    """The bundles of this package."""

    def list(self) -> None:
        """Lists the bundles: what each is, its stages and its overlays."""
        for name in [*bundle_names(), *trained_names()]:
            metadata = metadata_of(name)
            stages = [*metadata["pretrain_stages"], *metadata["train_stages"], "evaluate", "inference"]
            print(f"{name}\n    {metadata['task']}" + (", with weights" if name in trained_names() else ""))
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

    def pack(
        self,
        run: str,
        output: str,
        data_license: str = "",
        authors: str = "",
        exports: bool = True,
        data_source: str = "",
    ) -> None:
        """Packs what was trained as a bundle that stands alone: settings in its configs, weights, scores, no names.

        It runs where only MONAI is installed. The checks of MONAI's model zoo are run on it.

        Args:
            run: Folder that train wrote, or of a bundle in which configs/train.json has completed.
            output: Folder of the new bundle, whose name is the bundle's.
            data_license: License of the data that it was trained on, in a sentence.
            authors: Of the weights, who have the copyright.
            exports: Whether to export the network as TorchScript and ONNX too.
            data_source: Where the data are from that it was trained on, in a sentence.
        """
        from monai_cl_ext.packing.metadata import Origin
        from monai_cl_ext.packing.next_steps import next_steps
        from monai_cl_ext.packing.pack import pack

        packed = pack(run, output, Origin(authors, data_source, data_license), exports)
        print("\n".join([*packed.checks, *(f"{file}: not written: {why}" for file, why in packed.missing.items())]))
        print(f"packed in {packed.folder}\n\n{next_steps(packed)}")

    def zoo(self, bundle: str, url: str, output: str) -> None:
        """Writes what a pull request to MONAI's model zoo holds: the bundle without large files, and its unit test.

        The weights are left out: models/NAME/large_files.yml names them at URL with their SHA-256.

        Args:
            bundle: Folder that bundle pack wrote.
            url: Public address of a folder that has the files of models/.
            output: Checkout of the model zoo, or another folder; nothing in it is overwritten.
        """
        from monai_cl_ext.packing.zoo import left_out, write_pull_request

        files = write_pull_request(bundle, url, output)
        print("\n".join(map(str, files)))
        if others := left_out(bundle):
            print(f"left out, as bundle pack did not write it: {', '.join(others)}")
        if not (Path(bundle) / "models" / "model.ts").is_file():
            print(
                f"add {files[0].name!r} to exclude_verify_torchscript_list in {output}/ci/bundle_custom_data.py: it "
                "has no models/model.ts, and the zoo exports every bundle that is not named there"
            )
