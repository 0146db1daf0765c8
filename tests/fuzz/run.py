"""Coverage-guided fuzzing of one target, with the options of libFuzzer.

    python -m tests.fuzz.run yaml -max_total_time=60

It begins with the files of `tests/fuzz/corpus`; what it finds goes to `build/fuzz`, an input that
makes the target fail as `build/fuzz/<target>-crash-...`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

# What is imported on use is imported here, or its coverage would not guide.
with atheris.instrument_imports(include=["nshtrainer", "ruamel"]):
    from tests.fuzz.targets import TARGETS

    import nshtrainer.config.errors
    import nshtrainer.config.formats.json
    import nshtrainer.config.formats.toml
    import nshtrainer.config.formats.yaml_reader
    import nshtrainer.config.formats.yaml_writer
    import nshtrainer.config.io
    import nshtrainer.config.overrides  # noqa: F401

SEEDS = Path(__file__).with_name("corpus")


def main(name: str, *options: str) -> None:
    """Fuzz a target, until it fails or an option says to stop."""
    found = Path("build", "fuzz", name)
    found.mkdir(parents=True, exist_ok=True)
    fixed = [
        f"-artifact_prefix={found}-",
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-max_len=4096",
        "-len_control=20",
    ]
    words = SEEDS / "words.txt"
    folders = [str(found), str(SEEDS / name)]
    atheris.Setup([sys.argv[0], *fixed, f"-dict={words}", *options, *folders], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
