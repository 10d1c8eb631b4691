"""Files of named arrays, of which only those that are asked for are read."""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaezoo.errors import UsageError

Readers = dict[str, Callable[[], np.ndarray]]


def open_arrays(file: Path) -> Readers:
    """A function per array of a file, by the array's name; each reads its array when it is called.

    A .npy or .amat file has one array, ``x``. An array of a .npy file is a memory map.

    Raises:
        UsageError: the file is missing, of an unknown kind or unreadable; from a function, if its array is.
    """
    if not file.is_file():
        raise UsageError(f"dataset.path={file}: no such file")
    if file.suffix.lower() not in _KINDS:
        table = " (use dataset=table for it)" if file.suffix.lower() in (".csv", ".tsv", ".parquet") else ""
        raise UsageError(f"dataset.path={file}: must end in {', '.join(_KINDS)}{table}")
    with _readable(str(file)):
        readers = _KINDS[file.suffix.lower()](file)
    return {name: partial(_read, f"array {name} of {file}", reader) for name, reader in readers.items()}


def _read(what: str, reader: Callable[[], np.ndarray]) -> np.ndarray:
    with _readable(what):
        return reader()


@contextmanager
def _readable(what: str) -> Iterator[None]:
    try:
        yield
    except UsageError:
        raise
    except MemoryError as error:
        raise UsageError(f"{what} is larger than the free memory ({error})") from error
    except Exception as error:  # readers raise many types on broken files
        reason = str(error).split("\n")[0] or type(error).__name__
        raise UsageError(f"{what} cannot be read: it must hold plain arrays or tensors ({reason})") from error


def _npy(file: Path) -> Readers:
    array = np.load(file, mmap_mode="r", allow_pickle=False)
    if array.ndim and array.flags.c_contiguous:
        return {"x": lambda: array}
    return {"x": partial(np.load, file, allow_pickle=False)}  # rows of Fortran order lie apart in the file


def _npz(file: Path) -> Readers:
    with np.load(file, allow_pickle=False) as held:
        return {name: partial(_member, file, name) for name in held.files}


def _member(file: Path, name: str) -> np.ndarray:
    with zipfile.ZipFile(file) as archive:
        member = name if name in archive.namelist() else f"{name}.npy"
        with archive.open(member) as stream:
            read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
            shape, _, dtype = read[np.lib.format.read_magic(stream)[0]](stream)
        claimed, size = int(np.prod(shape, dtype=object)) * dtype.itemsize, archive.getinfo(member).file_size
        if claimed > size and not dtype.hasobject:
            raise ValueError(f"its header asks for {claimed} bytes and the file holds {size}")
    with np.load(file, allow_pickle=False) as held:
        return held[name]


def _pt(file: Path) -> Readers:
    stored = torch.load(file, map_location="cpu", weights_only=True)
    tensors = {"x": stored} if isinstance(stored, Tensor) else stored
    if not isinstance(tensors, dict) or not all(isinstance(name, str) for name in tensors):
        raise UsageError(f"{file} must hold a tensor or a dict of tensors whose keys are names, such as x and y")
    return {name: partial(_numpy, name, tensor) for name, tensor in tensors.items()}


def _numpy(name: str, tensor: Any) -> np.ndarray:
    if not isinstance(tensor, Tensor):
        raise UsageError(f"array {name} is {type(tensor).__name__}: must be a tensor")
    if tensor.layout != torch.strided:
        raise UsageError(f"array {name} is a sparse tensor: store {name}.to_dense()")
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.float()  # exact
    return tensor.numpy(force=True)


def _amat(file: Path) -> Readers:
    return {"x": partial(np.loadtxt, file, dtype=np.float64, ndmin=2)}


def _mat(file: Path) -> Readers:
    from scipy.io import loadmat, whosmat

    try:
        names = [name for name, _, _ in whosmat(file)]
    except NotImplementedError:  # version 7.3 is HDF5, whose axes run the other way
        return {name: partial(_reversed, reader) for name, reader in _h5(file).items()}
    return {name: partial(_of_mat, loadmat, file, name) for name in names}


def _of_mat(loadmat: Any, file: Path, name: str) -> np.ndarray:
    array = loadmat(file, variable_names=[name])[name]
    if not isinstance(array, np.ndarray):
        raise UsageError(f"array {name} of {file} is a sparse matrix: store full({name})")
    return array


def _reversed(reader: Callable[[], np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(reader().T)


def _h5(file: Path) -> Readers:
    h5py = needed("h5py", "hdf5", file)
    names: list[str] = []
    with h5py.File(file) as held:
        held.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return {name: partial(_dataset, h5py, file, name) for name in names}


def _dataset(h5py: Any, file: Path, name: str) -> np.ndarray:
    with h5py.File(file) as held:
        array = held[name][()]
    return np.asarray(array)


def needed(module: str, extra: str, file: Path) -> Any:
    """A package that is not always installed.

    Raises:
        UsageError: it is missing; the message says how to install it.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{file} needs {module}: pip install 'vaezoo[{extra}]'") from error


_KINDS: dict[str, Callable[[Path], Readers]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".pt": _pt,
    ".amat": _amat,
    ".mat": _mat,
    ".h5": _h5,
    ".hdf5": _h5,
}
