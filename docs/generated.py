"""Pages that say what the code says: the command line, components' options, recipe sections.

A hook of mkdocs. A line ``<!-- fusekit: WHAT -->`` of a page is replaced: ``cli`` by every command,
``components`` by every built-in component, ``section NAME`` by the options of a section of recipes, ``code_lines`` by
the size of the core and of what stands around it, ``severities`` by the numbers of the degradations' severities.
"""

from __future__ import annotations

import html
import importlib.util
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import Any

from typer.main import get_command

import fusekit.recipe.schema as sections
from fusekit.cli.app import app
from fusekit.cli.option_text import option_texts
from fusekit.interfaces import SEVERITIES
from fusekit.plugin.loader import PluginPolicy, load_plugins
from fusekit.plugin.registry import Registry

_spec = importlib.util.spec_from_file_location("code_lines", Path(__file__).with_name("code_lines.py"))
assert _spec is not None
assert _spec.loader is not None
sizes = importlib.util.module_from_spec(_spec)  # a script beside this one, in no package
_spec.loader.exec_module(sizes)

_MARK = re.compile(r"^<!-- fusekit: (\w+)(?: (\w+))? -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page."""
    made = {
        "cli": cli,
        "components": components,
        "section": section,
        "code_lines": code_lines,
        "severities": severities,
    }
    return _MARK.sub(lambda mark: "\n".join(made[mark[1]](*filter(None, [mark[2]]))), markdown)


def cli() -> Iterator[str]:
    """Every command with its arguments and options."""
    root = get_command(app)
    yield "## fusekit"
    yield from _command(root, "fusekit")
    for name, command in root.commands.items():
        subcommands = getattr(command, "commands", None)
        if subcommands is None:
            yield f"\n## fusekit {name}"
            yield from _command(command, f"fusekit {name}")
        for inner, subcommand in (subcommands or {}).items():
            yield f"\n## fusekit {name} {inner}"
            yield from _command(subcommand, f"fusekit {name} {inner}")


def components() -> Iterator[str]:
    """The components of the distribution itself, by kind; strangers that happen to be installed are left out."""
    registry = Registry(load_plugins(PluginPolicy(third_party=False)))
    for kind, specs in groupby(registry.specs(), key=lambda spec: spec.kind):
        yield f"\n## {kind}"
        for spec in specs:
            paper = f" {spec.paper}." if spec.paper else ""
            yield f"\n### {spec.name}\n\n{spec.summary}.{paper} Class: `{spec.target}`.\n"
            if kind != "metric":
                yield from _options(registry.config_class(spec.kind, spec.name))


def section(name: str) -> Iterator[str]:
    """The options of a section of recipes."""
    yield from _options(getattr(sections, name))


def severities() -> Iterator[str]:
    """The numbers of each severity of the built-in transforms, and the roles that they change by default."""
    registry = Registry(load_plugins(PluginPolicy(third_party=False)))
    yield f"| transform | changes by default | option | {' | '.join(SEVERITIES)} | meaning |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for spec in registry.specs("transform"):
        config: Any = registry.config_class(spec.kind, spec.name)
        changed = " and ".join(config().suited_roles(("infrared", "visible")))
        for name, info in config.model_fields.items():
            numbers = info.get_default(call_default_factory=True)
            if isinstance(numbers, dict) and list(numbers) == list(SEVERITIES):
                cells = [f"{number:g}" for number in numbers.values()] + [_cell(info.description or "")]
                yield f"| `{spec.name}` | {changed} | `{name}` | {' | '.join(cells)} |"


def code_lines() -> Iterator[str]:
    """How large the core is, counted by `docs/code_lines.py`."""
    counted = sizes.packages()
    core = sum(counted[name] for name in sizes.CORE)
    yield (
        f"Lines of code, without comments and docstrings (`python docs/code_lines.py`): {core:,} in the core below "
        f"`pipeline` and `cli`, {sum(counted.values()) - core:,} in these two and the wings."
    )


def _options(config: Any) -> Iterator[str]:
    options = [option for option in option_texts(config) if option.depth == 0]
    if not options:
        yield "No options."
        return
    yield "\n| option | default | may be | meaning |\n| --- | --- | --- | --- |"
    for option in options:
        default = "required" if option.default is None else _code(option.default) if option.default else ""
        yield f"| `{option.name}` | {default} | {_cell(option.allowed)} | {_cell(option.description)} |"
    yield ""


def _command(command: Any, name: str) -> Iterator[str]:
    text, _, example = (command.help or "").partition("Example:")
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    pieces = [(p.metavar or p.name.upper()) + ("..." if p.nargs == -1 else "") for p in arguments]
    inner = "COMMAND" if hasattr(command, "commands") else ""
    yield f"\n```text\n{' '.join(filter(None, [name, '[OPTIONS]', inner, *pieces]))}\n```\n"
    yield " ".join(text.split()) + "\n"
    if example.strip():
        yield f"Example: `{' '.join(example.split())}`\n"
    rows = [_parameter(p) for p in command.params if p.help or p.param_type_name == "option"]
    if rows:
        yield "| argument, option | meaning |\n| --- | --- |"
        yield from rows
        yield ""


def _parameter(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        shown = parameter.metavar or parameter.name.upper()
    else:
        value = "" if parameter.is_flag else f" {parameter.metavar or _value(parameter)}"
        shown = ", ".join([*parameter.opts, *parameter.secondary_opts]) + value
    return f"| {_code(shown)} | {_cell(parameter.help or '')} |"


def _value(parameter: Any) -> str:
    """What stands after an option; typer's parameters differ between its versions."""
    kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    choices = list(kind) if inspect.isclass(kind) and issubclass(kind, Enum) else None
    choices = choices or getattr(getattr(parameter, "type", None), "choices", None)
    if choices:
        return " | ".join(str(getattr(choice, "value", choice)) for choice in choices)
    return str(parameter.name).rstrip("_").upper()


def _code(text: str) -> str:
    return f"<code>{_escaped(text)}</code>"


def _cell(text: str) -> str:
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    return "".join(_code(part.strip("`")) if part.startswith("`") else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    """Text that neither HTML nor Markdown takes for its own."""
    return re.sub(r"[|*_\[\]`]", lambda sign: f"&#{ord(sign[0])};", html.escape(text, quote=False))
