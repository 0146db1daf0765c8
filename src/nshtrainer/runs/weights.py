"""Warm start: the weights of a file, without the state of its optimizer, schedule or loops."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, KeysView, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nshtrainer.config.document import fail
from nshtrainer.config.files import kind_of
from nshtrainer.escaping import printable
from nshtrainer.exceptions import CheckpointError
from nshtrainer.optimizer.checkpoint.match import prefixes_of

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule

__all__ = ["check_weights", "load_weights", "misfits_of"]

_NEXT_PROBLEM = re.compile(r"\n\t(?=(?:Missing|Unexpected) key\(s\) in |size mismatch for )")


def check_weights(weights: Path | None, resume: str | None) -> None:
    """Check the path of the weights of a new run, before torch is imported.

    Args:
        weights: The file, if one is given.
        resume: The value of `--resume`; `auto` is allowed, since it may start a new run.

    Raises:
        ConfigError: There is no such file, it is a folder, its package is not installed, or the
            run resumes.
    """
    if weights is None:
        return
    place = f"--weights {weights}"
    if resume not in {None, "auto"}:
        fail(place, "starts a new run, and --resume continues one; give one of the two")
    if kind_of(weights) == "folder":
        saved = [weights / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")]
        files = [str(path) for path in saved if kind_of(path) == "file"]
        fail(place, f"is a folder; give {files[0] if files else 'one of its files'}")
    if kind_of(weights) != "file":
        fail(place, "no such file; give a checkpoint, a state_dict or a .safetensors file")
    if weights.suffix == ".safetensors" and not find_spec("safetensors"):
        fail(place, "needs the package safetensors; run pip install safetensors")


def load_weights(module: LightningModule, path: Path) -> None:
    """Load the weights of a checkpoint, a `state_dict` file or a safetensors file into a module.

    The names may all have one prefix more or less, as in a plain model that the module holds as
    `self.net`. With `strict_loading = False` in the module, missing and unexpected names are
    allowed.

    Raises:
        CheckpointError: The file holds no weights, or those of another model; each difference is
            named.
    """
    module.configure_model()  # as before the weights of a checkpoint are loaded
    weights = _renamed(_read(path), module.state_dict().keys())
    try:
        module.load_state_dict(weights, strict=module.strict_loading)
    except RuntimeError as error:
        listed = misfits_of(error)
        if listed is None:
            raise
        raise CheckpointError(
            f"{printable(path)}: does not fit {type(module).__name__}; use the config that wrote "
            "it; a new layer needs a new name, and strict_loading = False in the module"
            f"{listed}"
        ) from error


def misfits_of(error: RuntimeError) -> str | None:
    """Return the lines of PyTorch's error about a `state_dict`; None if it is another error."""
    if not str(error).startswith("Error(s) in loading state_dict"):
        return None
    # No name of a weight begins a line of PyTorch's list of what does not fit.
    return "\n  ".join(["", *map(printable, _NEXT_PROBLEM.split(str(error))[1:])])


def _renamed(weights: dict[str, Any], names: KeysView[str]) -> dict[str, Any]:
    """Add or remove the one prefix that makes all names those of the module, if there is one."""
    if not (names and names.isdisjoint(weights)):
        return weights
    more = [{f"{start}{name}": weights[name] for name in weights} for start in _starts(names)]
    less = [
        {name.removeprefix(start): weights[name] for name in weights} for start in _starts(weights)
    ]
    fitting = [each for each in (*more, *less) if each.keys() == names]
    return fitting[0] if len(fitting) == 1 else weights


def _starts(names: Iterable[str]) -> Iterator[str]:
    return prefixes_of(next(iter(names)))  # the first name is enough: one prefix must fit all


def _read(path: Path) -> dict[str, Any]:
    """Return the tensors of a file by name, on the CPU; no code in the file is run."""
    try:
        saved = _load(path)
    except Exception as error:  # a damaged file can raise anything
        if not (isinstance(error, OSError) or path.suffix == ".safetensors" or _is_saved(path)):
            raise CheckpointError(
                f"{printable(path)}: is no checkpoint, state_dict or .safetensors file; give one"
            ) from None
        # Only the first sentence: then PyTorch advises to load the file unsafely.
        why, _, _ = str(error).partition(". ")[0].partition("\n")
        raise CheckpointError(
            f"{printable(path)}: cannot be read as weights ({type(error).__name__}: "
            f"{printable(why)}); give a checkpoint, a state_dict or a .safetensors file"
        ) from error
    if isinstance(saved, Mapping):
        found: Any = cast("Mapping[str, Any]", saved).get("state_dict", saved)
        if isinstance(found, Mapping) and found and all(map(_is_entry, cast("Any", found).items())):
            return dict(cast("Mapping[str, Any]", found))
    raise CheckpointError(
        f"{printable(path)}: has no weights; give a checkpoint with a state_dict, or a file of "
        "torch.save(model.state_dict(), path)"
    )


def _is_saved(path: Path) -> bool:
    """Return True if a file begins as those of `torch.save` do: a zip file, or a pickle."""
    with path.open("rb") as file:
        return file.read(1) in {b"P", b"\x80"}


def _load(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return import_module("safetensors.torch").load_file(path)
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _is_entry(item: tuple[Any, Any]) -> bool:
    """Return True for an entry of a `state_dict`: a tensor, or extra state under its own key."""
    from torch import Tensor

    name, value = item
    return isinstance(name, str) and (isinstance(value, Tensor) or name.endswith("_extra_state"))
