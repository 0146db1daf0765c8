"""Files made to eat time or memory, and what it costs to refuse each in a process of its own.

`python -m tests.hostile.bombs NAME ...` prints a line of JSON for each, or for all of them. Costs
depend on the machine and on Python's own parsers, so each is compared with a baseline that is
measured in the same way: reading the largest harmless file. Where Python's parser alone takes most,
its cost is measured too and not counted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from pydantic import ConfigDict

from nshtrainer.config import Config
from nshtrainer.config.formats.toml import tomllib
from nshtrainer.duration import DurationConfig
from nshtrainer.exceptions import ConfigError
from nshtrainer.optimizer import OptimizerConfig

__all__ = ["BOMBS", "MOST_TIMES", "PLACES"]

MOST_TIMES = {"seconds": 2, "megabytes": 8}
"""The largest allowed ratio of a refusal's cost, less the parser's, to that of a harmless file."""


class Target(Config):
    """What a stranger's file is for; unknown keys are taken, so that only the reader refuses."""

    model_config = ConfigDict(extra="allow")

    optimizer: OptimizerConfig | None = None
    duration: DurationConfig | None = None


class Bomb(NamedTuple):
    """What is in a file, and a part of what is said of it."""

    content: str | bytes
    says: str
    parser: Callable[[str], Any] | None = None
    """A parser of the standard library whose own cost on this content is not ours."""


def doubling(line: str) -> str:
    """Thirty lines of which each repeats the one before ten times."""
    lines = [
        line.format(here=at, before=at - 1, ten=", ".join([f"*a{at - 1}"] * 10))
        for at in range(1, 30)
    ]
    return "a0: &a0 {x: 1}\n" + "".join(lines)


def numbered(form: str, count: int) -> str:
    return "".join(form.format(at) for at in range(count))


LONG = 190_000  # just below what is read at all
DEEP, BINARY = "nested deeper than 100 levels", "is a binary file"
MANY, LINES = "more than 5,000 keys and values", "more than 10,000 lines"
DIGITS, BROKEN = "more than 4300 digits", "is not valid"

YAML = {
    "billion laughs": Bomb(doubling("a{here}: &a{here} [{ten}]\n"), MANY),
    "quadratic blow-up": Bomb(f"a: &a [{'x, ' * 900}x]\nb: [{'*a, ' * 900}*a]", MANY),
    "a long text, repeated": Bomb(f"a: &a {'x' * 90_000}\nb: [{'*a, ' * 4000}*a]", "200 kB, alias"),
    "merges of merges": Bomb(doubling("a{here}: &a{here}\n  <<: *a{before}\n  z: [{ten}]\n"), MANY),
    "a list of merges": Bomb(f"a: &a {{x: 1}}\nb:\n  <<: [{'*a, ' * 45_000}*a]", MANY),
    "many anchors": Bomb(numbered("- &a{} x\n", 9000), MANY),
    "many anchors on a line": Bomb(f"[{numbered('&a{} x, ', 15_000)}]", MANY),
    "many aliases": Bomb(f"a: &a x\nb: [{'*a, ' * 45_000}*a]", MANY),
    "brackets": Bomb("[" * (LONG // 2) + "]" * (LONG // 2), DEEP),
    "open brackets": Bomb("[" * LONG, DEEP),
    "braces": Bomb("{a: " * 30_000 + "}" * 30_000, DEEP),
    "dashes": Bomb("- " * (LONG // 2), DEEP),
    "question marks": Bomb("? " * (LONG // 2), "a key must be text"),
    "a staircase": Bomb("".join(f"{' ' * at}a:\n" for at in range(600)), DEEP),
    "many keys": Bomb(numbered("k{}: 1\n", 9900), MANY),
    "many keys on a line": Bomb(f"{{{numbered('k{}: 1, ', 18_000)}}}", MANY),
    "many items on a line": Bomb(f"[{'1,' * 90_000}]", MANY),
    "an unknown key, many times": Bomb(
        f"optimizer: {{name: adamw, {numbered('k{}: 1, ', 2400)}}}", "k"
    ),
    "wrong numbers": Bomb(f"optimizer: {{name: adamw, betas: [{'x, ' * 4900}]}}", "betas"),
    "wrong rules": Bomb(f"optimizer: {{name: adamw, groups: [{'{}, ' * 4900}]}}", "groups"),
    "a long key": Bomb("x" * LONG + ": 1", BROKEN),
    "a long key in quotes": Bomb('"' + "x" * LONG + '": 1', BROKEN),
    "a long key after a question mark": Bomb(
        "optimizer:\n  name: adamw\n  ? " + "x" * LONG, "unknown"
    ),
    "a long name": Bomb("optimizer: " + "x" * LONG, "unknown optimizer"),
    "a long duration": Bomb("duration: " + "1" * LONG + " parsecs", "is no duration"),
    "a duration with spaces": Bomb('duration: "1' + " " * LONG + '"', "is no duration"),
    "a text of 20 MB": Bomb("a: " + "x" * 20_000_000, "20,000 kB, more than 200"),
    "many lines": Bomb("a: x\n" + " x\n" * 60_000, LINES),
    "empty lines": Bomb("\n" * LONG, LINES),
    "empty lines of an old Macintosh": Bomb("\r" * LONG, LINES),
    "comments": Bomb("#\n" * 9900 + "a: [", BROKEN),
    "a long comment": Bomb("#" * LONG + "\na: [", BROKEN),
    "spaces": Bomb("a:" + " " * LONG + "[", BROKEN),
    "tabs": Bomb("a:\n" + "\t" * LONG + "b", BROKEN),
    "escapes": Bomb('a: "' + r"\x41" * 45_000, BROKEN),
    "a block of text": Bomb("a: |\n" + " x\n" * 9900 + "b: [", BROKEN),
    "a folded block of text": Bomb("a: >\n" + " x\n" * 9900 + "b: [", BROKEN),
    "a tag without end": Bomb("a: !" + "x" * LONG, "is not allowed"),
    "an anchor without end": Bomb("a: [&" + "x" * LONG, BROKEN),
    "an alias without end": Bomb("a: *" + "x" * LONG, "unknown alias"),
    "directives": Bomb("%X y\n" * 9900 + "---\na: [", "a directive is not allowed"),
    "a directive without end": Bomb("%" + "x" * LONG, "a directive is not allowed"),
    "many documents": Bomb("---\na: 1\n" * 4900, "a second document"),
    "empty documents": Bomb("---\n" * 9900, "a second document"),
    "control characters": Bomb("a: x" + "\x01" * LONG, "control characters"),
    "digits": Bomb("a: " + "1" * LONG, DIGITS),
    "hexadecimal digits": Bomb("a: 0x" + "f" * LONG, DIGITS),
    "digits after a point": Bomb(
        "optimizer: {name: adamw, lr: -0." + "1" * LONG + "}", "lr: must be >= 0"
    ),
    "an exponent": Bomb("optimizer: {name: adamw, lr: 1e" + "9" * LONG + "}", "must be a finite"),
    "UTF-16": Bomb(("a: " + "x" * (LONG // 3)).encode("utf-16"), BINARY),
    "UTF-16 without a mark": Bomb(("a: " + "x" * (LONG // 3)).encode("utf-16-le"), BINARY),
    "UTF-32": Bomb(("a: " + "x" * (LONG // 5)).encode("utf-32"), BINARY),
    "invalid UTF-8": Bomb(b"a: " + b"x" * LONG + b"\xff", "is not UTF-8"),
    "surrogates in UTF-8": Bomb(b"a: \xed\xa0\x80" * 30_000, "is not UTF-8"),
    "byte order marks": Bomb(b"\xef\xbb\xbf" * 60_000, "must be a mapping"),
}

PATTERNS = [{"name": "a", "select": [rf"re:{at}\w+.{{1,99}}" for at in range(400)]}]

JSON = {
    "patterns": Bomb(
        json.dumps({"optimizer": {"name": "adamw", "groups": PATTERNS}}), "would take too long"
    ),
    "brackets": Bomb("[" * (LONG // 2) + "]" * (LONG // 2), DEEP),
    "open brackets": Bomb("[" * LONG, DEEP),
    "braces": Bomb('{"a":' * 30_000 + "1" + "}" * 30_000, DEEP),
    "many keys": Bomb(f'{{{numbered(chr(34) + "{}" + chr(34) + ":1,", 15_000)}"a":1}}', MANY),
    "many items": Bomb(f"[{'1,' * 90_000}1]", MANY),
    "an unknown key, many times": Bomb(
        json.dumps({"optimizer": {"name": "adamw", **{f"k{at}": 1 for at in range(2400)}}}), "k"
    ),
    "a key given twice": Bomb('{"b":1,' + '"a":1,' * 25_000 + '"a":1}', "given twice"),
    "a long key given twice": Bomb(f'{{"{"x" * 90_000}":1, "{"x" * 90_000}":1}}', "given twice"),
    "digits": Bomb('{"a": ' + "1" * LONG + "}", DIGITS),
    "an exponent": Bomb('{"optimizer": {"name": "adamw", "lr": 1e' + "9" * LONG + "}}", "finite"),
    "quotes": Bomb('{"a": ' + '"' * LONG, BROKEN),
    "backslashes": Bomb('{"a": "' + "\\" * LONG, BROKEN),
    "spaces": Bomb("{" + " " * LONG, BROKEN),
    "empty lines": Bomb("{" + "\n" * 9900, BROKEN),
}

TOML = {
    "brackets": Bomb("a = " + "[" * LONG, DEEP),
    "braces": Bomb("a = " + "{a = " * 30_000, DEEP),
    "a dotted key": Bomb("a." * (LONG // 2) + "a = 1", DEEP),
    "a dotted key in quotes": Bomb('"a \\" b" . ' * 15_000 + "a = 1", DEEP),
    "many dotted keys": Bomb(numbered("a." * 98 + "b{} = 1\n", 950), MANY),
    "many different dotted keys": Bomb(numbered("a{}." + "a." * 98 + "b = 1\n", 900), MANY),
    "a dotted table": Bomb("[" + "a." * (LONG // 2) + "a]", DEEP),
    "many keys": Bomb(numbered("k{} = 1\n", 9900), MANY),
    "many items": Bomb(f"a = [{'1,' * 90_000}1]", MANY),
    "tables in a list": Bomb("[[a]]\n" * 9900, MANY),
    "digits": Bomb("a = " + "1" * LONG, DIGITS, tomllib.loads),
    "hexadecimal digits": Bomb("a = 0x" + "f" * LONG, DIGITS, tomllib.loads),
    "an exponent": Bomb(
        'optimizer = {name = "adamw", lr = 1e' + "9" * LONG + "}", "finite", tomllib.loads
    ),
    "quotes": Bomb("a = " + '"' * LONG, BROKEN),
    "backslashes": Bomb('a = "' + "\\" * LONG, BROKEN),
    "spaces": Bomb("a" + " " * LONG, BROKEN),
    "empty lines": Bomb("\n" * 9900 + "a = [", BROKEN),
}

BOMBS = {
    f"{suffix}: {name}": (suffix, bomb)
    for suffix, bombs in {"yaml": YAML, "json": JSON, "toml": TOML}.items()
    for name, bomb in bombs.items()
}
"""Each with the format that it is in."""

# -- what is no file -------------------------------------------------------------------------------


def sparse(path: Path) -> None:
    """A file of 1 GB that takes no room on a disk."""
    with path.open("wb") as stream:
        stream.truncate(10**9)


def link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


PLACES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a sparse file of 1 GB": (sparse, "has 1,000,000 kB"),
    "a folder": (Path.mkdir, "is a folder"),
    "a pipe": (os.mkfifo, "is not a regular file"),
    "/dev/zero": (link("/dev/zero"), "is not a regular file"),
    "/dev/random": (link("/dev/random"), "is not a regular file"),
    "/proc/self/mem": (link("/proc/self/mem"), "cannot be read"),
    "a file of the system that says it is empty": (link("/proc/kallsyms"), "more than 200"),
    "a link to itself": (lambda path: path.symlink_to(path), "cannot be read"),
}
"""What may stand where a file is expected: how to make it, and what is said of it."""

# -- the cost --------------------------------------------------------------------------------------

HARMLESS = "optimizer:\n  name: adamw\n  groups:\n" + "".join(
    f"    - {{name: g{at}, select: {'x' * 200}.{at}.*, lr_mult: 0.5}}\n" for at in range(700)
)
"""A valid file, nearly as long and with nearly as many values as a file may have."""


def cost(call: Callable[[], object]) -> dict[str, Any]:
    """Measure CPU time and memory of one call in this process."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak of the memory
    before, started = peak(), time.process_time()
    said = "nothing: it was read"
    try:
        call()
    except (ValueError, RecursionError) as error:
        said = str(error)
    return {"seconds": time.process_time() - started, "megabytes": peak() - before, "said": said}


def in_child(call: Callable[[], object]) -> dict[str, Any]:
    """Measure a call in a child process, so that no call profits from what another left."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.write(writer, json.dumps(cost(call)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        printed = stream.read()
    os.waitpid(child, 0)
    return json.loads(printed)


def refused(name: str, harmless: dict[str, Any]) -> dict[str, Any]:
    """Compare the cost of refusing a bomb with the baselines."""
    _, bomb = BOMBS.get(name, ("", Bomb("", "")))
    alone = {"seconds": 0.0, "megabytes": 0.0}
    if parse := bomb.parser:
        alone = in_child(lambda: parse(str(bomb.content)))
    with TemporaryDirectory() as folder:
        path, says = planted(name, Path(folder))
        found = in_child(lambda: Target.from_file(path))
    times = {
        f"times_{key}": round((found[key] - alone[key]) / harmless[key], 2)
        for key in ("seconds", "megabytes")
    }
    said = found.pop("said")
    return {"name": name, **found, **times, "as_told": says in said, "said": said[-200:]}


def planted(name: str, folder: Path) -> tuple[Path, str]:
    """The path of the file, and what should be said of it."""
    if name in PLACES:
        make, says = PLACES[name]
        path = folder / "place.yaml"
        make(path)
        return path, says
    suffix, (content, says, _) = BOMBS[name]
    path = folder / f"bomb.{suffix}"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path, says


def peak() -> float:
    """The most memory that this process had, in MB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


def main() -> None:
    """Print the cost of each, and how many times that of the harmless file it is."""
    for text, read in {"{}": "json", "": "toml", "optimizer: adamw": "yaml"}.items():
        getattr(Target, f"from_{read}")(text)  # imports the readers
    with suppress(ConfigError):
        Target.from_yaml("optimizer: adam_w")
    harmless = in_child(lambda: Target.from_yaml(HARMLESS))
    assert harmless["said"].startswith("nothing"), harmless["said"]
    print(json.dumps({"name": "harmless", **harmless}), flush=True)
    for name in sys.argv[1:] or [*BOMBS, *PLACES]:
        print(json.dumps(refused(name, harmless)), flush=True)


if __name__ == "__main__":
    main()
