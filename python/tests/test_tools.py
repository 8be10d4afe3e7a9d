from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import pallium


@pytest.fixture
def matrix():
    return np.random.default_rng(1).normal(size=(20, 20)).astype(np.float32)


def test_penalties_equal_numpy(matrix):
    found = pallium.penalty("spatial.l1", matrix, strength=0.25)
    assert found.value == pytest.approx(0.25 * np.abs(matrix).sum(dtype=float), rel=1e-6)
    np.testing.assert_allclose(found.gradient, 0.25 * np.sign(matrix), rtol=1e-6)


def test_penalties_on_a_field_use_its_distances(tmp_path, matrix):
    folder = pallium.field.synth(tmp_path / "field", neurons=20, seed=2)
    assert pallium.field.info(folder)["neurons"] == 20
    found = pallium.penalty("spatial.distance", matrix, field=folder, geometry="soma", strength=1.0)
    distance = found.gradient * np.sign(matrix)
    np.testing.assert_allclose(distance, distance.T, atol=1e-6)
    assert found.value == pytest.approx((np.abs(matrix) * distance).sum(), rel=1e-5)


def test_initial_weights_are_those_of_a_run(finished):
    weights = pallium.weights("init.orthogonal", seed=3, run=1, neurons=16)
    np.testing.assert_array_equal(weights, finished.cell("free", "go-no-go", 1).initial)


def test_a_null_model_keeps_what_it_promises():
    source = {"seed": 3, "neurons": 16}
    weights = pallium.weights("init.gaussian", **source)
    null = pallium.weights("init.gaussian", null=pallium.use("null.degrees"), **source)
    assert not np.array_equal(null, weights)
    np.testing.assert_array_equal(np.sort(null, axis=None), np.sort(weights, axis=None))


def test_measures(matrix):
    found = pallium.measure(matrix)
    assert found["neurons"] == 20
    assert "modularity" in found
    strong = pallium.measure(matrix, quantile=0.5)
    assert strong["density"] > found["density"]
    with pytest.raises(ValueError, match="square matrix"):
        pallium.measure(matrix[:3])


def test_statistics_of_a_data_frame_equal_scipy():
    scipy_stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"A": rng.normal(size=9), "B": rng.normal(1.0, size=9)})
    found = pallium.stats(table, resamples=999)
    expected = scipy_stats.kruskal(table["A"], table["B"])
    assert found["kruskal"] == pytest.approx([expected.statistic, expected.pvalue], rel=1e-6)


def test_equivalence_and_levels_of_runs():
    scipy_stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(8, 2)), columns=["A", "B"])
    table.insert(0, "field", ["x"] * 3 + ["y"] * 5)
    found = pallium.stats(table, resamples=999, equivalence=0.5, levels=["field"])
    difference = table["A"] - table["B"]
    by_field = difference.groupby(table["field"]).mean()
    assert found["hierarchical"]["A vs B"]["difference"] == pytest.approx(by_field.mean(), rel=1e-9)
    expected = scipy_stats.ttest_1samp(by_field, 0.0)
    grouped = found["hierarchical"]["A vs B"]
    assert grouped["groups"] == 2
    assert grouped["t"]["p"] == pytest.approx(expected.pvalue, rel=1e-9)
    ends = tuple(expected.confidence_interval(0.95))
    assert grouped["t"]["interval"] == pytest.approx(ends, rel=1e-9)

    # Groups are judged if there are levels, otherwise runs.
    def larger(values):
        return max(
            scipy_stats.ttest_1samp(values, margin, alternative=alternative).pvalue
            for margin, alternative in [(-0.5, "greater"), (0.5, "less")]
        )

    assert found["equivalence"]["A vs B"]["p"] == pytest.approx(larger(by_field), rel=1e-9)
    by_run = pallium.stats(table.drop(columns="field"), resamples=999, equivalence=0.5)
    assert by_run["equivalence"]["A vs B"]["p"] == pytest.approx(larger(difference), rel=1e-9)


def test_any_command_is_reachable():
    assert pallium.command("--version").startswith("pallium ")
    with pytest.raises(pallium.PalliumError, match="no-such-command"):
        pallium.command("no-such-command")


def test_components_are_listed_and_documented():
    listed = pallium.plugins()
    assert {"rnn.vanilla", "python.constraint"} <= set(listed["id"])
    shown = pallium.plugins.show("spatial.l1")
    assert "strength" in [p["name"] for p in shown["parameters"]]
    with pytest.raises(pallium.PalliumError, match=r"spatial\.l2") as raised:
        pallium.plugins.show("spatial.l2")
    assert "spatial.l1" in (raised.value.help or "")


def test_parameters_of_python_files_are_checked_and_named(tmp_path, matrix):
    lab = tmp_path / "lab.py"
    lab.write_text(
        "import typing\n\nclass Sum:\n    kind: typing.Literal['a', 'b'] = 'a'\n    big: int = 1\n    limit: typing.Optional[float] = None\n"
        "    def penalty(self, weights):\n        return self.big * float(weights.sum()), self.big + 0 * weights\n\n"
        "class Total:\n    kind: typing.Literal['a', 'b'] = 'a'\n"
        "    def measure(self, network):\n        return {self.kind: network.recurrent.sum()}\n"
    )
    given = {"path": str(lab), "name": "Sum"}
    assert pallium.penalty("python.constraint", matrix, **given, kind="b", big=2).gradient.max() == 2
    for name, value, must in (("kind", "zzz", '"a" or "b"'), ("big", 2.5, "a whole number")):
        with pytest.raises(pallium.PalliumError, match=f"parameter `{name}` of `Sum` cannot be") as raised:
            pallium.penalty("python.constraint", matrix, **given, **{name: value})
        assert must in str(raised.value)
    assert pallium.penalty("python.constraint", matrix, **given, limit=None).gradient.max() == 1
    given["name"] = "Total"
    assert pallium.measure(matrix, "python.metric", **given, kind="b")["b"] == pytest.approx(
        float(matrix.sum()), rel=1e-5
    )
    with pytest.raises(pallium.PalliumError, match=r"no.* parameter `kinds`") as raised:
        pallium.measure(matrix, "python.metric", **given, kinds="b")
    assert "`kind`" in (raised.value.help or "")


def test_errors_name_arguments(matrix):
    with pytest.raises(pallium.PalliumError) as raised:
        pallium.penalty("spatial.distance", matrix)
    assert "geometry=" in (raised.value.help or "")
    assert "--" not in str(raised.value)
    for call in (
        lambda: pallium.measure(np.full((4, 4), np.nan)),
        lambda: pallium.stats(pd.DataFrame({"A": ["x", "y"], "B": ["z", "z"]})),
    ):
        with pytest.raises(pallium.PalliumError) as raised:
            call()
        assert "/tmp" not in str(raised.value)
        assert ".npy" not in str(raised.value)
        assert ".csv" not in str(raised.value)
