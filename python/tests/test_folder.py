from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

import pallium
from pallium import _program


def test_tables_are_those_of_the_folder(finished):
    table = pd.read_csv(finished.folder / "results.csv")
    pd.testing.assert_frame_equal(finished.results, table)
    assert len(finished.curves) == 2 * 2 * 2 * 2
    assert list(finished.times.columns[:3]) == ["variant", "task", "run"]
    assert (finished.times.filter(like="seconds").sum(axis=1) > 0).all()
    assert finished.axes is None


def test_accuracy_is_the_mean_over_runs_in_the_order_of_the_experiment(finished):
    accuracy = finished.accuracy()
    assert list(accuracy.index) == ["free", "bound*"]
    assert list(accuracy.columns) == ["cognition.one-choice", "cognition.go-no-go"]
    cells = [finished.cell("bound*", "go-no-go", run).value("accuracy") for run in (0, 1)]
    assert accuracy.loc["bound*", "cognition.go-no-go"] == pytest.approx(np.mean(cells))
    spread = finished.accuracy(how="std").loc["bound*", "cognition.go-no-go"]
    assert spread == pytest.approx(np.std(cells, ddof=1))
    with pytest.raises(KeyError, match="there are: accuracy"):
        finished.accuracy(measure="accurcy")


def test_a_training_has_weights_before_and_after(finished):
    cell = finished.cell("free", "cognition.go-no-go", 1)
    assert cell.weights.shape == cell.initial.shape == (16, 16)
    assert not np.array_equal(cell.weights, cell.initial)
    # Orthogonal initial weights.
    np.testing.assert_allclose(cell.initial @ cell.initial.T, np.eye(16), atol=1e-5)
    assert {"recurrent", "input", "bias", "readout", "readout_bias"} == set(cell.parameters)
    assert cell.about["status"] == "ok"
    assert len(list(finished)) == 8


def test_axes_are_named(finished):
    data = finished.cell("free", "go-no-go").to_xarray()
    assert data["recurrent"].dims == ("from", "to")
    assert data["input"].dims == ("channel", "to")
    assert data["readout"].dims == ("from", "output")
    assert data.attrs["variant"] == "free"
    np.testing.assert_array_equal(data["initial"].values, finished.cell("free", "go-no-go").initial)


def test_unknown_names_are_answered_with_the_known_ones(finished):
    with pytest.raises(KeyError, match=r"free, bound\*"):
        finished.cell("fre", "go-no-go")
    with pytest.raises(KeyError, match="name a task"):
        finished.cell("free")
    with pytest.raises(KeyError, match=r"has no training free/cognition\.go-no-go/7"):
        finished.cell("free", "go-no-go", 7)
    with pytest.raises(pallium.PalliumError, match="not a run folder"):
        pallium.open(finished.folder / "cells")
    with pytest.raises(pallium.PalliumError, match="does not exist"):
        pallium.open("nowhere")


def test_report_figures_and_statistics(finished, tmp_path):
    page = finished.report()._repr_html_()
    assert page.startswith("<iframe srcdoc=")
    assert "bound*" in page
    figures = finished.figures(tmp_path / "figures")
    assert figures
    assert {file.suffix for file in figures.values()} == {".svg", ".pdf"}
    assert finished.figures(tmp_path / "figures").keys() == figures.keys(), "figures are replaced"
    assert isinstance(finished.statistics(), dict)
    assert "bound*" in finished._repr_html_()


def test_metrics_are_added_without_training(small, tmp_path):
    run = pallium.run(small, tmp_path / "out", progress=False)
    before = run.cell("free").weights
    measured = run.measure("connectivity.efficiency")
    added = set(measured.results["measure"]) - set(run.results["measure"])
    assert added
    np.testing.assert_array_equal(measured.cell("free").weights, before)


def test_networks_are_recorded_on_their_test_trials(finished):
    if "--what" not in _program.call("export", "--help"):
        pytest.skip("this executable does not record trials")
    cell = finished.cell("free", "go-no-go")
    trials = cell.trials
    assert trials.inputs.shape[:2] == cell.activity.shape[:2] == cell.logits.shape[:2] == trials.mask.shape
    scored = trials.mask > 0
    answers = cell.logits.argmax(axis=2)
    accuracy = (answers == trials.targets)[scored].mean()
    assert accuracy == pytest.approx(cell.value("accuracy"), abs=1e-6)
    assert cell.to_xarray(activity=True)["activity"].dims == ("trial", "step", "unit")


def test_connections_have_an_axis_of_their_own(small, tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    small["variant"] = [
        {"name": "free", "weights": {"use": "init.sparse", "density": 0.2}, "connections": True}
    ]
    cell = pallium.run(small, tmp_path / "out", progress=False).cell("free")
    data = cell.to_xarray()
    assert data["recurrent"].dims == ("connection",)
    assert data["initial"].dims == ("initial_connection",)
    pairs = data["connection_from"].values, data["connection_to"].values
    found = sparse.coo_array((data["recurrent"].values, pairs), shape=(16, 16)).toarray()
    np.testing.assert_array_equal(found, cell.weights.toarray())
    assert "connections.indices" not in cell.parameters


def test_a_wrong_split_names_the_splits(finished):
    with pytest.raises(KeyError, match="has no split `tst`; it has: train, validation, test"):
        finished.accuracy(split="tst")
    with pytest.raises(KeyError, match="no measure `acuracy`; there are: accuracy"):
        finished.accuracy(measure="acuracy")
    with pytest.raises(KeyError, match="has no split `tst`"):
        finished.cell("free", "go-no-go").value("accuracy", split="tst")


@pytest.mark.parametrize("package", ["polars", "xarray", "torch", "scipy"])
def test_a_missing_package_is_named_with_its_extra(package, finished, monkeypatch):
    for name in [*sys.modules]:
        if name.split(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)

    class Hidden:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name.split(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Hidden, *sys.meta_path])
    cell = finished.cell("free", "go-no-go")
    call = {
        "polars": finished.polars,
        "xarray": cell.to_xarray,
        "torch": cell.to_torch,
        "scipy": lambda: pallium._program.optional("scipy.sparse"),
    }[package]
    with pytest.raises(pallium.PalliumError, match=f"needs the package {package}") as raised:
        call()
    assert f"pip install 'pallium[{package}]'" in (raised.value.help or "")
