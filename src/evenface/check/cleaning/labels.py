"""Pictures and people whose labels the embeddings contradict."""

from collections.abc import Mapping, Sequence

import numpy as np

from evenface.check.cleaning.alike import alike
from evenface.check.cleaning.calibration import fence, listed
from evenface.check.cleaning.candidates import Candidate, Kind, Side, excludes, label, out, ranked
from evenface.check.cleaning.faces import Faces, Ints
from evenface.check.cleaning.within import Split, nearest, splits

SHOWN = 5
"""Pictures of a person that are shown to compare."""
_LEAST = 3  # pictures of a person: of two, nobody knows which one strays
_LOST = 0.5  # of the likeness: of one person's pictures, groups this far apart are seldom
_BELOW = 50  # candidates of a kind in a set that are kept though not beyond the threshold


def overlap(sets: Sequence[Faces]) -> Kind:
    """People of the training set who are in a test set."""
    found, notes = [], []
    for training in (one for one in sets if one.pictures.training):
        for test in (one for one in sets if not one.pictures.training):
            pairs = alike(training.centres.vectors, test.centres.vectors)
            most = listed(pairs.by_chance)
            notes.append(_by_chance(test.pictures.label, pairs.cosine[:most]))
            best = np.unique(pairs.first, return_index=True)[1]  # of each person, their nearest in the test
            for place in np.sort(best)[: int((best < most).sum()) + _BELOW].tolist():
                left = _person(training, int(pairs.first[place]))
                right = _person(test, int(pairs.second[place]))
                words = _chance(float(pairs.by_chance[place]))
                rows = out(left, "same person by a model", label(right), whole=True)
                leaves = "leave the first person out"
                cosine = float(pairs.cosine[place])
                found.append(Candidate(left, right, cosine, place < most, words, leaves, rows, ticked=True))
    return Kind(
        "in a test set",
        "People of the training set in a test set",
        "The score is the cosine of the two people's centres, each the mean of the half of their pictures "
        "that agree best. Beyond the threshold are as many pairs as are at least five times what two sets of "
        "different people would give by chance.",
        ranked(found),
        notes or ["Give --train and a test set to compare them."],
    )


def strays(sets: Sequence[Faces], parted: Mapping[int, set[int]]) -> Kind:
    """Pictures that are nearer to somebody else; not of the people in `parted`, by their set's place."""
    found, notes = [], []
    for number, faces in enumerate(sets):
        if faces.named < 2:
            continue
        own = faces.centres.own
        which, cosine = nearest(faces, faces.centres.vectors[: faces.named], 2)
        rival = np.where(which[:, 0] == faces.person, 1, 0)
        rows = np.arange(len(faces))
        score = cosine[rows, rival] - own
        score[(faces.counts[faces.person] < _LEAST) | (faces.person >= faces.named)] = np.nan
        least = max(fence(score), 0.0)
        notes.append(_threshold(faces, least))
        score[np.isin(faces.person, sorted(parted.get(number, ())))] = np.nan
        for index in _worst(score, least):
            person, other = int(faces.person[index]), int(which[index, rival[index]])
            usual = [one for one in faces.typical(person, SHOWN + 1).tolist() if one != index][:SHOWN]
            left = Side(faces, person, (index, *usual), 1)
            right = _person(faces, other)
            words = (
                f"cosine {own[index]:.3f} with the others of the name, {score[index] + own[index]:.3f} there"
            )
            lines = out(left, "picture of somebody else by a model", other=right.identity)
            found.append(
                Candidate(
                    left,
                    right,
                    float(score[index]),
                    bool(score[index] > least),
                    words,
                    "leave the picture out",
                    lines if excludes(faces, sets) else (),
                )
            )
    return Kind(
        "stray picture",
        "Pictures that are of somebody else",
        "The score is the picture's cosine with the nearest other person's centre, less that with the centre "
        "of its own person's other pictures. People of three pictures or more.",
        ranked(found),
        notes,
    )


def two_in_one(sets: Sequence[Faces]) -> Kind:
    """People whose pictures fall into two groups."""
    found, notes = [], []
    for faces in sets:
        parts = [one for one in splits(faces) if one.person < faces.named]
        score = np.array([one.lost for one in parts])
        least = max(fence(score), _LOST)
        if parts:
            notes.append(_threshold(faces, least))
        for place in _worst(score, least):
            one = parts[place]
            left, right = _group(faces, one, one.smaller), _group(faces, one, one.larger)
            words = f"mean cosine {one.within:.3f} within the groups, {one.between:.3f} across"
            beyond = bool(score[place] > least)
            rows = out(left, "second person of the name by a model", "") if excludes(faces, sets) else ()
            leaves = f"leave the first {left.meant} out"
            found.append(Candidate(left, right, float(score[place]), beyond, words, leaves, rows))
    return Kind(
        "two people in one",
        "People who are two people",
        "Average linkage of a person's pictures parts them into two groups. The score is the share of the "
        "likeness within the groups that is lost across: 0 if they are one, about 1 if they are two people.",
        ranked(found),
        notes,
    )


def one_in_two(sets: Sequence[Faces]) -> Kind:
    """Two people of one set who are one."""
    found, notes = [], []
    for faces in sets:
        if faces.named < 2:
            continue
        pairs = alike(faces.centres.vectors[: faces.named])
        most = listed(pairs.by_chance)
        notes.append(_by_chance(faces.pictures.label, pairs.cosine[:most]))
        for place in range(min(len(pairs.first), most + _BELOW)):
            both = [int(pairs.first[place]), int(pairs.second[place])]
            both.sort(key=lambda person: int(faces.counts[person]))
            left, right = (_person(faces, person) for person in both)
            rows = out(left, "same person as another by a model", right.identity, whole=True)
            cosine, words = float(pairs.cosine[place]), _chance(float(pairs.by_chance[place]))
            leaves = "leave the first person out"
            own = rows if excludes(faces, sets) else ()
            found.append(Candidate(left, right, cosine, place < most, words, leaves, own))
    return Kind(
        "one person in two",
        "Two people who are one",
        "The score is the cosine of the two people's centres; the threshold as for people in a test set. "
        "Better than leaving one out is to put their pictures into one folder.",
        ranked(found),
        notes,
    )


def _worst(score: np.ndarray, least: float) -> list[int]:
    """The places of the scores above `least` and of some below, the highest first."""
    order = np.argsort(-np.nan_to_num(score, nan=-np.inf), kind="stable")[
        : int((score > least).sum()) + _BELOW
    ]
    return [place for place in order.tolist() if np.isfinite(score[place])]


def _person(faces: Faces, person: int) -> Side:
    count = int(faces.counts[person])
    more = f"{count:,} picture" + "s" * (count > 1)
    return Side(faces, person, tuple(faces.typical(person, SHOWN).tolist()), 0, more)


def _group(faces: Faces, split: Split, group: Ints) -> Side:
    rows = faces.unit(group)
    order = np.argsort(-(rows @ rows.sum(axis=0)), kind="stable")
    meant = len(group) if group is split.smaller else 0
    return Side(faces, split.person, tuple(group[order].tolist()), meant, f"{len(group):,} pictures")


def _threshold(faces: Faces, least: float) -> str:
    if not np.isfinite(least):
        return f"{faces.pictures.label}: too few people or pictures to tell a threshold from."
    return f"{faces.pictures.label}: beyond {least:.3f}, an outlier among its own scores."


def _by_chance(name: str, cosines: np.ndarray) -> str:
    if not len(cosines):
        return f"{name}: no pair stands out from what chance gives, by this model."
    return f"{name}: a cosine of {cosines[-1]:.3f} or more."


def _chance(pairs: float) -> str:
    if not np.isfinite(pairs):
        return "too few people to say how rare this is"
    return f"about {pairs:.2g} pairs of different people as near or nearer, by chance"
