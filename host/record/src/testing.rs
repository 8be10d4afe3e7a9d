//! A spec and a training with small numbers, for tests.

use std::collections::BTreeMap;

use ndarray::Array2;
use pallium_core::{TaskInfo, Tensor};

use crate::checkpoint::Checkpoint;
use crate::identity::{Cell, identify};
use crate::machine::Machine;
use crate::manifest::Manifest;
use crate::model::ModelRecord;
use crate::outcome::{Divergence, Epoch, Status, Value};
use crate::spec::{
    CellSpec, CoordinateLayout, CoordinateScale, DataSeed, DistanceScale, Geometry, Space, Training, Use,
};
use crate::training::Trained;
use crate::{FORMAT, VERSION};

pub fn spec() -> CellSpec {
    CellSpec {
        variant: "W*D".into(),
        task: "alternating".into(),
        run: 0,
        seed: 7,
        data_seed: DataSeed::PerRun,
        substrate: Use::new("mock.substrate"),
        weights: Use::new("mock.weights"),
        connections: None,
        null: None,
        geometry: Geometry {
            space: Space::None,
            coordinate_layout: CoordinateLayout::Rows,
            coordinate_scale: CoordinateScale::Micrometre,
            distance_scale: DistanceScale::MeanOne,
            shuffled: false,
        },
        constraints: vec![Use::new("mock.ridge")],
        task_component: Use::new("mock.task"),
        curriculum: vec![],
        members: None,
        model: Use::new("mock.model"),
        optimizer: Use::new("mock.optimizer"),
        metrics: vec![Use::new("mock.metric")],
        training: Training::new(2, 5, 3, 4, 2),
    }
}

pub fn cell(run: u32) -> Cell {
    cell_of(CellSpec { run, ..spec() })
}

pub fn cell_of(spec: CellSpec) -> Cell {
    identify(spec, &|_| Ok(None)).unwrap()
}

pub fn manifest() -> Manifest {
    Manifest {
        format: FORMAT,
        pallium: VERSION.into(),
        core: pallium_core::VERSION.into(),
        experiment: "quick".into(),
        about: String::new(),
        variants: vec![],
        tasks: vec![],
        analysis: Default::default(),
        added_metrics: vec![],
        file: "quick.toml".into(),
        overrides: vec![],
        profile: "corrected".into(),
        switches: BTreeMap::new(),
        seed: 7,
        runs: 2,
        cells: 2,
        plugins: vec![],
        data: BTreeMap::new(),
        machine: Machine::current(),
        started: 0,
    }
}

pub fn trained() -> Trained {
    let tensor = |name: &str, shape: &[usize], values: &[f32]| Tensor::new(name, shape, values.to_vec());
    let epoch = |epoch| Epoch {
        epoch,
        running_loss: 0.5,
        running_accuracy: Some(0.6),
        penalty: 0.1,
        validation_loss: Some(0.4),
        validation_accuracy: None,
        ..Epoch::default()
    };
    let parameters =
        vec![tensor("recurrent", &[3, 3], &[0.1; 9]), tensor("bias", &[3], &[0.0, -0.0, f32::MIN_POSITIVE])];
    let curves = vec![epoch(1), epoch(2)];
    let state = Checkpoint { curves: curves.clone(), seconds: 0.0, state: parameters.clone() };
    Trained {
        status: Status::Ok,
        divergence: None,
        notes: vec![],
        warnings: vec![],
        task: TaskInfo::classes(1, 2, 3),
        members: vec![],
        model: ModelRecord {
            neurons: 3,
            blocks: 1,
            block_names: vec!["recurrent".into()],
            block_tensors: vec!["recurrent".into()],
            parameters: 12,
            populations: vec![],
            tensors: vec![],
        },
        values: vec![
            Value::new("train", "accuracy", Some(0.6)),
            Value::new("test", "accuracy", Some(0.5)),
            Value::new("train", "running_loss", Some(0.5)),
        ],
        measures: vec![vec![Value::new("", "sum", Some(0.9))]],
        arrays: vec![vec![]],
        times: vec![Value::new("", "seconds_total", Some(1.5))],
        curves,
        ids: BTreeMap::from([("root".into(), vec![864_691_135_000_000_001, 2, 3])]),
        initial: Array2::ones((3, 3)),
        connections: None,
        parameters,
        snapshots: vec![],
        state: Some(state),
    }
}

pub fn diverged() -> Trained {
    Trained {
        status: Status::Diverged,
        divergence: Some(Divergence { epoch: 1, batch: 2, what: "loss inf".into() }),
        values: trained().values.into_iter().map(|v| Value { value: None, ..v }).collect(),
        measures: vec![],
        arrays: vec![],
        parameters: vec![],
        state: None,
        ..trained()
    }
}
