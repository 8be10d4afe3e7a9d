"""What is installed: the command, plugins of other distributions, the wheel's tag."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import pallium
from pallium import _program


def test_plugins_of_other_distributions_are_found(tmp_path, monkeypatch):
    """A distribution with an entry point brings a plugin that the executable's folder lacks."""
    built = _program.executable().parent
    own, site = tmp_path / "own", tmp_path / "site"
    package = site / "lab_plugins"
    package.mkdir(parents=True)
    own.mkdir()
    (package / "__init__.py").write_text("")
    for file in [built / "pallium", *built.glob("libpallium_*.so")]:
        folder = package if "signal" in file.name else own
        shutil.copy2(file, folder / file.name)
    about = site / "lab_plugins-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-plugins\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[pallium.plugins]\nlab = lab_plugins\n")
    monkeypatch.setenv("PALLIUM_EXECUTABLE", str(own / "pallium"))
    assert "signal.sine-wave" not in set(pallium.plugins()["id"])
    monkeypatch.syspath_prepend(str(site))
    listed = pallium.plugins().set_index("id")
    assert listed.loc["signal.sine-wave", "file"] == str(package / "libpallium_signal.so")


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


def test_new_plugins_in_rust_can_be_begun(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = pallium.plugins.new("long-wires", "constraint")
    assert (folder / "vendor").is_dir()
    assert (folder / "src" / "lib.rs").is_file()
