"""What lies where in a tar archive: its headers are walked, and nothing is unpacked."""

import os
import re
import tarfile
from collections.abc import Iterator
from typing import NamedTuple

BLOCK = tarfile.BLOCKSIZE
_MOST_PADDING = 1 << 20  # bytes of zeros after the end, as much as the largest record that tar writes
_MOST_HEADER = 1 << 20  # bytes of a long name or a set of PAX fields
_NO_CONTENT = (
    *(tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE),
)
_EXTENSIONS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE),
    tarfile.XGLTYPE,
)
_LENGTH = re.compile(rb"([0-9]{1,8}) ")
_PACKED = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ": "unxz",
    b"\x28\xb5\x2f\xfd": "unzstd",
    b"PK\3\4": "unzip",
}


class BrokenTar(ValueError):
    """An archive that is not as it should be; says what and at which byte, but not in which file."""


class Member(NamedTuple):
    """A member of an archive."""

    name: str
    """With / between folders, without ./ before it; bytes that are not UTF-8 are lone surrogates."""
    at: int
    """The byte at which its header lies."""
    start: int
    """The byte at which its content lies; inside the archive, as is its end."""
    size: int
    """Bytes of content."""
    kind: str
    """file, folder, link, sparse file, or other (a device, for example)."""

    def __str__(self) -> str:
        return f"{self.name!r} at byte {self.at}"


def members(file: int, total: int) -> Iterator[Member]:
    """The members of an open archive of `total` bytes, in their order: ustar, GNU, PAX and old Unix tar.

    Every step goes at least 512 bytes on, and nothing is read before its size is checked, so a hostile
    archive costs no more than an honest one of its length. The standard library's own walk promises neither.

    Raises:
        BrokenTar: it is compressed, cut short, damaged, or has more behind its end.
    """
    at = 0
    defaults: dict[str, str] = {}  # PAX fields of all members to come
    fields: dict[str, str] = {}  # and of the next one
    while any(block := os.pread(file, BLOCK, at)):
        if at == 0:
            _require_plain(block)
        if len(block) < BLOCK:
            raise BrokenTar(f"is cut short in the header at byte {at}; copy it again")
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            what = "is no tar archive" if at == 0 else f"is damaged at byte {at}"
            raise BrokenTar(f"{what} ({error}); copy it again or make it anew") from None
        start, size = at + BLOCK, 0 if header.type in _NO_CONTENT else header.size
        if header.type not in _EXTENSIONS and "size" in (known := defaults | fields):
            size = _number(known["size"])
        if header.type == tarfile.GNUTYPE_SPARSE:
            start = _after_sparse_map(file, block, start)
        if size < 0 or start + size > total:
            raise BrokenTar(
                f"is cut short: {header.name!r} at byte {at} has {size} bytes, "
                f"the file ends after {total - start}; copy it again"
            )
        if header.type in _EXTENSIONS:
            if size > _MOST_HEADER:
                raise BrokenTar(f"has a header of {size} bytes at byte {at}; make it anew")
            content = os.pread(file, size, start)
            if header.type == tarfile.GNUTYPE_LONGNAME:
                fields["path"] = content.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
            elif header.type != tarfile.GNUTYPE_LONGLINK:
                found = _pax(content, at)
                defaults, fields = (
                    (defaults | found, fields)
                    if header.type == tarfile.XGLTYPE
                    else (defaults, fields | found)
                )
        else:
            known = defaults | fields
            name = known.get("path", header.name).removeprefix("./")
            yield Member(name, at, start, size, "sparse file" if "sparse" in known else _kind(header))
            fields = {}
        at = start + -(-size // BLOCK) * BLOCK
    _require_end(file, at, total)


def _kind(header: tarfile.TarInfo) -> str:
    if header.type == tarfile.GNUTYPE_SPARSE:
        return "sparse file"
    if header.islnk() or header.issym():
        return "link"
    if header.isdir():
        return "folder"
    return "file" if header.isreg() else "other"


def _number(text: str) -> int:
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else -1


def _pax(content: bytes, at: int) -> dict[str, str]:
    """Of the records `LENGTH KEY=VALUE\\n`, where the length counts the whole record, those that matter."""
    found = {}
    begin = 0
    while begin < len(content):
        digits = _LENGTH.match(content, begin)
        end = begin + int(digits[1]) if digits else 0
        if not digits or not digits.end() < end <= len(content) or content[end - 1 : end] != b"\n":
            raise BrokenTar(f"is damaged at byte {at}: PAX fields that cannot be read; make it anew")
        key, _, value = content[digits.end() : end - 1].partition(b"=")
        if key in (b"path", b"size"):
            found[key.decode()] = value.decode("utf-8", "surrogateescape")
        elif key.startswith(b"GNU.sparse."):
            found["sparse"] = ""
        begin = end
    return found


def _after_sparse_map(file: int, block: bytes, at: int) -> int:
    """Where an old GNU sparse file's content begins: its map may go on in blocks of their own."""
    more = block[482]
    while more:
        block = os.pread(file, BLOCK, at)
        more, at = len(block) == BLOCK and block[504], at + BLOCK
    return at


def _require_plain(block: bytes) -> None:
    for start, cure in _PACKED.items():
        if block.startswith(start):
            raise BrokenTar(f"is compressed, so pictures cannot be read out of order; unpack it with {cure}")


def _require_end(file: int, at: int, total: int) -> None:
    """An archive ends with zeros; without them it was cut, if between two members."""
    if total == 0:
        raise BrokenTar("is empty; copy it again")
    if at + BLOCK > total:
        raise BrokenTar(f"is cut short: it stops at byte {total} without an end mark; copy it again")
    if total - at > _MOST_PADDING or any(os.pread(file, total - at, at)):
        raise BrokenTar(
            f"goes on behind its end at byte {at}, as archives put together by cat do; give them one by one"
        )
