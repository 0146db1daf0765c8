"""Completion on the command line, also by the shells themselves."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nshtrainer.cli import main
from nshtrainer.cli.complete import FILES, complete
from nshtrainer.cli.parser import VERBS
from nshtrainer.lr_scheduler import lr_scheduler_registry
from nshtrainer.optimizer import optimizer_registry

RUN = """\
model:
  optimizer: {name: lookahead, optimizer: {name: sgd, lr: 0.1}}
  lr_scheduler: {name: cosine, warmup_duration: 5%}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "run.yaml").write_text(RUN, encoding="utf-8")
    (tmp_path / "train.py").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(line: str) -> list[str]:
    return [*complete(line.split(" "))]


FIT = "fit train.py --config run.yaml "


# -- what is offered -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", [*VERBS, "--help", "--version"]),
        ("sch", ["schema"]),
        ("nothing ", []),
        ("fit ", [FILES]),
        ("fit train.py --config ", [FILES]),
        ("plot --out ", [FILES]),
        ("plot ", [FILES]),
        ("diff a.yaml ", [FILES]),
        ("diff a.yaml b.yaml ", []),
        ("schema --for ", [FILES]),
        ("schema --for=", [FILES]),
        ("fit --con", ["--config"]),
        ("fit train.py --out out --con", ["--config"]),
        ("fit train.py --out=out opt", ["optimizer=", "optimizer."]),
        ("list opt", ["optimizer"]),
        ("completion b", ["bash"]),
        ("show trai", ["trainer"]),
        ("fit train.py --optimizer.lr", []),
    ],
)
def test_commands_options_and_arguments_are_completed(line: str, expected: list[str]) -> None:
    assert words(line) == expected


def test_names_of_components_are_completed_with_their_texts() -> None:
    found = complete(["show", ""])
    assert {*optimizer_registry, *lr_scheduler_registry} <= found.keys()
    assert found["adamw"].startswith("Adam with decoupled weight decay")


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("lr_scheduler.warmup_sh", ["lr_scheduler.warmup_shape="]),
        ("model.lr_scheduler.warmup_sh", ["model.lr_scheduler.warmup_shape="]),
        ("optimizer.al", ["optimizer.alpha="]),
        ("optimizer.optimizer.nest", ["optimizer.optimizer.nesterov="]),
        ("lr_scheduler.hit_end=t", ["lr_scheduler.hit_end=true"]),
        ("trainer.non_finite=sk", ["trainer.non_finite=skip"]),
        (
            "optimizer=sg",
            [f"optimizer={name}" for name in optimizer_registry if name.startswith("sg")],
        ),
        ("optimizer=sgd optimizer.momen", ["optimizer.momentum="]),
        ("optimizer.name=adamw optimizer.amsg", ["optimizer.amsgrad="]),
        ("trai", ["trainer."]),
        ("no_such.", []),
    ],
)
def test_overrides_are_completed_for_the_classes_in_the_file(
    folder: Path, start: str, expected: list[str]
) -> None:
    assert sorted(words(FIT + start)) == sorted(expected)


def test_a_file_with_an_optimizer_at_the_top_needs_no_prefix(folder: Path) -> None:
    (folder / "flat.yaml").write_text("optimizer: {name: sgd}\n", encoding="utf-8")
    assert words("plot flat.yaml optimizer.momen") == [FILES, "optimizer.momentum="]


@pytest.mark.parametrize("text", ["model: [", "- 1", "model: 3", "\x00", "model: {optimizer: [1]}"])
def test_a_file_that_cannot_be_read_offers_what_needs_no_data(folder: Path, text: str) -> None:
    (folder / "run.yaml").write_text(text, encoding="utf-8")
    assert words(FIT + "trainer.max_ep") == ["trainer.max_epochs="]
    assert words(FIT + "optimizer.na") == ["optimizer.name="]


def test_the_schema_that_a_file_names_is_used(folder: Path) -> None:
    own = {"properties": {"model": {"properties": {"width": {"type": "integer"}}}}}
    (folder / "own.json").write_text(json.dumps(own), encoding="utf-8")
    comment = "# yaml-language-server: $schema=own.json\n"
    (folder / "run.yaml").write_text(comment + RUN, encoding="utf-8")
    assert words(FIT + "wi") == ["width="]
    assert words("fit train.py --config=run.yaml wi") == ["width="]
    for broken in ("{", "[]"):
        (folder / "own.json").write_text(broken, encoding="utf-8")
        assert words(FIT + "opt") == ["optimizer=", "optimizer."]


def test_a_strangers_schema_neither_hangs_nor_writes_a_command(folder: Path) -> None:
    (folder / "run.yaml").write_text("# yaml-language-server: $schema=/dev/zero\n", "utf-8")
    assert words(FIT + "opt") == ["optimizer=", "optimizer."]
    twice: dict[str, Any] = {
        f"{n}": {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(60)
    }
    fields = {"$(rm)": {}, "a b;c": {}, "wi": {"$ref": "#/$defs/0"}, "me": {"$ref": "#"}}
    own = {"properties": {"model": {"properties": fields}}, "$defs": twice}
    (folder / "own.json").write_text(json.dumps(own), encoding="utf-8")
    (folder / "run.yaml").write_text("# yaml-language-server: $schema=own.json\n", "utf-8")
    assert words(FIT) == ["model.", "wi=", "me="]


def test_the_answer_of_the_program_has_a_line_for_each_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["__complete", "show", "adamwsc"]) == 0
    text = optimizer_registry.summaries()["adamwschedulefree"][1]
    assert capsys.readouterr().out == f"adamwschedulefree\t{text}\n"


def test_completion_imports_little_since_every_key_press_waits_for_it() -> None:
    program = (
        "import sys; from nshtrainer.cli import main; main(['__complete', 'show', 'adam'])\n"
        "assert not {'pydantic', 'ruamel', 'torch'} & {*sys.modules}, 'too much'"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert b"adamw\t" in done.stdout


# -- the shells ----------------------------------------------------------------------------------


class Shell:
    """A shell at a terminal, in which `nshtrainer` prints the arguments that it is given."""

    def __init__(self, command: list[str], script: str, folder: Path) -> None:
        (folder / "script").write_text(script, encoding="utf-8")
        program = folder / "nshtrainer"
        python = f'exec "{sys.executable}" -m nshtrainer "$@"'
        program.write_text(
            f'#!/bin/sh\n[ "$1" = __complete ] && {python}\nprintf "<%s>" "$@" END\n', "utf-8"
        )
        program.chmod(0o755)
        self.number, self._terminal = pty.openpty()
        environment = {
            **os.environ,
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "TERM": "dumb",
            "HOME": str(folder),
        }
        self._process = subprocess.Popen(
            command,
            stdin=self._terminal,
            stdout=self._terminal,
            stderr=self._terminal,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )

    def type(self, text: str, until: str) -> str:
        """Type a text, and return what is shown until a pattern is."""
        os.write(self.number, text.encode())
        shown, end = "", time.monotonic() + 60
        while not re.search(until, shown):
            assert time.monotonic() < end, shown
            if select.select([self.number], [], [], 1)[0]:
                shown += os.read(self.number, 65536).decode(errors="replace")
        return shown

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self.number)
        os.close(self._terminal)


STARTS = {
    "bash": (["bash", "--norc", "-i"], "source ./script"),
    "zsh": (["zsh", "-f", "-i"], "autoload -U compinit; compinit -u; source ./script"),
}


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize(
    ("typed", "given"),
    [
        (
            "fit tr\t--conf\trun\topt\t.optimizer.nest\ttr\t",
            "<fit><train.py><--config><run.yaml><optimizer.optimizer.nesterov=true>",
        ),
        pytest.param("sche\t", "<schema>", marks=pytest.mark.slow),
        pytest.param("show adamwsc\t", "<show><adamwschedulefree>", marks=pytest.mark.slow),
        pytest.param(
            "fit train.py optimizer=adadel\t",
            "<fit><train.py><optimizer=adadelta>",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_shell_completes_what_is_typed(
    folder: Path, name: str, typed: str, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, start = STARTS[name]
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    assert main(["completion", name]) == 0
    shell = Shell(command, capsys.readouterr().out, folder)
    try:
        shell.type(f"{start}; printf '%s' rea; printf 'dy\\n'\n", until="ready")
        shown = shell.type(f"nshtrainer {typed}\n", until="<END>")
    finally:
        shell.close()
    assert given in shown.replace("\r", "").replace("\n", "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nshtrainer sche", "schema\tprint the JSON Schema of a run file, for editors"),
        ("nshtrainer fit tr", "train.py"),
        (f"nshtrainer {FIT}optimizer.optimizer.nest", "optimizer.optimizer.nesterov="),
    ],
)
def test_fish_completes_what_is_typed(
    folder: Path, line: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    assert main(["completion", "fish"]) == 0
    (folder / "script").write_text(capsys.readouterr().out, encoding="utf-8")
    program = f'function nshtrainer; "{sys.executable}" -m nshtrainer $argv; end'
    command = f"{program}; source ./script; complete -C '{line}'"
    done = subprocess.run(["fish", "-N", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(expected)
