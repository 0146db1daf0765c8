"""The verbs that look at files and names; none of them imports torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from ruamel.yaml import YAML
from tests.cli.support import start

from nshtrainer import __version__
from nshtrainer.cli import main
from nshtrainer.cli.recommended import RECOMMENDED
from nshtrainer.lr_scheduler import lr_scheduler_registry
from nshtrainer.optimizer import optimizer_registry

HEAVY = {"lightning", "numpy", "pytorch_lightning", "torch"}

Captured = pytest.CaptureFixture[str]


LOOKS = [
    ["--version"],
    ["--help"],
    ["fit", "--help"],
    ["list"],
    ["list", "--all"],
    ["show", "adamw"],
    ["show", "reduce_lr_on_plateau"],
    ["show", "trainer"],
    ["schema"],
    ["validate", "run.yaml"],
    ["plot", "run.yaml", "--total-steps", "12"],
    ["plot", "run.yaml", "--total-steps", "12", "-o", "x.svg"],
    ["plot", "run.yaml", "--total-steps", "12", "-o", "x.html"],
    ["diff", "run.yaml", "run.yaml", "--total-steps", "12"],
    ["completion", "bash"],
    ["__complete", "fit", "train.py", "--config", "run.yaml", "optimizer."],
]
LOOKER = """
import json, sys
from nshtrainer.cli import main

for arguments in json.loads(sys.argv[1]):
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code
    found = sorted({name.partition(".")[0] for name in sys.modules})
    print("\\nLOOKED", json.dumps([arguments, code, found]))
"""


def test_looking_needs_no_torch(home: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOOKER, json.dumps(LOOKS)],
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [line for line in run.stdout.splitlines() if line.startswith("LOOKED ")]
    looked = [json.loads(line.removeprefix("LOOKED ")) for line in lines]
    assert [arguments for arguments, _, _ in looked] == LOOKS
    for arguments, code, packages in looked:  # the first that imports one of them is named
        assert (arguments, code or 0, set(packages) & HEAVY) == (arguments, 0, set())


def test_the_module_is_the_command() -> None:
    run = start("--version")
    assert (run.returncode, run.stdout) == (0, f"nshtrainer {__version__}\n")


def test_no_verb_is_a_usage_error(capsys: Captured) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "missing COMMAND" in capsys.readouterr().err


def test_an_option_that_is_nearly_one_is_no_override(home: Path, capsys: Captured) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "train.py", "--confg", "run.yaml"])
    assert "unknown option --confg; did you mean --config?" in capsys.readouterr().err


@pytest.mark.parametrize("following", [[], ["--config", "run.yaml"]])
def test_an_override_without_a_value_is_refused(capsys: Captured, following: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "train.py", "--optimizer.lr", *following])
    assert "--optimizer.lr needs a value" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["fit", "train.py", "--config", "run.yaml", "loose"], "loose is not an override; write"),
        (["fit", "train.py", "--config", "run.yaml", "-x"], "fit: error: unknown argument -x"),
        (["schema", "--our", "x"], "schema: error: unknown argument --our; did you mean --for?"),
        (["list", "optimizer", "more"], "list: error: unknown argument more"),
    ],
)
def test_an_argument_too_many_is_named(capsys: Captured, arguments: list[str], text: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert text in capsys.readouterr().err


# -- list and show -------------------------------------------------------------------------------


REGISTRIES = {each.kind: each for each in (optimizer_registry, lr_scheduler_registry)}


def listed(capsys: Captured, *arguments: str) -> dict[str, str]:
    assert main(["list", *arguments]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) > 2 and row[1][:1].isupper()}


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_component_is_listed_with_its_class(kind: str, capsys: Captured) -> None:
    classes = {name: cls.__name__ for name, cls in REGISTRIES[kind].items()}
    assert classes.items() <= listed(capsys, kind, "--all").items()


@pytest.mark.parametrize("kind", REGISTRIES)
def test_about_a_dozen_are_recommended(kind: str, capsys: Captured) -> None:
    names = RECOMMENDED[kind]
    assert 10 <= len(names) <= 15
    assert listed(capsys, kind) == {name: REGISTRIES[kind][name].__name__ for name in names}
    main(["list", kind])
    out = capsys.readouterr().out
    assert all(f" {when} " in out for when in names.values())
    assert out.endswith(
        "\nall of them: nshtrainer list --all\nfields of one: nshtrainer show NAME\n"
    )


def test_a_recommended_optimizer_of_a_package_names_its_extra() -> None:
    for name, when in RECOMMENDED["optimizer"].items():
        extra = getattr(optimizer_registry[name], "extra", None)
        assert when.partition("; extra ")[2] == (extra or "")


def test_schedulers_of_torch_are_listed_last(capsys: Captured) -> None:
    assert main(["list", "--all"]) == 0
    ours, title, torchs = capsys.readouterr().out.partition("lr_scheduler, coming from torch")
    assert title
    assert "\n cosine " in ours
    for name in ("cosine_annealing_lr", "multiplicative_lr"):
        assert f"\n {name} " not in ours
        assert f"\n {name} " in torchs
    assert "\n cosine " not in torchs


def test_one_kind_is_listed_by_its_plural_too(capsys: Captured) -> None:
    assert main(["list", "optimizers"]) == 0
    out = capsys.readouterr().out
    assert "AdamWConfig" in out
    assert "ReduceLROnPlateauConfig" not in out


def test_a_plug_in_is_listed_with_its_package_and_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    info = tmp_path / "shiny-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: shiny\nVersion: 1.0\n", encoding="utf-8")
    announced = "[nshtrainer.optimizers]\ngloss = not_there:GlossConfig\n"
    (info / "entry_points.txt").write_text(announced, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for more in ([], ["--all"]):
        assert main(["list", "optimizer", *more]) == 0
        (row,) = [line for line in capsys.readouterr().out.splitlines() if "gloss" in line]
        assert row.split() == ["gloss", "GlossConfig", "plug-in", "of", "shiny"]
    assert main(["show", "gloss"]) == 2
    assert "failed to load" in capsys.readouterr().err


def test_an_unknown_kind_is_refused(capsys: Captured) -> None:
    assert main(["list", "optimiser"]) == 2
    assert capsys.readouterr().err == (
        "unknown kind of component 'optimiser'; did you mean 'optimizer'? "
        "(known: optimizer, lr_scheduler, logger, callback)\n"
    )


@pytest.mark.parametrize("name", [*optimizer_registry, *lr_scheduler_registry, "TrainerConfig"])
def test_every_component_is_shown_with_all_its_fields(name: str, capsys: Captured) -> None:
    assert main(["show", name]) == 0
    out = capsys.readouterr().out
    from nshtrainer import configs

    cls = {**optimizer_registry, **lr_scheduler_registry}.get(name) or getattr(configs, name)
    shown = {line.split()[0] for line in out.splitlines() if line.strip()}
    assert cls.model_fields.keys() <= shown
    assert cls.__doc__.splitlines()[0] in out


def test_a_field_is_shown_with_type_default_range_and_meaning(capsys: Captured) -> None:
    assert main(["show", "adamw"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(" betas ")]
    assert line.split("  ")[0].strip() == "betas"
    assert "[number, number]" in line
    assert "(0.9, 0.999)" in line
    assert ">= 0, < 1" in line


def test_what_an_optimizer_declares_is_shown(capsys: Captured) -> None:
    assert main(["show", "alig"]) == 0
    shown = capsys.readouterr().out
    assert "\nRequires a closure, whole parameters (no FSDP2), no tensor_lr.\n" in shown
    assert (
        "\nLicense: Apache-2.0. Installed by: pip install 'nshtrainer[pytorch-optimizer]'" in shown
    )
    assert main(["show", "adamw"]) == 0
    assert "asks for" not in capsys.readouterr().out


def test_when_to_take_a_recommended_component_is_shown(capsys: Captured) -> None:
    assert main(["show", "sparseadam"]) == 0
    assert "\nRecommended for embeddings with sparse=True.\n" in capsys.readouterr().out
    assert main(["show", "rprop"]) == 0
    assert "Recommended" not in capsys.readouterr().out


def test_show_without_a_name_explains_itself(capsys: Captured) -> None:
    assert main(["show"]) == 2
    text = capsys.readouterr().err
    assert text.startswith("name a component, for example:\n  nshtrainer show adamw ")
    assert "nshtrainer list --all" in text
    for line in text.splitlines()[1:-1]:
        assert main(line.split()[1:3]) == 0


def test_an_unknown_name_suggests_the_nearest(capsys: Captured) -> None:
    assert main(["show", "adamww"]) == 2
    assert "unknown component 'adamww'; did you mean 'adamw'?" in capsys.readouterr().err


# -- validate ------------------------------------------------------------------------------------


def test_what_can_be_checked_without_the_code_is_and_the_rest_is_listed(
    home: Path, capsys: Captured
) -> None:
    assert main(["validate", "run.yaml"]) == 0
    assert capsys.readouterr().out == (
        "run.yaml: ok\n"
        "  checked: model.optimizer, model.lr_scheduler, trainer\n"
        "  not checked without --for train.py: data\n"
    )


def test_with_the_code_everything_is_checked(home: Path, capsys: Captured) -> None:
    assert main(["validate", "run.yaml", "--for", "train.py"]) == 0
    assert capsys.readouterr().out == "run.yaml: ok, every section checked against train.py\n"
    Path("run.yaml").write_text("model: {widht: 2}\n", encoding="utf-8")
    assert main(["validate", "run.yaml", "--for", "train.py"]) == 1
    assert "run.yaml:1:9: model.widht: unknown key 'widht'; did you mean 'width'?" in (
        capsys.readouterr().err
    )


NOTE = "(for custom components, add --for train.py)"
BAD = [
    (
        "model: {optimizer: {name: admw}}",
        "x.yaml:1:27: model.optimizer.name: unknown optimizer 'admw'; did you mean 'adamw'?",
    ),
    ("model: {optimizer: admw}", "unknown optimizer 'admw'; did you mean 'adamw'?"),
    ("model: {optimizer: {name: 5, lr: 1}, opt: {name: sgd, lr: x}}", "x.yaml:1:59: model.opt.lr"),
    ("model: {nets: [{a: {name: sgd, lr: -1}}]}", "x.yaml:1:36: model.nets.0.a.lr: must be >= 0"),
    (
        "model: {s: {name: linear_warmup_cosine_decay, warmup_duration: 5, max_duration: 1 steps}}",
        "x.yaml:1:64: model.s.warmup_duration: a bare number has no unit",
    ),
    ("trainer: {max_epochs: 1.5}", "x.yaml:1:23: trainer.max_epochs: must be a whole number"),
    ("{modle: {}, trainer: {}}", "x.yaml:1:2: modle: unknown key 'modle'; did you mean 'model'?"),
    ("{name: adamw, lr: -1}", "x.yaml:1:19: lr: must be >= 0 (got -1)"),
    ("opt: {name: sgd, lr: -1}", "x.yaml:1:22: opt.lr: must be >= 0 (got -1)"),
    ("[1]", "x.yaml:1:1: must be a mapping (got [1])"),
    ("a: [", "x.yaml:1:5: is not valid YAML"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_fault_is_named_with_its_place_without_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(text, encoding="utf-8")
    assert main(["validate", "x.yaml"]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


GOOD = [
    "model: {optimizer: {lr: 5}}",  # a field of one class, which needs no name
    "model: {optimizer: null}",
    "model: {optimizer: adamw, width: {name: steps, value: 3}}",
    "trainer: {}",
    "{}",
    "a: {1: {name: sgd, lr: -1}}",  # a key that no field can have,
]


@pytest.mark.parametrize("text", GOOD)
def test_what_names_no_component_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(text, encoding="utf-8")
    assert main(["validate", "x.yaml"]) == 0


def test_each_file_is_checked_and_one_fault_is_enough(home: Path, capsys: Captured) -> None:
    assert main(["validate", "nope.yaml", "run.yaml"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("nope.yaml: no such file")
    assert captured.out.startswith("run.yaml: ok\n")


def test_a_component_of_the_users_own_is_known_with_the_code(home: Path, capsys: Captured) -> None:
    text = "model: {optimizer: {name: mine}}"
    Path("own.yaml").write_text(text, encoding="utf-8")
    assert main(["validate", "own.yaml"]) == 1
    assert capsys.readouterr().err.endswith(f"{NOTE}\n")
    own = (
        "\n\n@nshtrainer.optimizer.optimizer_registry.register\n"
        "class MineConfig(nshtrainer.optimizer.OptimizerConfigBase):\n"
        "    name: __import__('typing').Literal['mine'] = 'mine'\n\n"
        "    def create_optimizer(self, params):\n"
        "        return torch.optim.SGD(params)\n"
    )
    with Path("train.py").open("a", encoding="utf-8") as file:
        file.write(own)
    with optimizer_registry.scoped():
        assert main(["validate", "own.yaml", "--for", "train.py"]) == 0


# -- schema -----------------------------------------------------------------------


@pytest.mark.parametrize("code", [[], ["--for", "train.py"]])
def test_the_schema_accepts_the_file_and_refuses_a_fault(
    home: Path, capsys: Captured, code: list[str]
) -> None:
    assert main(["schema", *code]) == 0
    captured = capsys.readouterr()
    validator = Draft202012Validator(json.loads(captured.out))
    assert "# yaml-language-server: $schema=" in captured.err
    run = YAML(typ="safe").load(Path("run.yaml"))
    validator.validate(run)
    run["model"]["optimizer"]["lrr"] = 1
    with pytest.raises(ValidationError):
        validator.validate(run)


def test_a_schema_is_written_to_a_file(home: Path, capsys: Captured) -> None:
    assert main(["schema", "-o", "run.schema.json"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "# yaml-language-server: $schema=run.schema.json\n" in captured.err
    assert json.loads(Path("run.schema.json").read_text(encoding="utf-8"))["title"]
