"""YAML files of options as Hydra reads them: UTF-8 with or without a byte-order mark; broken ones are one line."""

import io
from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf
from yaml import MarkedYAMLError, YAMLError

from vaezoo.choices import GLOBAL
from vaezoo.errors import UsageError

SCHEME = "vaezoo-conf"


class ConfFolder(FileConfigSource):
    """A folder with one folder per group; files of `experiment` and `sweep` need no ``# @package _global_``."""

    @staticmethod
    def scheme() -> str:
        """As Hydra's; the part of its path before ``://``."""
        return SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        """One file.

        Raises:
            UsageError: it is not YAML in UTF-8 with keys and values.
        """
        file = Path(self.path, self._normalize_file_name(config_path))
        text = _text(file)
        header = self._get_header_dict(text)
        if file.parent.name in GLOBAL:
            header["package"] = header.get("package") or "_global_"
        return ConfigResult(self.provider, self.full_path(), _parsed(file, text), header=header)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(f"{file}, line {line}: not UTF-8; save the file in this encoding") from error
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror})") from error


def _parsed(file: Path, text: str) -> DictConfig:
    try:
        config = OmegaConf.load(io.StringIO(text))
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"{file}{line}: not YAML ({error.problem or error.context})") from error
    except (YAMLError, OSError, RecursionError, ValueError) as error:
        raise UsageError(f"{file}: not YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(config, DictConfig):
        raise UsageError(f"{file}: must hold keys and values, not a list")
    return config
