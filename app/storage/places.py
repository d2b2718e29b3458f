"""Files below a folder, reached without following a symbolic link: one in their way counts as missing."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from models.contract.files import write_atomically

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)  # none there, or a link, or a socket


@contextmanager
def folder_at(root: Path, *names: str, make: bool = False) -> Iterator[int]:
    """Descriptor of a folder below `root`. Raises FileNotFoundError, or with `make` puts a folder where there is none,
    also in the place of a link.
    """
    descriptor = os.open(root, FOLDER)
    try:
        for name in names:
            inner = entered(descriptor, name, make)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def entered(parent: int, name: str, make: bool) -> int:
    try:
        return os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as error:
        if error.errno not in NO_FILE:
            raise
        if not make:
            raise FileNotFoundError(errno.ENOENT, "There is no such folder", name) from error
        if error.errno != errno.ENOENT:
            with suppress(FileNotFoundError, IsADirectoryError):  # another process may be quicker
                os.unlink(name, dir_fd=parent)
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)
    os.fsync(parent)
    return os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=parent)


def open_at(root: Path, *names: str) -> BufferedReader:
    """A plain file to read. Raises FileNotFoundError."""
    with folder_at(root, *names[:-1]) as folder:
        try:
            descriptor = os.open(names[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except OSError as error:
            if error.errno in NO_FILE:
                raise FileNotFoundError(errno.ENOENT, "There is no such file", names[-1]) from error
            raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "There is no such file", names[-1])
    return os.fdopen(descriptor, "rb")


def write_at(root: Path, *names: str, content: bytes) -> None:
    """Whole or not at all, with the folders on its way; takes the place of a link or of another file."""
    with folder_at(root, *names[:-1], make=True):
        write_atomically(root.joinpath(*names), content)
