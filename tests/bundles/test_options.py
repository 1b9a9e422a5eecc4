# SPDX-License-Identifier: Apache-2.0
"""An option that nothing reads stops a run before its data are prepared; what the bundles have themselves does not."""

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow
from workflows import BUNDLES, copy_bundle, message_of, parsed, read

from monai_cl_ext.bundles import bundle_names
from monai_cl_ext.bundles.options import files_of, laid_ids, unread_ids

POLICY = {"color", "limits", "mirror_axis", "mirror_probability"}
"""What overlays with policies read; some bundles' own policies do not."""


def laid(bundle: str, *configs: str, **settings) -> dict:
    parser = parsed(bundle, *configs, **settings)
    parser.resolve_macro_and_relative_ids()
    return {name: value for name, value in parser.get().items() if name != "_meta_"}


def begun(root: Path, configs: list[str], **settings) -> None:
    files = [f"{root}/configs/{name}.json" for name in configs]
    workflow = ConfigWorkflow(files, logging_file=False, bundle_root=str(root), **settings)
    workflow.parser["run"] = workflow.parser["run"][:1]
    workflow.initialize()
    workflow.run()


def runs(bundle: str) -> list[list[str]]:
    """Every stage of a bundle, alone and with each of its overlays."""
    metadata = read(bundle, "metadata")
    stages = [*metadata["pretrain_stages"], *metadata["train_stages"]]
    beside = [("multi_gpu_train", stages), ("evaluate", ["train"])]
    beside += [(name, overlay["stages"]) for name, overlay in metadata["overlays"].items()]
    return [[stage, *name] for stage in stages for name in [[], *([name] for name, kept in beside if stage in kept)]]


@pytest.mark.parametrize("bundle", bundle_names())
def test_no_stage_and_no_overlay_is_refused_and_no_stage_has_an_id_that_nothing_reads(bundle):
    metadata = read(bundle, "metadata")
    for configs in runs(bundle):
        unread = unread_ids(laid(bundle, *configs))
        assert len(configs) > 1 or unread <= POLICY, configs
        files = files_of(BUNDLES / bundle / "configs", metadata)
        assert unread <= laid_ids(laid(bundle, *configs), metadata, files), configs


@pytest.mark.parametrize("bundle", bundle_names())
def test_every_stage_checks_its_options_first(bundle):
    metadata = read(bundle, "metadata")
    for stage in [*metadata["pretrain_stages"], *metadata["train_stages"], "evaluate"]:
        assert "check_options()" in read(bundle, stage)["run"][0], stage


@pytest.mark.parametrize(
    "configs, settings, words",
    [
        (["train"], {"labeled_patients": 2}, ["labeled_patients", "did you mean labelled_patients", "config files"]),
        (["train"], {"learningrate": 0.1}, ["learningrate", "did you mean learning_rate"]),
        (["train"], {"train#batch_size": 3}, ["train#batch_size"]),
        (["train", "evaluate"], {"parts": "validation"}, ["parts", "did you mean part"]),
        (["train"], {"epoch": 3}, ["epoch", "did you mean epochs"]),
        (["train"], {"resume": "true"}, ["resume", "'true'", "write True or False"]),
        (["train"], {"validate#dataset#progress": "FALSE"}, ["validate#dataset#progress", "True or False"]),
        (["train"], {"train#handlers#1#epoch_level": "false"}, ["train#handlers#1#epoch_level", "True or False"]),
        (["train"], {"mixup_alpha": 0.3}, ["mixup_alpha", "needs the overlay mixup"]),
        (["train"], {"rounds": 3}, ["rounds", "needs the overlay self_training"]),
        (["train"], {"image_sizes": [96, 96]}, ["image_sizes", "did you mean image_size"]),
        (["train"], {"lr": 0.1}, ["no stage of this bundle reads lr"]),  # 0.1 are the bundle's validation_patients
        (["train"], {"max_epochs": 25, "learning_rate": 0.2}, ["no stage of this bundle reads max_epochs"]),
        (["train"], {"max_steps": [], "pixdim": []}, ["no stage of this bundle reads max_steps"]),
    ],
)
def test_an_option_that_nothing_reads_is_refused_before_data_are_looked_for(configs, settings, words, tmp_path):
    root = copy_bundle("simclr_segmentation", tmp_path)
    with pytest.raises(RuntimeError) as raised:
        begun(root, configs, **settings, dataset_dir=str(tmp_path / "nowhere"))
    message = message_of(raised)
    assert "ValueError" in message and all(word in message for word in words), message


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"network_def#features": [4, 8, 8, 8, 8, 4], "train#dataloader#drop_last": True},
        {"rate": 0.1, "learning_rate": "@rate"},
        {"rates": [0.1, 0.2], "learning_rate": "$@rates[0]"},
        {"layer": {"_target_": "torch.nn.Identity"}, "network_def": "%layer", "initial_network": "@network_def"},
        {"optimizer": {"_target_": "torch.optim.SGD", "params": "$@network.parameters()", "lr": 0.1}},
        {"split": {"pretrain": [], "train": [], "validation": [], "test": []}, "labelled": []},
        {"_desc_": "what a file is for", "weights": "true#layer"},
        {"view_policy": {"_target_": "monai_cl_ext.transforms.weak_policy"}},  # a study lays it over every stage
        {"validate": {"dataset": []}},
        {"größe": 2, "learning_rate": "$0.1 * @größe"},
        {"own_rate": 0.3, "learning_rate": "%own_rate"},
        {"parts": {"net": {"_target_": "torch.nn.Identity"}}, "network_def": "%parts#net", "initial_network": "@loss"},
        {"validate": None, "run": ["$monai_cl_ext.bundles.options.check_options()"]},
    ],
)
def test_other_options_pass(own, tmp_path):
    root = copy_bundle("simclr_segmentation", tmp_path)
    (root / "configs" / "own.json").write_text(json.dumps(own))
    (root / "configs" / "cases.json").write_text('[{"image": "a.nii.gz"}]')
    begun(root, ["train", "own"])


@pytest.mark.parametrize(
    "bundle, configs, option, value",
    [
        ("simclr_segmentation", ["pretrain"], "weights", "heart"),
        ("simclr_segmentation", ["train"], "part", "validation"),
        ("simclr_segmentation", ["pretrain"], "mixup_alpha", 0.3),
        ("gcl_segmentation", ["pretrain_local"], "strategy", "gd"),
        ("gcl_segmentation", ["pretrain_global"], "mirror_probability", 0.9),
        ("pcl_segmentation", ["train"], "temperature", 0.2),
    ],
)
def test_an_option_that_another_run_reads_is_warned_of(bundle, configs, option, value, tmp_path):
    root = copy_bundle(bundle, tmp_path)
    with pytest.warns(UserWarning, match=f"{option}: given, but nothing in this run reads it"):
        begun(root, configs, **{option: value})


def test_nothing_is_said_of_what_a_replaced_part_read(tmp_path, recwarn):
    root = copy_bundle("simclr_segmentation", tmp_path)
    begun(root, ["train"], optimizer={"_target_": "torch.optim.SGD", "params": [], "lr": 0.1})
    assert not [each for each in recwarn if "nothing in this run reads" in str(each.message)]


def test_a_bundle_of_other_metadata_is_left_alone(tmp_path):
    root = copy_bundle("simclr_segmentation", tmp_path)
    (root / "configs" / "metadata.json").write_text("{}")
    begun(root, ["train"], labeled_patients=2)
