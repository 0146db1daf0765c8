"""Import of the user's `train.py`, and its module and datamodule."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from nshtrainer.config import Config
from nshtrainer.config.document import fail
from nshtrainer.config.files import kind_of
from nshtrainer.exceptions import ConfigError
from nshtrainer.project.data_config import DataClass, data_class

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule
    from torch.nn import Module

    from nshtrainer.integrations.lightning.module import LightningModuleBase

__all__ = [
    "UserCode",
    "code_of_class",
    "config_class",
    "import_components",
    "load_model",
    "load_user_code",
    "split_target",
]

_MARK = "__nshtrainer_user_code__"
_WRITE = "add `class MyModel(nshtrainer.LightningModuleBase[MyConfig])`"


@dataclass(frozen=True)
class UserCode:
    """The classes found in a user's file.

    Args:
        path: The file; `None` if the class was defined in a notebook or an interpreter.
        module: The module class to train.
        data: The datamodule class; `None` if the module defines its own loaders.
    """

    path: Path | None
    module: type[LightningModuleBase[Any]]
    data: DataClass | None

    @property
    def name(self) -> str:
        """The name of the file without its suffix, or of the class."""
        return self.path.stem if self.path else self.module.__name__


def code_of_class(
    cls: type[LightningModuleBase[Any]], data: type[LightningDataModule] | None = None
) -> UserCode:
    """Return the classes to train with: a module class, and the datamodule beside it.

    Args:
        cls: The module class.
        data: The datamodule class; by default, the only one that the same file defines.

    Raises:
        ConfigError: The class is no `LightningModuleBase`, or its file has several datamodules.
    """
    from lightning.pytorch import LightningDataModule

    from nshtrainer.integrations.lightning.module import LightningModuleBase

    if not issubclass(cast("type", cls), LightningModuleBase):
        fail(cls.__name__, f"is not a LightningModuleBase; {_WRITE}")
    home = sys.modules[cls.__module__]
    file: str | None = getattr(home, "__file__", None)
    path = None if file is None else Path(file)
    data = data or _only(home, LightningDataModule, path or Path(home.__name__))
    return UserCode(path, cls, data_class(data, path or Path(home.__name__)) if data else None)


def load_user_code(target: str, data: type[LightningDataModule] | None = None) -> UserCode:
    """Import `train.py` or `train.py:Name`, and find the classes to train with.

    Exceptions raised by the file itself are not wrapped.

    Args:
        target: The file, with the name of the module class if it has several.
        data: The datamodule class; by default, the only one in the file.

    Raises:
        ConfigError: No such file, a syntax error, `sys.exit` at import, no module class or several,
            or no such name.
    """
    path, name = split_target(target)
    module = _import_file(path)
    from nshtrainer.integrations.lightning.module import LightningModuleBase

    found = _named(module, name, path) if name else _only(module, LightningModuleBase, path)
    if found is None:
        raise ConfigError(f"{path}: has no LightningModuleBase class; {_advice(module)}")
    return _with_data(module, found, path, data)


def _with_data(
    module: ModuleType, found: Any, path: Path, data: type[LightningDataModule] | None = None
) -> UserCode:
    from lightning.pytorch import LightningDataModule

    data = data or _only(module, LightningDataModule, path)
    return UserCode(path, found, data_class(data, path) if data else None)


def load_model(target: str) -> UserCode | Module:
    """Import `train.py` or `train.py:Name`, and find or build any model in it.

    Args:
        target: The file, and the name of a class, of a function that returns a model, or of a
            model. Without a name, the only module of the file.

    Returns:
        The classes for a run if there is a `LightningModuleBase`, whose config a file has; else the
        model, on the `meta` device if its code allows it.

    Raises:
        ConfigError: As `load_user_code`; the name is no model; or it needs arguments.
    """
    path, name = split_target(target)
    module = _import_file(path)
    from nshtrainer.integrations.lightning.module import LightningModuleBase

    found = _any_named(module, name, path) if name else _any_model(module, path)
    if isinstance(found, type) and issubclass(found, LightningModuleBase):
        return _with_data(module, found, path)
    return _built(found, path)


def _any_model(module: ModuleType, path: Path) -> Any:
    """Return the only model of a file: of nshtrainer, else of Lightning, else of PyTorch."""
    from lightning.pytorch import LightningModule
    from torch.nn import Module

    from nshtrainer.integrations.lightning.module import LightningModuleBase

    of_a_run = _only(module, LightningModuleBase, path)
    if of_a_run is not None:
        return of_a_run
    for base in (LightningModule, Module):
        models: list[Any] = [value for value in vars(module).values() if isinstance(value, base)]
        if len(models) == 1:
            return models[0]
        found = _only(module, base, path)
        if found is not None:
            return found
    name = f"name a function that returns one: {path}:make_model"
    raise ConfigError(f"{path}: has no module; {name}")


def _any_named(module: ModuleType, name: str, path: Path) -> Any:
    from torch.nn import Module

    from nshtrainer.config.messages import describe_unknown

    found: Any = getattr(module, name, None)
    if isinstance(found, Module) or callable(found):
        return found
    known = [key for key, value in vars(module).items() if _is_own(value, module)]
    raise ConfigError(f"{path}: {describe_unknown('model or function', name, known)}")


def _is_own(value: Any, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _built(found: Any, path: Path) -> Module:
    """Return a model, or the result of a class or a function without arguments."""
    import torch

    if isinstance(found, torch.nn.Module):
        return found
    place = f"{path}:{getattr(found, '__name__', type(found).__name__)}"
    needed = _needed(found)
    if needed:
        remedy = f"write a function without arguments that returns it, {path}:make_model"
        raise ConfigError(f"{place}: needs arguments ({', '.join(needed)}); {remedy}")
    try:
        with torch.device("meta"):
            model = found()
    except (NotImplementedError, RuntimeError):  # it reads numbers, which `meta` does not have
        model = found()
    if isinstance(model, torch.nn.Module):
        return model
    raise ConfigError(f"{place}: returned {type(model).__name__}; return a torch.nn.Module")


def _needed(function: Any) -> list[str]:
    """Return the arguments without defaults."""
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    try:
        arguments = inspect.signature(function).parameters.items()
    except ValueError:  # a class written in C may have no signature
        return []
    return [
        name
        for name, each in arguments
        if each.default is inspect.Parameter.empty and each.kind not in several
    ]


def _advice(module: ModuleType) -> str:
    """Return the remedy for a file without a LightningModuleBase."""
    from lightning.pytorch import LightningModule

    plain = _own_classes(module, LightningModule, imported=False)
    if plain:
        return f"derive {plain[0].__name__} from nshtrainer.LightningModuleBase[MyConfig]"
    return _WRITE


def config_class(target: str) -> type[Config] | None:
    """Import `train.py:Name`; return the class with this name if it is a config class.

    Raises:
        ConfigError: No such file, a syntax error, or `sys.exit` at import.
    """
    path, name = split_target(target)
    found = getattr(_import_file(path), name, None)
    return found if isinstance(found, type) and issubclass(found, Config) else None


def import_components(target: str) -> None:
    """Import `train.py` for the components that it registers.

    Raises:
        ConfigError: No such file, a syntax error, or `sys.exit` at import.
    """
    _import_file(split_target(target)[0])


def split_target(target: str) -> tuple[Path, str]:
    """Split `train.py:Name` into the file and the name; the name may be empty.

    Raises:
        ConfigError: The file does not exist, or is not a Python file.
    """
    file, _, name = target.partition(".py:")
    path = Path(f"{file}.py" if name else target)
    if kind_of(path) == "folder":
        fail(str(path), "is a folder; give the Python file with your LightningModuleBase")
    if path.suffix != ".py":
        fail(target, "is not a Python file; give train.py, or train.py:Name")
    if kind_of(path) != "file":
        fail(str(path), f"no such file; the current folder is {Path.cwd()}")
    return path, name


def _import_file(path: Path) -> ModuleType:
    """Import a file under its own name, with its folder on the search path.

    A file that the caller's code has imported is not imported again: its classes would be others.
    The module is not `__main__`, so worker processes can unpickle its classes by name.
    """
    name = path.stem.replace(".", "_")
    if (imported := _already_imported(name, path)) is not None:
        return imported
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    setattr(module, _MARK, True)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        del sys.modules[name]
        place = f"{error.filename or path}:{error.lineno or 1}:{error.offset or 1}"
        fail(place, f"is not valid Python: {error.msg}", error)
    except SystemExit as error:  # with code 0 the command would seem to have succeeded
        del sys.modules[name]
        fail(
            str(path),
            f"called sys.exit({error.code!r}) when it was imported; call it under "
            "`if __name__ == '__main__':`",
            error,
        )
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _already_imported(name: str, path: Path) -> ModuleType | None:
    """Return the module if the caller's code imported this very file.

    Raises:
        ConfigError: Another module has this name.
    """
    other = sys.modules.get(name)
    is_free = name not in sys.stdlib_module_names
    if is_free and (other is None or hasattr(other, _MARK)):
        return None
    file = getattr(other, "__file__", None)
    if not (is_free and file and Path(file).resolve() == path.resolve()):
        fail(str(path), f"has the name of the Python module {name!r}; rename the file")
    return other


def _own_classes(module: ModuleType, base: type, *, imported: bool) -> list[Any]:
    """Return the classes below a base that a file defines or imports."""
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and not inspect.isabstract(value)
    ]
    ours = ("nshtrainer.", "lightning.", "torch.")
    theirs = [cls for cls in found if not cls.__module__.startswith(ours)]
    return list(
        dict.fromkeys(cls for cls in theirs if imported or cls.__module__ == module.__name__)
    )


def _only(module: ModuleType, base: type, path: Path) -> Any:
    """Return the only class below a base among those that the file defines, else imports."""
    found = _own_classes(module, base, imported=False)
    found = found or _own_classes(module, base, imported=True)
    if len(found) > 1:
        raise ConfigError(_too_many(found, base, path))
    return found[0] if found else None


def _too_many(found: list[type], base: type, path: Path) -> str:
    names = ", ".join(cls.__name__ for cls in found)
    if base.__name__ == "LightningDataModule":
        return f"{path}: has {len(found)} datamodules ({names}); keep one in the file"
    return (
        f"{path}: has {len(found)} modules ({names}); choose one, such as "
        f"{path}:{found[0].__name__}"
    )


def _named(module: ModuleType, name: str, path: Path) -> Any:
    from nshtrainer.config.messages import describe_unknown
    from nshtrainer.integrations.lightning.module import LightningModuleBase

    found: Any = getattr(module, name, None)
    classes = _own_classes(module, LightningModuleBase, imported=True)
    if any(found is cls for cls in classes):
        return found
    known = [cls.__name__ for cls in classes] or ["none"]
    if found is not None:
        problem = f"{name} is not a LightningModuleBase (available: {', '.join(known)})"
        raise ConfigError(f"{path}: {problem}")
    raise ConfigError(f"{path}: {describe_unknown('module', name, known)}")
