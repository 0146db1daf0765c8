"""Hostile names in every output: terminal, picture, table, log of a CI service."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import torch
from tools.attack.frame import Attempt, Category, FailedError
from tools.attack.hostile_names import draw_name, for_arguments, look_at_file, look_at_lines
from tools.attack.runs import contents, copy_run, make_run

from nshtrainer.cli import main

__all__ = ["CATEGORY"]

Names = list[str]
Arguments = list[str]

FORMATS = ("svg", "html", "csv", "json", "png")
COSINE = {"name": "cosine"}
ADAMW = {"name": "adamw"}
LINE = ["fit", "train.py", "--config", "run.yaml", "trainer.max_epochs=2"]


def _config(random: Random, names: Names) -> dict[str, Any]:
    """Return a config with hostile names; some of them are valid."""
    one, two, three = names
    rule = {"name": one, "select": random.choice(["*", two, f"re:{two}"]), "lr_mult": 2}
    return random.choice(
        [
            {"optimizer": ADAMW | {one: two}, two: three},
            {"model": {one: 1, "optimizer": ADAMW | {"lr": one, two: {three: 1}}}},
            {"model": {"optimizer": {"name": one}}, two: ADAMW},
            {one: {two: {"name": "sgd", "lr": random.choice([1, -1, three])}}},
            {one: {"optimizer": ADAMW, "lr_scheduler": COSINE}, two: COSINE},
            {one: ADAMW, two: COSINE, three: [COSINE]},
            {"optimizer": ADAMW | {"groups": [rule]}, "lr_scheduler": COSINE},
            {"model": {"optimizer": ADAMW | {"groups": [rule]}, "lr_scheduler": COSINE}},
            {"optimizer": ADAMW, "lr_scheduler": _schedules(names)},
            {"optimizer": ADAMW | {"groups": [rule]}, "lr_scheduler": _schedules(names)},
            {"trainer": {"primary_metric": {"monitor": one, "mode": two}, "max_time": three}},
            {"trainer": {"max_epochs": one, two: three}, "data": {one: two}},
            {"lr_scheduler": {"name": "linear", "max_duration": one, two: three}},
        ]
    )


def _schedules(names: Names) -> dict[str, Any]:
    one, two, _ = names
    return {"name": "schedules", "groups": {one: {"lr": COSINE}, two: {"lr": COSINE}}}


def _write(random: Random, names: Names, file: str = "given.json") -> str:
    Path(file).write_text(json.dumps(_config(random, names)), encoding="utf-8")
    return file


# -- ways out: each returns arguments of the command line ------------------------------------------


def _validate(random: Random, names: Names) -> Arguments:
    return ["validate", _write(random, names), *random.choice([[], ["--for", "train.py"]])]


def _plot(random: Random, names: Names) -> Arguments:
    out = random.choice([[], ["--out", f"x.{random.choice(FORMATS)}"]])
    steps = random.choice([[], ["--total-steps", "10"]])
    return ["plot", _write(random, names), *out, *steps]


def _plot_files(random: Random, names: Names) -> Arguments:
    one, two, three = map(for_arguments, names)
    for name in (one, two):
        data = {"lr_scheduler": random.choice([COSINE, {"name": "linear"}]), "optimizer": ADAMW}
        Path(f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
    out = f"{three}.{random.choice(FORMATS)}"
    return ["plot", "--total-steps", "10", f"--out=./{out}", "--", f"{one}.json", f"{two}.json"]


def _explain(random: Random, names: Names) -> Arguments:
    more = random.choice([[], ["--json"], ["--parameter", for_arguments(names[0])]])
    return ["explain", "train.py", "--config", _write(random, names), *more]


def _diff(random: Random, names: Names) -> Arguments:
    other = _write(random, names, f"{for_arguments(names[0])}.json")
    more = random.choice([[], ["--for", "train.py"], ["--total-steps", "10"]])
    return ["diff", random.choice([_write(random, names), "run.yaml"]), f"./{other}", *more]


def _show(_: Random, names: Names) -> Arguments:
    return ["show", for_arguments(names[0])]


def _override(random: Random, names: Names) -> Arguments:
    one, two, three = map(for_arguments, names)
    key = random.choice(["optimizer.lr", "lr_scheduler", f"lr_scheduler.{one}", f"{two}.{one}"])
    text = random.choice([f"{key}={three}", f"--{key}={three}", three])
    verb = random.choice([LINE, ["explain", *LINE[1:4]], ["plot", "run.yaml"]])
    return [*verb, text]


def _files(random: Random, names: Names) -> Arguments:
    one, two, _ = map(for_arguments, names)
    code, config = f"{one}.py", f"{two}.yaml"
    if random.random() < 0.5:
        Path("train.py").rename(code)
    if random.random() < 0.5:
        Path("run.yaml").rename(config)
    verb = random.choice(["fit", "explain", "validate"])
    if verb == "validate":
        return [verb, f"./{config}", "--for", code]
    return [verb, f"./{code}", f"--config={config}", *(["--out", "new"] * (verb == "fit"))]


def _out(random: Random, names: Names) -> Arguments:
    one = for_arguments(names[0])
    if one in {".", ".."}:  # there is such a folder already
        one = "o"
    Path("o").rename(one)
    resume = random.choice(
        ["auto", "last", f"{one}/checkpoints/last.ckpt", for_arguments(names[1])]
    )
    return [*LINE, f"--out={one}", f"--resume={resume}"]


def _checkpoint(random: Random, names: Names) -> Arguments:
    path = Path("o/checkpoints/last.ckpt")
    saved = torch.load(path, weights_only=True)
    random.choice(EDITS)(saved, names)
    torch.save(saved, path)
    return [*LINE, "--out", "o", "--resume", random.choice(["last", "auto", str(path)])]


def _fit(random: Random, names: Names) -> Arguments:
    return ["fit", "train.py", "--config", _write(random, names), "trainer.fast_dev_run=true"]


# -- names in a checkpoint -------------------------------------------------------------------------


def _option(saved: dict[str, Any], names: Names) -> None:
    optimizer = _hparams(saved)["optimizer"]
    optimizer.update({"lr": 0.2, "name": names[0], names[1]: names[2]})


def _groups(saved: dict[str, Any], names: Names) -> None:
    rule = {"name": names[0], "select": names[1], "lr_mult": 2.0, names[2]: 1}
    _hparams(saved)["optimizer"]["groups"] = [rule]


def _schedule(saved: dict[str, Any], names: Names) -> None:
    _hparams(saved)["lr_scheduler"] = {"name": names[0], names[1]: names[2]}


def _hparams(saved: dict[str, Any]) -> dict[str, Any]:
    return saved["hyper_parameters"].get("hparams", saved["hyper_parameters"])


def _weights(saved: dict[str, Any], names: Names) -> None:
    weights = saved["state_dict"]
    weights[names[0]] = weights.pop("layer.bias")


def _parameters(saved: dict[str, Any], names: Names) -> None:
    group = saved["optimizer_states"][0]["param_groups"][0]
    group["name"] = names[0]
    for key in [key for key in group if key == "param_names"]:
        group[key] = list(names[: len(group[key])])
    group[names[1]] = names[2]


def _state(saved: dict[str, Any], names: Names) -> None:
    for entry in saved["optimizer_states"][0]["state"].values():
        entry[names[0]] = entry.pop("exp_avg", names[1])


def _scheduler(saved: dict[str, Any], names: Names) -> None:
    for state in saved["lr_schedulers"]:
        state.update({names[0]: names[1], **dict.fromkeys(list(state)[:2], names[2])})


def _callbacks(saved: dict[str, Any], names: Names) -> None:
    for state in saved["callbacks"].values():
        for key in [key for key in state if "path" in key or key == "dirpath"]:
            state[key] = f"../{names[0]}"
        state[names[1]] = names[2]
    saved["callbacks"][f"{names[0]}{{}}"] = {names[1]: names[2]}


def _version(saved: dict[str, Any], names: Names) -> None:
    saved["pytorch-lightning_version"] = names[0]
    saved[names[1]] = names[2]


def _loops(saved: dict[str, Any], names: Names) -> None:
    saved["loops"][names[0]] = names[1]
    saved["loops"]["fit_loop"][names[1]] = names[2]


EDITS: tuple[Callable[[dict[str, Any], Names], None], ...] = (
    *(_option, _option, _groups, _groups, _schedule, _schedule, _weights, _parameters),
    *(_state, _scheduler, _callbacks, _version, _loops),
)
WAYS: dict[str, tuple[int, Callable[[Random, Names], Arguments]]] = {
    "keys and values, validate": (3, _validate),
    "keys and values, plot": (3, _plot),
    "names of files, plot": (2, _plot_files),
    "keys and values, explain": (2, _explain),
    "keys and values, diff": (2, _diff),
    "show": (1, _show),
    "overrides": (2, _override),
    "names of files, fit, explain and validate": (2, _files),
    "the name of a folder, fit": (2, _out),
    "names in a checkpoint, fit --resume": (4, _checkpoint),
    "keys and values, fit": (1, _fit),
}


def _draw(random: Random) -> Attempt:
    weights = [weight for weight, _ in WAYS.values()]
    way = random.choices(list(WAYS), weights=weights)[0]
    names = [draw_name(random) for _ in range(3)]
    return Attempt(f"{way}: {names!a}", partial(_run, random, way, names))


def _run(random: Random, way: str, names: Names, shared: Path) -> None:
    copy_run(shared)
    arguments = WAYS[way][1](random, names)
    before = contents(Path.cwd())
    code, said = _said(arguments)
    print(ascii(arguments), ascii(said), file=sys.stderr, flush=True)
    if code not in {0, 1, 2} or not said.strip():
        raise FailedError(f"exit code {code}")
    look_at_lines(said)
    for path in Path.cwd().rglob("*"):
        if path.is_file() and str(path) not in before:
            look_at_file(path)


def _said(arguments: Arguments) -> tuple[int, str]:
    """Run the command line, and return its exit code and all its output."""
    said = StringIO()
    file = Path("/proc/self/fd/2").resolve()
    with redirect_stdout(said), redirect_stderr(said):
        try:
            code = main(arguments)
        except SystemExit as error:  # argparse
            code = int(error.code or 0)
    return code, said.getvalue() + file.read_text(encoding="utf-8", errors="replace")


CATEGORY = Category("output of hostile names", _draw, make_run)
