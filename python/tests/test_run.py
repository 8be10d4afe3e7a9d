from __future__ import annotations

import dataclasses
import os
import re
import signal
import threading
from pathlib import Path

import pytest

import pallium


def test_a_dict_runs_and_a_second_call_trains_nothing(small, tmp_path, monkeypatch):
    # Other tests, which may run at the same time, leave their files elsewhere.
    monkeypatch.chdir(tmp_path)
    first = pallium.run(small, tmp_path / "out", progress=False)
    assert first.summary["cells"]["ok"] == 1
    again = pallium.run(small, tmp_path / "out", progress=False)
    assert (first.summary["cells"]["held_before"], again.summary["cells"]["held_before"]) == (0, 1)
    assert again.cell("free").about == first.cell("free").about
    assert not list(Path().glob(".pallium-*")), "the temporary file is removed"


def test_dataclasses_and_sweeps_make_the_same_experiment_as_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = pallium.Experiment(
        tasks=["cognition.go-no-go"],
        variants=[
            pallium.Variant(
                "W",
                geometry="soma",
                constraints=[pallium.use("spatial.distance", strength=pallium.sweep(0.1, 0.3))],
            )
        ],
        substrate={"neurons": 12},
        seed=5,
        runs=2,
    )
    (tmp_path / "same.toml").write_text(
        'seed = 5\nruns = 2\ntasks = ["cognition.go-no-go"]\nsubstrate = { neurons = 12 }\n'
        '[[variant]]\nname = "W"\ngeometry = "soma"\n'
        'constraints = [{ use = "spatial.distance", strength = { sweep = [0.1, 0.3] } }]\n'
    )
    planned, written = pallium.plan(experiment), pallium.plan("same.toml")
    assert list(planned["cell"]) == list(written["cell"])
    assert len(planned) == 4
    assert "W[strength=0.3]" in set(planned["variant"])


def test_ranges_become_axes(small):
    small["training"] = {**small["training"], "epochs": pallium.sweep(pallium.Range(2, 6, 3))}
    assert len(pallium.plan(small)) == 3


def test_overrides_reach_the_run(small, tmp_path):
    run = pallium.run(
        small, tmp_path / "out", set={"training.epochs": 1, "substrate.neurons": 9}, progress=False
    )
    assert run.cell("free").weights.shape == (9, 9)
    assert len(run.curves) == 1


def test_a_mistake_in_a_file_names_file_line_and_remedy(tmp_path):
    file = tmp_path / "wrong.toml"
    file.write_text('tasks = ["cognition.go-no-go"]\n\n[[variant]]\nname = "W"\nweights = "init.orthogonl"\n')
    with pytest.raises(pallium.PalliumError) as raised:
        pallium.run(file, tmp_path / "out", progress=False)
    assert (raised.value.file, raised.value.line) == (str(file), 5)
    assert "init.orthogonal" in (raised.value.help or "")
    assert raised.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_mistake_in_a_dict_shows_its_line(small, tmp_path):
    small["variant"] = [{"name": "free", "weights": "init.orthogonl"}]
    with pytest.raises(pallium.PalliumError, match=r'experiment, `.*weights = "init.orthogonl".*`') as raised:
        pallium.run(small, tmp_path / "out", progress=False)
    assert ".pallium-" not in str(raised.value)


def test_values_that_toml_lacks_are_refused(small):
    with pytest.raises(TypeError, match="cannot be written into an experiment"):
        pallium.plan({**small, "seed": object()})


def test_failed_trainings_are_an_error_unless_the_caller_looks_himself(small, tmp_path):
    lab = tmp_path / "lab.py"
    lab.write_text(
        "class Fails:\n    def penalty(self, weights, at):\n        if at.step > 1:\n"
        "            raise ValueError('no such luck')\n        return 0.0, 0 * weights\n"
    )
    fails = {"use": "python.constraint", "path": str(lab), "name": "Fails"}
    small["variant"] = [{"name": "free"}, {"name": "fails", "constraints": [fails]}]
    with pytest.raises(pallium.PalliumError, match="1 of 2 trainings failed") as raised:
        pallium.run(small, tmp_path / "out", progress=False)
    assert raised.value.exit_code == 3
    assert (raised.value.file, raised.value.line) == (str(lab), 4), str(raised.value)
    run = pallium.run(small, tmp_path / "out", progress=False, check=False)
    assert list(run.failed["training"]) == ["fails/cognition.go-no-go/0"]
    assert "no such luck" in run.failed["reason"][0]
    with pytest.raises(pallium.PalliumError, match="no such luck"):
        run.cell("fails")
    assert run.cell("free").value("accuracy") > 0


def test_a_failed_training_passes_on_the_remedy_of_its_component(small, tmp_path):
    lab = tmp_path / "lab.py"
    lab.write_text(
        "class Nan:\n    def penalty(self, weights, at):\n"
        "        return (float('nan') if at.step > 1 else 0.0), 0 * weights\n"
    )
    component = {"use": "python.constraint", "path": str(lab), "name": "Nan"}
    small["variant"] = [{"name": "fails", "constraints": [component]}]
    with pytest.raises(pallium.PalliumError, match="1 of 1 trainings failed") as raised:
        pallium.run(small, tmp_path / "out", progress=False)
    assert "finite" in str(raised.value.help) and "the other trainings" not in str(raised.value.help)
    assert (raised.value.file, raised.value.line) == (str(lab), None)


def test_a_plan_of_some_trainings(small):
    small["runs"] = 3
    assert len(pallium.plan(small, only="run=1")) == 1


def test_a_missing_experiment_file_is_named():
    with pytest.raises(pallium.PalliumError) as raised:
        pallium.run("nowhere.toml")
    assert raised.value.file == "nowhere.toml" and raised.value.help


def test_an_interrupt_stops_the_run_and_the_next_call_continues_it(small, tmp_path):
    small["runs"], small["training"] = 40, {"epochs": 30, "trials": 512, "batch": 32}
    out, ended = tmp_path / "out", threading.Event()

    def finished() -> int:
        return len(list((out / "cells").glob("[!.]*")))

    def interrupt() -> None:
        while not ended.wait(0.01):
            if finished():
                os.kill(os.getpid(), signal.SIGINT)
                return

    # A background job of a shell ignores interrupts, and so would this process.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    watching = threading.Thread(target=interrupt)
    watching.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            pallium.run(small, out, progress=False, jobs=1)
    finally:
        ended.set()
        watching.join()
        signal.signal(signal.SIGINT, before)
    assert finished() < 40
    short = pallium.run(small, out, only="run=0", jobs=1, progress=False)
    assert short.cell("free").about["run"] == 0


def test_metrics_are_a_list_or_a_table(small):
    kinds = ["connectivity.efficiency", pallium.use("organization.modularity")]
    listed = pallium.Experiment(tasks=["cognition.go-no-go"], variants=[pallium.Variant("W")], metrics=kinds)
    table = dataclasses.replace(listed, metrics={"use": kinds})
    assert listed.to_dict() == table.to_dict()
    assert len(pallium.plan(listed)) == 20


def test_null_models_and_connections_have_fields():
    weights = pallium.use("init.orthogonal")
    experiment = pallium.Experiment(
        tasks=["cognition.go-no-go"],
        substrate={"neurons": 12},
        runs=1,
        variants=[
            pallium.Variant("W", weights=weights),
            pallium.Variant("D", weights=weights, null="null.density"),
            pallium.Variant("C", weights=weights, connections=True, others={"geometry": "none"}),
        ],
        nulls={"of": "W", "keep": ["degrees"]},
    )
    assert set(pallium.plan(experiment)["variant"]) == {"W", "W, null degrees", "D", "C"}


def test_fields_are_the_keys_of_an_experiment_file():
    source = Path(__file__).parents[2] / "host/src/experiment/read.rs"
    if not source.is_file():
        pytest.skip("the tests are not in a checkout")

    def keys(name):
        found = re.search(rf"const {name}: &\[&str\] =\s*&\[(.*?)\];", source.read_text("utf-8"), re.DOTALL)
        return set(re.findall(r'"(\w+)"', found[1]))

    def fields(kind):
        return {f.name for f in dataclasses.fields(kind)} - {"others"}

    assert (fields(pallium.Experiment) - {"variants"}) | {"variant"} == keys("KEYS")
    assert fields(pallium.Variant) == keys("VARIANT")


def test_an_experiment_without_variants_says_so():
    with pytest.raises(pallium.PalliumError, match=r"`variant = .*there are no variants"):
        pallium.plan(pallium.Experiment(tasks=["cognition.go-no-go"]))


def test_only_the_selected_trainings_count_as_failed(small, tmp_path):
    lab = tmp_path / "lab.py"
    lab.write_text(
        "class Fails:\n    def penalty(self, weights):\n        raise ValueError(self.why)\n    why: str = ''\n"
    )
    fails = {"use": "python.constraint", "path": str(lab), "name": "Fails"}
    small["variant"] = [{"name": n, "constraints": [{**fails, "why": f"reason {n}"}]} for n in ("one", "two")]
    for name in ("one", "two"):
        with pytest.raises(pallium.PalliumError, match="1 of 1 trainings failed") as raised:
            pallium.run(small, tmp_path / "out", only=f"{name}/*", progress=False)
        assert len(raised.value.causes) == 1
        assert f"reason {name}" in raised.value.causes[0]


def test_a_metric_that_failed_is_computed_again(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lab.py").write_text(
        "import os\nclass Once:\n    factor: float = 1.0\n    def measure(self, network):\n"
        f"        if not os.path.exists({str(tmp_path / 'mark')!r}):\n            os.kill(os.getpid(), 9)\n"
        "        return {'one': 2.0 * self.factor}\n"
    )
    small["metrics"] = {"use": [pallium.use("python.metric", path="lab.py", name="Once")]}
    with pytest.raises(pallium.PalliumError, match="measures of finished trainings failed") as raised:
        pallium.run(small, "out", progress=False)
    assert "signal 9" in raised.value.causes[0]
    with pytest.raises(pallium.PalliumError):
        pallium.run(small, "out", progress=False)
    run = pallium.run(small, "out", progress=False, check=False)
    assert run.summary["failed_measures"] == 1
    Path("mark").touch()
    run = run.measure("python.metric", path="lab.py", name="Once")
    assert "python.metric_2" not in set(run.results["measure"])
    assert run.cell("free").value("one") == 2.0
    assert pallium.run(small, "out", progress=False).summary["cells"]["held_before"] == 1
    # Parameters of the class, by their names.
    run = run.measure("python.metric", path="lab.py", name="Once", factor=1.5)
    assert set(run.results["measure"]) >= {"one", "one_2"}
    assert run.cell("free").results["value"].isin([3.0]).any()
