"""Whether two sets call somebody the same."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})
"""Letters that Unicode does not take apart into a plain one and a mark."""
_LEAST = 8
"""Letters of a name of which one may differ: among shorter names too many differ by one."""


class SameName(NamedTuple):
    """A name in each of two sets that one person may have."""

    first: str
    second: str
    how: str
    """"same name", "same name but for a leading word", or "one letter apart"."""


def shared_names(first: Collection[str], second: Collection[str]) -> list[SameName]:
    """The names of one set of people that another set has too, in order; each pair once.

    Case, accents, the order of the words and what parts them do not count. One name may have a word or more
    in front, as `web_Tom_Cruise` has, where two words remain. In names of 8 letters or more, one letter may
    be missing, changed or elsewhere (Chris Pratt, Chris Patt). A name that ends in a number, such as
    `id0012`, names nobody.
    """
    found: dict[tuple[str, str], str] = {}
    for how, keys, other_keys in (
        ("same name", _whole, _whole),
        ("same name but for a leading word", _tails, _whole),
        ("same name but for a leading word", _whole, _tails),
        ("one letter apart", _letters_off, _whole_letters_off),
    ):
        for pair in _pairs(first, second, keys, other_keys):
            found.setdefault(pair, how)
    return sorted(SameName(*pair, how) for pair, how in found.items())


def is_name(name: str) -> bool:
    """Whether this names a person rather than numbers one."""
    return bool(_words(name))


_Keys = Callable[[str], Iterator[str]]


def _pairs(
    first: Collection[str], second: Collection[str], keys: _Keys, other_keys: _Keys
) -> Iterator[tuple[str, str]]:
    """The pairs of names that have a key in common."""
    index = defaultdict(list)
    for name in second:
        for key in other_keys(name):
            index[key].append(name)
    for name in first:
        for key in keys(name):
            for other in index.get(key, ()):
                yield name, other


def _words(name: str) -> list[str]:
    """Its words in plain small letters; none if it ends in a number."""
    plain = unicodedata.normalize("NFKD", name.casefold()).translate(_PLAIN)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    words = re.findall(r"[^\W_]+", plain)
    return [] if not words or any(c.isdigit() for c in words[-1]) else words


def _whole(name: str) -> Iterator[str]:
    """Its letters, in the order given and by sorted words."""
    if words := _words(name):
        yield "".join(words)
        yield "".join(sorted(words))


def _tails(name: str) -> Iterator[str]:
    """`_whole` of it without its first word, without its first two, and so on, while two words remain."""
    words = _words(name)
    for start in range(1, len(words) - 1):
        yield from _whole(" ".join(words[start:]))


def _whole_letters_off(name: str) -> Iterator[str]:
    """Its letters, and its letters without one: two names one letter apart have one of these in common."""
    letters = "".join(_words(name))
    if len(letters) >= _LEAST:
        yield letters
        for i in range(len(letters)):
            yield letters[:i] + letters[i + 1 :]


def _letters_off(name: str) -> Iterator[str]:
    """`_whole_letters_off`, of its tails too."""
    yield from _whole_letters_off(name)
    words = _words(name)
    for start in range(1, len(words) - 1):
        yield from _whole_letters_off(" ".join(words[start:]))
