"""Whether a set that a conversion writes is whole: its checksum, which comes last, is there."""

from pathlib import Path

from evenface.errors import UserError

JOURNAL, CHECKSUM = "journal.jsonl", "checksum.json"


def beside(output: Path, what: str) -> Path:
    """Where a file about a set lies: in its folder, or beside its file under the same name."""
    return output.with_name(f"{output.stem}.{what}") if output.suffix.lower() == ".rec" else output / what


def require_finished(output: Path, field: str) -> None:
    """Raise UserError, which begins with `field`, if a conversion to this place has not come to its end.

    What such a one leaves can look like a set that is whole, with fewer people.
    """
    journal = beside(output, JOURNAL)
    if journal.is_file() and not beside(output, CHECKSUM).is_file():
        raise UserError(
            f"{field}: {output} is a conversion that was not finished; repeat the call of `evenface convert`,"
            f" or delete {journal} to take what is there"
        )
