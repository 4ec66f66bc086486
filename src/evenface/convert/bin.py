"""InsightFace's `.bin` test sets as files to look at, and a list of pairs to measure by."""

from pathlib import Path

from evenface.convert.pictures import with_suffix
from evenface.errors import UserError
from evenface.evaluation.protocols.insightface_bin import insightface_bin, read_bin
from evenface.faces import UnreadableImage


def convert_bin(path: Path, folder: Path) -> tuple[Path, int, int]:
    """Write the pictures of a `.bin` file as <number>.jpg or .png, their bytes as they are, and their pairs.

    The list has the columns a, b, same and fold, the file's own folds: `evenface evaluate --pairs` then gives
    the numbers that `--bin` gives. It is written last. Returns (the list, pictures, pairs).

    Raises:
        UnreadableImage: a picture is of no known kind.
        UserError: the file is no such set, or there is something in `folder`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"-o: {folder} is there already; name a new folder, or delete it")
    pairs = insightface_bin(path)
    pictures, _ = read_bin(path)
    digits = len(str(len(pictures) - 1))
    names = []
    for number, content in enumerate(pictures):
        try:
            names.append(with_suffix(f"{number:0{digits}}", content))
        except ValueError as error:
            raise UnreadableImage(f"{path}: picture {number}", str(error)) from None
    rows = [
        f"{names[a]},{names[b]},{int(same)},{fold + 1}\n"
        for a, b, same, fold in zip(pairs.first, pairs.second, pairs.same, pairs.fold, strict=True)
    ]
    table = folder / f"{path.stem}.csv"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in zip(names, pictures, strict=True):
            (folder / name).write_bytes(content)
        table.write_text("a,b,same,fold\n" + "".join(rows))
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}; delete {folder} and call again") from None
    return table, len(pictures), len(rows)
