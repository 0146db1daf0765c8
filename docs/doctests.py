"""Extension of mkdocs: examples (`>>>`) as code, and fields with the text of their types."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import griffe

from nshtrainer.config import Config
from nshtrainer.config.docstrings import field_docs

EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\n).*)*", flags=re.MULTILINE)


class Doctests(griffe.Extension):
    """Puts a fence around every example, up to the next empty line."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Add fences to the docstring of each loaded module, class, function and attribute."""
        if obj.docstring:
            text = obj.docstring.value
            obj.docstring.value = EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", text)

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Describe the fields that have no text below them."""
        config = getattr(import_module(cls.module.path), cls.name, None)
        if not (isinstance(config, type) and issubclass(config, Config)):
            return
        for name, text in field_docs(config).items():
            field = cls.members.get(name)
            if field is not None and field.is_attribute and field.docstring is None:
                style = cls.docstring and cls.docstring.parser
                field.docstring = griffe.Docstring(text, parent=field, parser=style)
