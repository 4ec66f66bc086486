"""What the decoders' C code writes to the standard error, kept off the screen and readable."""

import os
import sys
import tempfile
from types import TracebackType
from typing import TextIO


class Quiet:
    """While entered, file descriptor 2 leads to a temporary file.

    libjpeg and libpng know no other way to say that a picture is damaged, and with a progress bar below
    them their lines would fill the screen.
    """

    def __enter__(self) -> "Quiet":
        sys.stderr.flush()
        self._own = os.dup(2)
        self.screen: TextIO = os.fdopen(os.dup(self._own), "w")
        """The standard error as it was, to print on meanwhile."""
        self._file = tempfile.TemporaryFile()
        os.dup2(self._file.fileno(), 2)
        self._read = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.screen.close()
        os.dup2(self._own, 2)
        os.close(self._own)
        self._file.close()

    def said(self) -> str:
        """What was written since the last call."""
        size = os.fstat(self._file.fileno()).st_size
        text = os.pread(self._file.fileno(), size - self._read, self._read)
        self._read = size
        return text.decode("utf-8", "replace")
