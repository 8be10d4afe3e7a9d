"""Objects of a user's classes: creating them, and calling their methods on shared arrays."""

import inspect
import math
import mmap
import os
import random
import re
import sys
import types

from common import Wrong, changed, contents
from describe import FUNCTION, check_types, described, find, instance, parameters, with_paths

#: Imported with the first array, since tasks and descriptions need no numpy.
numpy = None

TYPES = {"f32": "<f4", "f64": "<f8", "i64": "<i8", "u64": "<u8", "u32": "<u4", "u8": "|u1"}
NAMES = {}
#: Arrays begin at multiples of this number of bytes.
ALIGNMENT = 64
OBJECTS = {}


class Memory:
    """The file that holds the arrays of a request and of its answer."""

    def __init__(self, path):
        self.file = os.open(path, os.O_RDWR)
        self.map = None

    def grow(self, size):
        """Maps at least so many bytes."""
        if os.fstat(self.file).st_size < size:
            os.ftruncate(self.file, size)
        if self.map is None or len(self.map) < size:
            # An old map is closed once no array refers to it.
            self.map = mmap.mmap(self.file, os.fstat(self.file).st_size)

    def array(self, about):
        """An array of a request, in place; read-only, since its memory is used again."""
        dtype = numpy.dtype(TYPES[about["type"]])
        count = math.prod(about["shape"])
        self.grow(about["at"] + count * dtype.itemsize)
        found = numpy.frombuffer(self.map, dtype, count, about["at"]).reshape(about["shape"])
        found.flags.writeable = False
        return found

    def put(self, arrays, at):
        """Writes the arrays of an answer behind `at`; returns where they are."""
        places = []
        for name, array in arrays:
            at = -(-at // ALIGNMENT) * ALIGNMENT
            self.grow(at + max(array.nbytes, 1))
            target = numpy.frombuffer(self.map, array.dtype, array.size, at).reshape(array.shape)
            target[...] = array
            places.append({"name": name, "type": NAMES[array.dtype], "shape": list(array.shape), "at": at})
            at += array.nbytes
        return places


MEMORY = None


def memory(request):
    """Imports numpy and opens the shared file."""
    global MEMORY, numpy
    try:
        import numpy
    except ImportError:
        raise Wrong(
            "components in Python need numpy, which %s does not have" % sys.executable,
            "install it there (%s -m pip install numpy), or set the parameter `python`" % sys.executable,
        )
    NAMES.update((numpy.dtype(text), name) for name, text in TYPES.items())
    MEMORY = Memory(request["path"])
    return {}


def seed_all(seed):
    """Seeds the generators that a program shares."""
    random.seed(seed)
    numpy.random.seed(seed % (1 << 32))
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed % (1 << 63))


def namespace(values, arrays):
    """Values and arrays as attributes; names with dots become dictionaries."""
    found = dict(values)
    for name, array in arrays.items():
        group, _, rest = name.partition(".")
        if rest:
            found.setdefault(group, {})[rest] = array
        else:
            found[name] = array
    return types.SimpleNamespace(**found)


def substrate_of(arrays, about):
    """The substrate of a setting or of a request for weights, as a namespace."""
    if about is None:
        return None
    inner = {name[len("substrate.") :]: array for name, array in arrays.items() if name.startswith("substrate.")}
    found = namespace(about, inner)
    for group in ("matrices", "ids"):
        if not hasattr(found, group):
            setattr(found, group, {})
    positions = getattr(found, "positions", None)
    found.positions_um = None if positions is None else positions * numpy.array(found.unit_um)
    return found


def split(values, arrays):
    """Values and arrays with the substrate as one attribute."""
    values = dict(values)
    about = values.pop("substrate", None)
    others = {name: array for name, array in arrays.items() if not name.startswith("substrate.")}
    found = namespace(values, others)
    found.substrate = substrate_of(arrays, about)
    return found


class Setting(types.SimpleNamespace):
    """What a component is built for; `need` raises an error if something is missing."""

    def need(self, name):
        """A part of the setting, which must be there."""
        value = getattr(self, name, None)
        if value is None:
            what = {
                "distance": ("distances between neurons", 'give the variant a geometry, such as geometry = "soma"'),
                "distance_um": ("distances in micrometres", "use the geometry of the somata; a grid has none"),
                "substrate": ("a substrate", "name one under [substrate]"),
            }.get(name, ("`%s`" % name, None))
            raise Wrong("this component needs %s, but was given none" % what[0], what[1])
        return value


def is_square(setting):
    """Whether rows and columns of a constraint's parameter are the same units."""
    rows, columns = getattr(setting, "rows", None), getattr(setting, "columns", None)
    same = rows is None and columns is None or numpy.array_equal(rows, columns)
    return setting.shape[0] == setting.shape[1] and same


def read_arrays(request):
    """Copies of the arrays of a request, by name."""
    return {about["name"]: MEMORY.array(about).copy() for about in request["arrays"]}


def build(request):
    """Creates an object."""
    made, module = find(request)
    expected = request.get("contents")
    if expected and expected != contents(module):
        raise changed(request["name"])
    values = checked(request, made)
    header = split(request["setting"], read_arrays(request))
    setting = Setting(**vars(header))
    if getattr(setting, "distance", None) is not None and setting.distance_unit_um:
        setting.distance_um = setting.distance * numpy.float32(setting.distance_unit_um)
    setting.shape = tuple(setting.shape) if setting.shape else None
    setting.rng = numpy.random.default_rng(setting.seed)
    seed_all(setting.seed)
    role = request["role"]
    kind = KINDS[role]
    if role == "metric" and not inspect.isclass(made):
        found = kind(FunctionMetric(made, values), setting)
    elif inspect.isclass(made):
        found = kind(instance(made, values), setting)
    else:
        raise Wrong("`%s` is a function, not a class" % request["name"], "write a class; only metrics may be functions")
    OBJECTS[request["object"]] = found
    return found.wants()


def checked(request, made):
    """The values of the object's parameters: those given, else the defaults."""
    known, open_ended = parameters(made)
    if not inspect.isclass(made):
        known.update({name: (about["default"], about, None) for name, about in FUNCTION.items()})
    given = request["params"]
    for name in given:
        if name not in known and not open_ended:
            from difflib import get_close_matches

            near = get_close_matches(name, known, 1)
            raise Wrong(
                "`%s` has no parameter `%s`" % (request["name"], name),
                "did you mean `%s`?" % near[0] if near else "its parameters: %s" % (", ".join(known) or "none"),
            )
    for name, (default, _, _) in known.items():
        if default is inspect.Parameter.empty and name not in given:
            raise Wrong("parameter `%s` of `%s` is not set" % (name, request["name"]), "set it, or give it a default")
    check_types(request["name"], known, given)
    return with_paths(known, given)


def refuse_complex(value, what):
    """Refuses complex numbers: a conversion would drop their imaginary parts."""
    if numpy.iscomplexobj(value):
        raise Wrong("%s is complex" % what, "return real numbers: take the real part or the magnitude if that is meant")


def takes(method, count):
    """Whether a method takes at least so many arguments."""
    try:
        given = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):
        return False
    if any(one.kind == one.VAR_POSITIONAL for one in given):
        return True
    return len([one for one in given if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]) >= count


class Component:
    """An object of a user's class in its role."""

    def __init__(self, user, setting):
        self.user, self.seed = user, setting.seed
        self.name = getattr(type(user), "__name__", "component")
        if isinstance(user, FunctionMetric):
            self.name = user.name
        if callable(getattr(user, "setup", None)):
            user.setup(setting)

    def wants(self):
        """What the host has to know."""
        return {}

    def result(self, value, name, shape=None, dtype="<f4"):
        """A result as an array of a shape."""
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        try:
            value = numpy.asarray(value)
            refuse_complex(value, "%s of `%s`" % (name, self.name))
            array = numpy.ascontiguousarray(value, dtype=dtype)
        except (TypeError, ValueError) as error:
            raise Wrong("%s of `%s` is not an array of numbers: %s" % (name, self.name, error))
        if shape is not None and array.shape != tuple(shape):
            raise Wrong("%s of `%s` has the shape %s instead of %s" % (name, self.name, array.shape, tuple(shape)))
        if not numpy.isfinite(array).all():
            raise Wrong(
                "%s of `%s` has values that are not finite" % (name, self.name),
                "check for divisions by 0, and for roots and logarithms of values that are not above 0",
            )
        return array


class Constraint(Component):
    """Penalties and hard rules."""

    def __init__(self, user, setting):
        self.arrays = getattr(user, "arrays", "numpy")
        if self.arrays not in ("numpy", "torch", "jax"):
            raise Wrong('`arrays` of `%s` is %r' % (type(user).__name__, self.arrays), 'it must be "numpy", "torch" or "jax"')
        self.square = bool(getattr(user, "square", False))
        if self.square and setting.shape is not None and not is_square(setting):
            raise Wrong(
                "`%s` takes square matrices, but this parameter has %d rows and %d columns of other units"
                % (type(user).__name__, *setting.shape),
                'name parameters within one population, such as `on = ["recurrent_ee"]`',
            )
        super().__init__(user, setting)
        self.has = {name: callable(getattr(user, name, None)) for name in ("penalty", "project", "activity_penalty")}
        if not any(self.has.values()):
            raise Wrong(
                "`%s` has neither penalty(), project() nor activity_penalty()" % self.name,
                "write one of them: see the book's page on components in Python",
            )
        self.with_point = {name: has and takes(getattr(user, name), 2) for name, has in self.has.items()}
        self.jitted = None
        self.initial = None
        #: Number of calls by method, and the number of the next one that is computed twice.
        self.calls = {}
        self.twice = random.Random(setting.seed)
        self.comparing = False

    def wants(self):
        found = dict(self.has)
        found["loss_gradient"] = bool(getattr(self.user, "wants_loss_gradient", False))
        found["state"] = callable(getattr(self.user, "state", None))
        return found

    def point(self, header, arrays):
        if "initial" in arrays:
            self.initial = arrays["initial"].copy()
        point = types.SimpleNamespace(**header)
        point.initial, point.loss_gradient = self.initial, arrays.get("loss_gradient")
        return point

    def penalty(self, header, arrays):
        weights = arrays["weights"]
        return self.compare("penalty", self.differentiated("penalty", weights, self.point(header, arrays)), header, arrays)

    def compare(self, method, first, header, arrays):
        """Computes some results twice: unseeded random numbers would make them differ.

        These are the first one and later ones at random, about one in each doubling of their number.
        """
        if self.comparing:
            return first
        count, following = self.calls.get(method, (0, 0))
        if count < following:
            self.calls[method] = (count + 1, following)
            return first
        self.calls[method] = (count + 1, count + 1 + self.twice.randrange(count + 1))
        seed_all(header.get("seed", 0))
        self.comparing = True
        try:
            second = getattr(self, method)(header, arrays)
        finally:
            self.comparing = False
        if first[0] != second[0] or not numpy.array_equal(first[1][0][1], second[1][0][1]):
            raise Wrong(
                "two calls of %s() of `%s` with the same weights give different results" % (method, self.name),
                "draw random numbers in setup() from setting.rng, and change memory only in project()",
            )
        return first

    def differentiated(self, method, values, point):
        """Value and gradient of a method, differentiated if it returns only a value."""
        function = getattr(self.user, method)
        extra = (point,) if self.with_point[method] else ()
        if self.arrays == "torch":
            torch = sys.modules["torch"] if "torch" in sys.modules else __import__("torch")
            tensor = torch.from_numpy(numpy.array(values)).requires_grad_(True)
            found = function(tensor, *extra)
            if isinstance(found, torch.Tensor) and found.ndim == 0:
                refuse_complex(found.detach().numpy(), "the value of %s() of `%s`" % (method, self.name))
                gradient = torch.autograd.grad(found, tensor, allow_unused=True)[0] if found.requires_grad else None
                found = (float(found), numpy.zeros_like(values) if gradient is None else gradient.numpy())
        elif self.arrays == "jax":
            import jax

            if self.jitted is None:
                compute = jax.value_and_grad(function)
                self.jitted = compute if extra else jax.jit(compute)
            value, gradient = self.jitted(jax.numpy.asarray(values), *extra)
            found = (float(value), numpy.asarray(gradient))
        else:
            found = function(values, *extra)
        if not isinstance(found, tuple) or len(found) != 2:
            raise Wrong(
                "%s() of `%s` returns %s" % (method, self.name, type(found).__name__),
                'return the value and the gradient, or set `arrays = "torch"` (or "jax") and return the value alone',
            )
        refuse_complex(found[0], "the value of %s() of `%s`" % (method, self.name))
        value = float(found[0])
        if not math.isfinite(value):
            raise Wrong(
                "%s() of `%s` returns the value %r" % (method, self.name, value),
                "return a finite number: check for divisions by 0",
            )
        gradient = self.result(found[1], "the gradient", values.shape)
        return {"value": value}, [("gradient", gradient)]

    def activity_penalty(self, header, arrays):
        activity = arrays["activity"]
        found = self.differentiated("activity_penalty", activity, arrays["lengths"])
        return self.compare("activity_penalty", found, header, arrays)

    def project(self, header, arrays):
        point = self.point(header, arrays)
        weights = arrays["weights"].copy()
        if self.arrays == "torch":
            import torch

            weights = torch.from_numpy(weights)
        found = self.user.project(weights, *((point,) if self.with_point["project"] else ()))
        found = weights if found is None else found
        return {}, [("weights", self.result(found, "the projected matrix", arrays["weights"].shape))]

    def state(self, header, arrays):
        found = self.user.state() if callable(getattr(self.user, "state", None)) else {}
        return {}, [(name, stored(name, value, self.name)) for name, value in found.items()]

    def restore(self, header, arrays):
        own = self.user.state() if callable(getattr(self.user, "state", None)) else {}
        missing = sorted(set(own) - set(arrays))
        if missing:
            raise Wrong("the saved state of `%s` has no `%s`" % (self.name, missing[0]), "train it again")
        if arrays and callable(getattr(self.user, "restore", None)):
            self.user.restore({name: array.copy() for name, array in arrays.items()})
        return {}, []


def stored(name, value, owner):
    """An array of a state or of a metric in a type that Pallium stores."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = numpy.ascontiguousarray(value)
    refuse_complex(array, "`%s` of `%s`" % (name, owner))
    if array.dtype.kind == "b" or array.dtype in (numpy.int8, numpy.int16, numpy.int32, numpy.uint16):
        array = array.astype("i8")
    if array.dtype == numpy.float16:
        array = array.astype("f4")
    if array.dtype not in NAMES:
        raise Wrong("`%s` of `%s` has the type %s" % (name, owner, array.dtype), "it must hold numbers")
    return array


class Weights(Component):
    """Sources of initial weights."""

    def weights(self, header, arrays):
        request = split(header, {name: array.copy() for name, array in arrays.items()})
        found = []
        for _ in range(2):
            seed_all(request.seed)
            request.rng = numpy.random.default_rng(request.seed)
            shape = (request.neurons, request.neurons)
            found.append(self.result(self.user.weights(request), "the weights", shape))
        if not numpy.array_equal(*found):
            raise Wrong(
                "weights() of `%s` gives different weights for the same seed" % self.name,
                "draw random numbers from request.rng",
            )
        return {}, [("weights", found[0])]


class Substrate(Component):
    """Sources of neurons."""

    def substrate(self, header, arrays):
        seed_all(header["seed"])
        function = self.user.substrate
        rng = numpy.random.default_rng(header["seed"])
        found = dict(function(rng) if takes(function, 1) else function())
        known = ("name", "positions_um", "matrices", "ids", "events", "frame_hz", "recording", "neurons", "notes")
        for name in found:
            if name not in known:
                raise Wrong("substrate() of `%s` returns `%s`" % (self.name, name), "it may return: " + ", ".join(known))
        positions = found.get("positions_um")
        matrices = dict(found.get("matrices") or {})
        count = found.get("neurons")
        for value in [positions, *matrices.values()]:
            count = len(value) if count is None and value is not None else count
        if not count:
            raise Wrong("substrate() of `%s` returns no neurons" % self.name, "return `neurons`, or `positions_um`")
        out = []
        if positions is not None:
            out.append(("positions", self.result(positions, "`positions_um`", (count, 3), "<f8")))
        for name, matrix in matrices.items():
            out.append(("matrices." + name, self.result(matrix, "`matrices`", (count, count), "<f8")))
        for name, ids in dict(found.get("ids") or {}).items():
            out.append(("ids." + name, self.result(ids, "`ids`", (count,), "<i8")))
        events = found.get("events")
        if events is not None and len(events) != count:
            raise Wrong(
                "`events` of `%s` has %d lists for %d neurons" % (self.name, len(events), count),
                "return one list of event times for each neuron; it may be empty",
            )
        about = {
            "name": str(found.get("name") or self.name),
            "neurons": int(count),
            "events": None if events is None else [sorted(map(float, times)) for times in events],
            "frame_hz": found.get("frame_hz"),
            "recording": None if found.get("recording") is None else list(map(float, found["recording"])),
            "notes": [str(note) for note in found.get("notes") or []],
        }
        return about, out


def snake(name):
    """`CamelCase` as `camel_case`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().lstrip("_")


class FunctionMetric:
    """A plain function of an installed module as a metric."""

    def __init__(self, function, values):
        self.function, self.name = function, function.__name__
        values = dict(values)
        self.input = values.pop("input", "auto")
        self.quantile = values.pop("quantile", FUNCTION["quantile"]["default"])
        self.arguments = values
        home = (getattr(function, "__module__", "") or "").split(".")[0]
        if self.input == "auto":
            self.input = {"networkx": "digraph", "sklearn": "activity"}.get(home, "absolute")
        self.wants_activity = self.input == "activity"

    def measure(self, network):
        weights = network.recurrent.astype("f8")
        if self.input == "activity":
            last = numpy.maximum(network.lengths.astype(int), 1) - 1
            values = (network.activity[last, numpy.arange(len(last))], network.conditions)
        else:
            strong = numpy.abs(weights)
            threshold = numpy.quantile(strong, self.quantile) if self.quantile > 0 else 0.0
            binary = (strong > threshold) & ~numpy.eye(len(weights), dtype=bool)
            values = ({"weights": weights, "absolute": strong, "binary": binary.astype("f8")}.get(self.input),)
            if self.input in ("graph", "digraph"):
                import networkx

                kind = networkx.Graph if self.input == "graph" else networkx.DiGraph
                values = (networkx.from_numpy_array(numpy.where(binary, strong, 0.0), create_using=kind),)
        found = self.function(*values, **self.arguments)
        return found if isinstance(found, dict) and not all(isinstance(k, int) for k in found) else {self.name: found}


class Metric(Component):
    """Measures of a network."""

    def wants(self):
        return {
            "activity": bool(getattr(self.user, "wants_activity", False)),
            "permutation_invariant": bool(getattr(self.user, "permutation_invariant", True)),
        }

    def measure(self, header, arrays):
        network = split(header, arrays)
        for group in ("parameters",):
            if not hasattr(network, group):
                setattr(network, group, {})
        seed_all(self.seed)
        found = self.user.measure(network)
        if not isinstance(found, dict):
            found = {snake(self.name): found}
        units = getattr(self.user, "units", {})
        values, out = [], []
        for name, value in found.items():
            if isinstance(value, tuple) and value:
                value = value[0]
            if isinstance(value, dict):
                value = numpy.array([value[key] for key in sorted(value)], dtype="f8")
            array = stored(name, value, self.name)
            number = float(array) if array.ndim == 0 else float(numpy.mean(array)) if array.size else math.nan
            values.append({"name": str(name), "value": number if math.isfinite(number) else None, "unit": units.get(name, "")})
            if array.ndim:
                out.append((str(name), array))
        return {"values": values}, out


class Model(Component):
    """Networks written with PyTorch: a module whose parameters are trained by the host."""

    def __init__(self, user, setting):
        import torch

        self.torch = torch
        if not isinstance(user, torch.nn.Module):
            raise Wrong("`%s` is not a torch.nn.Module" % type(user).__name__, "derive it from torch.nn.Module")
        super().__init__(user, setting)
        self.names = [name for name, _ in user.named_parameters()]
        self.units = int(getattr(user, "units", setting.neurons or 0))
        if "recurrent" not in self.names:
            raise Wrong(
                "`%s` has no parameter `recurrent`" % self.name,
                "create it in setup(): self.recurrent = torch.nn.Parameter(torch.zeros(setting.neurons, setting.neurons))",
            )
        self.kept = None

    def wants(self):
        return {
            "units": self.units,
            "parameters": [
                {"name": name.replace(".", "_"), "shape": list(parameter.shape), "kind": self.kind(name, parameter)}
                for name, parameter in self.user.named_parameters()
            ],
        }

    @staticmethod
    def kind(name, parameter):
        if parameter.ndim != 2:
            return "other"
        for kind in ("recurrent", "input", "readout"):
            if name.startswith(kind):
                return kind
        return "other"

    def initialise(self, header, arrays):
        torch = self.torch
        seed_all(header["seed"])
        if callable(getattr(self.user, "reset_parameters", None)):
            self.user.reset_parameters()
        with torch.no_grad():
            self.user.recurrent.copy_(torch.from_numpy(arrays["recurrent"].copy()))
        out = [(str(at), p.detach().numpy().copy()) for at, p in enumerate(self.user.parameters())]
        return {}, out

    def load(self, arrays):
        with self.torch.no_grad():
            for at, parameter in enumerate(self.user.parameters()):
                parameter.copy_(self.torch.from_numpy(arrays["p%d" % at].copy()))

    def forward(self, header, arrays):
        torch = self.torch
        self.load(arrays)
        train = header["mode"] == "train"
        seed_all(header["seed"])
        self.user.train(train)
        inputs = torch.from_numpy(arrays["inputs"].copy())
        lengths = torch.from_numpy(arrays["lengths"].astype("i8"))
        with torch.set_grad_enabled(train):
            outputs, activity = self.user(inputs, lengths) if takes(self.user.forward, 2) else self.user(inputs)
            trials, steps = arrays["mask"].shape
            if tuple(activity.shape) != (trials, steps, self.units):
                raise Wrong(
                    "the activity of `%s` has the shape %s instead of %s"
                    % (self.name, tuple(activity.shape), (trials, steps, self.units)),
                    "forward() returns the outputs (trials × steps × outputs) and the activity (trials × steps × units)",
                )
            # Outputs of the scored steps: by step, and by trial within a step.
            at = torch.from_numpy(numpy.argwhere(arrays["mask"].T > 0))
            for name, tensor in (("outputs", outputs), ("activity", activity)):
                refuse_complex(tensor.detach().numpy(), "the %s of `%s`" % (name, self.name))
            scored = outputs[at[:, 1], at[:, 0]]
            real = torch.arange(steps)[None, :] < lengths[:, None]
            activity = (activity * real[:, :, None]).transpose(0, 1)
        self.kept = (scored, activity) if train else None
        out = [("outputs", scored.detach().numpy().astype("<f4"))]
        if header["mode"] != "evaluate":
            out.append(("activity", numpy.ascontiguousarray(activity.detach().numpy(), dtype="<f4")))
        return {}, out

    def backward(self, header, arrays):
        torch = self.torch
        scored, activity = self.kept
        roots, gradients = [scored], [torch.from_numpy(arrays["outputs"].copy())]
        if "activity" in arrays:
            roots.append(activity)
            gradients.append(torch.from_numpy(arrays["activity"].copy()))
        used = [(r, g) for r, g in zip(roots, gradients) if r.requires_grad]
        parameters = list(self.user.parameters())
        found = torch.autograd.grad(
            [r for r, _ in used], parameters, [g for _, g in used], allow_unused=True, retain_graph=True
        )
        out = []
        for at, (gradient, parameter) in enumerate(zip(found, parameters)):
            out.append((str(at), (torch.zeros_like(parameter) if gradient is None else gradient).numpy().astype("<f4")))
        return {}, out


KINDS = {"constraint": Constraint, "metric": Metric, "weights": Weights, "substrate": Substrate, "model": Model}


def call(request):
    """Calls a method of an object."""
    found = OBJECTS[request["object"]]
    header = request["header"]
    arrays = {about["name"]: MEMORY.array(about) for about in request["arrays"]}
    if "seed" in header and request["method"] in ("penalty", "project", "activity_penalty"):
        seed_all(header["seed"])
    try:
        about, out = getattr(found, request["method"])(header, arrays)
    except Exception as error:
        weights = arrays.get("weights")
        # What numpy and PyTorch raise for arrays of unsuitable shapes; JAX raises a TypeError.
        kinds = (ValueError, IndexError, RuntimeError) + ((TypeError,) if getattr(found, "arrays", "") == "jax" else ())
        if isinstance(error, kinds) and weights is not None and weights.shape[0] != weights.shape[1]:
            error.remedy = (
                "weights are %d×%d here: set `square = True` in `%s` if it takes square matrices only"
                % (*weights.shape, found.name)
            )
        raise
    return {"about": about, "arrays": MEMORY.put(out, request["end"])}


def drop(request):
    """Forgets an object, calling its close() if it has one."""
    found = OBJECTS.pop(request["object"], None)
    if found is not None and callable(getattr(found.user, "close", None)):
        found.user.close()
    return {}


REQUESTS = {"memory": memory, "build": build, "call": call, "drop": drop, "describe": described}

