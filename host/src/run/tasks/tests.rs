use ndarray::Array2;
use pallium_core::{Measure, Measures, Setting};
use pallium_record::outcome::TaskEpoch;
use pallium_record::spec::{Member as MemberSpec, Members, SEVERAL_TASKS};

use super::super::components::Options;
use super::super::mock::{catalogue, spec, with};
use super::super::train::train;
use super::*;

fn several(order: Order, shares: &[f64]) -> CellSpec {
    let member = |(at, &share): (usize, &f64)| MemberSpec {
        name: format!("task {at}"),
        component: Use::new("mock.task"),
        share,
        curriculum: vec![],
    };
    let tasks = shares.iter().enumerate().map(member).collect();
    let members = Some(Members { order, rules: true, tasks });
    CellSpec { task_component: Use::new(SEVERAL_TASKS), members, ..spec() }
}

fn built(spec: &CellSpec) -> Result<Tasks> {
    Tasks::build(spec, &catalogue(), &Setting { neurons: Some(3), ..Setting::default() })
}

fn stage(until: Until) -> Stage {
    Stage { component: with("mock.task", "scored", true), until }
}

fn reaches(accuracy: f64, for_epochs: u32, at_most: Option<u32>) -> Until {
    Until { reached: Some((Watched::ValidationAccuracy, accuracy)), for_epochs, at_most }
}

fn curve(accuracies: &[f64]) -> Vec<Epoch> {
    let epoch = |(&accuracy, epoch)| Epoch { epoch, validation_accuracy: Some(accuracy), ..Epoch::default() };
    accuracies.iter().zip(1..).map(epoch).collect()
}

#[test]
fn a_stage_ends_when_its_measure_is_reached_often_enough_or_after_its_epochs() {
    let stages = |until: &[Until], accuracies: &[f64]| {
        let curriculum = until.iter().cloned().map(stage).collect();
        built(&CellSpec { curriculum, ..spec() }).unwrap().stages(&curve(accuracies))[0]
    };
    let once = reaches(0.8, 1, None);
    assert_eq!(stages(std::slice::from_ref(&once), &[]), 0);
    assert_eq!(stages(std::slice::from_ref(&once), &[0.5, 0.79]), 0);
    assert_eq!(stages(std::slice::from_ref(&once), &[0.5, 0.8]), 1);
    // The last stage is not left.
    assert_eq!(stages(std::slice::from_ref(&once), &[0.8, 0.8, 0.8]), 1);
    // Each stage begins to count anew.
    assert_eq!(stages(&[once.clone(), once.clone()], &[0.9, 0.1]), 1);
    assert_eq!(stages(&[once.clone(), once], &[0.9, 0.1, 0.9]), 2);
    let in_a_row = reaches(0.8, 2, Some(5));
    assert_eq!(stages(std::slice::from_ref(&in_a_row), &[0.9, 0.1, 0.9]), 0);
    assert_eq!(stages(std::slice::from_ref(&in_a_row), &[0.9, 0.1, 0.9, 0.9]), 1);
    assert_eq!(stages(std::slice::from_ref(&in_a_row), &[0.9, 0.1, 0.9, 0.1, 0.1]), 1);
    let epochs = Until { reached: None, for_epochs: 1, at_most: Some(2) };
    assert_eq!(stages(&[epochs.clone(), in_a_row], &[0.0, 0.0, 0.9, 0.9]), 2);
    assert_eq!(stages(&[epochs], &[1.0]), 0);
}

#[test]
fn tasks_that_follow_one_another_divide_the_epochs_and_wait_with_their_stages() {
    let mut spec = several(Order::Sequential, &[1.0, 2.0]);
    spec.training.epochs = 6;
    if let Some(members) = &mut spec.members {
        members.tasks[1].curriculum = vec![stage(reaches(0.8, 1, None))];
    }
    let tasks = built(&spec).unwrap();
    let active: Vec<_> = (1..=6).map(|epoch| tasks.active(epoch).unwrap()).collect();
    assert_eq!(active, [0, 0, 1, 1, 1, 1]);
    assert_eq!(tasks.counts(5).unwrap(), [5, 5]);
    let epoch = |(&accuracy, epoch)| {
        let task = TaskEpoch { validation_accuracy: Some(accuracy), ..TaskEpoch::default() };
        Epoch { epoch, tasks: vec![task.clone(), task], ..Epoch::default() }
    };
    let curves: Vec<Epoch> = [0.9, 0.9, 0.1, 0.9].iter().zip(1..).map(epoch).collect();
    // The second task has not begun after two epochs.
    assert_eq!(tasks.stages(&curves[..2]), [0, 0]);
    assert_eq!(tasks.stages(&curves[..3]), [0, 0]);
    assert_eq!(tasks.stages(&curves), [0, 1]);
    spec.training.epochs = 1;
    let error = built(&spec).err().unwrap();
    assert!(error.message.contains("leave none for `task 0`") && error.help.is_some(), "{error}");
}

#[test]
fn shares_divide_the_trials() {
    let counts = |shares: &[f64], trials| built(&several(Order::Interleaved, shares)).unwrap().counts(trials);
    assert_eq!(counts(&[1.0, 1.0], 5).unwrap(), [3, 2]);
    assert_eq!(counts(&[1.0, 2.0, 1.0], 400).unwrap(), [100, 200, 100]);
    let error = counts(&[1.0, 1000.0], 5).unwrap_err();
    assert!(error.message.contains("`task 0` gets none of the 5"), "{error}");
}

#[test]
fn rule_inputs_follow_the_stimulus() {
    let mut tasks = built(&several(Order::Mixed, &[1.0, 1.0])).unwrap();
    assert_eq!((tasks.info.inputs, tasks.info.outputs), (3, 1));
    assert_eq!(tasks.info.conditions, ["task 0: even", "task 0: odd", "task 1: even", "task 1: odd"]);
    let batches = [0, 1].map(|at| tasks.draw(at, 0, Split::Test, 4, 7).unwrap());
    for (at, batch) in batches.iter().enumerate() {
        batch.check(&tasks.info).unwrap();
        for step in 0..2 {
            let rules = batch.inputs.slice(s![.., step, 1..]).to_owned();
            let mut expected = Array2::zeros((4, 2));
            expected.column_mut(at).fill(1.0);
            assert_eq!(rules, expected);
        }
    }
    // Judged by each task itself: even trials are right.
    let mixed = gather(&batches, &[(1, 0), (0, 1), (1, 3), (0, 2)]);
    assert_eq!(mixed.conditions, [2, 1, 3, 0]);
    let outputs = Array2::zeros((4, 1));
    let sums = tasks.info.loss.compare(&mixed.view(), outputs.view(), None).unwrap();
    assert_eq!(tasks.correct(None, &mixed.view(), outputs.view(), &sums).unwrap(), 2.0);
    let view = batches[1].slice(0..3);
    let outputs = Array2::zeros((3, 1));
    let sums = tasks.info.loss.compare(&view, outputs.view(), None).unwrap();
    assert_eq!(tasks.correct(Some(1), &view, outputs.view(), &sums).unwrap(), 2.0);
}

#[test]
fn tasks_and_stages_must_fit_one_network() {
    let mut other = several(Order::Interleaved, &[1.0, 1.0]);
    if let Some(members) = &mut other.members {
        members.tasks[1].component = with("mock.task", "classes", 4);
    }
    let error = built(&other).err().unwrap();
    assert!(error.message.contains("values of 1 outputs, and `task 1` of 3"), "{error}");
    let component = with("mock.task", "classes", 3);
    let curriculum = vec![Stage { component, until: reaches(0.5, 1, None) }];
    let error = built(&CellSpec { curriculum, ..spec() }).err().unwrap();
    assert!(error.message.contains("stage 1 of the curriculum of `mock.task` has 2 outputs"), "{error}");
}

#[test]
fn a_task_that_no_network_can_learn_is_refused_by_its_name_and_field() {
    let mut spec = spec();
    spec.task_component = with("mock.task", "classes", 1);
    let error = built(&spec).err().unwrap();
    assert_eq!(error.message, "the description of the task `mock.task` is not allowed");
    assert!(error.causes[0].starts_with("`outputs` is 0;"), "{error}");
}

#[test]
fn a_metric_fails_alone_if_it_returns_a_name_that_the_training_itself_writes() {
    let mut spec = spec();
    spec.metrics = vec![with("mock.metric", "kind", "taken"), Use::new("mock.metric")];
    let trained = train(&spec, &catalogue(), &Options::default(), &mut |_| ()).unwrap();
    let [refused, kept] = [0, 1].map(|metric| &trained.measures[metric][0]);
    let why = refused.failed.as_deref().unwrap();
    assert!(why.contains("metric `mock.metric`") && why.contains("`accuracy` cannot be"), "{why}");
    assert!(kept.failed.is_none() && kept.value.is_some());
    // Every measure of the training itself is among the names that are refused.
    for value in &trained.values {
        let own = Measures::from(vec![Measure::new(value.measure.as_str(), 0.0)]);
        assert!(own.check().is_err(), "{}", value.measure);
    }
}
