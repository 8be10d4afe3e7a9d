"""Makes PyPI's build of PyTorch importable without NVIDIA's libraries.

The build links libraries of several gigabytes, which tests on processors never call. For each that is
missing, this writes a library with the same symbols, whose functions return "no device". Needs a C
compiler and pyelftools; run it with the Python that has PyTorch.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

from elftools.elf.elffile import ELFFile

#: cudaErrorNoDevice; every other library's status is an error too, if not 0.
NO_DEVICE = 100
#: How the names of NVIDIA's libraries begin.
PREFIXES = ("libcu", "libnv", "libnccl")


class Needs:
    """What libraries need: others by name, and of each the symbols by version."""

    def __init__(self) -> None:
        self.libraries: set[str] = set()
        self.versioned: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.unversioned: set[str] = set()

    def add(self, file: Path) -> None:
        """Read a library."""
        with file.open("rb") as stream:
            elf = ELFFile(stream)
            dynamic = elf.get_section_by_name(".dynamic")
            self.libraries.update(tag.needed for tag in dynamic.iter_tags("DT_NEEDED"))
            versions = {}
            required = elf.get_section_by_name(".gnu.version_r")
            for library, names in required.iter_versions() if required else ():
                versions.update({name["vna_other"]: (library.name, name.name) for name in names})
            of = elf.get_section_by_name(".gnu.version")
            for index, symbol in enumerate(elf.get_section_by_name(".dynsym").iter_symbols()):
                if symbol["st_shndx"] != "SHN_UNDEF" or not symbol.name:
                    continue
                version = versions.get(of.get_symbol(index)["ndx"]) if of else None
                if version is None:
                    self.unversioned.add(symbol.name)
                else:
                    self.versioned[version[0]][version[1]].add(symbol.name)


def write(target: Path, symbols: dict[str, set[str]]) -> None:
    """Compile a library with symbols by version; the version "" stands for none."""
    functions = sorted(set().union(*symbols.values()))
    code = "".join(f"int {name}(void) {{ return {NO_DEVICE}; }}\n" for name in functions)
    parts = (f"{version} {{ {'; '.join(sorted(names))}; }};\n" for version, names in symbols.items())
    with tempfile.TemporaryDirectory() as folder:
        source, script = Path(folder) / "none.c", Path(folder) / "versions"
        source.write_text(code)
        script.write_text("".join(parts))
        command = ["cc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{target.name}"]
        command += [] if "" in symbols else [f"-Wl,--version-script={script}"]
        subprocess.run([*command, "-o", target, source], check=True)


def main() -> None:
    """Write what is missing beside PyTorch's own libraries."""
    found = find_spec("torch")
    if found is None or not found.submodule_search_locations:
        sys.exit("there is no PyTorch in this Python")
    folder = Path(found.submodule_search_locations[0]) / "lib"
    needs = Needs()
    own = sorted(folder.glob("*.so*"))
    for file in own:
        needs.add(file)
    for name in sorted(needs.libraries - {file.name for file in own}):
        # The driver itself is opened only if it is there.
        if not name.startswith(PREFIXES) or name.startswith("libcuda.so"):
            continue
        symbols = needs.versioned.get(name)
        if not symbols:
            # Their functions begin with the name of the library.
            stem = name.removeprefix("lib").split(".")[0].lower()
            symbols = {"": {symbol for symbol in needs.unversioned if symbol.lower().startswith(stem)}}
        write(folder / name, symbols)


main()
