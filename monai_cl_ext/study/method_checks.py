# SPDX-License-Identifier: Apache-2.0
"""Methods of a study: their names, and that their settings are known and their fine-tuning is alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from monai_cl_ext.study.bundles import Bundle
from monai_cl_ext.study.plan import Plan
from monai_cl_ext.study.recipe import Recipe

GIVEN = (
    "bundle_root", "ckpt_dir", "output_dir", "dataset_dir", "seed", "resume", "pretrained", "split", "labelled",
    "labelled_patients", "draw", "class_names", "validation_patients", "test_patients", "split_seed",
)  # fmt: skip
"""Ids that the study itself sets; a setting of the user would change what a cell is."""

OF_PRETRAINING = ("pretrain_settings", "seed")
"""The one pre-training that serves all fine-tunings has one seed, which is no factor of the study."""

ALIKE = (
    "spatial_dims", "network_def", "num_classes", "image_size", "pixdim", "slice_axis", "epochs", "batches_per_epoch",
    "batch_size", "optimizer",
)  # fmt: skip
"""What the fine-tuning of all methods has to have in common, but for the parameters that the optimizer trains: two
networks may teach each other."""


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
    recipes = plan.recipes
    _refuse_equal_names([bundle for recipe in recipes.values() for bundle in (recipe.training, recipe.pretraining)])
    for group, settings in _groups(plan).items():
        for name in settings:
            if name.split("#")[0] in GIVEN and (group, name) != OF_PRETRAINING:
                raise ValueError(f"{group}: {name!r} is set by the study itself; leave it out")
    _refuse_settings_of_nothing(plan)
    _refuse_given_and_chosen_rates(plan)
    for method, recipe in recipes.items():
        _refuse_unknown_settings(plan, method, recipe)
        _refuse_slices_for_volumes(method, recipe)
    _refuse_unlike_training({method: recipe.training for method, recipe in recipes.items()})


def _groups(plan: Plan) -> dict[str, Mapping[str, Any]]:
    """The settings of a plan by the name that an error gives them."""
    return {
        "settings": plan.settings,
        "pretrain_settings": plan.pretrain_settings,
        **{f"stage_settings: {stage}": settings for stage, settings in plan.stage_settings.items()},
        **{f"method_settings: {method}": settings for method, settings in plan.method_settings.items()},
        "train_settings": plan.train_settings,
    }


def _refuse_settings_of_nothing(plan: Plan) -> None:
    """Settings of a stage that no method has, or of a method that is absent or does not pre-train."""
    stages = sorted({stage for recipe in plan.recipes.values() for stage in recipe.pretrain_stages})
    for stage in plan.stage_settings:
        if stage not in stages:
            raise ValueError(f"stage_settings: no method pre-trains by {stage!r}; expected one of {', '.join(stages)}")
    for method in plan.method_settings:
        if method not in plan.methods:
            raise ValueError(f"method_settings: no method is {method!r}; expected one of {', '.join(plan.methods)}")
        if not plan.recipes[method].pretrain_stages:
            raise ValueError(f"method_settings: {method} has no pre-training; leave its settings out")


def _refuse_given_and_chosen_rates(plan: Plan) -> None:
    """A rate for all trainings would be none for those that choose theirs."""
    for group in ("settings", "train_settings"):
        for method in plan.methods:
            if "learning_rate" in _groups(plan)[group] and plan.learning_rates(method):
                option = "pretrained" if plan.recipes[method].pretrain_stages else "scratch"
                raise ValueError(
                    f"{group}: learning_rate is given, but {method} chooses among {plan.learning_rates(method)}; leave "
                    f"it out, or give --{option}_learning_rates [] to train all with the one that is given"
                )


def _refuse_equal_names(bundles: Sequence[Bundle | None]) -> None:
    given = [bundle for bundle in bundles if bundle is not None]
    folders = {bundle.folder.name: bundle.folder for bundle in given}
    for bundle in given:
        other = folders[bundle.folder.name]
        if other != bundle.folder:
            raise ValueError(f"two bundles have the same name: {bundle.folder} and {other}; rename one")


def _refuse_unknown_settings(plan: Plan, method: str, recipe: Recipe) -> None:
    """A misspelt setting would otherwise change nothing, silently."""
    training, pretraining, stages = recipe.training, recipe.pretraining, recipe.pretrain_stages
    before = [(pretraining, stage) for stage in stages if pretraining is not None]
    after = [(training, "train")]
    for group, settings in _groups(plan).items():
        kind, _, owner = group.partition(": ")
        places = {
            "settings": [*before, *after, (training, "inference")],
            "pretrain_settings": before,
            "stage_settings": [place for place in before if place[1] == owner],
            "method_settings": before if owner == method else [],
            "train_settings": after,
        }[kind]
        found = {name for bundle, stage in places for name in bundle.known([stage], settings)}
        unknown = [name for name in settings if name not in found and name != "num_classes"]
        if places and unknown:
            raise ValueError(
                f"{group}: no config of {recipe.name} ({', '.join(stage for _, stage in places)}) has {unknown[0]!r}; "
                "settings are ids of a config, such as learning_rate"
            )
    needed = {"pretrained": stages, "seed": plan.seeds > 1, "learning_rate": plan.learning_rates(method)}
    for name, wanted in needed.items():
        if wanted and not training.known(["train"], {name: None}):
            option = "pretrained" if stages else "scratch"
            remedy = f"; give --{option}_learning_rates [] to leave it" if name == "learning_rate" else ""
            raise ValueError(f"train.json of {training.name} has no {name!r}, which this study has to set{remedy}")


def _refuse_slices_for_volumes(method: str, recipe: Recipe) -> None:
    """Weights of a 2D network fit no 3D one; said here, it costs no pre-training."""
    if recipe.pretraining is None:
        return
    expected = recipe.training.parser("train").get("spatial_dims")
    for stage in recipe.pretrain_stages:
        found = recipe.pretraining.parser(stage).get("spatial_dims", expected)
        if found != expected:
            raise ValueError(
                f"{method}: {recipe.pretraining.name} pre-trains with spatial_dims {found}, {recipe.training.name} "
                f"trains with {expected}; give +volumes to both of them or to none"
            )


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
    config = dict(bundle.parser("train").get())
    if isinstance(config.get("optimizer"), dict):
        config["optimizer"] = {key: value for key, value in config["optimizer"].items() if key != "params"}
    parts = {name: {key: value for key, value in config.items() if key.split("#")[0] == name} for name in ALIKE}
    return {name: json.dumps(part, sort_keys=True) for name, part in parts.items()}
