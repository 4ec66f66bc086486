"""Where images come from, how they are changed, how they are sampled."""

from evenface.data.augment import AugmentConfig, augment
from evenface.data.config import Corrupt, DataConfig, SamplerName
from evenface.data.dataset import Batch, FaceDataset, loader, normalise
from evenface.data.faceset import FaceSet
from evenface.data.folder import read_folder
from evenface.data.listfile import read_list, read_names
from evenface.data.load import READERS, load
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
    "Key",
    "PlanSampler",
    "SamplerName",
    "augment",
    "load",
    "loader",
    "normalise",
    "read_folder",
    "read_list",
    "read_names",
]
