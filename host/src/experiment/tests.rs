//! Experiment files against a catalogue of mock components.

mod analysis;
mod nulls;
mod sweep;

use std::path::{Path, PathBuf};

use pallium_core::ndarray::{ArrayView2, ArrayView3, ArrayViewMut2};
use pallium_core::prelude::*;
use pallium_core::{Registration, params};
use pallium_profile as profile;
use pallium_record::spec::{CellSpec, CoordinateLayout, DistanceScale, Space, Training};
use serde_json::json;
use tempfile::TempDir;

use super::{Accuracy, Experiment, Interval, filter};
use crate::plugins::Catalogue;
use crate::run::cost::Estimator;

const NEURONS: usize = 6;

pallium_core::params! {
    /// No parameters.
    pub struct Nothing {}
}
pallium_core::params! {
    /// Of a substrate that is read.
    pub struct FieldParams {
        /// Folder.
        path: String = String::new(),
        /// A further file.
        #[schemars(extend("format" = "path"))]
        table: String = String::new(),
        /// Switch.
        connectome_order: String = "restored".into(),
        /// Switch.
        sttc: String = "half-frame".into(),
    }
}
pallium_core::params! {
    /// Of a substrate that is made.
    pub struct SyntheticParams {
        /// N.
        neurons: u32 = 6,
    }
}
pallium_core::params! {
    /// Of a penalty.
    pub struct PenaltyParams {
        /// λ.
        strength: f64 = 0.3,
        /// Switch of L1.
        strength_rule: String = "applied".into(),
        /// Switch of the connectome's communicability.
        empty_rows: String = "zero".into(),
    }
}
pallium_core::params! {
    /// Of weights.
    pub struct WeightParams {
        /// Switch.
        precision: String = "partial-correlation".into(),
        /// Switch.
        positive: String = "none".into(),
        /// Control.
        diagonal: String = "keep".into(),
        /// Control.
        shuffle: String = "none".into(),
        /// A word.
        label: String = String::new(),
    }
}
pallium_core::params! {
    /// Of a measure of the graph.
    pub struct GraphParams {
        /// Connections at the threshold.
        ties: String = "include".into(),
    }
}
pallium_core::params! {
    /// Of small-worldness.
    pub struct NullParams {
        /// Connections at the threshold.
        ties: String = "include".into(),
        /// Switch.
        null: String = "matched".into(),
    }
}
pallium_core::params! {
    /// Of a task.
    pub struct TaskParams {
        /// Steps.
        delay: u32 = 10,
    }
}

/// The values under profiles of the component with this id, as the real one declares
/// them.
const fn declared(id: &str) -> &'static [ProfileValue] {
    const TIES: [ProfileValue; 2] = both("ties", r#""exclude""#, r#""include""#);
    const NULL: [ProfileValue; 2] = both("null", r#""published""#, r#""matched""#);
    const ORDER: [ProfileValue; 2] = both("connectome_order", r#""released""#, r#""restored""#);
    const STTC: [ProfileValue; 2] = both("sttc", r#""released""#, r#""half-frame""#);
    const POSITIVE: [ProfileValue; 2] = both("positive", r#""none""#, r#""rescaled""#);
    match id.as_bytes() {
        b"microns.field" => &[ORDER[0], ORDER[1], STTC[0], STTC[1]],
        b"microns.functional" | b"microns.relabelled" => {
            const { &both("precision", r#""raw""#, r#""partial-correlation""#) }
        }
        b"init.orthogonal" => {
            const {
                &[
                    POSITIVE[0].with_constraint("spatial.non-negative"),
                    POSITIVE[1].with_constraint("spatial.non-negative"),
                ]
            }
        }
        b"spatial.l1" => const { &both("strength_rule", r#""ignored""#, r#""applied""#) },
        b"spatial.communicability-emd" => const { &both("empty_rows", r#""floor""#, r#""zero""#) },
        b"organization.small-worldness" => &[TIES[0], TIES[1], NULL[0], NULL[1]],
        b"organization.modularity"
        | b"organization.assortativity"
        | b"organization.clustering"
        | b"organization.efficiency" => &TIES,
        _ => &[],
    }
}

const fn both(
    parameter: &'static str,
    published: &'static str,
    corrected: &'static str,
) -> [ProfileValue; 2] {
    [
        ProfileValue::new("published", parameter, published),
        ProfileValue::new("corrected", parameter, corrected),
    ]
}

macro_rules! mock {
    ($name:ident, $id:literal, $params:ty) => {
        struct $name;
        impl Component for $name {
            const ID: &'static str = $id;
            const ABOUT: &'static str = "mock";
            const CITE: &'static str = "this work";
            type Params = $params;
            const PROFILES: &'static [ProfileValue] = const { declared($id) };
            fn build(_: $params, _: &Setting<'_>) -> Result<Self> {
                Ok($name)
            }
        }
    };
    (Substrate: $($name:ident $id:literal $params:ty),*) => {$(
        mock!($name, $id, $params);
        impl SubstrateSource for $name {
            fn substrate(&mut self, _: u64) -> Result<Substrate> {
                Ok(Substrate { name: $id.into(), neurons: NEURONS, ..Substrate::default() })
            }
        }
    )*};
    (Weights: $($name:ident $id:literal),*) => {$(
        mock!($name, $id, WeightParams);
        impl WeightSource for $name {
            fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
                Ok(Matrix::eye(request.neurons))
            }
        }
    )*};
    (Constraint: $($name:ident $id:literal),*) => {$(
        mock!($name, $id, PenaltyParams);
        impl Constraint for $name {
            fn penalty(&mut self, _: MatrixView<'_>, _: MatrixViewMut<'_>, _: &Point<'_>) -> Result<f64> {
                Ok(0.0)
            }
        }
    )*};
    (Metric: $($name:ident $id:literal $params:ty),*) => {$(
        mock!($name, $id, $params);
        impl Metric for $name {
            fn measure(&mut self, _: &Network<'_>) -> Result<Measures> {
                Ok(vec![Measure::new("mock", 1.0)].into())
            }
        }
    )*};
    (Task: $($name:ident $id:literal),*) => {$(
        mock!($name, $id, TaskParams);
        impl pallium_core::Task for $name {
            fn info(&self) -> TaskInfo {
                TaskInfo::classes(2, 2, 4)
            }
            fn trials(&mut self, count: usize, _: u64) -> Result<Batch> {
                let mut batch = Batch::zeros(count, 4, 2);
                batch.mask.fill(1.0);
                Ok(batch)
            }
        }
    )*};
}
mock!(Substrate: Field "microns.field" FieldParams, Synthetic "synthetic.field" SyntheticParams);
mock!(Weights: Orthogonal "init.orthogonal", Functional "microns.functional", Relabelled "microns.relabelled");
mock!(Constraint: Mask "circuit.mask", Dale "circuit.dale", L1 "spatial.l1", Distance "spatial.distance", Communicability "spatial.communicability",
    Emd "spatial.communicability-emd", NonNegative "spatial.non-negative");
mock!(Metric: Entropy "organization.entropy" Nothing, Modularity "organization.modularity" GraphParams,
    Assortativity "organization.assortativity" GraphParams, Clustering "organization.clustering" GraphParams,
    Efficiency "organization.efficiency" GraphParams, SmallWorldness "organization.small-worldness" NullParams,
    SpectralRadius "organization.spectral-radius" Nothing);
mock!(Task: OneChoice "cognition.one-choice", GoNoGo "cognition.go-no-go",
    Perceptual "cognition.perceptual-decision");

params! {
    /// Mock.
    pub struct AdamParams {
        /// Learning rate.
        learning_rate: f64 = 1e-3,
        /// ε.
        epsilon: Option<f64> = None,
    }
}

struct Vanilla(Matrix);
impl Component for Vanilla {
    const ID: &'static str = "rnn.vanilla";
    const ABOUT: &'static str = "mock";
    const CITE: &'static str = "this work";
    type Params = Nothing;
    fn build(_: Nothing, setting: &Setting<'_>) -> Result<Self> {
        Ok(Vanilla(Matrix::zeros((setting.neurons()?, setting.inputs()?))))
    }
}
impl Model for Vanilla {
    fn info(&self) -> ModelInfo {
        let recurrent = ParameterInfo::new("recurrent", [NEURONS, NEURONS], ParameterKind::Recurrent);
        ModelInfo::new(NEURONS, vec![recurrent])
    }
    fn initialise(&mut self, recurrent: MatrixView<'_>, _: u64) -> Result<()> {
        self.0 = recurrent.to_owned();
        Ok(())
    }
    fn forward(&mut self, _: &BatchView<'_>, _: Mode, _: ArrayViewMut2<'_, f32>) -> Result<()> {
        Ok(())
    }
    fn activity(&self) -> Result<ArrayView3<'_, f32>> {
        Err(Error::unsupported("mock"))
    }
    fn backward(&mut self, _: ArrayView2<'_, f32>, _: Option<ArrayView3<'_, f32>>) -> Result<()> {
        Ok(())
    }
    fn parameters(&self) -> Result<Vec<TensorView<'_>>> {
        Ok(Vec::new())
    }
    fn parameters_mut(&mut self) -> Result<Vec<&mut [f32]>> {
        Ok(Vec::new())
    }
    fn learned(&mut self) -> Result<Vec<LearnedMut<'_>>> {
        Ok(Vec::new())
    }
}

struct Adam;
impl Component for Adam {
    const ID: &'static str = "optimizer.adam";
    const ABOUT: &'static str = "mock";
    const CITE: &'static str = "this work";
    type Params = AdamParams;
    fn build(_: AdamParams, _: &Setting<'_>) -> Result<Self> {
        Ok(Adam)
    }
}
impl Optimizer for Adam {
    fn update(&mut self, _: &mut [Learned<'_>], _: &Moment) -> Result<()> {
        Ok(())
    }
    fn state(&self) -> Result<Vec<Tensor>> {
        Ok(Vec::new())
    }
    fn restore(&mut self, _: &[Tensor]) -> Result<()> {
        Ok(())
    }
}

fn catalogue() -> Catalogue {
    Catalogue::in_process(&[
        Registration::substrate::<Field>(),
        Registration::substrate::<Synthetic>(),
        Registration::weights::<Orthogonal>(),
        Registration::weights::<Functional>(),
        Registration::weights::<Relabelled>(),
        Registration::optimizer::<Adam>(),
        Registration::constraint::<L1>(),
        Registration::constraint::<Mask>(),
        Registration::constraint::<Dale>(),
        Registration::constraint::<Distance>(),
        Registration::constraint::<Communicability>(),
        Registration::constraint::<Emd>(),
        Registration::constraint::<NonNegative>(),
        Registration::metric::<Entropy>(),
        Registration::metric::<Modularity>(),
        Registration::metric::<Assortativity>(),
        Registration::metric::<Clustering>(),
        Registration::metric::<Efficiency>(),
        Registration::metric::<SmallWorldness>(),
        Registration::metric::<SpectralRadius>(),
        Registration::task::<OneChoice>(),
        Registration::task::<GoNoGo>(),
        Registration::task::<Perceptual>(),
        Registration::model::<Vanilla>(),
    ])
    .unwrap()
}

/// A folder with experiment files in it.
struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Folder(folder)
    }

    fn load(&self, sets: &[&str]) -> Result<Experiment> {
        let sets: Vec<_> = sets.iter().map(|s| s.to_string()).collect();
        Experiment::load(&self.0.path().join("x.toml"), &sets)
    }

    fn cells(&self, sets: &[&str]) -> Result<Vec<CellSpec>> {
        self.load(sets)?.expand(&catalogue())
    }

    /// The message without the folder's name, and the help.
    fn clean(&self, error: &Error) -> (String, String) {
        let folder = format!("{}/", self.0.path().display());
        let real = format!("{}/", self.0.path().canonicalize().unwrap().display());
        let clean = |text: &str| text.replace(&real, "").replace(&folder, "");
        (clean(&error.message), clean(error.help.as_deref().unwrap_or("")))
    }
}

const TAIL: &str = "
tasks = [\"cognition.one-choice\"]
[[variant]]
name = \"W\"
";

/// Checks the error of a file without other mistakes.
fn error(text: &str, sets: &[&str]) -> (String, String) {
    let folder = Folder::new(&[("x.toml", text)]);
    let error = folder.cells(sets).expect_err(text);
    folder.clean(&error)
}

#[track_caller]
fn refused(text: &str, sets: &[&str], message: &str, help: &str) {
    let (found, found_help) = error(text, sets);
    assert_eq!(found, message, "{text}");
    assert!(found_help.contains(help), "help of `{message}` is `{found_help}`");
}

fn one(text: &str, sets: &[&str]) -> CellSpec {
    Folder::new(&[("x.toml", text)]).cells(sets).unwrap().remove(0)
}

#[test]
fn defaults_are_the_published_settings_with_the_corrected_profile() {
    let folder = Folder::new(&[("x.toml", TAIL)]);
    let x = folder.load(&[]).unwrap();
    assert_eq!((x.name.as_str(), x.seed, x.runs, x.profile.as_str()), ("x", 0, 20, "corrected"));
    assert_eq!((x.accuracy, x.interval), (Accuracy::Evaluated, Interval::Bootstrap));
    assert_eq!(x.source_text, TAIL);
    let cells = x.expand(&catalogue()).unwrap();
    assert_eq!(cells.len(), 20);
    let cell = &cells[0];
    assert_eq!(cell.training, Training::new(10, 5120, 2560, 2560, 128));
    assert_eq!((cell.substrate.id.as_str(), cell.model.id.as_str()), ("synthetic.field", "rnn.vanilla"));
    assert_eq!((cell.weights.id.as_str(), &cell.geometry.space), ("init.orthogonal", &Space::None));
    assert_eq!(cell.metrics.len(), 7);
    assert!(cell.constraints.is_empty());
}

#[test]
fn trainings_are_ordered_by_run_then_task() {
    let text = "runs = 2
tasks = ['cognition.go-no-go', { use = 'cognition.one-choice', name = 'choice', delay = 3 }]
[[variant]]
name = 'W*'
[[variant]]
name = 'A'
";
    let cells = Folder::new(&[("x.toml", text)]).cells(&[]).unwrap();
    let labels: Vec<_> = cells.iter().map(CellSpec::label).collect();
    assert_eq!(
        labels,
        [
            "W*/cognition.go-no-go/0",
            "A/cognition.go-no-go/0",
            "W*/choice/0",
            "A/choice/0",
            "W*/cognition.go-no-go/1",
            "A/cognition.go-no-go/1",
            "W*/choice/1",
            "A/choice/1",
        ]
    );
    assert_eq!(cells[2].task_component.params["delay"], 3);
}

#[test]
fn overrides_set_keys_of_every_kind() {
    let text = format!("profile = 'published'\n{TAIL}geometry = 'soma'\n");
    let folder = Folder::new(&[("x.toml", &text), ("6_6_2/there", "")]);
    let path = folder.0.path().join("6_6_2").display().to_string();
    let cells = folder
        .cells(&[
            &format!("substrate.path={path}"),
            "runs=1",
            "training.epochs=2",
            "training.trials=9",
            "tasks=[\"cognition.go-no-go\"]",
            "switches.coordinate_layout=rows",
            "variant.W.weights.label=6_6_2",
            "seed=7",
        ])
        .unwrap();
    assert_eq!(cells.len(), 1);
    let cell = &cells[0];
    assert_eq!((cell.substrate.id.as_str(), cell.seed), ("microns.field", 7));
    assert_eq!(cell.substrate.params["connectome_order"], "released");
    let t = &cell.training;
    assert_eq!((t.epochs, t.trials, t.validation, t.test, t.batch), (2, 9, 4, 4, 128));
    assert_eq!(cell.task, "cognition.go-no-go");
    assert_eq!(cell.geometry.coordinate_layout, CoordinateLayout::Rows);
    assert_eq!(cell.geometry.distance_scale, DistanceScale::None);
    // TOML reads a number, but the parameter is text.
    assert_eq!(cell.weights.params["label"], "6_6_2");
    let corrected = folder.load(&["profile=corrected"]).unwrap();
    assert_eq!(corrected.switches["coordinate_layout"], "rows");
    assert_eq!(corrected.overrides, ["profile=corrected"]);
}

#[test]
fn paths_are_relative_to_where_they_are_written() {
    let text = format!("plugin_path = ['plugins']\nsubstrate.path = 'data/a'\n{TAIL}");
    let folder = Folder::new(&[("x.toml", &text), ("data/a/there", "")]);
    let x = folder.load(&[]).unwrap();
    let root = folder.0.path().canonicalize().unwrap();
    assert_eq!(x.plugin_path, [std::path::absolute(folder.0.path().join("plugins")).unwrap()]);
    assert_eq!(x.substrate.component.params["path"], root.join("data/a").display().to_string());
    // Paths in --set are relative to the current folder, which has a
    // Cargo.toml.
    let x = folder.load(&["substrate.path=Cargo.toml"]).unwrap();
    let here = Path::new("Cargo.toml").canonicalize().unwrap();
    assert_eq!(x.substrate.component.params["path"], here.display().to_string());
    // Paths in a base are relative to the base.
    let folder =
        Folder::new(&[("base/b.toml", &text), ("base/data/a/there", ""), ("x.toml", "base = 'base/b.toml'")]);
    let x = folder.load(&[]).unwrap();
    let root = folder.0.path().canonicalize().unwrap();
    assert_eq!(x.substrate.component.params["path"], root.join("base/data/a").display().to_string());
    // `from` is a path in `training` only; a component's parameter of that
    // name is recorded as written.
    let text = format!("{text}\n[training]\nfrom = 'runs/a'\n[model]\nuse = 'rnn.vanilla'\nfrom = 'left'");
    let folder = Folder::new(&[("x.toml", &text), ("data/a/there", ""), ("runs/a/manifest.json", "{}")]);
    let resolved = folder.load(&[]).unwrap().resolved_text(&catalogue()).unwrap();
    let written: toml::Table = resolved.parse().unwrap();
    assert!(written["training"]["from"].as_str().unwrap().ends_with("/runs/a"), "{resolved}");
    assert_eq!(written["model"]["from"].as_str(), Some("left"));
}

#[test]
fn a_parameter_comes_from_the_nearest_place() {
    let text = |own: &str, rest: &str| {
        format!(
            "profile = 'published'\ntasks = ['cognition.one-choice']\n{rest}\n[[variant]]\nname = 'W'\nconstraints = [{own}]\n"
        )
    };
    let rule = |own: &str, rest: &str| one(&text(own, rest), &[]).constraints[0].params.clone();
    let plain = "'spatial.l1'";
    let own = "{ use = 'spatial.l1', strength_rule = 'mine' }";
    let defaults = "[defaults.'spatial.l1']\nstrength_rule = 'default'\nstrength = 2";
    let switch = "[switches]\nl1_strength = 'applied'";
    assert_eq!(rule(plain, ""), *json!({"strength_rule": "ignored"}).as_object().unwrap());
    assert_eq!(rule(plain, switch)["strength_rule"], "applied");
    assert_eq!(rule(plain, &format!("{switch}\n{defaults}"))["strength_rule"], "default");
    let all = rule(own, &format!("{switch}\n{defaults}"));
    assert_eq!((&all["strength_rule"], &all["strength"]), (&json!("mine"), &json!(2)));
    // The order of parameters does not depend on where they are set.
    assert_eq!(all.keys().collect::<Vec<_>>(), ["strength", "strength_rule"]);
}

#[test]
fn a_positive_start_needs_the_constraint() {
    let text = "tasks = ['cognition.one-choice']
[[variant]]
name = 'free'
[[variant]]
name = 'bound'
constraints = ['spatial.non-negative']
";
    let cells = Folder::new(&[("x.toml", text)]).cells(&["runs=1"]).unwrap();
    assert!(cells[0].weights.params.is_empty());
    assert_eq!(cells[1].weights.params["positive"], "rescaled");
    // The experiment's constraints follow each variant's own.
    let cells = Folder::new(&[("x.toml", text)])
        .cells(&["runs=1", "constraints=[{use='spatial.l1', strength=1}]", "profile=published"])
        .unwrap();
    let ids: Vec<_> = cells[1].constraints.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["spatial.non-negative", "spatial.l1"]);
    assert_eq!(cells[0].constraints[0].params["strength"], 1);
    assert_eq!(cells[1].weights.params["positive"], "none");
}

#[test]
fn geometries_are_read_and_may_differ_from_the_switches() {
    let geometry = |text: &str| one(&format!("{TAIL}geometry = {text}"), &[]).geometry;
    assert_eq!(geometry("'none'").space, Space::None);
    assert_eq!(geometry("'soma'").space, Space::Soma);
    assert_eq!(geometry("'grid'").space, Space::Grid(None));
    assert_eq!(geometry("'grid:12x13x2'").space, Space::Grid(Some([12, 13, 2])));
    let own = geometry("{ space = 'soma', shuffled = true, coordinate_layout = 'interleaved' }");
    assert!(own.shuffled);
    assert_eq!(own.coordinate_layout, CoordinateLayout::Interleaved);
    assert_eq!(own.distance_scale, DistanceScale::MeanOne);
}

#[test]
fn a_file_may_have_a_base() {
    let base = "about = 'base'
name = 'base'
runs = 4
profile = 'published'
tasks = ['cognition.one-choice', 'cognition.go-no-go']
[training]
epochs = 3
batch = 16
[[variant]]
name = 'W*D'
weights = 'microns.functional'
geometry = 'grid'
constraints = ['spatial.distance']
[[variant]]
name = 'W'
";
    let folder = Folder::new(&[
        ("a.toml", base),
        ("b.toml", "base = 'a.toml'\nprofile = 'corrected'\n[training]\nepochs = 5\n"),
        (
            "x.toml",
            "base = 'b.toml'\nruns = 1\n[[variant]]\nname = 'new'\n[[variant]]\nname = 'W*D'\ngeometry = 'soma'\n",
        ),
    ]);
    let x = folder.load(&["training.batch=8"]).unwrap();
    assert_eq!((x.name.as_str(), x.about.as_str(), x.runs, x.profile.as_str()), ("x", "", 1, "corrected"));
    assert_eq!((x.training.epochs, x.training.batch, x.tasks.len()), (5, 8, 2));
    let names: Vec<_> = x.variants.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["new", "W*D"]);
    assert_eq!(x.variants[1].geometry.space, Space::Soma);
    assert_eq!(x.variants[1].weights.component.id, "microns.functional");
    assert_eq!(x.variants[1].constraints.len(), 1);
    assert_eq!(x.sources.len(), 3);

    let circle = Folder::new(&[("x.toml", "base = 'y.toml'"), ("y.toml", "\nbase = './x.toml'")]);
    let (message, _) = circle.clean(&circle.load(&[]).unwrap_err());
    assert_eq!(message, "y.toml:2: `./x.toml` is its own base, directly or indirectly");
    let alone = Folder::new(&[("x.toml", "base = 'nowhere.toml'")]);
    let (message, _) = alone.clean(&alone.load(&[]).unwrap_err());
    assert!(message.starts_with("x.toml:1: cannot read the base `nowhere.toml`: "), "{message}");
}

#[test]
fn the_resolved_text_alone_gives_the_same_trainings() {
    let base = format!(
        "runs = 2\nplugin_path = 'p'\n[switches]\nsttc = 'released'\n[defaults.'spatial.l1']\nstrength = 2\n[substrate]\npath = 'data'\ntable = 'data/t'\n[metrics]\nuse = []\n[training]\ntrials = 10\n{}",
        "[[variant]]\nname = \"W'\\\"*\"\nconstraints = ['spatial.l1', { use = 'spatial.distance', strength = 0.5 }]\ngeometry = { space = 'grid:2x3x4', shuffled = true }\n"
    );
    let folder = Folder::new(&[
        ("deep/b.toml", &base),
        ("deep/data/there", ""),
        ("x.toml", "base = 'deep/b.toml'\nname = 'study'\ntasks = ['cognition.one-choice']\n"),
        ("other/x.toml", ""),
    ]);
    let x = folder.load(&["seed=3", "defaults.\"init.orthogonal\".label=6_6_2", "name=662"]).unwrap();
    let path = folder.0.path().join("other/x.toml");
    std::fs::write(&path, x.resolved_text(&catalogue()).unwrap()).unwrap();
    let again = Experiment::load(&path, &[])
        .unwrap_or_else(|e| panic!("{e}\n{}", x.resolved_text(&catalogue()).unwrap()));
    assert_eq!(again.name, "662");
    let substrate = &x.expand(&catalogue()).unwrap()[0].substrate;
    let table = std::path::absolute(folder.0.path().join("deep/data/t")).unwrap();
    assert_eq!(substrate.params["table"], table.to_str().unwrap());
    assert_eq!(again.plugin_path, x.plugin_path);
    assert_eq!(
        again.expand(&catalogue()).unwrap(),
        x.expand(&catalogue()).unwrap(),
        "{}",
        x.resolved_text(&catalogue()).unwrap()
    );
}

#[test]
fn unknown_keys_are_refused_with_place_and_nearest_key() {
    refused(
        &format!("sed = 1{TAIL}"),
        &[],
        "x.toml:1: unknown key `sed` in an experiment file",
        "did you mean `seed`?",
    );
    refused(
        &format!("{TAIL}[training]\nepcohs = 1"),
        &[],
        "x.toml:6: unknown key `epcohs` in [training]",
        "did you mean `epochs`?",
    );
    refused(
        "tasks = [{ name = \"both\", membres = [] }]\n[[variant]]\nname = \"a\"",
        &[],
        "x.toml:1: a task does not name its component",
        "`membres`: did you mean `members`?",
    );
    refused(
        &format!("{TAIL}[training]\nlearning_rate = 0.1"),
        &[],
        "x.toml:6: unknown key `learning_rate` in [training]",
        "optimizer = { learning_rate",
    );
    refused(
        &format!("{TAIL}weigths = 'x'"),
        &[],
        "x.toml:5: unknown key `weigths` in a [[variant]]",
        "`weights`",
    );
    refused(
        &format!("{TAIL}geometry = {{ space = 'soma', shufled = true }}"),
        &[],
        "x.toml:5: unknown key `shufled` in a geometry",
        "`shuffled`",
    );
    refused(
        &format!("{TAIL}[metrics]\nused = []"),
        &[],
        "x.toml:6: unknown key `used` in [metrics]",
        "`use`",
    );
    refused(
        TAIL,
        &["trainig.epochs=1"],
        "--set trainig.epochs=1: unknown key `trainig` in an experiment file",
        "`training`",
    );
    refused(
        TAIL,
        &["training.epoch=1"],
        "--set training.epoch=1: unknown key `epoch` in [training]",
        "`epochs`",
    );
    refused(
        TAIL,
        &["base=other.toml"],
        "--set base=other.toml: unknown key `base` in an experiment file",
        "",
    );
    refused(TAIL, &["runs"], "--set runs: a value is missing", "path=value");
    refused(
        TAIL,
        &["substrate.neuron=4"],
        "--set substrate.neuron=4: `synthetic.field` has no parameter `neuron`",
        "`neurons`",
    );
    refused(
        TAIL,
        &["variant.V.weights=x"],
        "--set variant.V.weights=x: there is no variant `V`",
        "variants: `W`",
    );
}

#[test]
fn wrong_values_are_refused_with_place() {
    refused(&format!("runs = 0{TAIL}"), &[], "x.toml:1: `runs` is 0", "at least 1");
    refused(&format!("runs = -1{TAIL}"), &[], "x.toml:1: `runs` is -1", "at least 1");
    refused(
        &format!("runs = 1.5{TAIL}"),
        &[],
        "x.toml:1: `runs` cannot be 1.5: it must be a whole number",
        "",
    );
    refused(
        &format!("seed = 'x'{TAIL}"),
        &[],
        "x.toml:1: `seed` cannot be \"x\": it must be a whole number",
        "",
    );
    refused(&format!("name = 1{TAIL}"), &[], "x.toml:1: `name` cannot be 1: it must be text", "");
    refused(TAIL, &["training.batch=0"], "--set training.batch=0: `training.batch` is 0", "at least 1");
    refused(TAIL, &["training.epochs=0"], "--set training.epochs=0: `training.epochs` is 0", "at least 1");
    refused(&format!("training = 3{TAIL}"), &[], "x.toml:1: `training` cannot be 3: it must be a table", "");
    refused(
        &format!("profile = 'fixed'{TAIL}"),
        &[],
        "x.toml:1: there is no profile `fixed`",
        "published, corrected",
    );
    refused(&format!("switches.stc = 'released'{TAIL}"), &[], "x.toml:1: there is no switch `stc`", "`sttc`");
    refused(
        &format!("switches.sttc = 'both'{TAIL}"),
        &[],
        "x.toml:1: switch `sttc` cannot be `both`",
        "half-frame, released",
    );
    refused(
        &format!("{TAIL}geometry = 'sphere'"),
        &[],
        "x.toml:5: `sphere` is not a geometry",
        "grid:12x13x2",
    );
    refused(
        &format!("{TAIL}geometry = {{ shuffled = true }}"),
        &[],
        "x.toml:5: a geometry has no space",
        "soma",
    );
    refused(
        &format!("{TAIL}geometry = {{ space = 'none', shuffled = true }}"),
        &[],
        "x.toml:5: the space `none` has no positions to shuffle",
        "remove `shuffled`",
    );
    refused(
        &format!("{TAIL}geometry = {{ space = 'soma', shuffled = 'yes' }}"),
        &[],
        "x.toml:5: `shuffled` cannot be \"yes\": it must be true or false",
        "",
    );
    refused(
        &format!("{TAIL}geometry = {{ space = 'soma', distance_scale = 'half' }}"),
        &[],
        "x.toml:5: switch `distance_scale` cannot be `half`",
        "mean-one, none",
    );
    refused("x = [1,\n2", &[], "x.toml:2: invalid TOML: unclosed array, expected `]`", "");
}

#[test]
fn missing_keys_are_reported_with_a_remedy() {
    refused("[[variant]]\nname = 'W'", &[], "x.toml:1: there are no tasks", "tasks = [");
    refused("tasks = []\n[[variant]]\nname = 'W'", &[], "x.toml:1: there are no tasks", "tasks = [");
    refused("tasks = ['cognition.one-choice']", &[], "x.toml:1: there are no variants", "[[variant]]");
    refused(
        "tasks = ['cognition.one-choice']\n[[variant]]\ngeometry = 'none'",
        &[],
        "x.toml:2: a variant has no name",
        "name =",
    );
    refused(
        &format!("{TAIL}constraints = [{{ strength = 1 }}]"),
        &[],
        "x.toml:5: a constraint does not name its component",
        "use =",
    );
    refused(
        TAIL,
        &["substrate.use=microns.field"],
        "--set substrate.use=microns.field: the substrate `microns.field` needs a path",
        "--set substrate.path=FOLDER",
    );
    let (message, help) = error(TAIL, &["substrate.path=/no/where"]);
    assert_eq!(message, "--set substrate.path=/no/where: `/no/where` does not exist");
    assert!(help.contains("relative to that file"));
    let missing = Experiment::load(&PathBuf::from("no/where.toml"), &[]).unwrap_err();
    assert!(missing.message.starts_with("no/where.toml: cannot read the experiment file: "));
}

#[test]
fn names_are_unique_and_fit_into_labels() {
    refused(&format!("{TAIL}[[variant]]\nname = 'W'"), &[], "x.toml:6: duplicate variant `W`", "rename");
    refused(
        TAIL,
        &["tasks=['cognition.go-no-go', 'cognition.go-no-go']"],
        "--set tasks=['cognition.go-no-go', 'cognition.go-no-go']: duplicate task `cognition.go-no-go`",
        "name =",
    );
    refused(
        TAIL,
        &["metrics.use=['a.b', 'a.b']"],
        "--set metrics.use=['a.b', 'a.b']: duplicate metric `a.b`",
        "",
    );
    refused(
        "tasks = ['a']\n[[variant]]\nname = 'a/b'",
        &[],
        "x.toml:3: the variant's name cannot be `a/b`",
        "must not contain `/`",
    );
    refused(
        "tasks = ['a']\n[[variant]]\nname = ' '",
        &[],
        "x.toml:3: the variant's name cannot be ` `",
        "must not be empty",
    );
    refused(
        "tasks = [{ use = 'a', name = '' }]\n[[variant]]\nname = 'b'",
        &[],
        "x.toml:1: the task's name cannot be ``",
        "must not be empty",
    );
}

#[test]
fn components_are_checked_against_the_catalogue() {
    refused(
        &format!("{TAIL}weights = 'microns.funktional'"),
        &[],
        "x.toml:5: there is no component `microns.funktional`",
        "did you mean `microns.functional`?",
    );
    refused(
        &format!("{TAIL}weights = 'spatial.l1'"),
        &[],
        "x.toml:5: `spatial.l1` is a constraint component and cannot serve as weights",
        "plugins list",
    );
    refused(
        TAIL,
        &["model=rnn.vanila"],
        "--set model=rnn.vanila: there is no component `rnn.vanila`",
        "`rnn.vanilla`",
    );
    refused(
        TAIL,
        &["metrics.use=['organization.entropie']"],
        "--set metrics.use=['organization.entropie']: there is no component `organization.entropie`",
        "`organization.entropy`",
    );
    refused(
        TAIL,
        &["constraints=['spatial.l2x']"],
        "--set constraints=['spatial.l2x']: there is no component `spatial.l2x`",
        "`spatial.l1`",
    );
    refused(
        &format!(
            "{TAIL}constraints = [\n  'spatial.distance',\n  {{ use = 'spatial.l1', strenght = 1 }},\n]"
        ),
        &[],
        "x.toml:7: `spatial.l1` has no parameter `strenght`",
        "did you mean `strength`?",
    );
    refused(
        &format!("{TAIL}constraints = [{{ use = 'spatial.l1', strength = 'much' }}]"),
        &[],
        "x.toml:5: parameter `strength` of `spatial.l1` cannot be \"much\": it must be a number",
        "pallium plugins show spatial.l1",
    );
    refused(
        &format!("{TAIL}[defaults.'spatial.l1']\nstrenght = 1"),
        &[],
        "x.toml:6: `spatial.l1` has no parameter `strenght`",
        "`strength`",
    );
    refused(
        &format!("{TAIL}[defaults.'spatial.l3x']\nstrength = 1"),
        &[],
        "x.toml:5: there is no component `spatial.l3x`",
        "",
    );
    refused(
        &format!("{TAIL}[defaults.spatial.l1]\nstrength = 1"),
        &[],
        "x.toml:5: there is no component `spatial`",
        "",
    );
    refused(
        &format!("{TAIL}[model]\nwidth = 3"),
        &[],
        "x.toml:6: `rnn.vanilla` has no parameter `width`",
        "it has no parameters",
    );
    // A component that declares a value which it does not take.
    let folder = Folder::new(&[("x.toml", &format!("{TAIL}constraints = ['spatial.l1']"))]);
    let mut all = vec![Registration::substrate::<Synthetic>(), Registration::model::<Vanilla>()];
    all.extend([Registration::weights::<Orthogonal>(), Registration::task::<OneChoice>()]);
    struct Wrong;
    impl Component for Wrong {
        const ID: &'static str = "spatial.l1";
        const ABOUT: &'static str = "mock";
        const CITE: &'static str = "this work";
        type Params = Nothing;
        const PROFILES: &'static [ProfileValue] = declared("spatial.l1");
        fn build(_: Nothing, _: &Setting<'_>) -> Result<Self> {
            Ok(Wrong)
        }
    }
    impl Constraint for Wrong {
        fn penalty(&mut self, _: MatrixView<'_>, _: MatrixViewMut<'_>, _: &Point<'_>) -> Result<f64> {
            Ok(0.0)
        }
    }
    all.push(Registration::constraint::<Wrong>());
    let x = folder.load(&["metrics.use=[]"]).unwrap();
    let e = x.expand(&Catalogue::in_process(&all).unwrap()).unwrap_err();
    assert!(e.message.contains("parameter `strength_rule` of `spatial.l1` is \"applied\""), "{e}");
}

/// A component with a parameter that a switch names, as the study's have, and one of
/// its own.
#[test]
fn a_switch_reaches_any_component_that_declares_its_parameter() {
    params! {
        /// Mock.
        pub struct ForeignParams {
            /// In the words of a switch.
            ties: String = "include".into(),
            /// Its own.
            limit: f64 = 1.0,
        }
    }
    struct Foreign;
    impl Component for Foreign {
        const ID: &'static str = "mylab.foreign";
        const ABOUT: &'static str = "mock";
        const CITE: &'static str = "this work";
        type Params = ForeignParams;
        const PROFILES: &'static [ProfileValue] = &[
            ProfileValue::new("published", "ties", r#""exclude""#),
            ProfileValue::new("published", "limit", "0.5"),
        ];
        fn build(_: ForeignParams, _: &Setting<'_>) -> Result<Self> {
            Ok(Foreign)
        }
    }
    impl Metric for Foreign {
        fn measure(&mut self, _: &Network<'_>) -> Result<Measures> {
            Ok(Measures::default())
        }
    }
    let mut all = vec![Registration::substrate::<Synthetic>(), Registration::model::<Vanilla>()];
    all.extend([Registration::weights::<Orthogonal>(), Registration::task::<OneChoice>()]);
    all.extend([Registration::optimizer::<Adam>(), Registration::metric::<Foreign>()]);
    let catalogue = Catalogue::in_process(&all).unwrap();
    let params = |sets: &[&str]| {
        let all = [&["metrics.use=['mylab.foreign']"], sets].concat();
        let cells = Folder::new(&[("x.toml", TAIL)]).load(&all).unwrap().expand(&catalogue).unwrap();
        json!(cells[0].metrics[0].params)
    };
    assert_eq!(params(&["profile=published"]), json!({"limit": 0.5, "ties": "exclude"}));
    assert_eq!(
        params(&["profile=published", "switches.ties=include"]),
        json!({"limit": 0.5, "ties": "include"})
    );
    assert_eq!(params(&["profile=published", "switches.ties=exclude"])["ties"], "exclude");
    // It declares nothing under this profile, so its defaults hold, and a switch finds
    // nothing to replace.
    assert_eq!(params(&["profile=corrected", "switches.ties=exclude"]), json!({}));
}

fn chosen(only: &[&str]) -> Result<Vec<String>> {
    let text = "runs = 2
tasks = ['cognition.one-choice', 'cognition.go-no-go']
[[variant]]
name = 'W*D*C'
[[variant]]
name = 'W*D*C*'
[[variant]]
name = 'WD'
[[variant]]
name = 'W!D*C'
";
    let cells = Folder::new(&[("x.toml", text)]).cells(&[]).unwrap();
    let only: Vec<_> = only.iter().map(|s| s.to_string()).collect();
    Ok(filter(cells, &only)?.iter().map(CellSpec::label).collect())
}

#[test]
fn patterns_select_trainings_and_names_match_themselves_alone() {
    assert_eq!(chosen(&[]).unwrap().len(), 16);
    assert_eq!(chosen(&["*"]).unwrap().len(), 16);
    // As a glob this would match three variants; as a name it matches one.
    assert_eq!(chosen(&["W*D*C"]).unwrap().len(), 4);
    assert!(chosen(&["W*D*C"]).unwrap().iter().all(|label| label.starts_with("W*D*C/")));
    assert!(chosen(&["W!D*C"]).unwrap().iter().all(|label| label.starts_with("W!D*C/")));
    assert_eq!(chosen(&["W*D*C/cognition.go-no-go/1"]).unwrap(), ["W*D*C/cognition.go-no-go/1"]);
    assert_eq!(chosen(&["W*D*C/*go*/1"]).unwrap(), ["W*D*C/cognition.go-no-go/1"]);
    assert_eq!(chosen(&["WD/cognition.one-choice"]).unwrap().len(), 2);
    assert_eq!(chosen(&["cognition.one-choice/0"]).unwrap().len(), 4);
    assert_eq!(chosen(&["WD/0"]).unwrap().len(), 2);
    assert_eq!(chosen(&["1"]).unwrap().len(), 8);
    assert_eq!(chosen(&["*/1"]).unwrap().len(), 8);
    assert_eq!(chosen(&["*/*/1"]).unwrap().len(), 8);
    assert_eq!(chosen(&["*one-choice*"]).unwrap().len(), 8);
    assert_eq!(chosen(&["W\\**"]).unwrap().len(), 8);
    assert_eq!(chosen(&["variant=WD", "variant=W*D*C*"]).unwrap().len(), 8);
    assert_eq!(chosen(&["task=*go*"]).unwrap().len(), 8);
    assert_eq!(chosen(&["run=0"]).unwrap().len(), 8);
    assert_eq!(chosen(&["WD", "run=0"]).unwrap().len(), 10);
    // The order is that of the experiment, not of the patterns.
    assert_eq!(chosen(&["WD/*/1", "W*D*C/*one*/0"]).unwrap()[0], "W*D*C/cognition.one-choice/0");
    let e = chosen(&["WD", "W*D*D"]).unwrap_err();
    assert_eq!(e.message, "--only W*D*D: no training matches");
    assert!(e.help.unwrap().contains("did you mean"));
    assert!(chosen(&["a/b/c/d"]).unwrap_err().message.contains("no training matches"));
    assert!(chosen(&["[x"]).unwrap_err().message.starts_with("--only [x: not a valid pattern"));
}

#[test]
fn costs_are_estimated_by_trying() {
    let text = format!("{TAIL}geometry = 'grid'\nconstraints = ['spatial.distance']");
    let folder = Folder::new(&[("x.toml", &text)]);
    let catalogue = catalogue();
    let mut estimator = Estimator::new(&catalogue);
    let mut price =
        |sets: &[&str]| estimator.cell(&folder.load(sets).unwrap().expand(&catalogue).unwrap()[0]).unwrap();
    let one = price(&["training.epochs=1"]);
    let ten = price(&["training.epochs=10"]);
    assert!(one.seconds > 0.0 && ten.seconds > one.seconds, "{one:?} {ten:?}");
    assert_eq!(one.memory_mb, ten.memory_mb);
    assert!(price(&["training.trials=102400"]).memory_mb > one.memory_mb);
}

#[test]
fn the_ready_experiments_load_and_expand() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../experiments");
    let field = format!("substrate.path={folder}");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let x = Experiment::load(&path, &[]).unwrap();
        let made = x.substrate.component.id == "synthetic.field";
        let expanded = x.expand(&catalogue());
        // System tests plan the experiments that need components or parameters
        // outside this catalogue.
        let missing = ["there is no component", "has no parameter"];
        let lacks = |e: &Error| missing.iter().any(|what| e.message.contains(what));
        if matches!(&expanded, Err(e) if lacks(e)) {
            continue;
        }
        assert_eq!(expanded.is_ok(), made, "{}", path.display());
        if let Err(e) = expanded {
            let told = format!("{}; {}", e.message, e.help.unwrap_or_default());
            // One file names the folders of fetched fields.
            let named = told.contains("fields/");
            assert!(named || told.contains("--set substrate.path=FOLDER"), "{}: {told}", path.display());
        }
        // The others take any recorded field.
        let x = Experiment::load(&path, std::slice::from_ref(&field)).unwrap();
        assert_eq!(x.substrate.component.id, "microns.field", "{}", path.display());
        let cells = match x.expand(&catalogue()) {
            Err(e) if lacks(&e) => continue,
            cells => cells.unwrap(),
        };
        let points = x.sweep.points.len().max(1);
        assert_eq!(cells.len(), points * x.variants.len() * x.tasks.len() * x.runs as usize);
        assert!(!x.about.is_empty());
        seen += 1;
    }
    assert!(seen >= 5);
    let load =
        |name: &str| Experiment::load(&Path::new(folder).join(name), std::slice::from_ref(&field)).unwrap();
    let (published, corrected) = (load("cortical-blueprint.toml"), load("corrected.toml"));
    assert_eq!(published.expand(&catalogue()).unwrap().len(), 11 * 3 * 20);
    assert_eq!((published.profile.as_str(), corrected.profile.as_str()), ("published", "corrected"));
    assert_eq!(
        published.variants.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(),
        ["W*D*C", "WD*C", "WDC", "WD*", "WD", "W", "W*D*C*", "WD*C*", "W*DC*", "W!D*C", "W!D*C*"]
    );
    assert_eq!(published.training, corrected.training);
    let positive = load("positive-only.toml").expand(&catalogue()).unwrap();
    assert!(positive.iter().all(|c| c.constraints.last().is_some_and(|c| c.id == "spatial.non-negative")));
}

/// Every TOML block of the reference is a complete file, or a part that is
/// completed here.
#[test]
fn examples_of_the_reference_load_and_every_key_is_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/experiment-file.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut seen = 0;
    for (i, block) in text.split("```toml\n").skip(1).enumerate() {
        let block = block.split("```").next().unwrap();
        let mut file = String::new();
        let has = |key: &str| block.lines().any(|line| line.starts_with(key));
        if !has("base") && !has("tasks") {
            file.push_str("tasks = ['cognition.one-choice']\n");
        }
        file.push_str(block);
        if !has("base") && !has("[[variant]]") {
            file.push_str("\n[[variant]]\nname = 'W'\n");
        }
        let blueprint = concat!(env!("CARGO_MANIFEST_DIR"), "/../experiments/cortical-blueprint.toml");
        let blueprint = std::fs::read_to_string(blueprint).unwrap();
        let folder = Folder::new(&[
            ("x.toml", &file),
            ("cortical-blueprint.toml", &blueprint),
            ("fields/5_3_8/there", ""),
            ("fields/6_6_2/there", ""),
        ]);
        let x = folder.load(&[]).unwrap_or_else(|e| panic!("block {i}: {e}\n{block}"));
        let sets: &[&str] = if has("base") { &["substrate.path=."] } else { &[] };
        // The book's test plans blocks with components outside this catalogue.
        if let Err(e) = folder.cells(sets) {
            assert!(e.message.contains("there is no component"), "block {i}: {e}\n{block}");
        }
        assert!(x.runs >= 1);
        seen += 1;
    }
    assert!(seen >= 5, "{seen} blocks");
    for key in ["seed", "runs", "tasks", "coordinate_layout", "positive_start"] {
        assert!(text.contains(&format!("`{key}`")), "{key} is not documented");
    }
    for switch in &profile::profiles().unwrap().switches {
        for name in std::iter::once(&switch.name).chain(switch.alternatives.keys()) {
            assert!(text.contains(&format!("`{name}`")), "switch {}: {name} is not documented", switch.name);
        }
    }
}
