"""How our HTML pages look: colours, type and measure, the same for the report and for the page of a training."""

from importlib.resources import files

BASE_CSS = (files(__name__) / "base.css").read_text(encoding="utf-8")
