"""Reads what a pickle holds without running it: a pickle can be a program, and test sets pass many hands."""

from dataclasses import dataclass
from pickletools import genops
from typing import Any


@dataclass(eq=False)
class ByteArray:
    """A NumPy array of one-byte elements, as a pickle has it."""

    kind: str = ""
    """u1 for uint8, b1 for bool."""
    content: bytes = b""
    """The elements in order."""


@dataclass(frozen=True)
class _Named:
    """Something that a pickle calls by name; it is never looked up."""

    what: str


_HARMLESS = {
    "_codecs encode": "encode",  # how Python 3 writes bytes in the pickle protocols of Python 2
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy.core.multiarray scalar": "scalar",
    "numpy._core.multiarray scalar": "scalar",
    "numpy.core.numeric _frombuffer": "buffer",
    "numpy._core.numeric _frombuffer": "buffer",
}
_PASSED_OVER = {"PROTO", "FRAME"}
_BYTES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_STRINGS_OF_PYTHON_2 = {"BINSTRING", "SHORT_BINSTRING"}
_VALUES = {
    *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_STEPS_AT_LEAST, _BYTES_A_STEP = 10_000, 8
"""An empty list is one byte in a pickle and 64 in memory; a packed picture has dozens of bytes a step."""
_PROTOCOL_0 = "broken, or the text form of Python 2 (pickle protocol 0); save it there with protocol 2"
_PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
_GET = {"GET", "BINGET", "LONG_BINGET"}


def load_plain(content: bytes) -> Any:
    """What a pickle of lists, tuples, bytes, text, whole numbers, bool and one-byte NumPy arrays holds.

    Text of Python 2 comes as bytes, a NumPy array as `ByteArray`, a NumPy bool as bool. Nothing is imported
    or called. Memory stays within some ten times the pickle's size, whatever is in it.

    Raises:
        ValueError: the pickle is broken or holds anything else.
    """
    try:
        return _Reader(content).run()
    except UnicodeDecodeError:  # what `genops` makes of Python 2's escaped strings, besides broken text
        raise ValueError(_PROTOCOL_0) from None
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"broken pickle: {error!r}") from None


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.left = len(content)  # bytes that may yet be made from text, as one can be encoded over and over

    def run(self) -> Any:
        most = _STEPS_AT_LEAST + len(self.content) // _BYTES_A_STEP
        for step, (opcode, value, _) in enumerate(genops(self.content)):
            if opcode.name == "STOP":
                (result,) = self.stack
                return result
            if step == most:
                raise ValueError(f"the pickle has more than {most:,} objects in {len(self.content):,} bytes")
            self.step(opcode.name, value)
        raise ValueError("broken pickle: no end")

    def step(self, name: str, value: Any) -> None:
        stack = self.stack
        if name in _PASSED_OVER:
            pass
        elif name in _BYTES:
            stack.append(bytes(value))
        elif name in _STRINGS_OF_PYTHON_2:
            stack.append(value.encode("latin-1"))
        elif name in _VALUES:
            stack.append(_CONSTANTS.get(name, value))
        elif name == "MARK":
            self.marks.append(len(stack))
        elif name in ("EMPTY_LIST", "LIST"):
            stack.append([] if name == "EMPTY_LIST" else self.since_mark())
        elif name == "TUPLE":
            stack.append(tuple(self.since_mark()))
        elif name in _TUPLES:
            stack.append(tuple(self.take(_TUPLES[name])))
        elif name in ("APPEND", "APPENDS"):
            items = self.take(1) if name == "APPEND" else self.since_mark()
            stack[-1].extend(items)
        elif name in _PUT or name == "MEMOIZE":
            self.memo[len(self.memo) if name == "MEMOIZE" else value] = stack[-1]
        elif name in _GET:
            stack.append(self.memo[value])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            called = value if name == "GLOBAL" else " ".join(self.take(2))
            if called not in _HARMLESS:
                raise ValueError(f"the pickle calls {called.replace(' ', '.')!r}, which may be harmful")
            stack.append(_Named(_HARMLESS[called]))
        elif name == "REDUCE":
            called, arguments = self.take(2)
            stack.append(self.made(called.what, *arguments))
        elif name == "BUILD":
            (state,) = self.take(1)
            _fill(stack[-1], *state)
        elif name == "STRING":
            raise ValueError(_PROTOCOL_0)
        else:
            raise ValueError(f"the pickle has an object of another kind (opcode {name})")

    def take(self, count: int) -> list[Any]:
        """The top `count` items, off the stack."""
        start = len(self.stack) - count
        if start < 0:
            raise ValueError("broken pickle: its stack is empty")
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def made(self, what: str, *arguments: Any) -> Any:
        """What the call would have given."""
        if what == "encode":
            text, encoding = arguments
            self.left -= len(text)
            if self.left < 0 or _text(encoding) not in ("latin1", "latin-1"):
                raise ValueError("broken pickle: more bytes than it can hold")
            return text.encode("latin-1")
        if what == "dtype":
            kind = _text(arguments[0]).lstrip("|")
            if kind not in ("u1", "b1"):
                raise ValueError(f"the pickle has a NumPy array of type {kind}; expected uint8 or bool")
            return _Named(kind)
        if what == "array":
            return ByteArray()
        if what == "buffer":
            content, kind, *_ = arguments
            return _array(kind, content)
        if what == "scalar":
            kind, content = arguments
            if kind.what == "b1" and content in (b"\0", b"\1"):
                return content == b"\1"
        raise ValueError("broken pickle: a call that makes no sense")


def _fill(target: Any, *state: Any) -> None:
    if isinstance(target, ByteArray):
        _, _, kind, _, content = state
        filled = _array(kind, content)
        target.kind, target.content = filled.kind, filled.content
    elif not (isinstance(target, _Named) and target.what in ("u1", "b1")):  # a dtype's state adds nothing
        raise ValueError("the pickle has an object of another kind")


def _array(kind: _Named, content: Any) -> ByteArray:
    if kind.what not in ("u1", "b1") or not isinstance(content, bytes):
        raise ValueError("broken pickle: a NumPy array without content")
    return ByteArray(kind.what, content)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
