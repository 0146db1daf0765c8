"""A client of yaml-language-server, the server behind YAML in VS Code, Neovim and others."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["Editor"]


class Editor:
    """An editor with a folder open: it starts the server, and asks what an editor asks.

    Args:
        command: The command that starts the server.
        folder: The folder that is open.
    """

    def __init__(self, command: list[str], folder: Path) -> None:
        self.folder = folder
        self._diagnostics: dict[str, list[Any]] = {}
        self._sent = 0
        self._process = subprocess.Popen(
            [*command, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        root = {"uri": folder.as_uri(), "name": folder.name}
        plain = {"contentFormat": ["markdown"], "documentationFormat": ["markdown"]}
        text = {"hover": plain, "completion": {"completionItem": plain}}
        self.ask(
            "initialize",
            processId=None,
            rootUri=root["uri"],
            workspaceFolders=[root],
            capabilities={"textDocument": text, "workspace": {"configuration": True}},
        )
        self.tell("initialized")

    def close(self) -> None:
        """End the server."""
        self.ask("shutdown")
        self.tell("exit")
        self._process.communicate(timeout=30)

    def ask(self, method: str, **params: Any) -> Any:
        """Send a request and return its result."""
        self._sent += 1
        number = self._sent
        self._send({"id": number, "method": method, "params": params})
        while True:
            answer = self._read()
            if answer.get("id") == number and "method" not in answer:
                assert "error" not in answer, answer
                return answer["result"]

    def tell(self, method: str, **params: Any) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    def diagnostics(self, file: str) -> list[Any]:
        """Open a file and return its problems."""
        uri = self.open(file)
        while uri not in self._diagnostics:
            self._read()
        return self._diagnostics.pop(uri)

    def open(self, file: str) -> str:
        """Open a file, and return its address."""
        path = self.folder / file
        uri, text = path.as_uri(), path.read_text(encoding="utf-8")
        item = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.tell("textDocument/didOpen", textDocument=item)
        return uri

    def at(self, method: str, file: str, line: int, character: int) -> Any:
        """Ask for the completion or the hover text at a place in a file."""
        here = {"line": line, "character": character}
        return self.ask(
            f"textDocument/{method}", textDocument={"uri": self.open(file)}, position=here
        )

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        """Read one message; keep problems, and answer what the server asks."""
        out = self._process.stdout
        assert out
        length = 0
        while line := out.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        message: dict[str, Any] = json.loads(out.read(length))
        if message.get("method") == "textDocument/publishDiagnostics":
            self._diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "method" in message and "id" in message:
            asked = message["params"].get("items", []) if message["params"] else []
            settings = {
                "yaml": {
                    "schemaStore": {"enable": False},
                    "hover": True,
                    "completion": True,
                    "validate": True,
                }
            }
            found = [settings.get(item.get("section")) for item in asked]
            self._send({"id": message["id"], "result": found if asked else None})
        return message
