"""Metrics of verification and identification: pure functions of numpy scores, higher = more alike."""

from evenface.evaluation.metrics.folds import FoldAccuracy, accuracy_by_fold
from evenface.evaluation.metrics.identification import Cmc, OpenSet, TpirAtFpir, cmc, open_set, read_tpir
from evenface.evaluation.metrics.roc import Roc, auc, eer, read_auc, read_eer, roc
from evenface.evaluation.metrics.tar import Reading, TarAtFar, read_tar, tar_at_far

__all__ = [
    "Cmc",
    "FoldAccuracy",
    "OpenSet",
    "Reading",
    "Roc",
    "TarAtFar",
    "TpirAtFpir",
    "accuracy_by_fold",
    "auc",
    "cmc",
    "eer",
    "open_set",
    "read_auc",
    "read_eer",
    "read_tar",
    "read_tpir",
    "roc",
    "tar_at_far",
]
