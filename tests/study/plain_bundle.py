# SPDX-License-Identifier: Apache-2.0
"""A plain MONAI segmentation bundle, written to the zoo's template; nothing in it is of this package."""

import json
from pathlib import Path

PREPROCESSING = {"_target_": "Compose", "transforms": [
    {"_target_": "LoadImaged", "keys": "@keys", "image_only": True, "ensure_channel_first": True},
    {"_target_": "ScaleIntensityd", "keys": "image"},
    {"_target_": "Resized", "keys": "@keys", "spatial_size": [16, 16, 8], "mode": "$['area', 'nearest'][:len(@keys)]"},
]}  # fmt: skip
NETWORK = {
    "_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 4, "channels": [4, 8], "strides": [2],
}  # fmt: skip
COMMON = {
    "imports": ["$import glob", "$import torch"],
    "bundle_root": ".",
    "dataset_dir": "/nowhere",
    "device": "$torch.device('cpu')",
    "network_def": NETWORK,
    "network": "$@network_def.to(@device)",
}
CHECKPOINT = {
    "_target_": "CheckpointLoader",
    "load_path": "$@bundle_root + '/models/model.pt'",
    "load_dict": {"model": "@network"},
}
TRAIN = {
    **COMMON,
    "imports": ["$import glob", "$import monai", "$import torch"],
    "keys": ["image", "label"],
    "seed": 0,
    "learning_rate": 0.01,
    "loss": {"_target_": "DiceLoss", "to_onehot_y": True, "softmax": True},
    "optimizer": {"_target_": "torch.optim.Adam", "params": "$@network.parameters()", "lr": "@learning_rate"},
    "train": {
        "dataset": {
            "_target_": "CacheDataset",
            "data": "$[{'image': path} for path in glob.glob(@dataset_dir + '/imagesTr/*.nii.gz')]",
            "transform": PREPROCESSING,
            "progress": False,
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@train#dataset", "batch_size": 1, "shuffle": True},
        "inferer": {"_target_": "SimpleInferer"},
        "handlers": [
            {"_target_": "ValidationHandler", "validator": "@validate#evaluator", "epoch_level": True, "interval": 1}
        ],
        "trainer": {
            "_target_": "SupervisedTrainer", "max_epochs": 1, "device": "@device", "network": "@network",
            "train_data_loader": "@train#dataloader", "loss_function": "@loss", "optimizer": "@optimizer",
            "inferer": "@train#inferer", "train_handlers": "@train#handlers",
        },
    },
    "validate": {
        "dataset": {"_target_": "CacheDataset", "data": [], "transform": PREPROCESSING, "progress": False},
        "dataloader": {"_target_": "DataLoader", "dataset": "@validate#dataset", "batch_size": 1},
        "handlers": [{
            "_target_": "CheckpointSaver", "save_dir": "$@bundle_root + '/models'", "save_key_metric": True,
            "save_dict": {"model": "@network"}, "key_metric_filename": "model.pt",
        }],
        "postprocessing": {
            "_target_": "AsDiscreted", "keys": ["pred", "label"], "argmax": [True, False], "to_onehot": 4,
        },
        "evaluator": {
            "_target_": "SupervisedEvaluator", "device": "@device", "network": "@network",
            "val_data_loader": "@validate#dataloader", "postprocessing": "@validate#postprocessing",
            "key_val_metric": {"dice": {
                "_target_": "MeanDice", "include_background": False,
                "output_transform": "$monai.handlers.from_engine(['pred', 'label'])",
            }},
            "val_handlers": "@validate#handlers",
        },
    },
    "initialize": ["$monai.utils.set_determinism(seed=@seed)"],
    "run": ["$@train#trainer.run()"],
}  # fmt: skip
INFERENCE = {
    **COMMON,
    "keys": ["image"],
    "output_dir": "$@bundle_root + '/eval'",
    "preprocessing": PREPROCESSING,
    "dataset": {"_target_": "Dataset", "data": [], "transform": "@preprocessing"},
    "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1},
    "inferer": {"_target_": "SimpleInferer"},
    "postprocessing": {"_target_": "Compose", "transforms": [
        {
            "_target_": "Invertd", "keys": "pred", "orig_keys": "image", "transform": "@preprocessing",
            "nearest_interp": False,
        },
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "output_postfix": "seg"},
    ]},
    "evaluator": {
        "_target_": "SupervisedEvaluator", "device": "@device", "val_data_loader": "@dataloader",
        "network": "@network", "inferer": "@inferer", "postprocessing": "@postprocessing",
        "val_handlers": [CHECKPOINT],
    },
    "run": ["$@evaluator.run()"],
}  # fmt: skip


def write_plain_bundle(folder: Path) -> Path:
    """The bundle ``plain`` in a folder."""
    configs = folder / "plain" / "configs"
    configs.mkdir(parents=True)
    for name, content in {"train": TRAIN, "inference": INFERENCE, "metadata": {"version": "0.0.1"}}.items():
        (configs / f"{name}.json").write_text(json.dumps(content, indent=4))
    return configs.parent
