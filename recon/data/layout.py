"""What the tables of a data set promise: keys that must be there, and names of pictures that stay inside its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from recon.files import FileError


def entry(table: Any, key: str | int, what: str) -> Any:
    """The value under a key of an object out of a file.

    Args:
        table: what the file holds there.
        key: of the value.
        what: the file and the place in it, for the message.

    Raises:
        FileError: it is no object, or it lacks the key.
    """
    if not isinstance(table, Mapping):
        raise FileError(f"{what} must be an object with the key {key!r}, not {type(table).__name__}.")
    if key not in table:
        raise FileError(f"{what} has no key {key!r}.")
    return table[key]


def identifier(table: Any, key: str, what: str) -> int | str:
    """The number or name under a key, by which tables speak of a picture.

    Raises:
        FileError: the key is missing, or holds something else.
    """
    value = entry(table, key, what)
    if not isinstance(value, int | str):
        raise FileError(f"{what} has {key!r} {value!r}; it must be a number or a name.")
    return value


def mapping(table: Any, what: str) -> Mapping[Any, Any]:
    """An object out of a file.

    Raises:
        FileError: it is something else.
    """
    if not isinstance(table, Mapping):
        raise FileError(f"{what} must be an object, not {type(table).__name__}.")
    return table


def rows(table: Any, key: str, what: str) -> list[Any]:
    """The list under a key of an object out of a file.

    Raises:
        FileError: the key is missing, or holds something else.
    """
    value = entry(table, key, what)
    if not isinstance(value, list):
        raise FileError(f"{what}: {key!r} must be a list, not {type(value).__name__}.")
    return value


def relative_name(value: Any, what: str) -> str:
    """A file's name below a data set's folder, as one of its tables gives it.

    Raises:
        FileError: no text, empty, absolute, or leading out of the folder.
    """
    path = PurePosixPath(value) if isinstance(value, str) and value and "\0" not in value else None
    if path is None or path.is_absolute() or ".." in path.parts or path == PurePosixPath("."):
        raise FileError(f"{what} names the file {value!r}; it must be a name below the data set's folder.")
    return str(path)
