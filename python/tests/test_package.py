"""What is installed: the command, plugins of other distributions, the wheel's tag."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import tomli_w

import pallium
from pallium import _program

BOOK = Path(__file__).parents[2] / "docs"


@pytest.mark.skipif(not BOOK.is_dir(), reason="the tests are not in a checkout")
def test_a_wheel_brings_a_plugin(tmp_path, monkeypatch):
    """The package of the book's page, with a plugin that the executable's folder lacks."""
    built = _program.executable().parent
    own, site, crate = tmp_path / "own", tmp_path / "site", tmp_path / "long-wires"
    for folder in (own, crate, tmp_path / "bin"):
        folder.mkdir()
    for file in [built / "pallium", *built.glob("libpallium_*.so")]:
        if "signal" not in file.name:
            shutil.copy2(file, own / file.name)
    page = (BOOK / "sharing-a-plugin.md").read_text("utf-8")
    for name, text in re.findall(r"<!-- file: long-wires/(\S+) -->\n```\w+\n(.*?)```", page, re.DOTALL):
        (crate / name).write_text(text)
    # In place of cargo, since tests need no Rust.
    cargo = tmp_path / "bin" / "cargo"
    cargo.write_text(
        f"#!/bin/sh\nmkdir -p target/release && cp {built}/libpallium_signal.so target/release\n"
    )
    cargo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cargo.parent}{os.pathsep}{os.environ['PATH']}")
    for command in (
        ["build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(crate)],
        [
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--target",
            str(site),
            "-f",
            str(tmp_path),
            "long-wires",
        ],
    ):
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"long_wires-0.1.0-py3-none-{sysconfig.get_platform().replace('-', '_')}.whl"
    monkeypatch.setenv("PALLIUM_EXECUTABLE", str(own / "pallium"))
    assert "signal.sine-wave" not in set(pallium.plugins()["id"])
    monkeypatch.syspath_prepend(str(site))
    listed = pallium.plugins().set_index("id")
    assert listed.loc["signal.sine-wave", "file"] == str(site / "long_wires" / "libpallium_signal.so")


def test_the_conda_recipe_has_this_version():
    recipe = BOOK.parent / "packaging" / "conda" / "recipe.yaml"
    if not recipe.is_file():
        pytest.skip("the tests are not in a checkout")
    version = _program.call("--version").split()[1]
    assert f'version: "{version}"' in recipe.read_text("utf-8")


def test_a_broken_entry_point_names_its_distribution(tmp_path, monkeypatch):
    about = tmp_path / "other-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[pallium.plugins]\nlab = not_there\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(pallium.PalliumError, match="other names plugins in `not_there`"):
        pallium.plugins()


def test_the_command_is_on_the_path():
    command = Path(sysconfig.get_path("scripts")) / "pallium"
    if not command.exists():
        pytest.skip("the package is used from its sources")
    version = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    assert version.split() == ["pallium", pallium.__version__]
    module = subprocess.run(
        [sys.executable, "-m", "pallium", "--version"], capture_output=True, text=True, check=True
    )
    assert module.stdout == version


def test_a_command_to_repeat_is_the_users_own(small, tmp_path):
    command = Path(sysconfig.get_path("scripts")) / "pallium"
    if not command.exists():
        pytest.skip("the package is used from its sources")
    small["variant"][0]["constraints"] = [pallium.use("python.constraint", path="lab.py", name="Fails")]
    (tmp_path / "lab.py").write_text(
        "class Fails:\n    def penalty(self, weights):\n        return 1 / 0, weights\n"
    )
    (tmp_path / "small.toml").write_text(tomli_w.dumps(small))
    run = [command, "run", "small.toml", "--out", "out"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3
    assert f"\n  {command} run small.toml" in done.stderr


def test_new_plugins_in_rust_can_be_begun(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = pallium.plugins.new("long-wires", "constraint")
    assert (folder / "vendor").is_dir()
    assert (folder / "src" / "lib.rs").is_file()
