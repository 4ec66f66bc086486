"""Where images come from, how they are changed, how they are sampled."""

from evenface.data.augment import AugmentConfig, augment, augment_batch
from evenface.data.config import Corrupt, DataConfig, SamplerName
from evenface.data.dataset import Batch, FaceDataset, loader, normalise
from evenface.data.faceset import FaceSet
from evenface.data.load import load
from evenface.data.pictures import Files, Picked, Pictures
from evenface.data.readers import READERS, read
from evenface.data.readers.folder import read_folder
from evenface.data.readers.listfile import read_list, read_names
from evenface.data.samplers import BatchPlan, Key, PlanSampler

__all__ = [
    "READERS",
    "AugmentConfig",
    "Batch",
    "BatchPlan",
    "Corrupt",
    "DataConfig",
    "FaceDataset",
    "FaceSet",
    "Files",
    "Key",
    "Picked",
    "Pictures",
    "PlanSampler",
    "SamplerName",
    "augment",
    "augment_batch",
    "load",
    "loader",
    "normalise",
    "read",
    "read_folder",
    "read_list",
    "read_names",
]
