# SPDX-License-Identifier: Apache-2.0
"""The one source of all bundles, and what builds, lists and copies them.

``source/`` holds *layers*, folders of config files: ``shared`` (every bundle), one for each task (``segmentation``,
``classification``), some that several bundles share (``dino``, the papers' settings), and last a bundle's own folder
below ``source/bundles``; its metadata.json names the others in their order. A built config is what the layers hold
under its name, laid over each other as MONAI lays the files of a run. So a method writes down its own lines alone, and
an overlay of its own is simply a file that no other layer has. Stages of pre-training begin with what the layers hold
as ``pretrain``.

Three shorthands are for the source alone. ``"-": [ids]`` in a file drops ids of the layers below. ``"<": [files]`` lays
the file over others, named from its folder. ``"@": ["a", "b"]`` in any object is ``"a": "@a", "b": "@b"``.

``source/overlays`` holds the overlays that serve many bundles, which are not built into their folders: a study and
``bundle copy`` take them from here. ``overlays`` in metadata.json names those that serve a bundle, its own too, and the
stages that each is for.

``trained`` holds bundles with weights, as ``bundle pack`` wrote them: what a new user copies first.

A bundle's README.md begins with its name, task, description and references, which go to metadata.json.
"""

from monai_cl_ext.bundles.build import build_bundle, bundle_files, bundle_names, trained_names
from monai_cl_ext.bundles.installed import copy_bundle, installed_bundle, metadata_of, shared_overlay

__all__ = [
    "build_bundle", "bundle_files", "bundle_names", "copy_bundle", "installed_bundle", "metadata_of", "shared_overlay",
    "trained_names",
]  # fmt: skip
