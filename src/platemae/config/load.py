"""Read a configuration file; every wrong key is named, with the values that are allowed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from platemae.config.sections import Config
from platemae.config.wrong_values import wrong_values
from platemae.errors import ConfigError, raise_all


def load_config(values: Mapping[str, Any], where: str = "config") -> Config:
    """Validate configuration values.

    Raises
    ------
    ConfigError
        All problems at once, each with its YAML key.
    """
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        problems = wrong_values(error.errors(include_url=False), values, where)
    raise_all(problems)
    raise AssertionError("a ValidationError holds at least one problem")


def read_config(path: Path) -> Config:
    """Read and validate a YAML file.

    Raises
    ------
    ConfigError
        When it is missing, is no YAML mapping, or holds wrong values.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError("the configuration file is missing", str(path), "give --configfile FILE") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the configuration is no valid YAML: {error}", str(path), "mend the line named above"
        ) from None
    if values is not None and not isinstance(values, dict):
        raise ConfigError("the configuration is no mapping of keys", str(path), "start from config.yaml")
    return load_config(values or {}, str(path))
