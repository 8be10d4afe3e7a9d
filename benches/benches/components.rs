//! Times each kind of component through the real plugin boundary.
//!
//! ```text
//! cargo bench -p pallium-benches                  # all, about ten minutes
//! cargo bench -p pallium-benches -- 'step/N'      # how a step grows with N
//! ```
//!
//! One thread unless the name says otherwise, as in a worker. Sizes for which a recorded
//! field is available (`scene::field`) use it, all others a synthetic one.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;
use pallium::plugins::Catalogue;
use pallium_benches::scene::{self, Scene, component};
use pallium_core::{Mode, Moment, Network, Point, Result, Setting};
use serde_json::{Value, json};

/// Numbers of neurons of recorded fields, then of synthetic ones.
const NEURONS: [usize; 7] = [42, 88, 160, 312, 632, 1000, 2000];
/// Number of neurons of the published study.
const MAIN: usize = 312;

/// A benchmark cannot return errors.
trait OrEnd<T> {
    fn or_end(self) -> T;
}

impl<T> OrEnd<T> for Result<T> {
    fn or_end(self) -> T {
        self.unwrap_or_else(|error| panic!("{}", error.report()))
    }
}

struct Loaded {
    plugins: Vec<PathBuf>,
    catalogue: Catalogue,
}

fn loaded() -> &'static Loaded {
    static LOADED: std::sync::OnceLock<Loaded> = std::sync::OnceLock::new();
    LOADED.get_or_init(|| {
        let plugins = scene::build().or_end();
        let catalogue = Catalogue::load(&plugins).or_end();
        Loaded { plugins, catalogue }
    })
}

/// The scene of a variant of the published study with `neurons` neurons.
fn stage(variant: &str, neurons: usize) -> Scene {
    let catalogue = &loaded().catalogue;
    let sets = scene::substrate_sets(neurons);
    let cell = scene::cell(catalogue, variant, "one-choice", &sets).or_end();
    Scene::new(&cell, catalogue).or_end()
}

fn id(name: impl Into<String>, value: impl Display) -> BenchmarkId {
    BenchmarkId::new(name, value)
}

/// Fewer and shorter samples for slow benchmarks.
fn patience(group: &mut BenchmarkGroup<'_, WallTime>, seconds_each: f64) {
    group.sample_size(if seconds_each > 0.01 { 10 } else { 30 });
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs_f64((10.0 * seconds_each).clamp(1.0, 20.0)));
}

/// A training step without penalty: forward, loss, backward, update.
fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    let sizes = NEURONS.map(|n| ("N", n, n, 128, 50, 1));
    let split = [MAIN, 1000, 2000].map(|n| ("N on two threads", n, n, 128, 50, 2));
    let steps = [25, 100, 200].map(|t| ("T", t, MAIN, 128, t, 1));
    let batches = [16, 32, 64, 256, 512].map(|b| ("B", b, MAIN, b, 50, 1));
    let all = sizes.into_iter().chain(split).chain(steps).chain(batches);
    for (what, value, neurons, batch, steps, threads) in all {
        let operations = scene::step_operations(neurons, batch, steps);
        patience(&mut group, operations / 8e10);
        group.throughput(Throughput::Elements(operations as u64));
        group.bench_function(id(what, value), |b| {
            let scene = stage("W", neurons);
            let catalogue = &loaded().catalogue;
            // Trials of the requested length: the delay fills the remainder.
            let delay = steps.saturating_sub(40);
            let task = match delay {
                0 => json!({ "goal": 10, "delay": 5, "choices": 10 }),
                _ => json!({ "delay": delay }),
            };
            let task = component("cognition.one-choice", task);
            let trials = catalogue.task(&task, &scene.setting()).or_end().trials(batch, 1).or_end();
            assert_eq!(trials.inputs.dim().1, steps);
            let model = component("rnn.vanilla", json!({}));
            let setting = Setting { threads, ..scene.setting() };
            let mut model = catalogue.model(&model, &setting).or_end();
            model.initialise(scene.recurrent.view(), 1).or_end();
            let adam = component("optimizer.adam", json!({}));
            let mut optimizer = catalogue.optimizer(&adam, &setting).or_end();
            let parameters = model.info().parameters;
            let batch = trials.view();
            let mut outputs = Array2::zeros((batch.scored().count(), scene.outputs));
            let mut gradient = outputs.clone();
            let mut updates = 0;
            b.iter(|| {
                updates += 1;
                model.forward(&batch, Mode::Train { noise_seed: updates }, outputs.view_mut()).or_end();
                scene.loss.compare(&batch, outputs.view(), Some(gradient.view_mut())).or_end();
                model.backward(gradient.view(), None).or_end();
                let mut lent = model.learned().or_end();
                let described = lent.iter_mut().map(|lent| {
                    let info = &parameters[lent.index];
                    lent.learned(info)
                });
                optimizer.update(&mut described.collect::<Vec<_>>(), &Moment::new(updates)).or_end();
            });
        });
    }
    group.bench_function("evaluate a batch", |b| {
        let scene = stage("W", MAIN);
        let catalogue = &loaded().catalogue;
        let task = component("cognition.one-choice", json!({}));
        let trials = catalogue.task(&task, &scene.setting()).or_end().trials(128, 1).or_end();
        let mut model = catalogue.model(&component("rnn.vanilla", json!({})), &scene.setting()).or_end();
        model.initialise(scene.recurrent.view(), 1).or_end();
        let batch = trials.view();
        let mut outputs = Array2::zeros((batch.scored().count(), scene.outputs));
        b.iter(|| model.forward(&batch, Mode::Evaluate, outputs.view_mut()).or_end());
    });
    group.finish();
}

/// Values and gradients of penalties. The penalty on communicability spends
/// nearly all its time in the matrix exponential and its reverse sweep.
fn penalty(c: &mut Criterion) {
    let mut group = c.benchmark_group("penalty");
    let all = ["l1", "distance", "communicability", "communicability-emd"].map(|name| (name, MAIN));
    let growth = NEURONS.into_iter().filter(|&n| n != MAIN).map(|n| ("communicability", n));
    for (name, neurons) in all.into_iter().chain(growth) {
        patience(
            &mut group,
            if name.starts_with('c') { 24.0 * (neurons as f64).powi(3) / 8e10 } else { 1e-4 },
        );
        group.bench_function(id(name, neurons), |b| {
            let scene = stage("W*D*C", neurons);
            let component = component(&format!("spatial.{name}"), json!({}));
            let mut constraint = loaded().catalogue.constraint(&component, &scene.setting()).or_end();
            let mut gradient = Array2::zeros((neurons, neurons));
            let at = Point::new("recurrent");
            b.iter(|| constraint.penalty(scene.recurrent.view(), gradient.view_mut(), &at).or_end());
        });
    }
    group.finish();
}

/// Metrics of a trained matrix, and null ensembles.
fn metric(c: &mut Criterion) {
    let mut group = c.benchmark_group("metric");
    let published = json!({ "null": "published" });
    let measure = |group: &mut BenchmarkGroup<'_, WallTime>, label: &str, name: &str, params: &Value, n| {
        group.bench_function(id(label, n), |b| {
            let scene = stage("W*D*C", n);
            let component = component(&format!("organization.{name}"), params.clone());
            let mut metric = loaded().catalogue.metric(&component, &scene.setting()).or_end();
            let network = Network::new(scene.recurrent.view());
            // Also draws the published null, which is then cached.
            metric.measure(&network).or_end();
            b.iter(|| metric.measure(&network).or_end());
        });
    };
    for n in [42, MAIN, 1000] {
        for name in [
            "density",
            "assortativity",
            "clustering",
            "efficiency",
            "entropy",
            "modularity",
            "spectral-radius",
        ] {
            patience(&mut group, 0.02 * (n as f64 / 312.0).powi(2));
            measure(&mut group, name, name, &json!({}), n);
        }
        measure(&mut group, "small-worldness, null known", "small-worldness", &published, n);
        let matched = json!({ "null": "matched" });
        measure(&mut group, "small-worldness, 100 matched graphs", "small-worldness", &matched, n);
        let preserving = json!({ "null": "degree-preserving" });
        measure(
            &mut group,
            "small-worldness, 100 degree-preserving graphs",
            "small-worldness",
            &preserving,
            n,
        );
        group.bench_function(id("small-worldness, 1,000 published graphs drawn", n), |b| {
            let scene = stage("W*D*C", n);
            b.iter_custom(|times| {
                let mut taken = Duration::ZERO;
                for _ in 0..times {
                    taken += with_fresh_plugin("organization", |catalogue| {
                        let component = component("organization.small-worldness", published.clone());
                        let mut metric = catalogue.metric(&component, &scene.setting()).or_end();
                        let clock = Instant::now();
                        metric.measure(&Network::new(scene.recurrent.view())).or_end();
                        clock.elapsed()
                    });
                }
                taken
            });
        });
    }
    group.finish();
}

/// Calls `action` with a catalogue of one plugin with fresh static memory: a
/// copy of the file under another name is another library.
fn with_fresh_plugin<T>(name: &str, action: impl FnOnce(&Catalogue) -> T) -> T {
    let plugin = loaded().plugins.iter().find(|path| path.to_string_lossy().contains(name));
    let plugin = plugin.unwrap_or_else(|| panic!("there is no plugin `{name}`"));
    let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("a temporary folder: {e}"));
    let copy = folder.path().join("libcopy.so");
    std::fs::copy(plugin, &copy).unwrap_or_else(|e| panic!("{}: {e}", copy.display()));
    action(&Catalogue::load(&[copy]).or_end())
}

/// Reading fields, and generating weights and trials.
fn source(c: &mut Criterion) {
    let mut group = c.benchmark_group("source");
    patience(&mut group, 0.02);
    let fields = ["5_3_8", "4_7_2", "6_6_2", "9_3_2"].map(|name| (name, scene::field(name)));
    for (name, folder) in fields {
        let Some(folder) = folder else {
            println!("skipped: field {name} is not available");
            continue;
        };
        group.bench_function(id("read field", name), |b| {
            let component = component("microns.field", json!({ "path": folder }));
            b.iter(|| {
                let mut source = loaded().catalogue.substrate(&component, &Setting::default()).or_end();
                source.substrate(0).or_end()
            });
        });
    }
    group.bench_function(id("synthesise field", MAIN), |b| {
        let component = component("synthetic.field", json!({ "neurons": MAIN }));
        b.iter(|| {
            let mut source = loaded().catalogue.substrate(&component, &Setting::default()).or_end();
            source.substrate(0).or_end()
        });
    });
    for (label, weights) in [("W", "init.orthogonal"), ("W*", "microns.functional")] {
        group.bench_function(id("weights", label), |b| {
            let scene = stage("WD*", MAIN);
            let component = component(weights, json!({}));
            let mut source = loaded().catalogue.weights(&component, &scene.setting()).or_end();
            let request = pallium_core::WeightRequest {
                neurons: MAIN,
                substrate: Some(&scene.substrate),
                seed: 1,
                draw: None,
                connections: None,
            };
            b.iter(|| source.weights(&request).or_end());
        });
    }
    for task in ["one-choice", "go-no-go", "perceptual-decision"] {
        group.bench_function(id("5,120 trials", task), |b| {
            let component = component(&format!("cognition.{task}"), json!({}));
            let mut task = loaded().catalogue.task(&component, &Setting::default()).or_end();
            b.iter(|| task.trials(5120, 1).or_end());
        });
    }
    group.finish();
}

/// A call into a plugin that receives a matrix and does nothing.
fn boundary(c: &mut Criterion) {
    let mut group = c.benchmark_group("boundary");
    patience(&mut group, 1e-6);
    for neurons in [42, MAIN] {
        // `l1` has no projection, so only the boundary is measured.
        group.bench_function(id("project, N×N", neurons), |b| {
            let scene = stage("W", neurons);
            let l1 = component("spatial.l1", json!({}));
            let mut constraint = loaded().catalogue.constraint(&l1, &scene.setting()).or_end();
            let mut weights = scene.recurrent.clone();
            let at = Point::new("recurrent");
            b.iter(|| constraint.project(weights.view_mut(), &at).or_end());
        });
    }
    group.bench_function("load a plugin", |b| {
        let spatial = loaded().plugins.iter().find(|path| path.to_string_lossy().contains("spatial"));
        let paths: Vec<PathBuf> = spatial.into_iter().cloned().collect();
        b.iter(|| Catalogue::load(&paths).or_end());
    });
    group.finish();
}

criterion_group!(components, boundary, step, penalty, metric, source);
criterion_main!(components);
