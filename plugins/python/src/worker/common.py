"""Errors with a remedy, and importing what a user names."""

import ast
import difflib
import hashlib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
import traceback


class Wrong(Exception):
    """An error that the user can fix, with a remedy."""

    def __init__(self, message, help=None):
        super().__init__(message)
        self.message, self.help = message, help


#: Characters of a text that are kept in messages, from its beginning and from its end.
HEAD, TAIL = 1500, 500


def shortened(text):
    """A text without its middle if it is very long, as an exception with an array in its message."""
    if text is None or len(text) <= HEAD + TAIL:
        return text
    return "%s … (%d characters left out) … %s" % (text[:HEAD], len(text) - HEAD - TAIL, text[-TAIL:])


def interpreter():
    return "%s (Python %d.%d.%d)" % ((sys.executable,) + sys.version_info[:3])


def install(package):
    return "install it there (%s -m pip install %s), or set the parameter `python` to another Python" % (
        sys.executable,
        package,
    )


def load(name, run):
    """Runs an import and names the missing module."""
    try:
        return run()
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing == name.split(".")[0]:
            raise Wrong("there is no Python module `%s` in %s" % (missing, interpreter()), install(missing))
        raise Wrong(
            "`%s` needs the Python module `%s`, which %s does not have" % (name, missing, interpreter()),
            install(missing),
        )


def attribute(module, name, where):
    if hasattr(module, name):
        return getattr(module, name)
    known = [n for n in vars(module) if not n.startswith("_") and callable(getattr(module, n))]
    near = difflib.get_close_matches(name, known, 1, 0.5)
    raise Wrong(
        "%s has no `%s`" % (where, name),
        "did you mean `%s`?" % near[0] if near else "it has: %s" % (", ".join(sorted(known)) or "nothing callable"),
    )


def opened(path, name):
    """The module at `path` (a file, or a folder to import from) that holds `name`, and the name in it."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    if path:
        folder = path if os.path.isdir(path) else os.path.dirname(os.path.abspath(path))
        if folder not in sys.path:
            sys.path.insert(0, folder)
    if path and not os.path.isdir(path):
        stem = os.path.splitext(os.path.basename(path))[0]
        known = sys.modules.get(stem)
        if known is not None and getattr(known, "__file__", None) == os.path.abspath(path):
            return known, name
        spec = importlib.util.spec_from_file_location(stem, os.path.abspath(path))
        if spec is None:
            raise Wrong("%s is not a Python file" % path, "`path` must be a .py file or a folder of modules")
        if not os.path.isfile(path):
            raise Wrong("%s does not exist" % path, "correct `path`: a path is relative to the experiment file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[stem] = module
        try:
            load(os.path.basename(path), lambda: spec.loader.exec_module(module))
        except BaseException:
            del sys.modules[stem]
            raise
        return module, name
    module, name = name.split(":")
    return load(module, lambda: importlib.import_module(module)), name


def is_local(file):
    """Whether a file belongs to the user and not to an installation."""
    if not file or not file.endswith(".py") or not os.path.isfile(file):
        return False
    real = os.path.realpath(file)
    installed = {os.path.realpath(place) for place in sysconfig.get_paths().values()}
    installed.add(os.path.realpath(os.path.dirname(os.__file__)))
    packages = ("site-packages", "dist-packages")
    return not any(part in packages for part in real.split(os.sep)) and not any(
        real.startswith(place + os.sep) for place in installed
    )


def keep_bytecode():
    """Lets imports keep the bytecode of installed packages, but not change folders of the user.

    Some installers leave compiling to the first import, which takes seconds for large packages.
    """
    loader = importlib.machinery.SourceFileLoader
    write = loader.set_data

    def set_data(self, path, data, **options):
        try:
            source = importlib.util.source_from_cache(path)
        except ValueError:
            # Bytecode is kept elsewhere ($PYTHONPYCACHEPREFIX).
            source = None
        if not is_local(source):
            write(self, path, data, **options)

    loader.set_data = set_data
    sys.dont_write_bytecode = False


def imported(file, package):
    """Names of the modules that a file imports anywhere."""
    with open(file, "rb") as stream:
        tree = ast.parse(stream.read(), file)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".") if package else []
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join(parts + ([base] if base else []))
            if base:
                yield base
            for alias in node.names:
                yield "%s.%s" % (base, alias.name) if base else alias.name


def contents(module):
    """SHA-256 of the file of a module and of all local modules that it imports, directly or not."""
    first = getattr(module, "__file__", None)
    pending, found = [(first, getattr(module, "__package__", "") or "")], {}
    folder = os.path.dirname(os.path.realpath(first)) if first else ""
    while pending:
        file, package = pending.pop()
        if not is_local(file) or os.path.realpath(file) in found:
            continue
        with open(file, "rb") as stream:
            found[os.path.realpath(file)] = hashlib.sha256(stream.read()).hexdigest()
        for name in imported(file, package):
            try:
                spec = importlib.util.find_spec(name)
            except (ImportError, AttributeError, ValueError):
                continue
            if spec is not None:
                pending.append((spec.origin, spec.parent or ""))
    total = hashlib.sha256()
    for file, digest in sorted((os.path.relpath(file, folder), digest) for file, digest in found.items()):
        total.update(("%s %s\n" % (digest, file)).encode())
    return total.hexdigest()


def changed(name):
    """The error for code that is not what the experiment was planned with."""
    return Wrong(
        "the code of `%s` was changed during the run" % name,
        "start the run again: trainings that used the old code keep their results",
    )


def place(error):
    """Where an exception was raised, ignoring this file."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<pallium>")]
    if isinstance(error, SyntaxError) and error.filename:
        return " (%s, line %s)" % (error.filename, error.lineno)
    return " (%s, line %s, in %s)" % (frames[-1].filename, frames[-1].lineno, frames[-1].name) if frames else ""
