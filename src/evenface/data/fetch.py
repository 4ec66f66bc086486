"""Files from the web, kept on this machine: each is fetched once, however many processes want it."""

import errno
import fcntl
import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.request
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

from evenface.errors import UserError

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait after each failure; after one more the file is given up."""
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as cut."""
_CHUNK = 1 << 20
_LATER = (408, 425, 429, 500, 502, 503, 504)  # an answer that may be another one later


class NotThere(UserError):
    """The server says that there is no such file, or none for us (status 4xx)."""


class _Cut(Exception):
    """This attempt failed; the next may not."""


def cache_folder() -> Path:
    """Where fetched files are kept: EVENFACE_CACHE, or ~/.cache/evenface/shards."""
    return Path(os.environ.get("EVENFACE_CACHE") or "~/.cache/evenface/shards").expanduser()


def cached(source: str) -> Path:
    """The place of a URL, or of what belongs to a file elsewhere, in the cache."""
    name = re.sub(r"[^\w.-]", "_", unquote(urlsplit(source).path).rpartition("/")[2])[-100:]
    return (
        cache_folder() / f"{hashlib.sha256(source.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}-{name}"
    )


def fetch(url: str, target: Path, *, field: str, sha256: str = "") -> None:
    """Fetch a URL to `target`, unless that is there already: whole, or not at all.

    A connection that is cut goes on where it stopped, if the server can and the file is still the same. What
    is already here is not compared with the server's.

    Args:
        url: http or https, redirects included; a proxy is taken from the environment.
        target: the file; its folder is made.
        field: what error messages begin with.
        sha256: hexadecimal; what is fetched must have this digest.

    Raises:
        NotThere: the server refuses it.
        UserError: it cannot be fetched, is not as `sha256` says, or cannot be stored.
    """
    if target.exists():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{target}.lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the process, however it ends
            if target.exists():
                return
            part = target.with_name(f"{target.name}.part")
            with open(part, "w+b") as file:
                try:
                    _download(url, file)
                    file.seek(0)
                    if sha256 and hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                        raise UserError(
                            f"{url} is not the file that its index tells of (sha256); "
                            "write the index anew, or delete it"
                        )
                    part.replace(target)
                except UserError as error:
                    raise type(error)(f"{field}: {error}") from None
                finally:
                    part.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{field}: {url} cannot be stored in {target.parent} ({error.strerror}); "
            "set EVENFACE_CACHE to a folder with room for all shards"
        ) from None


def _download(url: str, file: BinaryIO) -> None:
    """All bytes of a URL into an empty file."""
    validator, why = "", ""
    for pause in (0.0, *PAUSES):
        time.sleep(pause)
        begin = file.tell() if validator else 0
        try:
            with _open(url, begin, validator) as response:
                # Without a mark of the file's state, a rest could be another file's.
                validator = response.headers.get("ETag", "")
                if not validator or validator.startswith("W/"):
                    validator = response.headers.get("Last-Modified", "")
                if response.status != 206:
                    begin = 0
                file.seek(begin)
                file.truncate()
                total = None if response.length is None else begin + response.length
                if total is not None and total - begin > shutil.disk_usage(Path(file.name).parent).free:
                    raise OSError(errno.ENOSPC, f"it has {total:,} bytes, there is no room for it")
                while chunk := _read(response):
                    file.write(chunk)
                if total is None or file.tell() == total:
                    return
                raise _Cut(f"the connection ended after {file.tell():,} of {total:,} bytes")
        except _Cut as cut:
            why = str(cut)
    raise UserError(f"{url} cannot be fetched: {why}, {len(PAUSES) + 1} times; try again later")


def _open(url: str, begin: int, validator: str) -> http.client.HTTPResponse:
    headers = {"User-Agent": "evenface"}
    if begin:
        headers |= {"Range": f"bytes={begin}-", "If-Range": validator}
    try:
        response: http.client.HTTPResponse = _OPENER.open(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT
        )
    except HTTPError as error:
        error.close()
        if error.code in _LATER:
            raise _Cut(f"the server answers {error.code} {error.reason}") from None
        raise NotThere(f"{url}: the server answers {error.code} {error.reason}; check the address") from None
    except (http.client.InvalidURL, ValueError) as error:
        raise UserError(f"{url} is no address that can be asked for ({error}); mend it") from None
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(_reason(error)) from None
    if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {begin}-"):
        response.close()
        raise UserError(f"{url}: the server sends another part than it was asked for; fetch the file by hand")
    return response


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(_reason(error)) from None


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"nothing came for {TIMEOUT:g} s"
    return (isinstance(cause, OSError) and cause.strerror) or str(cause) or type(cause).__name__


def _opener() -> urllib.request.OpenerDirector:
    """Without the handlers of ftp: and file:, to which a redirect could lead."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


_OPENER = _opener()
