# SPDX-License-Identifier: Apache-2.0
"""Methods of a study: their names, and that their settings are known and their fine-tuning is alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from monai.bundle import ConfigParser

from monai_cl_ext.study.bundles import Bundle
from monai_cl_ext.study.plan import Plan, known

GIVEN = (
    "bundle_root", "ckpt_dir", "output_dir", "dataset_dir", "seed", "resume", "pretrained", "split", "labelled",
    "labelled_patients", "draw", "validation_patients", "test_patients", "split_seed",
)  # fmt: skip
"""Ids that the study itself sets; a setting of the user would change what a cell is."""

ALIKE = (
    "network_def", "num_classes", "image_size", "pixdim", "slice_axis", "epochs", "batches_per_epoch", "batch_size",
    "optimizer",
)  # fmt: skip
"""What the fine-tuning of all methods has to have in common."""


def named_methods(methods: str | Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Methods by name; as text too, since Fire hands on ``[scratch,a+b]`` and ``{name: a+b}`` as they are.

    Raises:
        ValueError: when there is none, one has no proper name, or two have the same.
    """
    if isinstance(methods, str):
        items = [item.strip(" '\"") for item in methods.strip("[]{} ").split(",")]
        pairs = [item.partition(":")[::2] if methods.startswith("{") else ("", item) for item in items]
        pairs = [(name.strip(" '\""), value.strip(" '\"")) for name, value in pairs]
    elif isinstance(methods, Mapping):
        pairs = [(str(name), str(value)) for name, value in methods.items()]
    else:
        pairs = [("", str(value)) for value in methods]
    named: dict[str, str] = {}
    for given, value in pairs:
        name = given.strip() or value.rstrip("/").split("/")[-1]
        if not value.strip() or not name:
            raise ValueError(f"methods must be [name, ...] or {{name: bundle+overlay, ...}}, found {methods!r}")
        if name in named:
            raise ValueError(f"two methods have the name {name!r}; give names: {{one: {named[name]}, other: {value}}}")
        named[name] = value
    return named


def refuse_unfit_methods(plan: Plan) -> None:
    """Refuses settings that would do nothing or too much, and methods that could not be compared.

    Raises:
        ValueError: names the setting, or the two methods and what differs.
    """
    bundles = {method: plan.bundle(method) for method in plan.methods}
    _refuse_equal_names(bundles)
    parts = {*plan.methods, *(stage for method in plan.methods for stage in plan.pretrain_stages(method))}
    for group in ("settings", "pretrain_settings", "train_settings"):
        settings = getattr(plan, group)
        inner = [name for part in parts for name in settings.get(part, {})]
        for name in [*settings, *inner]:
            if name.split("#")[0] in GIVEN:
                raise ValueError(f"{group}: {name!r} is set by the study itself; leave it out")
    for method, bundle in bundles.items():
        _refuse_unknown_settings(plan, method, bundle)
    _refuse_unlike_training(bundles)


def _refuse_equal_names(bundles: Mapping[str, Bundle]) -> None:
    folders = {bundle.folder.name: bundle.folder for bundle in bundles.values()}
    for bundle in bundles.values():
        other = folders[bundle.folder.name]
        if other != bundle.folder:
            raise ValueError(f"two bundles have the same name: {bundle.folder} and {other}; rename one")


def _refuse_unknown_settings(plan: Plan, method: str, bundle: Bundle) -> None:
    """A misspelt setting would otherwise change nothing, silently."""
    pretraining = plan.pretrain_stages(method)
    all_stages = {stage for other in plan.methods for stage in plan.pretrain_stages(other)}
    common = {name: value for name, value in plan.pretrain_settings.items() if name not in {*all_stages, *plan.methods}}
    own = plan.pretrain_settings.get(method, {})
    if own and not pretraining:
        raise ValueError(f"pretrain_settings: {method} has no pre-training, found settings for it: {own}")
    for group, stages, settings in (
        ("settings", [*pretraining, "train", "inference"], plan.settings),
        ("pretrain_settings", pretraining, common),
        *((f"pretrain_settings: {stage}", [stage], plan.pretrain_settings.get(stage, {})) for stage in pretraining),
        (f"pretrain_settings: {method}", pretraining, own),
        ("train_settings", ["train"], plan.train_settings),
    ):
        found = {name for stage in stages for name in known(bundle, [stage], settings)}
        unknown = [name for name in settings if name not in found and name != "num_classes"]
        if stages and unknown:
            raise ValueError(
                f"{group}: no config of {bundle.name} ({', '.join(stages)}) has {unknown[0]!r}; "
                "settings are ids of a config, such as learning_rate"
            )
    needed: dict[str, Any] = {"pretrained": pretraining, "seed": plan.seeds > 1}
    needed["learning_rate"] = plan.learning_rates(method)
    for name, wanted in needed.items():
        if wanted and not known(bundle, ["train"], {name: None}):
            option = "scratch" if plan.from_scratch(method) else "pretrained"
            remedy = f"; give --{option}_learning_rates [] to leave it" if name == "learning_rate" else ""
            raise ValueError(f"train.json of {bundle.name} has no {name!r}, which this study has to set{remedy}")


def _refuse_unlike_training(bundles: Mapping[str, Bundle]) -> None:
    """Another network or another schedule would be compared, not another start."""
    (first, bundle), *others = bundles.items()
    expected = _training(bundle)
    for method, other in others:
        found = _training(other)
        for name in ALIKE:
            if found[name] != expected[name]:
                raise ValueError(
                    f"the methods {first!r} and {method!r} are fine-tuned with different {name}; give both the same "
                    f"overlays, such as scratch+network_gcl, or the same train_settings in their configs"
                )


def _training(bundle: Bundle) -> dict[str, str]:
    """The parts of a fine-tuning that have to be alike, as they stand in its configs."""
    config = ConfigParser.load_config_files([str(bundle.path(name)) for name in bundle.configs("train")])
    parts = {name: {key: value for key, value in config.items() if key.split("#")[0] == name} for name in ALIKE}
    return {name: json.dumps(part, sort_keys=True) for name, part in parts.items()}
