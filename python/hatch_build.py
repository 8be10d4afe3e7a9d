"""Builds the executable and the plugins with cargo and puts them into the wheel.

The wheel's tag is computed from the files: of the versions of glibc that their
symbols need, the newest. `auditwheel show` confirms it.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent
#: A folder with the executable and the plugins, which are then not built.
PREBUILT = "PALLIUM_PREBUILT"


def workspace_version() -> str:
    """Return the version of the Rust workspace."""
    manifest = ROOT / "Cargo.toml"
    if not manifest.is_file():
        sys.exit(f"{manifest} does not exist: install `python/` inside a checkout of Pallium, or a wheel")
    found = re.search(r'^\[workspace\.package\]\nversion = "([^"]+)"', manifest.read_text(), re.MULTILINE)
    if found is None:
        sys.exit(f"{manifest} has no version under [workspace.package]")
    return found.group(1)


class CustomBuildHook(BuildHookInterface):
    """Adds what cargo builds to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build and add the files."""
        if self.target_name != "wheel" or version == "editable":
            # An editable installation runs the checkout's own build.
            return
        folder = os.environ.get(PREBUILT)
        built = prebuilt(Path(folder)) if folder else cargo_build()
        self.scratch = tempfile.TemporaryDirectory()
        files = [stripped(file, Path(self.scratch.name)) for file in built]
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag(files)}"
        for file in files:
            build_data["force_include"][str(file)] = f"pallium/_bin/{file.name}"
        for text in ("LICENSE-MIT", "LICENSE-APACHE"):
            build_data["force_include"][str(ROOT / text)] = f"pallium/_bin/{text}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the stripped copies."""
        if scratch := getattr(self, "scratch", None):
            scratch.cleanup()


def prebuilt(folder: Path) -> list[Path]:
    """Return the executable and the plugins in a folder, such as those that cargo-zigbuild made."""
    found = [folder / "pallium", *folder.glob("libpallium_*.so"), *folder.glob("libpallium_*.dylib")]
    if not found[0].is_file() or len(found) < 2:
        sys.exit(f"{folder} in ${PREBUILT} has no executable `pallium` or no plugins `libpallium_*`")
    return sorted(found)


def cargo_build() -> list[Path]:
    """Build the workspace; return the executable and the plugins."""
    cargo = shutil.which("cargo")
    if cargo is None:
        sys.exit("cargo is not on the PATH: install Rust from https://rustup.rs, or install a wheel")
    command = [cargo, "build", "--release", "--locked", "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"`{' '.join(command)}` failed with exit code {done.returncode}; its messages are above")
    found = []
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") != "compiler-artifact":
            continue
        target, folder = message["target"], Path(message["manifest_path"]).parent
        if target["name"] == "pallium" and message.get("executable"):
            found.append(Path(message["executable"]))
        elif "cdylib" in target["crate_types"] and folder.parent == ROOT / "plugins":
            found += [Path(file) for file in message["filenames"] if Path(file).suffix in (".so", ".dylib")]
    if not any(file.name == "pallium" for file in found) or len(found) < 2:
        sys.exit(f"`{' '.join(command)}` made no executable or no plugins in {ROOT}")
    return sorted(found)


def stripped(file: Path, folder: Path) -> Path:
    """Copy a file without debugging sections, which only make it larger; names of functions stay."""
    copy = folder / file.name
    shutil.copy2(file, copy)
    if strip := shutil.which("strip"):
        subprocess.run([strip, "--strip-debug", str(copy)], check=True)
    return copy


def machine() -> str:
    """Return the machine of the wheel: this one's, unless Python is told another."""
    named = os.environ.get("_PYTHON_HOST_PLATFORM", "")
    return named.rpartition("-")[2] if named else platform.machine()


def platform_tag(files: list[Path]) -> str:
    """Return the platform of a wheel with these files: `manylinux_X_Y_…` for the glibc that they need."""
    if not sys.platform.startswith("linux"):
        return re.sub(r"[.-]", "_", sysconfig.get_platform())
    from elftools.elf.elffile import ELFFile  # type: ignore[import-untyped]

    needed = (2, 17)
    for file in files:
        with file.open("rb") as stream:
            section = ELFFile(stream).get_section_by_name(".gnu.version_r")
            for _, versions in section.iter_versions() if section else ():
                for version in versions:
                    if found := re.fullmatch(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?", version.name):
                        needed = max(needed, (int(found[1]), int(found[2])))
    return f"manylinux_{needed[0]}_{needed[1]}_{machine()}"
