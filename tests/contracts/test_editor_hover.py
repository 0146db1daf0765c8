"""pyright, which many editors ask, shows the text of a field and offers its name."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

import nshtrainer

SERVER = Path(sys.executable).with_name("pyright-langserver")
SOURCE = str(Path(nshtrainer.__file__).parents[1])
CODE = """\
from nshtrainer.configs import AdamWConfig, CosineScheduleConfig
config = AdamWConfig(lr=0.1, groups=())
config.weight_decay
CosineScheduleConfig(max_duration="50%")
AdamWConfig(amsg
"""


class Editor:
    """A client of the language server with one open file."""

    def __init__(self, server: subprocess.Popen[bytes], file: Path) -> None:
        self._server, self._uri, self._numbers = server, file.as_uri(), count(1)
        root = file.parent.as_uri()
        folders = [{"uri": root, "name": "root"}]
        hover = {"textDocument": {"hover": {"contentFormat": ["markdown"]}}}
        self.ask("initialize", processId=None, workspaceFolders=folders, capabilities=hover)
        self._send(method="initialized", params={})
        document = {"uri": self._uri, "languageId": "python", "version": 1, "text": CODE}
        self._send(method="textDocument/didOpen", params={"textDocument": document})

    def at(self, method: str, word: str) -> Any:
        """What the server answers for the end of the first such word."""
        before = CODE[: CODE.index(word) + len(word) - (method == "hover")]
        position = {"line": before.count("\n"), "character": len(before.rpartition("\n")[2])}
        document = {"uri": self._uri}
        return self.ask(f"textDocument/{method}", textDocument=document, position=position)

    def ask(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self._send(id=number, method=method, params=params)
        while True:
            message = self._read()
            if "method" not in message and message["id"] == number:
                return message["result"]
            if "method" in message and "id" in message:  # settings, of which there are none
                items = message.get("params", {}).get("items", ())
                self._send(id=message["id"], result=[None for _ in items] or None)

    def _send(self, **message: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._server.stdin is not None
        self._server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._server.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        size = 0
        while line := self._server.stdout.readline().strip():
            if line.lower().startswith(b"content-length:"):
                size = int(line.partition(b":")[2])
        assert size, "the server has ended"
        return json.loads(self._server.stdout.read(size))


@pytest.fixture
def editor(tmp_path: Path) -> Iterator[Editor]:
    if not SERVER.exists():
        pytest.skip("pyright is not installed")
    file = tmp_path / "code.py"
    file.write_text(CODE, encoding="utf-8")
    settings = {"extraPaths": [SOURCE], "venvPath": sys.prefix}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [str(SERVER), "--stdio"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL) as server:
        timer = Timer(120, server.kill)
        timer.start()
        yield Editor(server, file)
        server.kill()
        timer.cancel()


@pytest.mark.slow
def test_an_editor_shows_the_text_of_a_field_and_completes_its_name(editor: Editor) -> None:
    texts = {
        "lr": "Learning rate: about the size of one update",
        "groups": "Rules, each of which makes a group",
        "weight_decay": "Share of each weight taken off in an update",
        "max_duration": "End of the decay, counted from the beginning",
    }
    for word, text in texts.items():
        assert text in editor.at("hover", word)["contents"]["value"], word
    offered = editor.at("completion", "AdamWConfig(amsg")
    assert "amsgrad=" in {item["label"] for item in offered["items"]}
