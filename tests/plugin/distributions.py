"""Small installed distributions, made on disk: healthy plugins and every sort of broken one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

from fusekit import API_VERSION

FACE = """\
from fusekit.plugin import component, hookimpl
FUSEKIT_API = ">=1.0,<2"

@hookimpl
def fusekit_components():
    return [component("backbone", "{namespace}.net", target="{module}:Net", summary="a network",
                      config="{module}:Config")]
"""
"""An entry module whose component's parts stand in the module itself."""

CONFIG = """\
from fusekit.interfaces.config import ComponentConfig, Field

class Config(ComponentConfig):
    width: int = Field(3, ge=1, description="width of the network")
"""


def face(components: str, before: str = "") -> str:
    """An entry module whose hook runs ``return COMPONENTS``."""
    return (
        f"from fusekit.plugin import ComponentSpec, component, hookimpl\n{before}\n"
        f"@hookimpl\ndef fusekit_components():\n    return {components}\n"
    )


def install(
    folder: Path,
    distribution: str,
    source: str | None = None,
    *,
    namespace: str | None = None,
    module: str | None = None,
    value: str | None = None,
    version: str = "1.0",
    requires: tuple[str, ...] = (),
    files: Mapping[str, str] | None = None,
) -> Path:
    """Lays down what pip would: a module, and a ``dist-info`` folder with its entry point.

    Args:
        folder: Stands for ``site-packages``.
        distribution: Its name, such as ``fusekit-toyseg``.
        source: The entry module; None for a healthy one.
        namespace: Name of the entry point; from the distribution's name when absent.
        module: Name of the entry module; from the distribution's name when absent.
        value: What the entry point names, if not the module.
        version: Version in the metadata.
        requires: Requirements in the metadata.
        files: Further files.

    Returns:
        The ``dist-info`` folder.
    """
    stem = distribution.replace("-", "_")
    namespace = namespace or distribution.removeprefix("fusekit-").replace("-", "_")
    module = module or stem
    text = FACE.format(namespace=namespace, module=module) + CONFIG if source is None else dedent(source)
    (folder / f"{module}.py").write_text(text, "utf-8")
    for name, content in (files or {}).items():
        (folder / name).write_text(dedent(content), "utf-8")
    info = folder / f"{stem}-{version}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n", "utf-8")
    (info / "entry_points.txt").write_text(f"[fusekit]\n{namespace} = {value or module}\n", "utf-8")
    (info / "RECORD").write_text(f"{module}.py,,\n{info.name}/METADATA,,\n", "utf-8")
    return info


@dataclass(frozen=True)
class Broken:
    """A plugin with one fault.

    Attributes:
        state: What the loader should call it.
        reason: What its reason should say.
        source: Its entry module; None for a healthy one.
        value: What its entry point names, if not the module.
        requires: Requirements in its metadata.
        damage: Metadata files to overwrite, by name; None deletes the file.
        traced: Whether there is a traceback to show.
    """

    state: str
    reason: str
    source: str | None = None
    value: str | None = None
    requires: tuple[str, ...] = ()
    damage: Mapping[str, bytes | None] = field(default_factory=dict)
    traced: bool = True

    def install(self, folder: Path, namespace: str) -> None:
        """Lays it down as ``fusekit-NAMESPACE``."""
        info = install(folder, f"fusekit-{namespace}", self.source, value=self.value, requires=self.requires)
        for name, content in self.damage.items():
            if content is None:
                (info / name).unlink()
            else:
                (info / name).write_bytes(content)


_NET = 'component("backbone", "{0}", target="m:Net", summary="a network")'

BROKEN: dict[str, Broken] = {
    "noimport": Broken("broken", "ModuleNotFoundError: No module named 'brick'", "import brick"),
    "nosyntax": Broken("broken", "SyntaxError: invalid syntax (fusekit_nosyntax.py, line 1)", "def def"),
    "exits": Broken("broken", "SystemExit: I give up", "raise SystemExit('I give up')"),
    "panics": Broken("broken", "Panic: at the disco", "class Panic(BaseException): ...\nraise Panic('at the disco')"),
    "unprintable": Broken(
        "broken",
        "Odd: (its message cannot be shown)",
        "class Odd(Exception):\n    def __str__(self): return 1 / 0\nraise Odd",
    ),
    "wordy": Broken("broken", "ValueError: first second", "raise ValueError('first\\n\\n   second\\n')"),
    "signature": Broken(
        "broken",
        "PluginValidationError: Plugin 'signature' for hook 'fusekit_components' hookimpl definition: "
        "fusekit_components(extra) Argument(s) {'extra'} are declared in the hookimpl but can not be found",
        "from fusekit.plugin import hookimpl\n@hookimpl\ndef fusekit_components(extra): return []",
    ),
    "stranger": Broken(
        "broken",
        "PluginValidationError: unknown hook 'fusekit_componets' in plugin",
        face("[]") + "@hookimpl\ndef fusekit_componets(): return []",
    ),
    "unmarked": Broken(
        "broken",
        "TypeError: fusekit_components() looks like a hook but is not marked with @hookimpl",
        "def fusekit_components(): return []",
    ),
    "hookless": Broken("broken", "TypeError: it does not implement the hook fusekit_components()", "x = 1"),
    "raising": Broken("broken", "ZeroDivisionError: division by zero", face("1 / 0")),
    "returnsnone": Broken("broken", "fusekit_components() returned None, not a list", face("None")),
    "returnstext": Broken("broken", "fusekit_components() returned 'a.b', not a list", face("'a.b'")),
    "returnsnumber": Broken("broken", "fusekit_components() returned 7, not a list", face("7")),
    "returnsdict": Broken(
        "broken",
        "fusekit_components() returned {'kind': 'task'}; make specs with fusekit.plugin.component",
        face("[{'kind': 'task'}]"),
    ),
    "outside": Broken(
        "broken",
        "ValueError: component 'baselines.mean' is outside its plugin's namespace 'outside'",
        face(f"[{_NET.format('baselines.mean')}]"),
    ),
    "twice": Broken(
        "broken",
        "ValueError: two components of kind backbone are called 'twice.net'",
        face(f"[{_NET.format('twice.net')}] * 2"),
    ),
    "kindless": Broken(
        "broken",
        "ValueError: component 'kindless.net': unknown kind 'moon'; kinds are backbone, ",
        face('[ComponentSpec("moon", "kindless.net", "m:Net", "a network")]'),
    ),
    "badname": Broken(
        "broken",
        "ValueError: component name 'badname.Net' is not of the form namespace.component in lower case",
        face(f"[{_NET.format('badname.Net')}]"),
    ),
    "badtarget": Broken(
        "broken",
        "ValueError: component 'badtarget.net': target 'm.Net' is not of the form package.module:Class",
        face(f"[{_NET.format('badtarget.net').replace('m:Net', 'm.Net')}]"),
    ),
    "oldapi": Broken(
        "incompatible",
        f"it is written for plugin API <1.0, this is API {API_VERSION}",
        face("[]", 'FUSEKIT_API = "<1.0"'),
        traced=False,
    ),
    "malformedapi": Broken(
        "broken",
        "ValueError: FUSEKIT_API = 'one' is not a version range such as '>=1.0,<2'",
        face("[]", 'FUSEKIT_API = "one"'),
    ),
    "unmet": Broken(
        "incompatible",
        "it requires image-fusekit>=99, this is image-fusekit 0.",
        "raise AssertionError('imported although it cannot fit')",
        requires=("numpy", "Image_Fusekit >= 99 ; python_version > '3'"),
        traced=False,
    ),
    "nomodule": Broken("broken", "ModuleNotFoundError: No module named 'fusekit_moved'", value="fusekit_moved"),
    "notamodule": Broken(
        "broken",
        "ValueError: its entry point 'fusekit_notamodule:plugin' does not name a module",
        value="fusekit_notamodule:plugin",
    ),
    "nometadata": Broken("broken", "damaged metadata, METADATA: ", damage={"METADATA": None}, traced=False),
    "binarymetadata": Broken(
        "broken",
        "damaged metadata, METADATA: UnicodeDecodeError: 'utf-8' codec can't decode",
        damage={"METADATA": b"Name: \xff\xfe"},
        traced=False,
    ),
    "namelessmetadata": Broken(
        "broken", "damaged metadata, METADATA: ", damage={"METADATA": b"Version: 1.0\n"}, traced=False
    ),
    "binarypoints": Broken(
        "broken",
        "damaged metadata, entry_points.txt: UnicodeDecodeError: ",
        damage={"entry_points.txt": b"[fusekit]\n\xff\xfe = x\n"},
        traced=False,
    ),
    "tornpoints": Broken(
        "broken",
        "damaged metadata, entry_points.txt: ",
        damage={"entry_points.txt": b"[fusekit]\ntornpoints\n"},
        traced=False,
    ),
}
"""Namespace → what is wrong with the plugin ``fusekit-NAMESPACE``."""


def install_all(folder: Path) -> None:
    """Every broken plugin at once, strangers who clash with each other and with a built-in, a healthy one."""
    for namespace, broken in BROKEN.items():
        broken.install(folder, namespace)
    install(folder, "fusekit-rival-a", namespace="rivals")
    install(folder, "fusekit-rival-b", namespace="rivals")
    install(folder, "fusekit-squatter", namespace="uaafusion")
    install(folder, "fusekit-borrower", namespace="local")
    install(folder, "fusekit-healthy")
    noise = folder / "unrelated-1.0.dist-info"  # somebody else's damage is none of our business
    noise.mkdir()
    (noise / "entry_points.txt").write_bytes(b"[other]\n\xff\n")
