"""A float32 matrix in a file of the cache: memory-mapped, checksummed, never seen half written.

The file is NumPy's own format with the sha256 of all of it appended, so one rename puts both in place.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

_DIGEST_BYTES = hashlib.sha256().digest_size
_BLOCK = 1 << 20

#: Files whose checksum this process has compared, as they were then.
_verified: dict[Path, tuple[int, int, int]] = {}


def read_matrix(path: Path, rows: int) -> NDArray[np.float32] | None:
    """The matrix [rows, width], memory-mapped and read-only; ``None`` where there is none, or a damaged one.

    The checksum is compared when a process first maps the file, and again when the file was changed since.
    """
    try:
        with open(path, "rb") as stream:
            _verify(path, stream)
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (ValueError, EOFError) as error:
        logger.warning("%s: damaged cache file, made anew (%s)", path, error)
        return None
    return matrix if matrix.ndim == 2 and len(matrix) == rows and matrix.dtype == np.float32 else None


class MatrixFile:
    """A file that is being written; it takes its place when :func:`new_matrix` is left without an error."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def empty(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """An array [rows, width] float32 that lies in the file; called once.

        Raises:
            OSError: no room for it.
        """
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._stream, header)
        self._stream.flush()
        start = self._stream.tell()
        # Taken now, because a mapped page that finds the disk full later ends the process with a signal.
        size = start + 4 * shape[0] * shape[1]
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._stream.fileno(), 0, size)
        else:  # macOS
            self._stream.write(b"\0" * (size - start))
            self._stream.flush()
        return np.memmap(self._stream, dtype="<f4", mode="r+", offset=start, shape=shape)


@contextlib.contextmanager
def new_matrix(path: Path) -> Iterator[MatrixFile]:
    """Write a matrix file through a temporary one; nothing is left of it when the block raises.

    Raises:
        OSError: a folder that cannot be written, or no room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as temporary:
        try:
            with open(temporary.name, "r+b") as stream:
                yield MatrixFile(stream)
                stream.seek(0)
                digest = hashlib.file_digest(stream, "sha256").digest()  # mapped pages are read as they are written
                stream.seek(0, os.SEEK_END)
                stream.write(digest)
            os.replace(temporary.name, path)
        finally:
            Path(temporary.name).unlink(missing_ok=True)


def _verify(path: Path, stream: IO[bytes]) -> None:
    """Compare the checksum at the end of the file with its content, once a process and state of the file."""
    status = os.fstat(stream.fileno())
    state = (status.st_ino, status.st_size, status.st_mtime_ns)
    if _verified.get(path) == state:
        return
    left, digest = status.st_size - _DIGEST_BYTES, hashlib.sha256()
    if left <= 0:
        raise ValueError("cut short")
    while left > 0:
        block = stream.read(min(_BLOCK, left))
        if not block:
            raise ValueError("cut short")
        digest.update(block)
        left -= len(block)
    if stream.read() != digest.digest():
        raise ValueError("checksum")
    _verified[path] = state
