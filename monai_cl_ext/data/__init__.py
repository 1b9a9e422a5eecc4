# SPDX-License-Identifier: Apache-2.0
"""Volumes, slices, batches by partition, splits by patient, and a phantom."""

from monai_cl_ext.data.described_labels import class_names
from monai_cl_ext.data.folders import find_cases
from monai_cl_ext.data.listed import read_listed
from monai_cl_ext.data.loading import LoadCased
from monai_cl_ext.data.mixed import MixedSlices, TwoStreamBatchSampler
from monai_cl_ext.data.neighbors import NeighborBatchSampler
from monai_cl_ext.data.nifti import read_nifti
from monai_cl_ext.data.papers import folded_split, released_patients, released_split, ssl4mis_split
from monai_cl_ext.data.partitions import slice_partitions
from monai_cl_ext.data.patch_places import RandomPatches
from monai_cl_ext.data.patches import PatchDataset
from monai_cl_ext.data.phantom import Phantom, PhantomVolume, write_phantom
from monai_cl_ext.data.picture_dataset import PictureDataset
from monai_cl_ext.data.pictures import classes_of, find_pictures
from monai_cl_ext.data.preprocessing import beside_slices, volume_transform
from monai_cl_ext.data.sampler import PartitionBatchSampler
from monai_cl_ext.data.scaling import intensity_scaling
from monai_cl_ext.data.slice_batches import SliceBatchSampler
from monai_cl_ext.data.slices import SliceDataset
from monai_cl_ext.data.spacing import AxisSpacingd
from monai_cl_ext.data.splits import draw_patients, split_by_patient, split_patients, unlabelled_cases
from monai_cl_ext.data.store import default_store, superpixel_weights
from monai_cl_ext.data.volume_dataset import volume_dataset

__all__ = [
    "AxisSpacingd",
    "LoadCased",
    "MixedSlices",
    "NeighborBatchSampler",
    "PartitionBatchSampler",
    "PatchDataset",
    "Phantom",
    "PhantomVolume",
    "PictureDataset",
    "RandomPatches",
    "SliceBatchSampler",
    "SliceDataset",
    "TwoStreamBatchSampler",
    "beside_slices",
    "class_names",
    "classes_of",
    "default_store",
    "draw_patients",
    "find_cases",
    "find_pictures",
    "folded_split",
    "intensity_scaling",
    "read_listed",
    "read_nifti",
    "released_patients",
    "released_split",
    "slice_partitions",
    "split_by_patient",
    "split_patients",
    "ssl4mis_split",
    "superpixel_weights",
    "unlabelled_cases",
    "volume_dataset",
    "volume_transform",
    "write_phantom",
]
