"""A client of yaml-language-server, the server behind YAML in VS Code, Neovim and other editors."""

from __future__ import annotations

import json
import subprocess
from itertools import count
from pathlib import Path
from threading import Timer
from typing import Any

__all__ = ["Editor"]

_TEXT = {"contentFormat": ["markdown"], "documentationFormat": ["markdown"]}
_ABILITIES = {
    "textDocument": {"hover": _TEXT, "completion": {"completionItem": _TEXT}},
    "workspace": {"configuration": True},
}
_SETTINGS = {
    "yaml": {
        # No schemas from the network: the first line of a file names its own.
        "schemaStore": {"enable": False},
        "completion": True,
        "hover": True,
        "validate": True,
    }
}
_LONGEST = 120
"""Seconds after which the server is ended: a request without an answer would wait for ever."""


class Editor:
    """An editor with an open folder, which asks the server what editors ask.

    In a text, `|` is the cursor.

    Args:
        command: The command that starts the server.
        folder: The folder; files are created here.
    """

    def __init__(self, command: list[str], folder: Path) -> None:
        self.folder = folder
        self._numbers = count(1)
        self._problems: dict[str, list[Any]] = {}
        self._process = subprocess.Popen(
            [*command, "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._timer = Timer(_LONGEST, self._process.kill)
        self._timer.start()
        folders = [{"uri": folder.as_uri(), "name": folder.name}]
        self._ask("initialize", processId=None, workspaceFolders=folders, capabilities=_ABILITIES)
        self._tell("initialized")

    def close(self) -> None:
        """End the server."""
        self._ask("shutdown")
        self._tell("exit")
        self._process.communicate()
        self._timer.cancel()

    def problems(self, text: str) -> list[tuple[str, str]]:
        """Return the underlined text and the message of each problem in a file."""
        uri = self._open(text)
        while uri not in self._problems:
            self._read()
        lines = text.splitlines()
        return [(_between(lines, each["range"]), each["message"]) for each in self._problems[uri]]

    def completions(self, text: str) -> dict[str, str]:
        """Return what is offered at the cursor, and the documentation of each item."""
        found = self._at_cursor("completion", text)
        items = found["items"] if isinstance(found, dict) else found
        return {item["label"]: _plain(item.get("documentation")) for item in items}

    def hover(self, text: str) -> str:
        """Return the text that is shown for the word at the cursor."""
        found = self._at_cursor("hover", text)
        return _plain(found["contents"]) if found else ""

    def _at_cursor(self, method: str, text: str) -> Any:
        before, _, after = text.partition("|")
        line = before.rpartition("\n")[2]
        position = {"line": before.count("\n"), "character": len(line)}
        document = {"uri": self._open(before + after)}
        return self._ask(f"textDocument/{method}", textDocument=document, position=position)

    def _open(self, text: str) -> str:
        path = self.folder / f"{next(self._numbers)}.yaml"
        path.write_text(text, encoding="utf-8")
        item = {"uri": path.as_uri(), "languageId": "yaml", "version": 1, "text": text}
        self._tell("textDocument/didOpen", textDocument=item)
        return path.as_uri()

    def _ask(self, method: str, **params: Any) -> Any:
        """Send a request, and return its result."""
        number = next(self._numbers)
        self._send({"id": number, "method": method, "params": params})
        while True:
            message = self._read()
            if message.get("id") == number and "method" not in message:
                return message["result"]

    def _tell(self, method: str, **params: Any) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        """Read a message; keep the problems of a file, and answer what the server asks."""
        message = self._receive()
        params = message.get("params")
        if message.get("method") == "textDocument/publishDiagnostics":
            self._problems[params["uri"]] = params["diagnostics"]
        elif "method" in message and "id" in message:
            asked = (params or {}).get("items", ())
            answer = [_SETTINGS.get(item.get("section")) for item in asked]
            self._send({"id": message["id"], "result": answer or None})
        return message

    def _receive(self) -> dict[str, Any]:
        out = self._process.stdout
        assert out
        length = 0
        while header := out.readline().strip():
            name, _, value = header.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert length, "the server has ended"
        return json.loads(out.read(length))


def _between(lines: list[str], place: dict[str, Any]) -> str:
    start, end = place["start"], place["end"]
    line = lines[start["line"]]
    return line[start["character"] : end["character"] if end["line"] == start["line"] else None]


def _plain(text: Any) -> str:
    """Return Markdown without its escapes."""
    found = text["value"] if isinstance(text, dict) else text or ""
    return found.replace("\\", "")
