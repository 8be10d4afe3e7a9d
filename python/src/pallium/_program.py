"""The executable: where it is, how it is run, and what its errors become."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

#: The group of entry points by which other distributions name folders of compiled plugins.
ENTRY_POINTS = "pallium.plugins"
#: Exit code if some trainings or metrics failed and the others are stored.
SOME_FAILED = 3
_EXECUTABLE = "PALLIUM_EXECUTABLE"
_PLUGIN_PATH = "PALLIUM_PLUGIN_PATH"
_PYTHON = "PALLIUM_PYTHON"


class PalliumError(Exception):
    """An error that the executable reports.

    Attributes
    ----------
    message
        What is wrong.
    causes
        What caused it, the nearest cause first.
    help
        How to fix it, if that is known.
    file, line
        The place that the message names, if it names one.
    exit_code
        Exit code of the executable: 2 is a mistake in the input, 101 is a bug.
    """

    def __init__(
        self,
        message: str,
        *,
        causes: Iterable[str] = (),
        help: str | None = None,
        exit_code: int = 2,
    ) -> None:
        self.message = message
        self.causes = tuple(causes)
        self.help = help
        self.exit_code = exit_code
        self.file, self.line = _place([message, *self.causes])
        lines = [message, *(f"because: {cause}" for cause in self.causes)]
        super().__init__("\n  ".join(lines + ([f"help: {help}"] if help else [])))


def _place(texts: Iterable[str]) -> tuple[str | None, int | None]:
    texts = list(texts)
    for text in texts:
        if found := re.search(r"([^\s`'\"(]+\.\w+):(\d+)", text) or re.search(
            r"([^\s`'\"(]+\.py), line (\d+)", text
        ):
            return found[1], int(found[2])
    for text in texts:
        # A class of a file, or a file as a whole.
        if found := re.search(r"` of ([^\s`]+\.py)\b", text) or re.match(
            r"([^\s`:]+\.(?:toml|py|csv|npy|npz|nwb|parquet|gz)): ", text
        ):
            return found[1], None
    return None, None


#: Packages that some functions need, and the extra of this package that installs each.
_EXTRAS = {"polars": "polars", "scipy": "scipy", "torch": "torch", "xarray": "xarray"}


def optional(module: str) -> Any:  # noqa: ANN401
    """Import a module of a package that only some functions need."""
    package = module.split(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != package:
            raise
        raise PalliumError(
            f"this needs the package {package}, which {sys.executable} does not have",
            help=f"pip install 'pallium[{_EXTRAS[package]}]', or pip install {package}",
        ) from None


def executable() -> Path:
    """Return the path of the executable.

    In this order: `$PALLIUM_EXECUTABLE`, the executable in the installed package, the build of the
    checkout that the package is used from, `pallium` on the `PATH`.
    """
    if named := os.environ.get(_EXECUTABLE):
        if not os.access(named, os.X_OK):
            raise PalliumError(
                f"{named} in ${_EXECUTABLE} is not an executable", help=f"correct or unset {_EXECUTABLE}"
            )
        return Path(named)
    here = Path(__file__).resolve().parent
    candidates = [here / "_bin" / "pallium"]
    if here.parent.name == "src":
        target = os.environ.get("CARGO_TARGET_DIR", str(here.parents[2] / "target"))
        candidates.append(Path(target) / "release" / "pallium")
    for file in candidates:
        if os.access(file, os.X_OK):
            return file
    # The console script of this very package would call itself again.
    own = Path(sysconfig.get_path("scripts")).resolve()
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    others = [folder for folder in path if folder and Path(folder).resolve() != own]
    if found := shutil.which("pallium", path=os.pathsep.join(others)):
        return Path(found)
    raise PalliumError(
        "the executable of Pallium is missing",
        help="install a wheel, run `cargo build --release` in the checkout, "
        f"or set {_EXECUTABLE} to the executable",
    )


def plugin_folders() -> list[Path]:
    """Return the folders of compiled plugins that installed distributions bring.

    A distribution names its folder by an entry point of the group `pallium.plugins`, whose value is the
    package that contains the files: `lab = "lab_plugins"`.
    """
    folders: dict[Path, None] = {}
    for point in metadata.entry_points(group=ENTRY_POINTS):
        from importlib.util import find_spec

        spec = find_spec(point.module)
        if spec is None or not spec.submodule_search_locations:
            owner = point.dist.name if point.dist else "a distribution"
            raise PalliumError(
                f"{owner} names plugins in `{point.module}`, which is not a package",
                help=f"reinstall or uninstall {owner}",
            )
        folders.update((Path(place), None) for place in spec.submodule_search_locations)
    return list(folders)


def environment() -> dict[str, str]:
    """Return the environment of the executable: plugins of other distributions, and this Python."""
    env = dict(os.environ)
    folders = [str(folder) for folder in plugin_folders()]
    if folders:
        known = [env[_PLUGIN_PATH]] if env.get(_PLUGIN_PATH) else []
        env[_PLUGIN_PATH] = os.pathsep.join(known + folders)
    if not env.get(_PYTHON):
        env[_PYTHON] = sys.executable
    return env


def main() -> None:
    """Run the executable with this process's arguments: the command `pallium`."""
    try:
        program, env = executable(), environment()
    except PalliumError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    # Messages that show a command to repeat begin with the word that the user's began with.
    word = sys.argv[0] if Path(sys.argv[0]).name == "pallium" else str(program)
    os.execve(program, [word, *sys.argv[1:]], env)


def error_of(stderr: str, exit_code: int) -> PalliumError:
    """Return the exception for what the executable wrote to standard error."""
    lines = stderr.splitlines()
    begins = [at for at, line in enumerate(lines) if line.startswith("error:")]
    if not begins:
        if exit_code < 0:
            return PalliumError(
                f"`pallium` was ended by signal {-exit_code}",
                help="repeat the call: a run continues where it was",
                exit_code=exit_code,
            )
        text = "\n".join(lines[-12:]).strip() or "no message"
        return PalliumError(f"pallium ended with exit code {exit_code}: {text}", exit_code=exit_code)
    parts: list[list[str]] = [["message", lines[begins[-1]].removeprefix("error:").strip()]]
    for line in lines[begins[-1] + 1 :]:
        if found := re.match(r"\s+(because|help|tip): (.*)", line):
            parts.append([found[1], found[2]])
        elif line.strip() and not line.startswith("Usage:") and not line.startswith("For more"):
            parts[-1][1] += f"\n{line.strip()}"
    helps = [text for kind, text in parts if kind in ("help", "tip")]
    return PalliumError(
        parts[0][1],
        causes=[text for kind, text in parts if kind == "because"],
        help="\n".join(helps) or None,
        exit_code=exit_code,
    )


def call(*arguments: str | os.PathLike[str]) -> str:
    """Run the executable and return its standard output; raise `PalliumError` if it fails."""
    done = finished(*arguments)
    if done.returncode != 0:
        raise error_of(done.stderr, done.returncode)
    return done.stdout


def finished(*arguments: str | os.PathLike[str]) -> subprocess.CompletedProcess[str]:
    """Run the executable and return what it printed and its exit code."""
    return subprocess.run(
        [str(executable()), *(str(argument) for argument in arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )


def call_json(*arguments: str | os.PathLike[str]) -> Any:  # noqa: ANN401
    """Run the executable with `--json` and return what it prints."""
    return json.loads(call(*arguments, "--json"))


def settings(option: str, values: Mapping[str, Any] | None) -> list[str]:
    """Return repeated options `--option name=value` with the values in TOML."""
    found: list[str] = []
    for name, value in (values or {}).items():
        found += [option, f"{name}={toml_value(value)}"]
    return found


def toml_value(value: object) -> str:
    """Return a value in TOML."""
    import tomli_w

    plain = to_plain(value)
    if isinstance(plain, dict):
        inner = ", ".join(f"{json.dumps(str(k))} = {toml_value(v)}" for k, v in plain.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(plain, list):
        return f"[{', '.join(toml_value(item) for item in plain)}]"
    return tomli_w.dumps({"v": plain}).removeprefix("v = ").rstrip("\n")


def to_plain(value: object) -> Any:  # noqa: ANN401
    """Return dataclasses, numpy values, tuples and paths as what TOML has; leave out `None` in tables."""
    import dataclasses

    if hasattr(value, "to_dict") and not isinstance(value, type):
        return to_plain(value.to_dict())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [to_plain(item) for item in value]
    if value is None or not isinstance(value, (bool, int, float, str)):
        raise TypeError(f"{value!r} cannot be written into an experiment: use text, numbers, lists and dicts")
    return value
