"""Write a layout, read it, or see what it is refused for."""

import pytest

from platemae.errors import ConfigError
from platemae.layouts.options import LayoutOptions
from platemae.layouts.read import read_layout

TREATED = LayoutOptions(control_types={"unlabelled": "treatment"})


def read(path, plate="P1", **options):
    return read_layout(path, plate, LayoutOptions(**options))


def refused(path, plate="P1", **options):
    with pytest.raises(ConfigError) as error:
        read(path, plate, **options)
    return str(error.value)


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path
