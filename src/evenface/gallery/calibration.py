"""What a calibration found, as the model's card keeps it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isclose, isfinite, nan
from pathlib import Path
from typing import Any

from evenface.backbones.saved import WEIGHTS, load_card, save_note
from evenface.errors import UserError
from evenface.evaluation.embed import Flip
from evenface.evaluation.images import digest
from evenface.evaluation.metrics.calibration import ByPerson, FmrThreshold, Interval, l2, squared_l2
from evenface.evaluation.results import power

NOTE = "calibration"
"""Its place among the card's notes."""


@dataclass(frozen=True)
class Calibration:
    """The thresholds of one model on one set of people."""

    set: str
    """The set's name and which of its pairs, as printed."""
    thresholds: tuple[tuple[FmrThreshold, ByPerson | None], ...]
    """One for each FMR wanted, falling; by person None where too many pairs pass to resample them."""
    people: int
    pictures: int
    picture_size: str
    """HEIGHTxWIDTH in pixels, or "several sizes": pictures to be verified must be alike."""
    flip: Flip
    conventions: Mapping[str, str]
    """All else that changes a number, in words."""
    pictures_sha256: str
    sources_sha256: str | None
    """Of the files that say who is who and which pairs count; None where folders say it."""
    model_sha256: str
    """Of the weights, or a function's name."""
    date: str
    """ISO 8601."""
    evenface: str

    def at(self, fmr: float) -> tuple[FmrThreshold, ByPerson | None]:
        """The threshold for an FMR.

        Raises:
            UserError: it is not among those calibrated, or was not measurable.
        """
        for found in self.thresholds:
            if isclose(found[0].fmr_target, fmr):
                if found[0].measurable:
                    return found
                raise UserError(f"FMR {power(fmr)} on {self.set}: {found[0].note}")
        known = ", ".join(power(one.fmr_target) for one, _ in self.thresholds if one.measurable)
        raise UserError(f"FMR {fmr:g} is not calibrated, only {known}; `evenface calibrate` takes others")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; what is not measurable is None."""
        rows = []
        for found, people in self.thresholds:
            distances = {"squared_l2": squared_l2(found.threshold), "l2": l2(found.threshold)}
            rows.append({**asdict(found), **distances, "by_person": people and asdict(people)})
        return {**vars(self), "conventions": dict(self.conventions), "thresholds": _plain(rows)}

    @classmethod
    def of_json(cls, plain: Mapping[str, Any]) -> "Calibration":
        """What `to_json` made; KeyError, TypeError or ValueError for anything else."""
        for field in fields(cls):
            if field.type is str:
                _read(field.name, plain[field.name], str)
        rows = []
        for row in plain["thresholds"]:
            people = row["by_person"]
            rows.append((_of(FmrThreshold, row), None if people is None else _of(ByPerson, people)))
        return cls(**{**plain, "thresholds": tuple(rows)})


def write_calibration(folder: Path, found: Calibration) -> None:
    """Put it into the card of a run's model, in place of an older one."""
    save_note(folder, NOTE, found.to_json())


def read_calibration(folder: Path) -> Calibration:
    """The calibration in a card.

    Raises:
        UserError: there is none, it is of other weights than those in the folder, or either is not readable.
    """
    again = f"run `evenface calibrate {folder} --people DIR` (or --lfw, --cfp)"
    plain = load_card(folder).notes.get(NOTE)
    if plain is None:
        raise UserError(f"{folder}: is not calibrated, so it has no threshold; {again}, or give --threshold")
    try:
        found = Calibration.of_json(plain)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{folder}: its card's {NOTE} cannot be read ({error}); {again}") from None
    try:
        weights = digest([folder / WEIGHTS])
    except OSError as error:
        raise UserError(f"{folder / WEIGHTS}: {error.strerror}; give the folder of a whole run") from None
    if found.model_sha256 != weights:
        raise UserError(f"{folder}: was calibrated with other weights than {WEIGHTS} has now; {again}")
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _of(kind: Any, plain: Mapping[str, Any]) -> Any:
    return kind(**{one.name: _read(one.name, plain[one.name], one.type) for one in fields(kind)})


def _read(name: str, value: Any, kind: Any) -> Any:
    if kind == Interval:
        low, high = value
        return _read(name, low, float), _read(name, high, float)
    if kind is float and value is None:
        return nan
    if not isinstance(value, (int, float) if kind is float else kind):
        raise TypeError(f"{name}: {value!r} is no {'text' if kind is str else 'number'}")
    return value
