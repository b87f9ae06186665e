"""The one way to the package's HTML templates: everything shown is escaped, and what is not given is an error."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined


def environment(folder: str = "") -> Environment:
    """Templates of `resources/templates`, or of a folder there, by their names."""
    root = files("nlp_compliance") / "resources" / "templates" / folder
    return Environment(
        loader=FunctionLoader(lambda name: (root / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
