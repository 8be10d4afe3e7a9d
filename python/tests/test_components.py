"""Components in Python, from the file to the results."""

from __future__ import annotations

import importlib.util
import sys
import textwrap

import numpy as np
import pytest

import pallium

LAB = '''
import numpy as np

import helper


class Wires:
    """Penalises connections by their lengths.

    The value is strength·Σ|W|·D.
    """

    cite = "our lab"

    strength: float = 0.3
    "Factor in front of the penalty (dimensionless)."

    def setup(self, setting):
        self.distance = setting.need("distance")

    def penalty(self, weights):
        value = self.strength * np.sum(np.abs(weights) * self.distance, dtype=np.float64)
        return value, self.strength * np.sign(weights) * self.distance * helper.ONE


class Clip:
    """Keeps weights within a limit."""

    limit: float = 0.2
    "Largest absolute value."

    def project(self, weights):
        return np.clip(weights, -self.limit, self.limit)


class Drawn:
    """Draws without a seed."""

    def penalty(self, weights):
        return float(np.random.default_rng().normal()), 0 * weights


class Wrong:
    """Has a wrong gradient."""

    def penalty(self, weights):
        return float((weights.astype(float) ** 2).sum()), weights


class Strength:
    """Mean strength and the strengths of all neurons."""

    def measure(self, network):
        strengths = np.abs(network.recurrent).sum(axis=1)
        return {"mean_strength": strengths.mean(), "strengths": strengths}


class Ring:
    """Connects neighbours on a ring."""

    weight: float = 0.5
    "Weight of a connection."

    def weights(self, request):
        found = np.zeros((request.neurons, request.neurons))
        at = np.arange(request.neurons)
        found[at, (at + 1) % request.neurons] = self.weight
        return found


class Sheet:
    """A sheet of neurons."""

    neurons: int = 12
    "Number of neurons."

    def substrate(self, rng):
        return {"positions_um": rng.uniform(0, 300, (int(self.neurons), 3))}


class Undocumented:
    """Has a parameter without documentation."""

    strength: float = 1.0

    def penalty(self, weights):
        return 0.0, 0 * weights


class Typo:
    """Names an attribute that it does not have."""

    def penalty(self, weights):
        return self.strenght, 0 * weights


class Kills:
    """Ends its process."""

    def penalty(self, weights, at):
        if at.step == 3:
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
        return 0.0, 0 * weights
'''


@pytest.fixture
def lab(tmp_path):
    (tmp_path / "helper.py").write_text("ONE = 1\n")
    file = tmp_path / "lab.py"
    file.write_text(LAB)
    return file


def own(role: str, lab, name: str, **parameters):
    return pallium.use(f"python.{role}", path=str(lab), name=name, **parameters)


def test_a_penalty_equals_the_native_one(lab, small, tmp_path):
    small["variant"] = [
        {
            "name": "native",
            "geometry": "soma",
            "constraints": [pallium.use("spatial.distance", strength=0.01)],
        },
        {
            "name": "python",
            "geometry": "soma",
            "constraints": [own("constraint", lab, "Wires", strength=0.01)],
        },
    ]
    run = pallium.run(small, tmp_path / "out", progress=False)
    native, python = (run.cell(name) for name in ("native", "python"))
    np.testing.assert_allclose(python.weights, native.weights, atol=1e-5)
    assert python.value("penalty", "train") == pytest.approx(native.value("penalty", "train"), rel=1e-5)


def test_a_hard_rule_holds(lab, small, tmp_path):
    small["variant"] = [{"name": "clipped", "constraints": [own("constraint", lab, "Clip", limit=0.1)]}]
    run = pallium.run(small, tmp_path / "out", progress=False)
    assert np.abs(run.cell("clipped").weights).max() <= np.float32(0.1)


def test_metrics_weights_and_neurons(lab, small, tmp_path):
    small |= {
        "substrate": own("substrate", lab, "Sheet", neurons=11),
        "variant": [{"name": "ring", "weights": own("weights", lab, "Ring", weight=0.25)}],
        "metrics": {"use": [own("metric", lab, "Strength")]},
    }
    run = pallium.run(small, tmp_path / "out", progress=False)
    cell = run.cell("ring")
    expected = np.zeros((11, 11), np.float32)
    expected[np.arange(11), (np.arange(11) + 1) % 11] = 0.25
    np.testing.assert_array_equal(cell.initial, expected)
    strengths = np.abs(cell.weights).sum(axis=1)
    assert cell.value("mean_strength") == pytest.approx(strengths.mean(), rel=1e-5)
    (arrays,) = cell.measured_arrays.values()
    np.testing.assert_allclose(arrays["strengths"], strengths, rtol=1e-5)


def test_functions_of_networkx_are_metrics(small, tmp_path):
    networkx = pytest.importorskip("networkx")
    small["metrics"] = {"use": [pallium.use("python.metric", name="networkx:reciprocity", quantile=0.8)]}
    run = pallium.run(small, tmp_path / "out", progress=False)
    strong = np.abs(run.cell("free").weights.astype(float))
    binary = (strong > np.quantile(strong, 0.8)) & ~np.eye(len(strong), dtype=bool)
    graph = networkx.from_numpy_array(binary.astype(int), create_using=networkx.DiGraph)
    assert run.cell("free").value("reciprocity") == pytest.approx(networkx.reciprocity(graph))


def test_functions_of_bctpy_are_metrics(small, tmp_path):
    bct = pytest.importorskip("bct")
    small["metrics"] = {"use": [pallium.use("python.metric", name="bct:clustering_coef_wd")]}
    cell = pallium.run(small, tmp_path / "out", progress=False).cell("free")
    expected = bct.clustering_coef_wd(np.abs(cell.weights.astype(float)))
    (arrays,) = cell.measured_arrays.values()
    np.testing.assert_allclose(arrays["clustering_coef_wd"], expected, rtol=1e-9)
    assert cell.value("clustering_coef_wd") == pytest.approx(expected.mean())


def test_functions_of_sklearn_are_metrics(small, tmp_path):
    metrics = pytest.importorskip("sklearn.metrics")
    small["metrics"] = {"use": [pallium.use("python.metric", name="sklearn.metrics:silhouette_score")]}
    cell = pallium.run(small, tmp_path / "out", progress=False).cell("free")
    end = np.arange(len(cell.activity)), cell.trials.lengths.astype(int) - 1
    expected = metrics.silhouette_score(cell.activity[end], cell.trials.conditions)
    assert cell.value("silhouette_score") == pytest.approx(expected, rel=1e-5)


def test_parameters_are_documented_and_checked(lab, small, tmp_path):
    shown = pallium.plugins.show(f"{lab}:Wires")
    assert (shown["about"], shown["cite"]) == ("Penalises connections by their lengths.", "our lab")
    (strength,) = [p for p in shown["parameters"] if p["name"] == "strength"]
    assert strength["default"] == 0.3
    assert strength["about"].startswith("Factor in front")
    # The example names the file, not data.
    assert f'path = "{lab}", name = "Wires"' in pallium._program.call("plugins", "show", f"{lab}:Wires")
    small["variant"][0] |= {
        "geometry": "soma",
        "constraints": [own("constraint", lab, "Wires", strenght=0.1)],
    }
    with pytest.raises(pallium.PalliumError, match="no parameter `strenght`") as raised:
        pallium.plan(small)
    assert "did you mean `strength`" in (raised.value.help or "")
    assert "pallium plugins show" in (raised.value.help or "")
    assert "lab.py:Wires" in (raised.value.help or "")
    small["variant"][0]["constraints"] = [own("constraint", lab, "Wires", strength="high")]
    with pytest.raises(pallium.PalliumError, match="must be a number"):
        pallium.plan(small)
    small["variant"][0]["constraints"] = [own("constraint", lab, "Wirs")]
    with pytest.raises(pallium.PalliumError, match="has no `Wirs`") as raised:
        pallium.plan(small)
    assert "did you mean `Wires`" in (raised.value.help or "")


def test_a_changed_module_makes_a_new_training(lab, small, tmp_path):
    wires = own("constraint", lab, "Wires", strength=0.01)
    small["variant"] = [{"name": "bound", "geometry": "soma", "constraints": [wires]}]
    out = tmp_path / "out"
    first = pallium.run(small, out, progress=False).cell("bound").about["identity"]
    assert pallium.run(small, out, progress=False).summary["cells"]["held_before"] == 1
    (tmp_path / "helper.py").write_text("ONE = 1  # changed\n")
    again = pallium.run(small, out, progress=False)
    assert again.summary["cells"]["held_before"] == 0
    assert again.cell("bound").about["identity"] != first


def test_unseeded_drawing_is_refused(lab, small, tmp_path):
    small["variant"] = [{"name": "drawn", "constraints": [own("constraint", lab, "Drawn")]}]
    with pytest.raises(pallium.PalliumError, match="different results"):
        pallium.run(small, tmp_path / "out", progress=False)


def test_a_killed_process_costs_one_training_and_is_named(lab, small, tmp_path):
    small["variant"] = [
        {"name": "free"},
        {"name": "killed", "constraints": [own("constraint", lab, "Kills")]},
    ]
    run = pallium.run(small, tmp_path / "out", progress=False, check=False)
    (reason,) = run.failed["reason"]
    assert "`Kills`" in reason
    assert "signal 9" in reason
    assert run.cell("free").about["status"] == "ok"


def test_a_file_is_held_to_the_conformance_checks(lab):
    pallium.plugins.check(f"{lab}:Wires")
    with pytest.raises(pallium.PalliumError, match="gradient"):
        pallium.plugins.check(f"{lab}:Wrong")
    with pytest.raises(pallium.PalliumError, match="different results"):
        pallium.plugins.check(f"{lab}:Drawn")
    with pytest.raises(pallium.PalliumError, match="has no documentation") as raised:
        pallium.plugins.check(f"{lab}:Undocumented")
    assert "put a text below it" in (raised.value.help or "")
    with pytest.raises(pallium.PalliumError, match="AttributeError") as raised:
        pallium.plugins.check(f"{lab}:Typo")
    assert raised.value.help is None


@pytest.mark.parametrize("role", ["constraint", "metric", "weights", "substrate", "task", "model"])
def test_new_components_conform_and_run(role, tmp_path, monkeypatch):
    if role == "model" and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    monkeypatch.chdir(tmp_path)
    folder = pallium.plugins.new("long-wires", role, "--language", "python")
    monkeypatch.chdir(tmp_path / folder)
    checks = pallium.plugins.check("long_wires.py")
    assert (checks["verdict"] == "passed").sum() > 5
    run = pallium.run("experiment.toml", "out", progress=False, set={"training.epochs": 1})
    assert run.summary["cells"]["ok"] == run.summary["cells"]["wanted"] > 0


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_value_is_differentiated(library, small, tmp_path):
    pytest.importorskip(library)
    numpy = "torch" if library == "torch" else "jax.numpy"
    lab = tmp_path / "auto.py"
    lab.write_text(
        textwrap.dedent(
            f"""
            import {numpy} as np

            class Squares:
                '''The sum of squares.'''

                arrays = "{library}"
                strength: float = 0.3
                "Factor."

                def penalty(self, weights):
                    return self.strength * (weights ** 2).sum()
            """
        )
    )
    matrix = np.random.default_rng(0).normal(size=(7, 7)).astype(np.float32)
    found = pallium.penalty("python.constraint", matrix, path=str(lab), name="Squares", strength=0.5)
    assert found.value == pytest.approx(0.5 * (matrix.astype(float) ** 2).sum(), rel=1e-5)
    np.testing.assert_allclose(found.gradient, matrix, rtol=1e-6)


def test_the_interpreter_is_this_one(lab):
    assert pallium._program.environment()["PALLIUM_PYTHON"] == sys.executable


def test_data_files_of_a_class_are_part_of_the_identity(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lab = tmp_path / "own.py"
    lab.write_text(
        textwrap.dedent("""
            import pathlib

            import numpy as np


            class Own:
                file: pathlib.Path

                def weights(self, request):
                    assert isinstance(self.file, pathlib.Path)
                    return np.load(self.file)
            """)
    )
    (tmp_path / "data").mkdir()
    small["variant"] = [
        {
            "name": "own",
            "weights": pallium.use("python.weights", path="own.py", name="Own", file="data/w.npy"),
        }
    ]

    def held(scale: float) -> int:
        np.save("data/w.npy", np.full((small["substrate"]["neurons"],) * 2, scale, np.float32))
        return pallium.run(small, "out", progress=False).summary["cells"]["held_before"]

    assert [held(0.1), held(0.1), held(0.2)] == [0, 1, 0]
