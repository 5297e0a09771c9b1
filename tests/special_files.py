"""Files that are none, or never end: what a user may name by mistake, or by malice."""

import os
import socket
from collections.abc import Callable
from pathlib import Path


def _make_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def _make_loop(path: Path) -> None:
    other = path.with_name(f"{path.name}.other")
    other.symlink_to(path)
    path.symlink_to(other)


def _make_sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "is a pipe"),
    "socket": (_make_socket, "is a socket"),
    "endless device": (lambda path: path.symlink_to("/dev/zero"), "is a device"),
    "random device": (lambda path: path.symlink_to("/dev/urandom"), "is a device"),
    "loop of links": (_make_loop, "Too many levels of symbolic links"),
    "link to nothing": (lambda path: path.symlink_to("nothing"), "no such file"),
    "folder": (Path.mkdir, "is a folder"),
    "sparse file of 1 TiB": (_make_sparse, "the most that is read"),
}
"""By kind: how one is made at a path, and what a message says of it."""
