use pallium_core::Kind;

use super::*;
use crate::finished::{Finished, Record, Records};
use crate::spec::Use;
use crate::testing::{self, cell, cell_of, manifest};
use crate::weights::ORIENTATION;

fn trained(cell: &Cell) -> Trained {
    let measures = testing::trained().measures.into_iter().cycle().take(cell.measures.len()).collect();
    Trained { measures, ..testing::trained() }
}

fn opened() -> (tempfile::TempDir, Store) {
    let here = tempfile::tempdir().unwrap();
    let store = Store::open(&here.path().join("run"), &manifest(), "seed = 7\n").unwrap();
    (here, store)
}

fn keep(store: &Store, cell: &Cell) {
    let folder = store.write(cell, &trained(cell), "corrected").unwrap();
    store.commit(cell, &folder, "said nothing").unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_training_appears_completely_or_not_at_all() {
    let (_here, store) = opened();
    let cell = cell(0);
    let folder = store.write(&cell, &trained(&cell), "corrected").unwrap();
    assert!(store.is_unfinished(&folder));
    assert!(!store.holds(&cell).unwrap());
    assert_eq!(store.record(&cell).unwrap(), None);
    assert_eq!(store.stale(&[]).unwrap(), Vec::<String>::new());
    store.commit(&cell, &folder, "said nothing").unwrap();
    assert!(store.holds(&cell).unwrap());
    assert_eq!(names(&store.cells()), [".unfinished", cell.folder.as_str()]);
    store.tidy();
    assert_eq!(names(&store.cells()), [cell.folder.as_str()]);
    let files = [
        "cell.json",
        "curves.csv",
        "log.txt",
        "measures",
        "results.csv",
        "state.safetensors",
        "times.csv",
        "weights.safetensors",
    ];
    assert_eq!(names(&store.folder(&cell)), files);
    assert_eq!(names(&store.folder(&cell).join("measures")), cell.measures);
}

#[test]
fn the_same_training_gives_the_same_bytes() {
    let (_here, store) = opened();
    let cell = cell(0);
    let folders = [(), ()].map(|()| store.write(&cell, &trained(&cell), "corrected").unwrap());
    let measures = format!("measures/{}", cell.measures[0]);
    let files = ["cell.json", "curves.csv", "results.csv", "weights.safetensors", "state.safetensors"];
    for name in files.into_iter().chain([measures.as_str()]) {
        let [one, two] = folders.each_ref().map(|f| fs::read(f.join(name)).unwrap());
        assert_eq!(one, two, "{name}");
    }
    // The second process finds the first one's result in place.
    store.commit(&cell, &folders[0], "first").unwrap();
    store.commit(&cell, &folders[1], "second").unwrap();
    assert_eq!(fs::read_to_string(store.folder(&cell).join("log.txt")).unwrap(), "first");
    store.tidy();
    assert_eq!(names(&store.cells()).len(), 1);
}

#[test]
fn files_of_ended_processes_are_removed() {
    let (_here, store) = opened();
    let cells = [cell(0), cell(1)];
    let own = store.write(&cells[1], &trained(&cells[1]), "corrected").unwrap();
    let gone = Owner { started: 1, ..Owner::current() }.mark();
    let places = [store.root.clone(), store.failures(), store.checkpoints(), store.claims()];
    for place in &places {
        fs::create_dir_all(place).unwrap();
        fs::write(place.join(format!("{UNFINISHED}abc123@{gone}")), "").unwrap();
    }
    fs::create_dir_all(store.unfinished().join(format!("{UNFINISHED}abc123@{gone}/sub"))).unwrap();
    for cell in &cells {
        fs::write(store.checkpoint(cell, 1).path, "").unwrap();
        fs::write(store.claim_file(cell), "").unwrap();
    }
    keep(&store, &cells[0]);
    store.clear();
    // Work in progress stays.
    assert!(own.exists());
    assert_eq!(names(&store.checkpoints()), [cells[1].folder.as_str()]);
    assert_eq!(names(&store.claims()), [cells[1].folder.as_str()]);
    assert_eq!(names(&store.unfinished()).len(), 1);
    for place in &places[..2] {
        assert!(!names(place).iter().any(|name| name.starts_with(UNFINISHED)));
    }
    store.commit(&cells[1], &own, "").unwrap();
    store.tidy();
    let mut folders = cells.map(|cell| cell.folder);
    folders.sort();
    assert_eq!(names(&store.cells()), folders);
}

#[test]
fn a_success_removes_the_failure() {
    let (_here, store) = opened();
    let cell = cell(0);
    keep(&store, &cell);
    let failure = Failure { reason: "late".into(), error: None, log: String::new() };
    store.fail(&cell, &failure).unwrap();
    assert_eq!(names(&store.failures()), Vec::<String>::new());
}

#[test]
fn a_folder_with_a_manifest_alone_is_continued() {
    // As if killed after the first file was written.
    let here = tempfile::tempdir().unwrap();
    fs::write(here.path().join("manifest.json"), json_text(&manifest()).unwrap()).unwrap();
    assert!(Store::existing(here.path()).unwrap().is_some());
    assert!(Store::open(here.path(), &manifest(), "").is_ok());
}

#[test]
fn a_full_disk_has_a_remedy() {
    let full = io::Error::from(io::ErrorKind::StorageFull);
    let report = unwritten(Path::new("runs/x/cells/a"), &full).report();
    for words in ["no space left", "runs/x/cells/a", "repeat the command"] {
        assert!(report.contains(words), "{report}");
    }
}

#[test]
fn axes_are_written_if_there_are_any() {
    let (_here, store) = opened();
    let rows = [["variant", "task", "strength"], ["W[strength=0.1]", "a", "0.1"]];
    store.write_axes(&rows.map(|r| r.map(String::from).to_vec())).unwrap();
    let path = store.root().join("axes.csv");
    assert_eq!(fs::read_to_string(&path).unwrap(), "variant,task,strength\nW[strength=0.1],a,0.1\n");
    store.write_axes(&[]).unwrap();
    store.write_axes(&[]).unwrap();
    assert!(!path.exists());
}

#[test]
fn results_are_in_the_order_of_the_plan() {
    let (_here, store) = opened();
    let plan = [cell(0), cell(1), cell(2)];
    keep(&store, &plan[2]);
    let failure = Failure { reason: "killed, by signal 9".into(), error: None, log: "…".into() };
    store.fail(&plan[0], &failure).unwrap();
    let mut records = Records::new();
    store.export(&plan, &mut records).unwrap();
    let text = fs::read_to_string(store.root().join("results.csv")).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "variant,task,run,split,measure,value,status,folder");
    assert_eq!(lines[1], "W*D,alternating,0,test,accuracy,,\"failed: killed, by signal 9\",");
    let folder = &plan[2].folder;
    assert_eq!(lines[2], format!("W*D,alternating,2,train,accuracy,0.6,ok,{folder}"));
    assert!(text.contains(&format!("W*D,alternating,2,,sum,0.9,ok,{folder}\n")), "{text}");
    assert!(text.contains(&format!("W*D,alternating,2,,seconds_total,1.5,ok,{folder}\n")));
    let curves = fs::read_to_string(store.root().join("curves.csv")).unwrap();
    assert!(curves.starts_with("variant,task,run,epoch,") && curves.contains(&format!(",ok,{folder}\n")));
    assert!(store.root().join("results.parquet").exists());
    // The values are read back as written.
    let Some(Record::Finished(finished)) = &records[2] else { panic!("{records:?}") };
    let found = trained(&plan[2]);
    assert_eq!(finished.status, found.status);
    assert_eq!(finished.values, [found.values, found.measures.concat()].concat());
    assert_eq!(finished.curve, found.curves);
    // A success removes the failure.
    keep(&store, &plan[0]);
    store.records(&plan, &mut records).unwrap();
    assert!(matches!(records[0], Some(Record::Finished(_))));
    assert_eq!(names(&store.failures()), Vec::<String>::new());
}

#[test]
fn a_diverged_training_has_empty_values_and_needs_no_measures() {
    let (_here, store) = opened();
    let cell = cell(0);
    let folder = store.write(&cell, &testing::diverged(), "corrected").unwrap();
    store.commit(&cell, &folder, "").unwrap();
    assert!(store.is_complete(&cell).unwrap());
    let mut records = Records::new();
    store.export(std::slice::from_ref(&cell), &mut records).unwrap();
    let text = fs::read_to_string(store.root().join("results.csv")).unwrap();
    assert!(text.contains("W*D,alternating,0,test,accuracy,,diverged,"), "{text}");
    assert!(!names(&store.folder(&cell)).contains(&"state.safetensors".to_owned()));
}

#[test]
fn a_measure_that_failed_keeps_its_reason() {
    let (_here, store) = opened();
    let cell = cell(0);
    let why = "the network is too small";
    let failed = Value { failed: Some(why.into()), ..Value::new("", "mock.metric", None) };
    let undefined = Value::new("", "undefined", None);
    let trained = Trained { measures: vec![vec![failed.clone(), undefined.clone()]], ..testing::trained() };
    let folder = store.write(&cell, &trained, "corrected").unwrap();
    store.commit(&cell, &folder, "").unwrap();
    let Some(Record::Finished(finished)) = store.record(&cell).unwrap() else { panic!() };
    assert_eq!(finished.values[3..], [failed.clone(), undefined.clone()]);
    // It is computed again; what is undefined is not.
    assert!(store.holds(&cell).unwrap() && !store.is_complete(&cell).unwrap());
    assert_eq!((store.to_measure(&cell).unwrap(), finished.unmeasured), (vec![0], 1));
    store.add_measures(&cell, 0, std::slice::from_ref(&undefined), &[]).unwrap();
    assert!(store.is_complete(&cell).unwrap());
    let Some(Record::Finished(finished)) = store.record(&cell).unwrap() else { panic!() };
    assert_eq!(finished.values[3..], [undefined]);
    // Without weights there is nothing to measure again.
    store.add_measures(&cell, 0, &[failed], &[]).unwrap();
    let compact = crate::compact::CompactTraining::new(&store, &cell).unwrap();
    let (_there, other) = opened();
    other.restore(&cell, &compact).unwrap();
    assert!(!store.is_complete(&cell).unwrap() && other.is_complete(&cell).unwrap());
}

#[test]
fn a_metric_is_added_without_training_again() {
    let (_here, store) = opened();
    let before = cell(0);
    keep(&store, &before);
    let mut spec = testing::spec();
    spec.metrics.push(Use::new("mock.other"));
    spec.metrics.push(Use::new("mock.third"));
    let after = cell_of(spec);
    assert!(store.holds(&after).unwrap() && !store.is_complete(&after).unwrap());
    assert_eq!(store.to_measure(&after).unwrap(), [1, 2]);
    store.add_measures(&after, 1, &[Value::new("", "sum", Some(0.1))], &[]).unwrap();
    store.add_measures(&after, 2, &[Value::new("", "sum", Some(0.2))], &[]).unwrap();
    assert!(store.is_complete(&after).unwrap());
    let Some(Record::Finished(finished)) = store.record(&after).unwrap() else { panic!() };
    let measures: Vec<_> = finished.values[3..].iter().map(|v| (v.measure.as_str(), v.value)).collect();
    assert_eq!(measures, [("sum", Some(0.9)), ("sum_2", Some(0.1)), ("sum_3", Some(0.2))]);
    // The earlier experiment still has its own measures.
    let Some(Record::Finished(finished)) = store.record(&before).unwrap() else { panic!() };
    assert_eq!(finished.values.len(), 4);
}

#[test]
fn a_renamed_variant_is_found_again() {
    let (_here, store) = opened();
    let old = cell(0);
    keep(&store, &old);
    let renamed = || {
        let mut spec = testing::spec();
        spec.variant = "renamed".into();
        cell_of(spec)
    };
    // Two variants with the same training share its folder.
    let mut plan = [renamed(), cell(0), cell(1)];
    store.locate(&mut plan).unwrap();
    assert_eq!(plan.each_ref().map(|cell| cell.folder == old.folder), [true, true, false]);
    assert!(store.holds(&plan[0]).unwrap());
    assert_eq!(store.stale(&plan).unwrap(), Vec::<String>::new());
    let mut records = Records::new();
    store.export(&plan, &mut records).unwrap();
    let text = fs::read_to_string(store.root().join("results.csv")).unwrap();
    assert!(text.contains(&format!("renamed,alternating,0,train,accuracy,0.6,ok,{}", old.folder)), "{text}");
    // Neither is finished: they share the folder of the first.
    let mut fresh = [testing::cell_of(crate::spec::CellSpec { run: 5, ..renamed().spec }), cell(5)];
    store.locate(&mut fresh).unwrap();
    assert_eq!(fresh[0].folder, fresh[1].folder);
}

#[test]
fn a_training_of_format_1_is_recognized() {
    let (_here, store) = opened();
    let new = cell(0);
    let old = Cell { folder: "W.alternating.000.0123456789ab".into(), ..new.clone() };
    keep(&store, &old);
    let folder = store.folder(&old);
    let mut file = TrainingFile::read(&folder).unwrap();
    (file.format, file.identity, file.pallium) = (1, "0123456789abcdef".into(), "0.1.0".into());
    fs::write(folder.join(FILE), json_text(&file).unwrap()).unwrap();
    fs::remove_dir_all(folder.join(MEASURES)).unwrap();
    let table = "variant,task,run,split,measure,value,status\nW,alternating,0,test,accuracy,0.5,ok\n\
                 W,alternating,0,,sum,0.25,ok\n";
    fs::write(folder.join("results.csv"), table).unwrap();
    let mut plan = [new];
    store.locate(&mut plan).unwrap();
    assert_eq!(plan[0].folder, old.folder);
    assert!(store.is_complete(&plan[0]).unwrap());
    let Some(Record::Finished(finished)) = store.record(&plan[0]).unwrap() else { panic!() };
    let sum = |finished: &Finished| finished.value("", "sum");
    assert_eq!((finished.value("test", "accuracy"), sum(&finished)), (Some(0.5), Some(0.25)));
    // If the metrics differ, all of them are computed again.
    let mut spec = testing::spec();
    spec.metrics.push(Use::new("mock.other"));
    let more = Cell { folder: old.folder.clone(), ..cell_of(spec) };
    assert_eq!(store.to_measure(&more).unwrap(), [0, 1]);
}

#[test]
fn weights_have_the_documented_format_and_metadata() {
    let (_here, store) = opened();
    let cell = cell(0);
    keep(&store, &cell);
    let bytes = fs::read(store.folder(&cell).join("weights.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut names: Vec<_> = tensors.names();
    names.sort_unstable();
    assert_eq!(names, ["bias", "ids.root", "initial", "recurrent"]);
    let initial = tensors.tensor("initial").unwrap();
    assert_eq!(initial.shape(), [3, 3]);
    assert_eq!(initial.data(), [1.0f32; 9].map(f32::to_le_bytes).concat());
    let (_, about) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let about = about.metadata().as_ref().unwrap();
    assert_eq!(about["orientation"], ORIENTATION);
    assert_eq!((about["variant"].as_str(), about["run"].as_str()), ("W*D", "0"));
    assert_eq!(about["identity"], cell.identity);
    let weights = crate::weights::read(&store.folder(&cell).join("weights.safetensors")).unwrap();
    assert_eq!(weights.initial, trained(&cell).initial);
    assert_eq!(weights.block("recurrent", 3).unwrap()[[2, 1]], 0.1);
    assert!(weights.block("bias", 3).is_none());
    assert_eq!(weights.parameters.len(), 2);
}

#[test]
fn stale_trainings_are_reported_and_not_changed() {
    let (_here, store) = opened();
    let (old, new) = (cell(0), {
        let mut spec = testing::spec();
        spec.training.epochs = 3;
        cell_of(spec)
    });
    keep(&store, &old);
    assert!(!store.holds(&new).unwrap());
    assert_eq!(store.stale(std::slice::from_ref(&new)).unwrap(), std::slice::from_ref(&old.folder));
    keep(&store, &new);
    let mut records = Records::new();
    store.refresh(std::slice::from_ref(&new), &mut records).unwrap();
    let text = fs::read_to_string(store.root().join("results.csv")).unwrap();
    assert_eq!(text.matches(",test,accuracy,").count(), 1);
    assert!(store.holds(&old).unwrap());
}

#[test]
fn a_damaged_training_is_reported_and_not_overwritten() {
    let (_here, store) = opened();
    let (cell, other) = (cell(0), cell(1));
    keep(&store, &cell);
    fs::rename(store.folder(&cell), store.folder(&other)).unwrap();
    let error = store.holds(&other).unwrap_err();
    assert_eq!(error.kind, Kind::Input);
    assert!(error.report().contains("another training"), "{}", error.report());
    fs::rename(store.folder(&other), store.folder(&cell)).unwrap();
    for (name, reason) in [("results.csv", "is empty"), ("weights.safetensors", "No such file")] {
        let path = store.folder(&cell).join(name);
        let before = fs::read(&path).unwrap();
        if reason == "is empty" {
            fs::write(&path, "").unwrap()
        } else {
            fs::remove_file(&path).unwrap()
        }
        let report = store.holds(&cell).unwrap_err().report();
        assert!(report.contains(name) && report.contains(reason), "{report}");
        fs::write(&path, before).unwrap();
    }
    assert!(store.holds(&cell).unwrap());
    fs::rename(store.folder(&cell), store.folder(&other)).unwrap();
    fs::write(store.folder(&other).join("cell.json"), "{").unwrap();
    assert!(store.holds(&other).unwrap_err().report().contains("is damaged"));
    let folder = store.write(&other, &trained(&other), "corrected").unwrap();
    assert!(store.commit(&other, &folder, "").is_err());
    assert_eq!(fs::read_to_string(store.folder(&other).join("cell.json")).unwrap(), "{");
}

#[test]
fn a_folder_is_continued_only_if_it_is_a_run_of_this_format() {
    let (here, store) = opened();
    assert!(Store::existing(store.root()).unwrap().is_some());
    assert_eq!(store.manifest().unwrap(), manifest());
    assert_eq!(fs::read_to_string(store.root().join("experiment.toml")).unwrap(), "seed = 7\n");
    let empty = here.path().join("empty");
    assert!(Store::existing(&empty).unwrap().is_none());
    fs::create_dir_all(empty.join("cells")).unwrap();
    assert!(Store::existing(&empty).unwrap_err().report().contains("--out"));
    let other = Manifest { format: FORMAT + 1, ..manifest() };
    fs::write(store.root().join("manifest.json"), json_text(&other).unwrap()).unwrap();
    let error = Store::open(store.root(), &manifest(), "").unwrap_err();
    assert!(error.report().contains("format 3"), "{}", error.report());
}

#[cfg(unix)]
#[test]
fn results_have_the_permissions_of_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let (here, store) = opened();
    let cell = cell(0);
    keep(&store, &cell);
    let plain = here.path().join("plain");
    fs::write(&plain, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&store.root().join("manifest.json")), mode(&plain));
    assert_eq!(mode(&store.folder(&cell)), mode(&store.cells()));
}
