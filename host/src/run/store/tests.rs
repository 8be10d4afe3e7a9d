use pallium_core::Kind;

use super::super::contents::ORIENTATION;
use super::super::identity::identify;
use super::super::mock;
use super::super::train::{Options, train};
use super::*;

fn manifest() -> Manifest {
    Manifest {
        format: FORMAT,
        pallium: HOST.into(),
        core: pallium_core::VERSION.into(),
        experiment: "quick".into(),
        file: "quick.toml".into(),
        overrides: vec![],
        profile: "corrected".into(),
        switches: BTreeMap::new(),
        seed: 7,
        runs: 2,
        cells: 2,
        plugins: vec![],
        data: BTreeMap::new(),
        machine: Machine::this(),
        started: 0,
    }
}

fn cell(run: u32) -> Cell {
    let mut spec = mock::spec();
    spec.run = run;
    identify(spec, &mock::catalogue()).unwrap()
}

fn trained(cell: &Cell) -> Trained {
    train(&cell.spec, &mock::catalogue(), &Options::default(), &mut |_| ()).unwrap()
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
fn a_cell_appears_whole_or_not_at_all() {
    let (_here, store) = opened();
    let cell = cell(0);
    let folder = store.write(&cell, &trained(&cell), "corrected").unwrap();
    assert!(store.is_unfinished(&folder));
    assert!(!store.holds(&cell).unwrap());
    assert_eq!(store.record(&cell).unwrap(), None);
    assert_eq!(store.strangers(&[]).unwrap(), Vec::<String>::new());
    store.commit(&cell, &folder, "said nothing").unwrap();
    assert!(store.holds(&cell).unwrap());
    assert_eq!(names(&store.cells()), [".unfinished", cell.folder.as_str()]);
    store.tidy();
    assert_eq!(names(&store.cells()), [cell.folder.as_str()]);
    let files = ["cell.json", "curves.csv", "log.txt", "results.csv", "times.csv", "weights.safetensors"];
    assert_eq!(names(&store.folder(&cell)), files);
}

#[test]
fn the_same_cell_gives_the_same_bytes() {
    let (_here, store) = opened();
    let cell = cell(0);
    let folders = [(), ()].map(|()| store.write(&cell, &trained(&cell), "corrected").unwrap());
    for name in ["cell.json", "curves.csv", "results.csv", "weights.safetensors"] {
        let [one, two] = folders.each_ref().map(|f| fs::read(f.join(name)).unwrap());
        assert_eq!(one, two, "{name}");
    }
    // Whoever comes second finds the first one's in place.
    store.commit(&cell, &folders[0], "first").unwrap();
    store.commit(&cell, &folders[1], "second").unwrap();
    assert_eq!(fs::read_to_string(store.folder(&cell).join("log.txt")).unwrap(), "first");
    store.tidy();
    assert_eq!(names(&store.cells()).len(), 1);
}

#[test]
fn what_is_left_by_those_who_are_gone_is_cleared_away() {
    let (_here, store) = opened();
    let cells = [cell(0), cell(1)];
    let own = store.write(&cells[1], &trained(&cells[1]), "corrected").unwrap();
    let gone = Owner { started: 1, ..Owner::this() }.mark();
    let places = [store.root.clone(), store.failures(), store.checkpoints(), store.claims()];
    for place in &places {
        fs::create_dir_all(place).unwrap();
        fs::write(place.join(format!("{UNFINISHED}abc123@{gone}")), "").unwrap();
    }
    fs::create_dir_all(store.unfinished().join(format!("{UNFINISHED}abc123@{gone}/sub"))).unwrap();
    for cell in &cells {
        fs::write(store.checkpoint(cell, 1).path, "").unwrap();
        fs::write(store.claim_of(cell), "").unwrap();
    }
    keep(&store, &cells[0]);
    store.clear();
    // What is under way stays.
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
fn a_failure_does_not_outlive_success() {
    let (_here, store) = opened();
    let cell = cell(0);
    keep(&store, &cell);
    let failure = Failure { reason: "late".into(), error: None, log: String::new() };
    store.fail(&cell, &failure).unwrap();
    assert_eq!(names(&store.failures()), Vec::<String>::new());
}

#[test]
fn a_folder_that_was_begun_is_continued() {
    // Killed after the first thing that is ever written into it.
    let here = tempfile::tempdir().unwrap();
    fs::write(here.path().join("manifest.json"), json_text(&manifest()).unwrap()).unwrap();
    assert!(Store::existing(here.path()).unwrap().is_some());
    assert!(Store::open(here.path(), &manifest(), "").is_ok());
}

#[test]
fn where_there_is_no_room_it_is_said_how_to_go_on() {
    let full = io::Error::from(io::ErrorKind::StorageFull);
    let report = unwritten(Path::new("runs/x/cells/a"), &full).report();
    for words in ["no room left", "runs/x/cells/a", "the same command again"] {
        assert!(report.contains(words), "{report}");
    }
}

#[test]
fn axes_are_written_where_there_are_some() {
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
fn results_are_tidy_and_in_the_order_of_the_plan() {
    let (_here, store) = opened();
    let plan = [cell(0), cell(1), cell(2)];
    keep(&store, &plan[2]);
    let failure = Failure { reason: "killed, by\nsignal 9".into(), error: None, log: "…".into() };
    store.fail(&plan[0], &failure).unwrap();
    let mut records = Records::new();
    store.records(&plan, &mut records).unwrap();
    let path = store.write_results(&plan, &records).unwrap();
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "variant,task,run,split,measure,value,status");
    assert_eq!(lines[1], "W*D,alternating,0,test,accuracy,,\"failed: killed, by signal 9\"");
    assert_eq!(lines[2], "W*D,alternating,2,train,accuracy,0.6,ok");
    assert!(lines.iter().any(|l| l.starts_with("W*D,alternating,2,,sum,")));
    assert!(lines.iter().any(|l| l.starts_with("W*D,alternating,2,,seconds_total,")));
    assert!(!text.contains("NaN"));
    // What is read back is what was found.
    let Some(Record::Finished(finished)) = &records[2] else { panic!("{records:?}") };
    let found = trained(&plan[2]);
    assert_eq!((&finished.status, &finished.values), (&found.status, &found.values));
    // Once it succeeds, the failure is forgotten.
    keep(&store, &plan[0]);
    store.records(&plan, &mut records).unwrap();
    assert!(matches!(records[0], Some(Record::Finished(_))));
    assert_eq!(names(&store.failures()), Vec::<String>::new());
}

#[test]
fn a_diverged_cell_has_empty_values() {
    let (_here, store) = opened();
    let mut spec = mock::spec();
    spec.model = mock::with("mock.model", "rate", 10.0);
    spec.training.epochs = 200;
    let cell = identify(spec, &mock::catalogue()).unwrap();
    keep(&store, &cell);
    let mut records = Records::new();
    store.records(std::slice::from_ref(&cell), &mut records).unwrap();
    let path = store.write_results(std::slice::from_ref(&cell), &records).unwrap();
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains("W*D,alternating,0,test,accuracy,,diverged\n"), "{text}");
    for file in ["results.csv", "curves.csv", "cell.json"] {
        let text = fs::read_to_string(store.folder(&cell).join(file)).unwrap().to_lowercase();
        assert!(!text.contains("nan,") && !text.contains(",inf"), "{text}");
    }
}

#[test]
fn a_measure_that_failed_keeps_its_reason() {
    let (_here, store) = opened();
    let mut spec = mock::spec();
    spec.metrics =
        vec![mock::with("mock.metric", "kind", "fails"), mock::with("mock.metric", "kind", "undefined")];
    let cell = identify(spec, &mock::catalogue()).unwrap();
    keep(&store, &cell);
    let text = fs::read_to_string(store.folder(&cell).join("results.csv")).unwrap();
    assert!(text.contains(",,mock.metric,,failed: the network is too small\n"), "{text}");
    assert!(text.contains(",,undefined,,ok\n"), "{text}");
    let Some(Record::Finished(finished)) = store.record(&cell).unwrap() else { panic!() };
    assert_eq!(finished.values, trained(&cell).values);
}

#[test]
fn weights_are_read_by_the_format_and_say_what_they_are() {
    let (_here, store) = opened();
    let cell = cell(0);
    keep(&store, &cell);
    let bytes = fs::read(store.folder(&cell).join("weights.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut names: Vec<_> = tensors.names();
    names.sort_unstable();
    assert_eq!(names, ["bias", "initial", "recurrent"]);
    let initial = tensors.tensor("initial").unwrap();
    assert_eq!(initial.shape(), [3, 3]);
    assert_eq!(initial.data(), [1.0f32; 9].map(f32::to_le_bytes).concat());
    let (_, about) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let about = about.metadata().as_ref().unwrap();
    assert_eq!(about["orientation"], ORIENTATION);
    assert_eq!((about["variant"].as_str(), about["run"].as_str()), ("W*D", "0"));
    assert_eq!(about["identity"], cell.identity);
}

#[test]
fn cells_of_another_state_are_reported_and_left_alone() {
    let (_here, store) = opened();
    let (old, new) = (cell(0), {
        let mut spec = mock::spec();
        spec.training.epochs = 3;
        identify(spec, &mock::catalogue()).unwrap()
    });
    keep(&store, &old);
    assert!(!store.holds(&new).unwrap());
    assert_eq!(store.strangers(std::slice::from_ref(&new)).unwrap(), std::slice::from_ref(&old.folder));
    keep(&store, &new);
    let mut records = Records::new();
    store.records(std::slice::from_ref(&new), &mut records).unwrap();
    let path = store.write_results(std::slice::from_ref(&new), &records).unwrap();
    let rows = fs::read_to_string(path).unwrap().matches(",test,accuracy,").count();
    assert_eq!(rows, 1);
    assert!(store.holds(&old).unwrap());
}

#[test]
fn a_damaged_cell_is_named_and_not_overwritten() {
    let (_here, store) = opened();
    let (cell, other) = (cell(0), cell(1));
    keep(&store, &cell);
    fs::rename(store.folder(&cell), store.folder(&other)).unwrap();
    let error = store.holds(&other).unwrap_err();
    assert_eq!(error.kind, Kind::Input);
    assert!(error.report().contains("another cell"), "{}", error.report());
    fs::rename(store.folder(&other), store.folder(&cell)).unwrap();
    for (name, said) in [("results.csv", "is empty"), ("weights.safetensors", "No such file")] {
        let path = store.folder(&cell).join(name);
        let before = fs::read(&path).unwrap();
        if said == "is empty" {
            fs::write(&path, "").unwrap()
        } else {
            fs::remove_file(&path).unwrap()
        }
        let told = store.holds(&cell).unwrap_err().report();
        assert!(told.contains(name) && told.contains(said), "{told}");
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
    assert!(error.report().contains("format 2"), "{}", error.report());
}

#[cfg(unix)]
#[test]
fn results_can_be_read_by_whom_the_user_lets() {
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
