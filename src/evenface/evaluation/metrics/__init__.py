"""Verification metrics: pure functions of numpy scores (higher = more alike) and bool `same`."""

from evenface.evaluation.metrics.folds import FoldAccuracy, accuracy_by_fold
from evenface.evaluation.metrics.roc import Roc, auc, eer, read_eer, roc
from evenface.evaluation.metrics.tar import Reading, TarAtFar, read_tar, tar_at_far

__all__ = [
    "FoldAccuracy",
    "Reading",
    "Roc",
    "TarAtFar",
    "accuracy_by_fold",
    "auc",
    "eer",
    "read_eer",
    "read_tar",
    "roc",
    "tar_at_far",
]
