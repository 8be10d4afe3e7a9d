"""Environments as tasks: NeuroGym's, Gymnasium-style ones, PsychRNN's, and a user's own classes."""

import array
import difflib
import importlib
import inspect
import os
import random
import re
import sys

from common import Wrong, attribute, changed, contents, install, interpreter, load, opened
from describe import check_types, instance, parameters, with_paths


def registered(name, arguments):
    """A function that creates an environment by its id, such as `DelayMatchSample-v0`."""
    try:
        # Importing neurogym registers its environments with gymnasium.
        importlib.import_module("neurogym")
        have_neurogym = True
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "neurogym":
            load("neurogym", lambda: importlib.import_module("neurogym"))
        have_neurogym = False
    try:
        gymnasium = importlib.import_module("gymnasium")
    except ModuleNotFoundError:
        raise Wrong(
            "`%s` is the id of a registered environment, but %s has neither neurogym nor gymnasium"
            % (name, interpreter()),
            install("neurogym"),
        )
    try:
        spec = gymnasium.spec(name)
    except gymnasium.error.Error as error:
        ids = [i for i in gymnasium.registry if not i.startswith(("phys2d/", "tabular/"))]
        near = difflib.get_close_matches(name, ids, 1, 0.6)
        message = "there is no registered environment `%s` in %s" % (name, interpreter())
        if near:
            raise Wrong(message, "did you mean `%s`?" % near[0])
        if not have_neurogym:
            raise Wrong(message + ", which does not have neurogym", install("neurogym"))
        raise Wrong("%s: %s" % (message, error), "neurogym.all_envs() lists the environments of NeuroGym")
    return lambda: gymnasium.make(spec, disable_env_checker=True, **arguments)


def find(request):
    """A function that creates the environment."""
    name, arguments, path = request["environment"], request["arguments"], request.get("path")
    if path and not os.path.isdir(path):
        if ":" in name:
            raise Wrong(
                "parameter `environment` is `%s`, but `path` is a file" % name,
                "set `environment` to the class in that file, or `path` to its folder",
            )
        where = path
    elif re.search(r"-v\d+$", name):
        opened_folder(path)
        return registered(name, arguments)
    elif name.count(":") == 1 and all(name.split(":")):
        where = "the module `%s`" % name.split(":")[0]
    else:
        raise Wrong(
            "parameter `environment` is `%s`" % name,
            "write `module:Class`, the id of a registered environment such as `DelayMatchSample-v0`, "
            "or the name of a class in the file `path`",
        )
    module, name = opened(path, name)
    if request.get("contents") and request["contents"] != contents(module):
        raise changed(request["environment"])
    made = attribute(module, name, where)
    if not callable(made):
        raise Wrong(
            "`%s` is a %s, not a class or function" % (name, type(made).__name__),
            "set `environment` to a class or function that returns the environment",
        )
    known, open_ended = parameters(made, True)
    plain_class = inspect.isclass(made) and made.__init__ is object.__init__
    for argument in arguments:
        # The arguments of what is written in C are unknown.
        if argument not in known and not open_ended and (known or plain_class):
            near = difflib.get_close_matches(argument, known, 1)
            raise Wrong(
                "`%s` has no argument `%s`" % (name, argument),
                "did you mean `%s`?" % near[0] if near else "its arguments: %s" % (", ".join(known) or "none"),
            )
    check_types(name, known, arguments)
    values = with_paths(known, arguments)
    return lambda: instance(made, values)


def opened_folder(path):
    """Makes the modules of a folder importable, and those of the current one."""
    for folder in (os.getcwd(), path):
        if folder and folder not in sys.path:
            sys.path.insert(0, folder)


def layers(env):
    """An environment and the environments that it wraps, outermost first."""
    seen = []
    while env is not None and env not in seen:
        seen.append(env)
        env = getattr(env, "__dict__", {}).get("env")
    return seen


def outermost(env, method):
    """The outermost layer that defines the method itself."""
    for layer in layers(env):
        if callable(getattr(type(layer), method, None)):
            return layer
    return None


def innermost(env):
    found = getattr(env, "unwrapped", None)
    return layers(env)[-1] if found is None else found


def accepts(function, name):
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.name == name or p.kind == p.VAR_KEYWORD for p in parameters)


def flat(value):
    """The numbers of an observation, in order."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value)]
    if isinstance(value, (list, tuple)):
        numbers = []
        for part in value:
            numbers.extend(flat(part))
        return numbers
    if isinstance(value, complex):
        raise Wrong("a number of a trial is complex: %r" % value, "return real numbers")
    return [float(value)]


def table(observations):
    """An array of observations as rows of float32; None if it is not an array."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(observations, numpy.ndarray) or observations.ndim < 2:
        return None
    if numpy.iscomplexobj(observations):
        raise Wrong("an observation is complex", "return real numbers: take the real part or the magnitude if that is meant")
    return numpy.ascontiguousarray(observations.reshape(len(observations), -1), dtype="float32")


def answer(value, start):
    """A correct answer as a class; None if there is none."""
    if value is None:
        return None
    if type(value) is int:
        return value - start if value >= start else None
    numbers = flat(value)
    if len(numbers) != 1:
        raise Wrong(
            "a correct answer has %d numbers" % len(numbers),
            "tasks must have one discrete answer per step",
        )
    if numbers[0] != numbers[0] or numbers[0] < start:
        return None
    if numbers[0] != int(numbers[0]):
        raise Wrong("a correct answer is %r" % numbers[0], "it must be the integer of a class, or None")
    return int(numbers[0]) - start


class Task:
    """An environment, and how to draw its trials."""

    def __init__(self, request):
        self.make = find(request)
        self.name = request["environment"]
        self.most = request["most_steps"]
        self.score = request["score"]
        self.restart()
        actions = getattr(self.env, "action_space", None)
        if request.get("classes"):
            self.classes = request["classes"]
        elif self.by_parameters:
            self.classes = int(self.env.N_out)
        elif actions is not None and hasattr(actions, "n") and getattr(actions, "shape", ()) in ((), None):
            self.classes = int(actions.n)
        elif actions is not None:
            raise Wrong(
                "the actions of `%s` are %s, but only a discrete choice can be trained" % (self.name, actions),
                "if its correct answers are classes, set the parameter `classes` to their number",
            )
        else:
            raise Wrong(
                "`%s` does not define the number of answers" % self.name,
                "add an `action_space` with a number `n` to the environment, or set the parameter `classes`",
            )
        self.start = int(getattr(actions, "start", 0) or 0)

    def restart(self):
        """Creates a new environment without state of earlier trials."""
        self.env = self.make()
        self.trial_env = outermost(self.env, "new_trial")
        self.drawn = 0

        def has(*methods):
            return all(callable(getattr(self.env, method, None)) for method in methods)

        by_parameters = has("generate_trial_params", "generate_trial") and hasattr(self.env, "N_out")
        self.by_parameters = by_parameters and self.trial_env is None
        if self.trial_env is None and not by_parameters and not has("reset", "step"):
            raise Wrong(
                "`%s` is not an environment: a %s has neither new_trial() nor reset() and step(), "
                "nor generate_trial_params(), generate_trial() and N_out"
                % (self.name, type(self.env).__name__),
                "see docs/python-task.md for what an environment needs",
            )
        self.fresh = True

    def seed(self, seed):
        self.restart()
        random.seed(seed)
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(seed)
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(seed)
        self.seeded = seed
        if self.trial_env is not None and callable(getattr(self.env, "reset", None)):
            self.reset()
        seeder = outermost(self.env, "seed")
        if seeder is not None:
            seeder.seed(seed)
        self.fresh = True

    def reset(self):
        """Resets the environment; the first time with the seed, if reset() accepts it."""
        found = None
        if self.fresh and accepts(self.env.reset, "seed"):
            found = self.env.reset(seed=self.seeded)
        else:
            found = self.env.reset()
        self.fresh = False
        if isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], dict):
            return found
        return found, {}

    def whole_trial(self):
        """Observations, correct answers and the steps of the decision, by new_trial()."""
        self.trial_env.new_trial()
        env = innermost(self.trial_env)
        if not hasattr(env, "ob"):
            raise Wrong("after new_trial() `%s` has no observations `ob`" % self.name, HELP)
        if not hasattr(env, "gt"):
            raise Wrong("after new_trial() `%s` has no correct answers `gt`" % self.name, HELP)
        rows = table(env.ob)
        if rows is None:
            rows = [flat(row) for row in (env.ob.tolist() if hasattr(env.ob, "tolist") else env.ob)]
        answers = [answer(a, self.start) for a in (env.gt.tolist() if hasattr(env.gt, "tolist") else env.gt)]
        decision = None
        begin, end = getattr(env, "start_ind", None), getattr(env, "end_ind", None)
        if isinstance(begin, dict) and isinstance(end, dict) and "decision" in begin and "decision" in end:
            decision = range(begin["decision"], end["decision"])
        return rows, answers, decision

    def trial_by_parameters(self):
        """Inputs and answers of a PsychRNN task: the largest output where the mask is not 0, if one is.

        Its tasks draw durations, so that in some trials the mask is 0 throughout: these are left out.
        """
        for _ in range(MOST_WITHOUT_ANSWER):
            found = self.drawn_trial()
            if any(answer is not None for answer in found[1]):
                break
        return found

    def drawn_trial(self):
        """One trial of a PsychRNN task, by its number."""
        batch, trial = divmod(self.drawn, int(getattr(self.env, "N_batch", 0) or 1))
        self.drawn += 1
        found = self.env.generate_trial(self.env.generate_trial_params(batch, trial))
        if not isinstance(found, tuple) or len(found) != 3:
            raise Wrong(
                "generate_trial() of `%s` returns %s" % (self.name, type(found).__name__),
                "it must return inputs, targets and mask, each steps × channels or outputs",
            )
        inputs, targets, mask = found
        rows = table(inputs)
        answers = []
        for target, weight in zip(map(flat, targets), map(flat, mask)):
            asked = any(weight) and max(target) > min(target)
            answers.append(target.index(max(target)) if asked else None)
        return [flat(row) for row in inputs] if rows is None else rows, answers, None

    def stepped_trial(self):
        """Observations and correct answers, by step() with the correct answers as actions."""
        ob, info = self.reset()
        rows, answers = [], []
        while True:
            rows.append(flat(ob))
            answers.append(answer(info.get("gt"), self.start))
            if len(rows) > self.most:
                raise Wrong(
                    "a trial of `%s` does not end within %d steps" % (self.name, self.most),
                    "step() must return terminated or truncated, or info[\"new_trial\"]; or raise `most_steps`",
                )
            found = self.env.step((answers[-1] or 0) + self.start)
            if not isinstance(found, tuple) or len(found) not in (4, 5):
                raise Wrong(
                    "step() of `%s` returns %s" % (self.name, type(found).__name__),
                    "it must return observation, reward, terminated, truncated and info",
                )
            ob, info = found[0], found[-1]
            if any(found[2:-1]) or info.get("new_trial"):
                return rows, answers, None

    def trial(self):
        stepped = self.trial_env is None
        if self.by_parameters:
            rows, answers, decision = self.trial_by_parameters()
        elif stepped:
            rows, answers, decision = self.stepped_trial()
        else:
            rows, answers, decision = self.whole_trial()
        if len(rows) != len(answers):
            raise Wrong("a trial has %d observations but %d correct answers" % (len(rows), len(answers)), HELP)
        if len(rows) > self.most:
            raise Wrong("a trial has %d steps" % len(rows), "raise the parameter `most_steps` if this is intended")
        answered = [at for at, a in enumerate(answers) if a is not None]
        if not answered:
            where = "its targets" if self.by_parameters else 'info["gt"]' if stepped else "`gt`"
            raise Wrong("a trial of `%s` gives no correct answer in %s" % (self.name, where), HELP)
        for at in answered:
            if answers[at] >= self.classes:
                raise Wrong(
                    "the correct answer at step %d is %d, but `%s` has %d classes"
                    % (at, answers[at], self.name, self.classes),
                    "correct its action_space, or set the parameter `classes`",
                )
        other = [at for at in answered if answers[at] != 0]
        score = self.score
        if score == "auto":
            score = "decision" if decision is not None else "all" if stepped else "answers" if other else "last"
        if score == "decision" and decision is None:
            raise Wrong(
                "`%s` has no period `decision`" % self.name,
                "set the parameter `score` to \"answers\", \"last\" or \"all\"",
            )
        scored = {
            "decision": lambda: [at for at in answered if at in decision],
            "answers": lambda: other or answered[-1:],
            "last": lambda: answered[-1:],
            "all": lambda: answered,
        }[score]()
        if not scored:
            raise Wrong("a trial of `%s` gives no correct answer in its decision" % self.name, HELP)
        return rows, answers, scored


#: Trials without an answer, one after the other, after which a task of PsychRNN's is wrong.
MOST_WITHOUT_ANSWER = 100
HELP = (
    "see docs/python-task.md for what an environment needs: after new_trial() the arrays `ob` (steps × channels) and "
    "`gt` (one class per step), or reset() and step() with the correct answer to each observation as info[\"gt\"], "
    "or a PsychRNN task's generate_trial_params() and generate_trial()"
)


def trials(task, count):
    lengths, inputs = array.array("I"), array.array("f")
    targets, answered, scored = array.array("I"), array.array("f"), array.array("f")
    channels = None
    for at in range(count):
        rows, answers, counted = task.trial()
        lengths.append(len(rows))
        counted = set(counted)
        if channels is None:
            channels = len(rows[0])
        whole = hasattr(rows, "tobytes") and sys.modules["numpy"].isfinite(rows).all()
        if whole and rows.shape[1] == channels:
            inputs.frombytes(rows.tobytes())
        else:
            for step, row in enumerate(rows):
                if len(row) != channels:
                    raise Wrong(
                        "an observation has %d numbers, but the first had %d" % (len(row), channels),
                        "the environment must return as many numbers in every observation",
                    )
                if any(v != v or v in (float("inf"), float("-inf")) for v in row):
                    raise Wrong(
                        "the observation of trial %d at step %d is not finite: %s" % (at, step, list(row)),
                        "the environment must return finite numbers",
                    )
                inputs.extend(row)
        targets.extend(right or 0 for right in answers)
        answered.extend(0.0 if right is None else 1.0 for right in answers)
        scored.extend(1.0 if step in counted else 0.0 for step in range(len(rows)))
    parts = [lengths, inputs, targets, answered, scored]
    if sys.byteorder == "big":
        for part in parts:
            part.byteswap()
    return {"steps": len(targets), "channels": channels or 0}, b"".join(part.tobytes() for part in parts)


def handle(request, task):
    """Answers a request of `python.task`."""
    if request["do"] == "open":
        task = Task(request)
        task.seed(0)
        step = getattr(innermost(task.env), "dt", None)
        about = {
            "classes": task.classes,
            "step_ms": float(step) if isinstance(step, (int, float)) and step > 0 else None,
            "python": interpreter(),
        }
        return task, about, b""
    if request["do"] == "seed":
        task.seed(request["seed"])
        return task, {}, b""
    return (task,) + trials(task, request["count"])
