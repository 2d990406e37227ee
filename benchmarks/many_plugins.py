"""Compares the command line with fifty installed plugins and with none.

The plugins are real distributions: `fusekit plugins new` creates them, of each kind in turn, and pip builds and
installs them into a separate folder. ``fusekit --help`` and ``fusekit plugins list`` then run as processes, alternately
with and without the folder on the path; ratios are computed from medians and from minima. Every process also reports
whether it imported torch. The script exits with 1 if one did, if a plugin did not load, or if a ratio of medians is
above 2.

Run: python benchmarks/many_plugins.py [--plugins N] [--repeats N]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from fusekit.authoring.scaffold import KINDS_TO_START, write_plugin

COMMANDS = (["--help"], ["plugins", "list"])
LIMIT = 2.0
PROGRAM = """\
import sys
from fusekit.cli.app import main
try:
    main(sys.argv[1:])
finally:
    sys.exit(9) if "torch" in sys.modules else None
"""


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        _install(Path(folder), site, arguments.plugins)
        loaded = _run(["plugins", "list"], site).stdout.count("  loaded")
        own = _run(["plugins", "list"], None).stdout.count("  loaded")
        print(f"{loaded - own} of {arguments.plugins} plugins loaded, besides fusekit's own {own}")
        failed = loaded - own != arguments.plugins
        print(f"{'':<16} {'none':>9} {'all':>9} {'ratio of medians':>18} {'of minima':>10}")
        for words in COMMANDS:
            times: dict[bool, list[float]] = {False: [], True: []}
            for _ in range(arguments.repeats):
                for present, seconds in times.items():
                    start = time.perf_counter()
                    _run(words, site if present else None)
                    seconds.append(time.perf_counter() - start)
            none, all_of_them = times[False], times[True]
            ratio = median(all_of_them) / median(none)
            least = min(all_of_them) / min(none)
            name = " ".join(words)
            print(f"{name:<16} {median(none):7.3f} s {median(all_of_them):7.3f} s {ratio:18.2f} {least:10.2f}")
            failed |= ratio > LIMIT
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plugins", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=15)
    return parser.parse_args()


def _install(folder: Path, site: Path, count: int) -> None:
    """Creates the plugins and installs them with pip, without dependencies, which are already installed."""
    for number in range(count):
        kind = KINDS_TO_START[number % len(KINDS_TO_START)]
        write_plugin(f"many{number}", kind, folder / "sources" / str(number))
    sources = sorted(str(path) for path in (folder / "sources").iterdir())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), *sources], check=True)


def _run(words: list[str], site: Path | None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site or "")}
    environment.pop("FUSEKIT_PLUGINS", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"fusekit {' '.join(words)}: " + ("torch was imported" if done.returncode == 9 else done.stderr))
    return done


if __name__ == "__main__":
    sys.exit(main())
