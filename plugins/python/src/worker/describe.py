"""What a class offers: its role, and its parameters with types, defaults and documentation."""

import ast
import inspect
import json
import pathlib
import textwrap
import typing

from common import Wrong, attribute, contents, opened

#: A method that only one role has, and the role; the first that fits counts.
ROLES = (
    ("penalty", "constraint"),
    ("project", "constraint"),
    ("activity_penalty", "constraint"),
    ("measure", "metric"),
    ("weights", "weights"),
    ("substrate", "substrate"),
    ("new_trial", "task"),
    ("generate_trial", "task"),
    ("step", "task"),
    ("forward", "model"),
)
TYPES = {float: "number", int: "integer", bool: "boolean", str: "string", dict: "object", list: "array", tuple: "array"}
MISSING = inspect.Parameter.empty
#: How a plain function serves as a metric.
FUNCTION = {
    "input": {
        "type": "string",
        "enum": ["auto", "weights", "absolute", "binary", "graph", "digraph", "activity"],
        "default": "auto",
        "description": "What the function receives: the recurrent matrix, its absolute values, the matrix of strong "
        "connections (0 or 1), these as a networkx graph or directed graph, or the activity at the end of each trial "
        "(trials × units) and the trials' conditions. `auto` is `digraph` for functions of networkx, `activity` for "
        "those of sklearn, `absolute` for others.",
    },
    "quantile": {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": 0.9,
        "description": "The threshold of strong connections, a quantile of |w|.",
    },
}


def find(request):
    """The class or function that a request names, and its module."""
    path, name = request.get("path"), request.get("name") or ""
    if not name:
        raise Wrong("parameter `name` is empty", "set it to the name of a class in `path`, or to `module:Class`")
    is_file = path and path.endswith(".py")
    if is_file and ":" in name:
        raise Wrong("parameter `name` is `%s`, but `path` is a file" % name, "set `name` to a class in that file")
    if not is_file and (name.count(":") != 1 or not all(name.split(":"))):
        raise Wrong(
            "parameter `name` is `%s`" % name,
            "set `path` to a Python file and `name` to a class in it, or `name` to `module:Class`",
        )
    module, own = opened(path, name)
    found = attribute(module, own, path if is_file else "the module `%s`" % name.split(":")[0])
    if not callable(found):
        raise Wrong("`%s` is a %s, not a class" % (own, type(found).__name__), "set `name` to a class")
    return found, module


def role_of(made):
    """The role of a class by its methods; None if it has none."""
    for method, role in ROLES:
        if callable(getattr(made, method, None)):
            return role
    return None


def about(made):
    """The first line of a docstring."""
    text = inspect.getdoc(made) or ""
    return text.strip().splitlines()[0].strip() if text.strip() else "%s (without a docstring)" % made.__name__


def attribute_docs(made):
    """The texts below annotated attributes of a class and its bases."""
    found = {}
    for owner in reversed(inspect.getmro(made)):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
        except (OSError, TypeError, SyntaxError):
            continue
        body = tree.body[0].body if tree.body and isinstance(tree.body[0], ast.ClassDef) else []
        for line, after in zip(body, body[1:]):
            is_text = isinstance(after, ast.Expr) and isinstance(getattr(after, "value", None), ast.Constant)
            if isinstance(line, ast.AnnAssign) and is_text and isinstance(after.value.value, str):
                found[line.target.id] = " ".join(after.value.value.split())
    return found


def path_type(kind):
    """`pathlib.Path` in a type: itself, annotated, or optional; otherwise None."""
    kind = getattr(kind, "__origin__", kind) if hasattr(kind, "__metadata__") else kind
    inner = getattr(kind, "__args__", ())
    if type(None) in inner and len(inner) == 2:
        return path_type(inner[0] if inner[1] is type(None) else inner[1])
    plain_class = inspect.isclass(kind) and getattr(kind, "__origin__", None) is None
    return kind if plain_class and issubclass(kind, pathlib.PurePath) else None


def with_paths(known, given):
    """The values of parameters, with those that name files as paths."""
    values = dict(given)
    for name, (_, kind, _) in known.items():
        made = None if isinstance(kind, dict) else path_type(kind)
        if made and isinstance(values.get(name), str):
            values[name] = made(values[name])
    return values


def schema_of(kind):
    """The JSON schema of a type, and the text in `Annotated`."""
    text = None
    if hasattr(kind, "__metadata__"):
        text = next((part for part in kind.__metadata__ if isinstance(part, str)), None)
        kind = kind.__origin__
    origin, inner = getattr(kind, "__origin__", None), getattr(kind, "__args__", ())
    if kind in TYPES:
        return {"type": TYPES[kind]}, text
    if path_type(kind):
        # A file on whose contents results depend.
        options = {"anyOf": [{"type": "string"}, {"type": "null"}]} if type(None) in inner else {"type": "string"}
        return {**options, "format": "path"}, text
    if origin in TYPES:
        schema = {"type": TYPES[origin]}
        if origin is list and inner:
            schema["items"] = schema_of(inner[0])[0]
        return schema, text
    if type(None) in inner:
        options = [schema_of(one)[0] for one in inner if one is not type(None)]
        return {"anyOf": options + [{"type": "null"}]}, text
    if inner and type(kind).__name__ == "_LiteralGenericAlias":
        return {"enum": list(inner)}, text
    return {}, text


def parameters(made, makes=False):
    """The parameters of a class or function: name to default, type and text; whether others are accepted.

    `makes` says that a function makes an object, so that all its arguments are parameters.
    """
    found, open_ended = {}, False
    docs = attribute_docs(made) if inspect.isclass(made) else {}
    own_init = inspect.isclass(made) and made.__init__ is not object.__init__ and not hasattr(made, "__dataclass_fields__")
    try:
        hints = typing.get_type_hints(made, include_extras=True) if hasattr(typing, "Annotated") else typing.get_type_hints(made)
    except Exception:
        hints = dict(getattr(made, "__annotations__", {}))
    if inspect.isclass(made) and not own_init:
        fields = getattr(made, "__dataclass_fields__", {})
        for name, kind in hints.items():
            if name.startswith("_") or getattr(kind, "__origin__", kind) is typing.ClassVar:
                continue
            default = getattr(made, name, MISSING)
            text = None
            if name in fields:
                text = fields[name].metadata.get("doc")
                if default is MISSING and type(fields[name].default_factory).__name__ != "_MISSING_TYPE":
                    default = fields[name].default_factory()
            found[name] = (default, kind, docs.get(name) or text)
    else:
        function = made.__init__ if inspect.isclass(made) else made
        try:
            signature = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            signature = []
        if inspect.isclass(made):
            signature = signature[1:]
            extras = {"include_extras": True} if hasattr(typing, "Annotated") else {}
            hints = typing.get_type_hints(function, **extras) if hasattr(function, "__annotations__") else {}
        for one in signature:
            if one.kind == one.VAR_KEYWORD:
                open_ended = True
            elif one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY):
                if not inspect.isclass(made) and one.default is MISSING and not makes:
                    # A function's arguments without a default are what it computes with.
                    continue
                kind = hints.get(one.name, type(one.default) if type(one.default) in TYPES else None)
                found[one.name] = (one.default, kind, docs.get(one.name))
    return found, open_ended


def must_be(schema, value):
    """What a value has to be instead; None if it fits the schema of its type, as experiments check it."""
    if "enum" in schema and not any(value == one and type(value) is type(one) for one in schema["enum"]):
        return " or ".join(json.dumps(one) for one in schema["enum"])
    if "anyOf" in schema:
        refused = [must_be(option, value) for option in schema["anyOf"]]
        if None not in refused:
            return " or ".join(dict.fromkeys(refused))
    is_bool = isinstance(value, bool)
    right, text = {
        "number": (isinstance(value, (int, float)) and not is_bool, "a number"),
        "integer": (isinstance(value, int) and not is_bool, "a whole number"),
        "boolean": (is_bool, "true or false"),
        "string": (isinstance(value, str), "text"),
        "object": (isinstance(value, dict), "a table"),
        "array": (isinstance(value, list), "a list"),
        "null": (value is None, "left out"),
    }.get(schema.get("type"), (True, ""))
    if not right:
        return text
    if "minimum" in schema and value < schema["minimum"]:
        return "at least %s" % schema["minimum"]
    if "maximum" in schema and value > schema["maximum"]:
        return "at most %s" % schema["maximum"]
    if isinstance(value, list) and "items" in schema:
        refused = [must_be(schema["items"], item) for item in value]
        return next(("a list whose items are %s" % text for text in refused if text), None)
    return None


def instance(made, values):
    """An object with these parameters: of a class without a constructor they become attributes."""
    if made.__init__ is not object.__init__:
        return made(**values)
    found = made()
    for name, value in values.items():
        setattr(found, name, value)
    return found


def check_types(owner, known, given):
    """Refuses values that do not have the declared type, or else the type of the default."""
    for name, value in given.items():
        default, kind, _ = known.get(name, (None, None, None))
        schema = kind if isinstance(kind, dict) else schema_of(kind)[0]
        if not schema and type(default) in TYPES:
            # A whole number as a default may stand for any number.
            schema = {"type": "number" if type(default) is int else TYPES[type(default)]}
        text = must_be(schema, value)
        if text:
            raise Wrong("parameter `%s` of `%s` cannot be %s" % (name, owner, json.dumps(value)), "it must be %s" % text)


def plain(value):
    """A default as JSON, or None if it has no such form."""
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    return None


def described(request):
    """The description of the component that a request names, or what the file offers."""
    if request.get("path") and not request.get("name"):
        module, _ = opened(request["path"], "")
        offers = [
            {"role": role_of(made), "name": name}
            for name, made in vars(module).items()
            if inspect.isclass(made) and made.__module__ == module.__name__ and role_of(made)
            and not name.startswith("_")
        ]
        return {"offers": offers, "about": about(module) if module.__doc__ else request["path"], "contents": contents(module)}
    made, module = find(request)
    found, open_ended = parameters(made, request.get("role") == "task")
    properties = {}
    if not inspect.isclass(made) and request.get("role") == "metric":
        properties.update(FUNCTION)
    for name, (default, kind, text) in found.items():
        schema, annotated = schema_of(kind)
        text = text or annotated
        if schema.get("format") == "path" and default is not MISSING and default is not None:
            raise Wrong(
                "parameter `%s` of `%s` names a file and has a default" % (name, made.__name__),
                "remove the default: an experiment names the file, so that its contents are part of the identity",
            )
        properties[name] = dict(schema)
        if not text and request.get("role") == "task":
            # Environments of others rarely document their arguments in this form.
            text = "Argument of `%s`." % made.__name__
        if text:
            properties[name]["description"] = text
        if default is not MISSING:
            properties[name]["default"] = plain(default)
    return {
        "offers": [],
        "about": about(made),
        "cite": str(getattr(made, "cite", "") or "no source is stated"),
        "properties": properties,
        "open": open_ended,
        "contents": contents(module),
    }
