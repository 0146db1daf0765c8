"""Manifest and config of a run that `nshtrainer fit` started."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import override

from nshtrainer.config.files import write_file
from nshtrainer.escaping import printable
from nshtrainer.integrations.lightning.run_manifest import RunManifest, code_file
from nshtrainer.manifest import relative_path
from nshtrainer.resume import as_data, differing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import lightning.pytorch as pl

    from nshtrainer.project.run_file import RunConfig
    from nshtrainer.runs.run_dir import RunFolder

__all__ = ["FitManifest"]


class FitManifest(RunManifest):
    """Callback that writes `manifest.json` and `config.yaml` of a run.

    Args:
        folder: The folder of the run, whose lock this process holds.
        config: The config of the run file, overrides included.
        checkpoint: The checkpoint that the run resumes from, if any.
    """

    def __init__(self, folder: RunFolder, config: RunConfig, checkpoint: Path | None) -> None:
        super().__init__(folder.path)
        self._resumes = checkpoint is not None
        self._checkpoint = None if checkpoint is None else relative_path(checkpoint)
        self._folder = folder
        self._config = config

    @override
    def lock(self, folder: Path) -> None:
        """Do nothing: the run holds the lock."""

    @override
    def facts(self) -> dict[str, Any]:
        """Return the paths of the run file and of the checkpoint."""
        return {"config_file": self._folder.config_file, "checkpoint": self._checkpoint}

    @override
    def config_of(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
        """Return the config of the run with the hyperparameters in force, and write it as YAML."""
        in_force = self._config.replace(model=cast("Any", module).hparams)
        text = "".join(f"# {printable(line)}\n" for line in self._comments(module, in_force))
        write_file(self._folder.path / "config.yaml", f"{text}{in_force.to_yaml()}")
        return in_force.to_dict()

    def _comments(self, module: pl.LightningModule, in_force: RunConfig) -> Iterator[str]:
        file = code_file(type(module))
        if file is not None:
            code = quote(relative_path(file))
            yield f"For completion in an editor: nshtrainer schema --for {code} -o FILE"
        kept = [each.difference for each in differing(as_data(in_force), as_data(self._config))]
        if kept and self._resumes:
            yield f"Kept from the checkpoint (-> the value in the run file): {', '.join(kept)}"
