"""A small transformer that reads Python, character by character: the text, the model, its loss."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

CONTEXT, BATCH, CHARACTERS = 128, 16, 128
WIDTH, DEPTH, HEADS = 96, 3, 3

MODULES = (
    *("argparse", "ast", "bdb", "calendar", "cmd", "codecs", "configparser", "contextlib"),
    *("copy", "csv", "dataclasses", "datetime", "difflib", "dis", "doctest", "enum", "fileinput"),
    *("fractions", "ftplib", "functools", "gettext", "glob", "gzip", "heapq", "imaplib"),
    *("inspect", "ipaddress", "locale", "mailbox", "mimetypes", "ntpath", "optparse", "pdb"),
    *("pickle", "pickletools", "platform", "plistlib", "poplib", "posixpath", "pprint"),
    *("profile", "pstats", "pyclbr", "pydoc", "queue", "random", "sched", "selectors", "shelve"),
    *("shutil", "smtplib", "socket", "socketserver", "statistics", "subprocess", "symtable"),
    *("tarfile", "tempfile", "textwrap", "threading", "timeit", "tokenize", "trace"),
    *("traceback", "turtle", "typing", "uuid", "warnings", "wave", "weakref"),
)
"""Files of the standard library; every tenth is for validation."""


def text_of(modules: Sequence[str]) -> Tensor:
    """The sources one after the other, as numbers; all beyond ASCII is one character."""
    folder = Path(sysconfig.get_path("stdlib"))
    source = b"".join((folder / f"{name}.py").read_bytes() for name in modules)
    return torch.frombuffer(bytearray(source), dtype=torch.uint8).clamp(max=CHARACTERS - 1).long()


def pieces(text: Tensor, starts: Sequence[int]) -> Tensor:
    """Pieces of the text, each as long as the context and one more."""
    return torch.stack([text[start : start + CONTEXT + 1] for start in starts])


def training_batches(seed: int) -> Iterator[Tensor]:
    """Pieces from random places, without an end."""
    text = text_of([name for place, name in enumerate(MODULES) if place % 10 != 9])
    generator = torch.Generator().manual_seed(seed)
    while True:
        starts = torch.randint(len(text) - CONTEXT, (BATCH,), generator=generator)
        yield pieces(text, starts.tolist())


def validation_batch(number: int = 32) -> Tensor:
    """Pieces from places that are spread evenly over the files for validation."""
    text = text_of(MODULES[9::10])
    return pieces(text, range(0, len(text) - CONTEXT, (len(text) - CONTEXT) // number)[:number])


class Block(nn.Module):
    """Causal attention and a feed-forward net, each behind a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        split = self.qkv(self.norm1(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(*split, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """Embeddings, learned positions, a stack of blocks, a norm and a head."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.tokens = nn.Embedding(CHARACTERS, WIDTH)
        self.positions = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(DEPTH)])
        self.norm = nn.RMSNorm(WIDTH)
        self.head = nn.Linear(WIDTH, CHARACTERS, bias=False)
        for embedding in (self.tokens, self.positions):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, characters: Tensor) -> Tensor:
        positions = self.positions.weight[: characters.size(1)]
        return self.head(self.norm(self.blocks(self.tokens(characters) + positions)))

    def loss(self, rows: Tensor) -> Tensor:
        """The mean cross-entropy of the next character, in nats."""
        scores = self(rows[:, :-1])
        return nn.functional.cross_entropy(scores.flatten(0, 1), rows[:, 1:].flatten())
