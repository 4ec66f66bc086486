"""Metrics of verification and identification: pure functions of numpy scores, higher = more alike."""

from evenface.evaluation.metrics.bootstrap import Interval, Statistic, bootstrap_by_person
from evenface.evaluation.metrics.counted import RocCounter
from evenface.evaluation.metrics.folds import FoldAccuracy, accuracy_by_fold, best_threshold
from evenface.evaluation.metrics.identification import Cmc, OpenSet, TpirAtFpir, cmc, open_set, read_tpir
from evenface.evaluation.metrics.paired import Difference, McNemar, compare_by_person, mcnemar
from evenface.evaluation.metrics.roc import (
    Roc,
    auc,
    eer,
    read_accuracy,
    read_auc,
    read_best_accuracy,
    read_eer,
    roc,
)
from evenface.evaluation.metrics.tar import Reading, TarAtFar, largest_tar, read_tar, tar_at_far

__all__ = [
    "Cmc",
    "Difference",
    "FoldAccuracy",
    "Interval",
    "McNemar",
    "OpenSet",
    "Reading",
    "Roc",
    "RocCounter",
    "Statistic",
    "TarAtFar",
    "TpirAtFpir",
    "accuracy_by_fold",
    "auc",
    "best_threshold",
    "bootstrap_by_person",
    "cmc",
    "compare_by_person",
    "eer",
    "largest_tar",
    "mcnemar",
    "open_set",
    "read_accuracy",
    "read_auc",
    "read_best_accuracy",
    "read_eer",
    "read_tar",
    "read_tpir",
    "roc",
    "tar_at_far",
]
