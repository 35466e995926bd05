"""MANO pickles: a true one is read, and no forged or damaged one runs anything or gets through."""

import io
import os
import pickle
import sys
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

from recon.files import FileError
from recon.hand.fields import FIELDS
from recon.hand.mano_file import import_mano, read_mano
from recon.hand.model import HandModel, HandParams


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """The default hand's fields in MANO's own types."""
    layer = HandModel.default().layer
    kintree = np.array([layer.parents.numpy(), range(16)])
    kintree[0, 0] = 2**32 - 1
    return {
        "v_template": layer.v_template.numpy().astype(np.float64),
        "shapedirs": layer.shapedirs.numpy().astype(np.float64),
        "posedirs": np.asfortranarray(layer.posedirs.numpy().T.reshape(778, 3, 135).astype(np.float64)),
        "J_regressor": layer.J_regressor.numpy().astype(np.float64),
        "weights": layer.lbs_weights.numpy().astype(np.float64),
        "f": HandModel.default().faces.numpy().astype(np.uint32),
        "kintree_table": kintree,
        "hands_components": np.eye(45),
        "hands_mean": np.linspace(-1, 1, 45),
    }


_PythonPickler: Any = pickle._Pickler  # type: ignore[attr-defined]


class _OldPickler(_PythonPickler):
    """Writes names as Python 2 with numpy 1 did."""

    dispatch = dict(_PythonPickler.dispatch)

    def save_global(self, obj: object, name: str | None = None) -> None:
        old = {
            "numpy._core.multiarray": "numpy.core.multiarray",
            "scipy.sparse._csc": "scipy.sparse.csc",
            "builtins": "__builtin__",
        }
        module = getattr(obj, "__module__", "")
        if module in old:
            text = f"c{old[module]}\n{name or obj.__name__}\n"  # type: ignore[attr-defined]
            self.write(text.encode())
            self.memoize(obj)
        else:
            super().save_global(obj, name)

    dispatch[types.FunctionType] = save_global
    dispatch[types.BuiltinFunctionType] = save_global

    def save_type(self, obj: type) -> None:
        self.save_global(obj)

    dispatch[type] = save_type


def _old_pickle(content: object) -> bytes:
    buffer = io.BytesIO()
    _OldPickler(buffer, protocol=2).dump(content)
    return buffer.getvalue()


@pytest.fixture
def chumpy(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[type, type]]:
    """Classes that pickle as chumpy's do; the modules exist while the test writes its file, not while it is read."""
    modules = {name: types.ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering")}
    ch = type("Ch", (), {"__module__": "chumpy.ch"})
    select = type("Select", (ch,), {"__module__": "chumpy.reordering"})
    modules["chumpy.ch"].Ch, modules["chumpy.reordering"].Select = ch, select  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    yield ch, select


def _true_mano(arrays: dict[str, np.ndarray], chumpy: tuple[type, type]) -> bytes:
    ch, select = chumpy
    inner, shapes, template = ch(), select(), ch()
    padded = np.concatenate([arrays["shapedirs"], np.full((778, 3, 2), 7.0)], axis=2)
    inner.x, inner._dirty_vars = padded, {"x"}
    shapes.a, shapes.preferred_shape = inner, (778, 3, 10)
    shapes.idxs = np.arange(padded.size).reshape(padded.shape)[:, :, :10].ravel()
    template.x = arrays["v_template"]
    content = arrays | {
        "shapedirs": shapes,
        "v_template": template,
        "J_regressor": scipy.sparse.csc_matrix(arrays["J_regressor"]),
        "hands_coeffs": np.zeros((4, 45)),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }
    return _old_pickle(content)


def test_a_true_file_gives_its_arrays(arrays: dict[str, np.ndarray], chumpy: tuple[type, type]) -> None:
    data = _true_mano(arrays, chumpy)
    assert b"numpy.core.multiarray" in data and b"scipy.sparse.csc\n" in data and b"chumpy.reordering" in data
    for name in ("chumpy", "chumpy.ch", "chumpy.reordering"):
        del sys.modules[name]
    fields = read_mano(data)
    assert set(fields) == set(FIELDS)
    for key, value in fields.items():
        expected = arrays[key].astype(np.int64 if key in ("f", "kintree_table") else np.float64)
        if key == "kintree_table":
            expected[0, 0] = -1
        np.testing.assert_array_equal(value, expected)


def test_today_s_pickles_are_read_too(arrays: dict[str, np.ndarray]) -> None:
    content = arrays | {"J_regressor": scipy.sparse.csc_matrix(arrays["J_regressor"])}
    np.testing.assert_array_equal(read_mano(pickle.dumps(content, 2))["J_regressor"], arrays["J_regressor"])


def test_imported_hand_gives_the_same_mesh(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    (tmp_path / "MANO_RIGHT.pkl").write_bytes(_old_pickle(arrays))
    written = import_mano(tmp_path / "MANO_RIGHT.pkl", tmp_path)
    assert written == tmp_path / "mano_right.npz"
    torch.manual_seed(0)
    params = HandParams.from_rotvec(torch.randn(2, 10), torch.randn(2, 3), torch.randn(2, 45) * 0.3)
    ours, theirs = HandModel.default(), HandModel.from_mano(written)
    torch.testing.assert_close(theirs(params).vertices, ours(params).vertices)
    assert theirs.fingerprint == ours.fingerprint

    left = arrays | {"v_template": arrays["v_template"] * [-1, 1, 1]}
    (tmp_path / "any name.pkl").write_bytes(_old_pickle(left))
    assert import_mano(tmp_path / "any name.pkl", tmp_path).name == "mano_left.npz"


class _Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, ...]:
        return self.call


def _nested(arrays: dict[str, np.ndarray], trap: str) -> bytes:
    inner = _Calls(eval, f"open({trap!r}, 'w')")
    return pickle.dumps(arrays | {"bs_style": [{"deep": (inner,)}]}, 2)


MALICIOUS: dict[str, Callable[[dict[str, np.ndarray], str], bytes]] = {
    "os.system": lambda _, trap: pickle.dumps(_Calls(os.system, f"touch {trap}"), 2),
    "builtins.eval": lambda _, trap: pickle.dumps(_Calls(eval, f"open({trap!r}, 'w')"), 2),
    "builtins.eval by its old name": lambda _, trap: f"c__builtin__\neval\n(Vopen({trap!r}, 'w')\ntR.".encode(),
    "protocol 4 exec": lambda _, trap: pickle.dumps(_Calls(exec, f"open({trap!r}, 'w')"), 4),
    "nested reduce": _nested,
    "subprocess": lambda _, trap: f"csubprocess\ncall\n((lVtouch\naV{trap}\natR.".encode(),
    "attribute of an allowed module": lambda _, trap: f"cnumpy\nsave\n(V{trap}\nI1\ntR.".encode(),
    "dotted name in an allowed module": lambda _, trap: (
        b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile2\x93" + f"(V{trap}\ntR.".encode()
    ),
    "getattr": lambda _, trap: f"c__builtin__\ngetattr\n(cnumpy\nndarray\nVtofile\ntR(V{trap}\ntR.".encode(),
    "another codec": lambda _, trap: b"c_codecs\nencode\n(Vabc\nVhex\ntR.",
    "changing a stand-in": lambda _, trap: b"c_codecs\nencode\n}(V__code__\nI1\nsb.",
}


@pytest.mark.parametrize("kind", MALICIOUS)
def test_malicious_files_run_nothing(kind: str, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    file = tmp_path / "MANO_RIGHT.pkl"
    file.write_bytes(MALICIOUS[kind](arrays, str(trap)))
    with pytest.raises(FileError) as caught:
        import_mano(file, tmp_path)
    assert not trap.exists()
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["MANO_RIGHT.pkl"]


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("MANO_RIGHT.pkl", b"inside")
    return buffer.getvalue()


def _changed(arrays: dict[str, np.ndarray], **fields: object) -> bytes:
    return pickle.dumps(arrays | fields, 2)


def _without(arrays: dict[str, np.ndarray], key: str) -> bytes:
    return pickle.dumps({k: v for k, v in arrays.items() if k != key}, 2)


def _at(array: np.ndarray, index: tuple[int, ...], value: float) -> np.ndarray:
    changed = array.copy()
    changed[index] = value
    return changed


def _sparse(arrays: dict[str, np.ndarray], **fields: object) -> bytes:
    matrix = scipy.sparse.csc_matrix(arrays["J_regressor"])
    for key, value in fields.items():
        setattr(matrix, key, value)
    return _changed(arrays, J_regressor=matrix)


_HUGE = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(L99999999999999L\ntVf8\ntR"
_CLAIM = b"(I1\n(L99999999999L\ntcnumpy\ndtype\n(Vf8\nI0\nI1\ntRI00\nVabc\ntb"

DAMAGED: dict[str, tuple[Callable[[dict[str, np.ndarray]], bytes], str]] = {
    "missing field": (lambda a: _without(a, "weights"), "no field 'weights'"),
    "wrong shape": (lambda a: _changed(a, weights=a["weights"][:700]), r"'weights' has shape \(700, 16\)"),
    "SMPL instead": (lambda a: _changed(a, v_template=np.zeros((6890, 3))), r"\(6890, 3\)"),
    "NaN": (lambda a: _changed(a, shapedirs=_at(a["shapedirs"], (3, 1, 2), np.nan)), "'shapedirs'.*not finite"),
    "infinity": (lambda a: _changed(a, posedirs=_at(a["posedirs"], (3, 1, 2), np.inf)), "'posedirs'.*not finite"),
    "faces outside": (lambda a: _changed(a, f=_at(a["f"], (0, 0), 778)), "outside 0..777"),
    "another tree": (lambda a: _changed(a, kintree_table=np.zeros((2, 16), np.int64)), "16 joints"),
    "weights of nothing": (lambda a: _changed(a, weights=np.zeros((778, 16))), "sum to one"),
    "text in place of numbers": (lambda a: _changed(a, weights="many"), "'weights'"),
    "array of objects": (lambda a: _changed(a, hands_mean=np.array([None] * 45, dtype=object)), "'hands_mean'"),
    "array of text": (lambda a: _changed(a, hands_mean=np.array(["x"] * 45)), "'hands_mean'"),
    "sparse rows outside": (lambda a: _sparse(a, indices=np.full(a["J_regressor"].size, 99)), "'J_regressor'"),
    "sparse matrix of gigabytes": (lambda a: _sparse(a, _shape=(10**9, 10**9)), "'J_regressor'"),
    "truncated": (lambda a: pickle.dumps(a, 2)[:50_000], "not a readable pickle"),
    "one byte short": (lambda a: pickle.dumps(a, 2)[:-1], "not a readable pickle"),
    "a zip": (lambda a: _zip(), "not a readable pickle"),
    "empty": (lambda a: b"", "is empty"),
    "text file": (lambda a: b"Thank you for registering. Your download starts soon.\n", "not a readable pickle"),
    "random bytes": (lambda a: np.random.default_rng(0).bytes(4096), "."),
    "a list": (lambda a: pickle.dumps([1, 2, 3], 2), "holds a list"),
    "array that asks for a petabyte": (lambda a: b"}Vv_template\n" + _HUGE + b"s.", "'v_template'"),
    "array that claims more than it has": (lambda a: b"}Vv_template\n" + _HUGE + _CLAIM + b"s.", "'v_template'"),
    "memory index of gigabytes": (lambda a: b"]r\xff\xff\xff\xff.", "holds a list|not a readable pickle"),
    "a claim of long text": (lambda a: b"\x80\x04\x8d" + (2**50).to_bytes(8, "little"), "not a readable pickle"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_give_one_sentence(kind: str, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    make, message = DAMAGED[kind]
    file = tmp_path / "MANO_RIGHT.pkl"
    file.write_bytes(make(arrays))
    with pytest.raises(FileError, match=message) as caught:
        import_mano(file, tmp_path / "out")
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    assert "MANO_RIGHT.pkl" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_chumpy_selecting_from_itself_ends(arrays: dict[str, np.ndarray], chumpy: tuple[type, type]) -> None:
    _, select = chumpy
    loop = select()
    loop.a, loop.idxs, loop.preferred_shape = loop, np.zeros(778 * 30, dtype=np.int64), (778, 3, 10)
    with pytest.raises(FileError, match="'shapedirs'"):
        read_mano(_changed(arrays, shapedirs=loop))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"MANO_RIGHT\.pkl does not exist"):
        import_mano(tmp_path / "MANO_RIGHT.pkl", tmp_path)
