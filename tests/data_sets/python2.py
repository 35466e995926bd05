"""Pickles as Python 2 and its numpy wrote them: protocol 2, byte strings, `numpy.core.multiarray`."""

import io
import pickle
import struct
from typing import Any

_PythonPickler: Any = pickle._Pickler  # type: ignore[attr-defined]


class _Python2Pickler(_PythonPickler):
    """Writes text and bytes alike as Python 2's strings."""

    dispatch = dict(_PythonPickler.dispatch)

    def save_string(self, text: str | bytes) -> None:
        data = text if isinstance(text, bytes) else text.encode("latin1")
        if len(data) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(text)

    dispatch[str] = save_string
    dispatch[bytes] = save_string


def python2_pickle(content: Any) -> bytes:
    """An object's pickle as Python 2 would have written it."""
    buffer = io.BytesIO()
    _Python2Pickler(buffer, protocol=2).dump(content)
    data = buffer.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert b"_codecs" not in data and b"numpy._core" not in data
    return data
