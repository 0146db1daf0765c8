"""Base class, registry and field type of callback configs."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

from nshtrainer.config.named import NamedConfig
from nshtrainer.config.registry import Registry

if TYPE_CHECKING:
    from lightning.pytorch import Callback

__all__ = ["CallbackConfig", "CallbackConfigBase", "callback_registry"]


class CallbackConfigBase(NamedConfig):
    """Base of every callback config: derive from it to add a custom callback.

    Write `create_callback`, and register the class.

    >>> from typing import Literal
    >>> from lightning.pytorch.callbacks import LambdaCallback
    >>> with callback_registry.scoped():
    ...     @callback_registry.register
    ...     class GreetingConfig(CallbackConfigBase):
    ...         name: Literal["greeting"] = "greeting"
    ...         def create_callback(self):
    ...             return LambdaCallback(on_train_start=lambda trainer, module: print("hello"))
    >>> type(GreetingConfig().create_callback()).__name__
    'LambdaCallback'
    """

    needs_logger: ClassVar[bool] = False
    """True if the callback does nothing but log, so that a run without a logger is an error."""

    @abstractmethod
    def create_callback(self) -> "Callback":
        """Create the callback."""


callback_registry: Registry[CallbackConfigBase] = Registry(
    CallbackConfigBase,
    kind="callback",
    entry_point_group="nshtrainer.callbacks",
    modules=(
        "nshtrainer.callbacks.lightning_callbacks",
        "nshtrainer.callbacks.norm_logging",
        "nshtrainer.callbacks.unfreeze",
    ),
)
"""All callback configs, by name."""

CallbackConfig: TypeAlias = Annotated[CallbackConfigBase, callback_registry]
"""Type of a field that holds any registered callback config."""
