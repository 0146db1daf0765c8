"""Files that the hosting site, editors and release tools read."""

from __future__ import annotations

import re
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from hatchling.metadata.core import load_toml
from ruamel.yaml import YAML
from tools.check_release import problems

from nshtrainer import __version__

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
ACTIONS = {
    "actions/checkout",
    "actions/deploy-pages",
    "actions/download-artifact",
    "actions/setup-python",
    "actions/upload-artifact",
    "actions/upload-pages-artifact",
    "pypa/gh-action-pypi-publish",
}
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PROJECT = load_toml(str(ROOT / "pyproject.toml"))["project"]


def load(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


def commands() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return {f"make {target}" for target in re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)}


def jobs(workflow: Path) -> dict[str, Any]:
    return load(workflow)["jobs"]


def steps(workflow: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(workflow).values() for step in job.get("steps", [])]


def workflow(name: str) -> Path:
    return ROOT / ".github" / "workflows" / name


def test_tests_docs_and_releases_have_a_workflow() -> None:
    assert [path.name for path in WORKFLOWS] == ["docs.yml", "release.yml", "tests.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_nothing_but_targets_of_the_makefile(path: Path) -> None:
    assert steps(path)
    for step in steps(path):
        assert ("run" in step) != ("uses" in step)
        assert step.get("run") in {None, *commands()}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_uses_known_actions_at_a_major_version(path: Path) -> None:
    for step in steps(path):
        if "uses" in step:
            action, _, version = step["uses"].partition("@")
            assert action in ACTIONS
            assert re.fullmatch(r"(release/)?v\d+", version)
    for job in jobs(path).values():
        assert "steps" in job or (ROOT / job["uses"]).is_file()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_only_the_job_that_publishes_may_write(path: Path) -> None:
    assert load(path)["permissions"] == {"contents": "read"}
    assert {name for name, job in jobs(path).items() if "permissions" in job} <= {"publish"}


def test_the_workflow_tests_every_python_that_the_project_names() -> None:
    tested = jobs(workflow("tests.yml"))["newest"]["strategy"]["matrix"]["python"]
    named = {
        label.rpartition(" ")[2]
        for label in PROJECT["classifiers"]
        if re.search(r":: 3\.\d+$", label)
    }
    assert named <= set(tested)
    assert tested[0] == PROJECT["requires-python"].removeprefix(">=")


def test_a_tag_is_published_after_tests_and_checks() -> None:
    release = jobs(workflow("release.yml"))
    assert (release["publish"]["needs"], release["build"]["needs"]) == ("build", "tests")
    checks = [step for step in release["build"]["steps"] if "run" in step]
    assert checks == [{"run": "make check-release", "env": {"TAG": "${{ github.ref_name }}"}}]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_an_issue_template_has_what_the_site_requires(path: Path) -> None:
    form = load(path)
    assert {"name", "description", "body"} <= set(form)
    for field in form["body"]:
        assert field["type"] == "markdown" or {"id", "attributes", "validations"} <= set(field)


def test_hooks_call_the_makefile() -> None:
    (repository,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert {hook["entry"] for hook in repository["hooks"]} <= commands()


def test_the_citation_agrees_with_the_project() -> None:
    citation = load(ROOT / "CITATION.cff")
    assert citation["title"] == PROJECT["name"]
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]
    assert citation["abstract"] == PROJECT["description"]


def metadata(version: str, *urls: str) -> Message:
    message = Message()
    message["Version"] = version
    for url in urls:
        message["Project-URL"] = url
    return message


def test_the_first_section_of_the_changelog_is_the_next_release() -> None:
    (first, *_) = re.findall(r"^## \[(.+?)\]", CHANGELOG, re.MULTILINE)
    assert first == re.sub(r"\.?dev\d+$", "", __version__)


def test_a_development_version_has_no_problems_without_a_tag() -> None:
    assert problems(metadata("2.0.0.dev0"), CHANGELOG, "") == []


def test_a_release_needs_a_dated_section_an_address_and_its_own_tag() -> None:
    dated, url = "# Changelog\n\n## [2.0.0] - 2027-01-31\n", "Source, https://example.org"
    assert problems(metadata("2.0.0", url), dated, "v2.0.0") == []
    (tag,) = problems(metadata("2.0.0", url), dated, "v2.0.1")
    (section,) = problems(metadata("2.0.0", url), "## [2.0.0] - unreleased\n", "v2.0.0")
    (address,) = problems(metadata("2.0.0"), dated, "v2.0.0")
    assert tag.startswith("tag 'v2.0.1': does not match version 2.0.0")
    assert section.startswith("CHANGELOG.md: no section '## [2.0.0] - <date>'")
    assert address.startswith("pyproject.toml: repository is empty")
