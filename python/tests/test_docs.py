"""The blocks of the book's pages on Python run, in order."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pallium import _program

BOOK = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"(?:<!-- (\w+): ([^>]*) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)


@pytest.mark.skipif(not BOOK.is_dir(), reason="the tests are not in a checkout")
@pytest.mark.parametrize("page", ["python.md", "python-components.md"])
def test_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind, what, language, text in BLOCK.findall((BOOK / page).read_text("utf-8")):
        if kind == "file":
            Path(what).write_text(text)
        elif language == "python":
            if "torch" in text:
                pytest.importorskip("torch")
            done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
            assert done.returncode == 0, f"{page}: {text}\n{done.stderr}"
        elif language == "sh":
            for line in text.splitlines():
                words = line.split("#")[0].split()
                assert words[0] == "pallium", line
                print(_program.call(*words[1:]))


def test_the_first_example_of_the_package_runs(tmp_path, monkeypatch):
    readme = BOOK.parent / "python" / "README.md"
    if not readme.is_file():
        pytest.skip("the tests are not in a checkout")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", readme.read_text("utf-8"), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "(40, 40)" in done.stdout
