"""Models without code: a list of names and shapes, or the header of safetensors files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from nshtrainer.config.document import Document, fail, large_files, limits
from nshtrainer.config.files import kind_of, reason_of
from nshtrainer.config.io import read_document, read_text
from nshtrainer.config.messages import describe_unknown, format_value, join_names, truncate

if TYPE_CHECKING:
    from torch import dtype
    from torch.nn import Module

__all__ = ["ParameterForm", "read_parameter_list", "tensors_in"]

_SAFETENSORS = {"F": "float", "BF": "bfloat", "I": "int", "U": "uint", "BOOL": "bool"}
"""Types of numbers in a header: `F32` is `float32`."""

_BUFFERS = frozenset({"inv_freq", "num_batches_tracked", "running_mean", "running_var"})
"""Last parts of the names of tensors that are no parameters."""

_TABLE = re.compile(r"(?!embed_out|unembed).*(emb|wte|wpe)|shared")
"""Name of a module with a table of vectors."""

_DIGITS = re.compile(r"([0-9]+)")

_MOST_TENSORS, _LONGEST, _DEEPEST = 200_000, 1000, 100
_MOST_NUMBERS = 2**56
_MOST_DIMENSIONS = 64
"""The most dimensions that PyTorch's kernels support."""

GUESSED = "types and roles of modules: guessed from names and shapes; give the code to be sure"


class ParameterForm(NamedTuple):
    """Shape of a parameter, and the type of its numbers."""

    shape: tuple[int, ...]
    dtype: dtype


def read_parameter_list(path: str) -> tuple[Module, list[str]]:
    """Build a model on the `meta` device from the names and shapes of its parameters.

    Args:
        path: A YAML, JSON or TOML file with a shape for each name; or a `.safetensors` file, or the
            `.index.json` of several, of which only the headers are read.

    Returns:
        The model, whose modules have the types that their names and shapes suggest, and remarks.

    Raises:
        ConfigError: The file is invalid; the message has the place.
    """
    with large_files():
        tensors = dict(pair for document in _documents(path) for pair in tensors_in(document))
    if not tensors:
        fail(path, "has no parameters; write a shape for each name, such as {w: [10, 20]}")
    kept = {name: each for name, each in tensors.items() if _is_parameter(name, each)}
    left = join_names([name for name in tensors if name not in kept], limit=2)
    return _model(kept), [GUESSED, *([f"buffers and integers: left out ({left})"] if left else [])]


def _is_parameter(name: str, tensor: ParameterForm) -> bool:
    return tensor.dtype.is_floating_point and name.rpartition(".")[2] not in _BUFFERS


# -- reading ---------------------------------------------------------------------------------------


def _documents(path: str) -> Iterator[Document]:
    if path.endswith(".safetensors"):
        yield _header(path)
        return
    document = read_document(path)
    data: Any = document.data
    files: Any = cast("Any", data).get("weight_map") if isinstance(data, dict) else None
    if not isinstance(files, dict):
        yield document
        return
    for name in dict.fromkeys(map(str, cast("dict[str, Any]", files).values())):
        if Path(name).name != name or not name.endswith(".safetensors"):
            fail(path, f"weight_map: must name files beside it (got {format_value(name)})")
        yield _header(str(Path(path).with_name(name)))


def _header(path: str) -> Document:
    """Read the header of a safetensors file: its size in 8 bytes, and JSON."""
    if kind_of(path) != "file":
        fail(path, f"no such file; the current folder is {Path.cwd()}")
    try:
        with Path(path).open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            content = stream.read(size) if size <= limits().bytes else b""
        text = content.decode()
    except (OSError, ValueError) as error:
        fail(path, f"cannot be read: {reason_of(error)}", error)
    if not 2 <= size == len(content):
        fail(path, "has no header of safetensors; give a .safetensors file, or a list of shapes")
    document = read_text(text, "json", path)
    header: Any = document.data
    if not isinstance(header, dict):
        return document
    data = cast("dict[str, Any]", header)
    # A header is in the order of the alphabet.
    names = sorted(data.keys() - {"__metadata__"}, key=_by_number)
    return replace(document, data={name: data[name] for name in names})


def _by_number(name: str) -> list[str | int]:
    """Return the key that sorts `layers.9` before `layers.10`."""
    return [int(part) if place % 2 else part for place, part in enumerate(_DIGITS.split(name))]


def tensors_in(document: Document) -> Iterator[tuple[str, ParameterForm]]:
    """Yield the names and forms of the parameters in a list.

    Raises:
        ConfigError: An entry is invalid; the message has its place.
    """
    data: Any = document.data
    if not isinstance(data, dict):
        fail(document.source, f"must be a mapping of names to shapes (got {format_value(data)})")
    pairs = cast("dict[Any, Any]", data)
    if len(pairs) > _MOST_TENSORS:
        fail(document.source, f"has more than {_MOST_TENSORS:,} parameters; leave some out")
    for name, value in pairs.items():
        parts = str(name).split(".")
        if "" in parts or len(parts) > _DEEPEST or len(str(name)) > _LONGEST:
            problem = f"{truncate(str(name))!r} is no name of a parameter; write one as a.b.weight"
            fail(document.place((name,), of_key=True), problem)
        yield str(name), _tensor(document, name, value)


def _tensor(document: Document, name: Any, value: Any) -> ParameterForm:
    import torch

    is_full = isinstance(value, dict)
    given = cast("dict[str, Any]", value) if is_full else {"shape": value}
    shape, path = given.get("shape"), (name, "shape") if is_full else (name,)
    sizes = cast("list[Any]", shape) if isinstance(shape, list) else [None]
    is_shape = all(type(size) is int and size >= 0 for size in sizes)
    if not is_shape or len(sizes) > _MOST_DIMENSIONS:
        shown = format_value(shape)
        fail(document.place(path), f"{name}: must be a shape such as [10, 20] (got {shown})")
    if math.prod(size or 1 for size in sizes) > _MOST_NUMBERS:
        fail(document.place(path), f"{name}: has more than 2**56 elements; correct the shape")
    kind = str(given.get("dtype", "float32")).removeprefix("torch.")
    found = getattr(torch, _dtype_name(kind), None)
    if not isinstance(found, torch.dtype):
        known = ["float32", "bfloat16", "float16", "float64", "F32", "BF16", "F16"]
        fail(document.place((name, "dtype")), f"{name}: {describe_unknown('dtype', kind, known)}")
    return ParameterForm(tuple(cast("list[int]", sizes)), found)


def _dtype_name(kind: str) -> str:
    """Return PyTorch's name of a type of numbers: `float8_e4m3fn` for `F8_E4M3`."""
    match = re.fullmatch(r"(BOOL|BF|F|I|U)(\d*)(?:_(E\d+M\d+))?", kind)
    if match is None:
        return kind
    letters, bits, form = match.groups()
    ending = f"_{form.lower()}{'fn' * (form == 'E4M3')}" if form else ""
    return f"{_SAFETENSORS[letters]}{bits}{ending}"


# -- the model -------------------------------------------------------------------------------------


def _model(tensors: Mapping[str, ParameterForm]) -> Module:
    """Return modules with these parameters; their names may be any text."""
    import torch

    root = torch.nn.Module()
    modules: dict[str, Any] = {"": root}
    for name, tensor in tensors.items():
        path, _, leaf = name.rpartition(".")
        made = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
        vars(_module(modules, path))["_parameters"][leaf] = torch.nn.Parameter(made)
    for path, module in modules.items():
        module.__class__ = _kind(path.rpartition(".")[2], module)
    return root


def _module(modules: dict[str, Any], path: str) -> Any:
    """Return the module at a path; make it, and those around it, at the first call."""
    import torch

    if path not in modules:
        modules[path] = torch.nn.Module()
        above, _, own = path.rpartition(".")
        vars(_module(modules, above))["_modules"][own] = modules[path]
    return modules[path]


def _kind(name: str, module: Module) -> type[Module]:
    """Guess the class of a module, from its name and the parameters that it holds itself."""
    from torch import nn

    own = dict(module.named_parameters(recurse=False))
    children = [child for child, _ in module.named_children()]
    if "in_proj_weight" in own:
        return nn.MultiheadAttention
    if any(leaf.startswith("weight_ih_l") for leaf in own):
        return nn.LSTM
    if "weight" in own:
        return _kind_of_weight(name, own["weight"].ndim, own.keys())
    # Gaps are layers without parameters, which are no stack of one class.
    is_stack = children and not own and {*children} == {*map(str, range(len(children)))}
    return nn.ModuleList if is_stack else nn.Module


def _kind_of_weight(name: str, ndim: int, own: Iterable[str]) -> type[Module]:
    from torch import nn

    if ndim < 2:
        return nn.LayerNorm if "bias" in own else nn.RMSNorm
    if ndim == 2:
        return nn.Embedding if _TABLE.match(name) else nn.Linear
    return {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}.get(ndim, nn.Module)
