"""Reads every payload through every way in, in a process that watches what Python does meanwhile.

`python -m tests.hostile.reading all|some|fit` prints what went wrong as a line of JSON: payloads
that were not refused as documented, and what they made Python do. The current folder has
`canary.py`, which leaves a file when it is imported.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from nshtrainer.cli import main as run
from nshtrainer.config import Config
from nshtrainer.config.formats.yaml_reader import read_yaml
from nshtrainer.configs import AdamWConfig, LRSchedulerConfig, OptimizerConfig
from nshtrainer.exceptions import ConfigError

PAYLOADS = read_yaml(Path(__file__).with_name("payloads.yaml").read_text(encoding="utf-8")).data

TRAIN = """
from lightning.pytorch import LightningDataModule
import nshtrainer
from nshtrainer.configs import AdamWConfig, LRSchedulerConfig, OptimizerConfig

class LineConfig(nshtrainer.Config):
    optimizer: OptimizerConfig = AdamWConfig()
    lr_scheduler: LRSchedulerConfig | None = None

class Line(nshtrainer.LightningModuleBase[LineConfig]):
    pass
"""


class Target(Config):
    """What a stranger's file is for."""

    optimizer: OptimizerConfig = AdamWConfig()
    schedule: LRSchedulerConfig | None = None


Attempt = tuple[str, Callable[[], Any]]

# -- the ways in -----------------------------------------------------------------------------------


def as_toml(value: Any) -> str:
    return tomli_w.dumps(value)


def written(text: str, suffix: str) -> str:
    path = Path(f"payload.{suffix}")
    path.write_text(text, encoding="utf-8")
    return str(path)


FORMATS: dict[str, Callable[[Any], str]] = {"yaml": json.dumps, "json": json.dumps, "toml": as_toml}
"""Every JSON of the table is YAML."""


def of_component(value: Any) -> Iterator[Attempt]:
    """A payload where a component is expected, in each format."""
    for field in ("optimizer", "schedule"):
        data = {field: value}
        yield f"model_validate {field}", partial(Target.model_validate, data)
        yield f"from_mapping {field}", partial(Target.from_mapping, data)
        override = f"{field}={json.dumps(value)}"
        yield f"override {field}", partial(Target.from_mapping, {}, overrides=[override])
        for suffix, write in FORMATS.items():
            yield from of_text(field, write(data), suffix)


def of_text(label: str, text: str, suffix: str) -> Iterator[Attempt]:
    yield f"from_{suffix} {label}", partial(getattr(Target, f"from_{suffix}"), text)
    file = partial(written, text, suffix)
    yield f"from_file .{suffix} {label}", lambda: Target.from_file(file())
    if label == "optimizer":
        yield f"validate .{suffix}", lambda: by_command(["validate", file()])


def by_command(arguments: list[str]) -> None:
    """Run the command line; where it refuses, or says that it has not checked all, is an error."""
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = run(arguments)
    if code or "not checked without --for train.py: optimizer" in said.getvalue():
        raise ConfigError(said.getvalue())


def attempts() -> Iterator[Attempt]:
    for each in PAYLOADS["components"]:
        for label, call in of_component(each["value"]):
            yield f"{each['what']}: {label}", call
    for text in PAYLOADS["texts"]:
        for label, call in of_text("optimizer", f"optimizer: {text}\n", "yaml"):
            yield f"{text}: {label}", call
    for text in PAYLOADS["overrides"]:
        yield f"override {text}", partial(Target().override, text)
        yield f"from_yaml with {text}", partial(Target.from_yaml, "", overrides=[text])


def fits() -> Iterator[Attempt]:
    """The same payloads in the file of a run that is to be trained."""
    for each in PAYLOADS["components"]:
        for part in ({"model": {"optimizer": each["value"]}}, {"trainer": each["value"]}):
            text = json.dumps(part)
            yield f"fit: {each['what']}", partial(fit, text)
            yield f"validate --for: {each['what']}", partial(fully_validate, text)
    for text in PAYLOADS["texts"]:
        yield f"fit: {text}", partial(fit, f"model:\n  optimizer: {text}\n")
    for text in PAYLOADS["overrides"]:
        yield f"fit: {text}", partial(fit, "{}", text.replace("schedule", "lr_scheduler", 1))


def fit(text: str, *overrides: str) -> None:
    by_command(["fit", "train.py", "--config", written(text, "yaml"), *overrides])


def fully_validate(text: str) -> None:
    by_command(["validate", written(text, "yaml"), "--for", "train.py"])


# -- the watch -------------------------------------------------------------------------------------

PROGRAMS = ("os.", "subprocess.", "socket.", "ctypes.", "pickle.", "shutil.", "pty.", "webbrowser.")
HARMLESS = {"os.listdir", "os.scandir", "os.stat", "os.getxattr", "os.chdir"}
CODE = {"exec", "compile", "import", "marshal.loads", "code.__new__"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC

seen: list[str] = []
watching: set[str] = set()


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    program = event.startswith(PROGRAMS) and event not in HARMLESS
    writing = event == "open" and bool((arguments[2] or 0) & WRITING)
    own = writing and str(arguments[0]).startswith("payload.")  # written by this script
    if ("programs" in watching and (program or writing) and not own) or (
        "code" in watching and event in CODE
    ):
        seen.append(f"{event} {arguments[:2]}")


def fault_of(call: Callable[[], Any], watched: set[str]) -> str:
    """What is wrong with an attempt; nothing if it is refused, with words, and did nothing."""
    seen.clear()
    modules = set(sys.modules)
    watching.update(watched)
    try:
        call()
        fault = "was not refused"
    except (ConfigError, ValidationError) as error:
        fault = "" if str(error).strip() else "was refused without a word"
    except BaseException as error:  # noqa: BLE001 - it is what is looked for
        fault = f"raised {type(error).__name__}: {error}"
    finally:
        watching.clear()
    new = {name.partition(".")[0] for name in set(sys.modules) - modules}
    strangers = new - OURS - sys.stdlib_module_names
    return "; ".join([fault] * bool(fault) + seen + [f"imported {name}" for name in strangers])


OURS = {"nshtrainer", "ruamel", "pydantic", "pydantic_core", "tomli_w", "rich", "rich_argparse"}
OURS |= {"attr"}  # which rich imports where it is installed


def main() -> None:
    """In two rounds: what is ours is imported in the first one, and in the second nothing is."""
    Path("train.py").write_text(TRAIN, encoding="utf-8")
    sys.addaudithook(watch)
    if sys.argv[1] == "fit":  # which imports train.py anew each time, and so runs code
        by_command(["validate", written("model: {optimizer: adamw}", "yaml"), "--for", "train.py"])
        every = list(fits())
        rounds = [({"programs"}, every)]
    else:
        every = list(attempts())[:: 1 if sys.argv[1] == "all" else 10]
        rounds = [({"programs"}, every), ({"programs", "code"}, every)]
    faults: dict[str, str] = {}
    for watched, tried in rounds:
        found = {label: fault_of(call, watched) for label, call in tried}
        faults |= {label: fault for label, fault in found.items() if fault}
    faults |= {"the canary": "flew"} if Path("canary.txt").exists() else {}
    faults |= {"the canary": "was imported"} if "canary" in sys.modules else {}
    print(json.dumps({"attempts": len(every), "faults": faults}))


if __name__ == "__main__":
    main()
