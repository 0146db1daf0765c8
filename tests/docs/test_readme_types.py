"""The Python of the README passes pyright and mypy in strict mode."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    always = re.sub(r"<!-- skip: next if.*?^```\n\n", "", readme, flags=re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"^```python\n(.*?)^```", always, flags=re.DOTALL | re.MULTILINE)
    # torch's `backward` has no types.
    code = [block.replace(".backward()", "") for block in blocks if not block.startswith(">>>")]
    assert len(code) >= 3
    path = tmp_path / "readme.py"
    path.write_text("\n\n".join(code), encoding="utf-8")
    return path


def check(*command: str, folder: Path) -> None:
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_pyright_accepts_the_readme(program: Path) -> None:
    pyright = shutil.which("pyright", path=Path(sys.executable).parent)
    if pyright is None:
        pytest.skip("pyright is in the group lint")
    config = '{"typeCheckingMode": "strict", "pythonVersion": "3.10"}'
    (program.parent / "pyrightconfig.json").write_text(config, encoding="utf-8")
    check(pyright, "--pythonpath", sys.executable, program.name, folder=program.parent)


@pytest.mark.slow
def test_mypy_accepts_the_readme(program: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is in the group lint")
    check(sys.executable, "-m", "mypy", "--strict", program.name, folder=program.parent)
