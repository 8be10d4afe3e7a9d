//! Two-photon recordings in NWB files, from the command line to a trained
//! network.

use std::path::PathBuf;

use crate::harness::{Scratch, pallium, plugin, root, text};

/// A scan written by pynwb: field 1 is not matched to the volume, field 2 is like the
/// released files, field 3 has event times.
fn scan() -> PathBuf {
    root().join("plugins/nwb/fixtures/three_fields.nwb")
}

#[test]
fn a_field_of_a_scan_becomes_a_folder_and_its_matrices_are_derived() {
    let scratch = Scratch::new();
    let (folder, derived) = (scratch.path().join("field"), scratch.path().join("derived"));
    let scan = scan();
    let import = |more: &[&str]| {
        let mut all = vec!["field", "import", text(&scan), "--out", text(&folder)];
        all.extend(more);
        pallium(&all)
    };
    import(&[]).refused(&["three_fields.nwb has 3 fields", "1, 2, 3"]);
    import(&["--field", "1"])
        .refused(&["PlaneSegmentation1 has no `pt_x_position`", "positions = \"imaging\""]);
    import(&["--field", "2", "--param", "roi=all"]).refused(&["roi", "`rois`"]);
    assert!(!folder.exists(), "an error must not leave files");
    let printed =
        import(&["--field", "3", "--param", "events=recorded", "--param", "series=Fluorescence"]).ok();
    assert!(printed.stdout.contains("field 4_10_3 of"), "{}", printed.stdout);
    let page = pallium(&["field", "info", text(&folder), "--json"]).ok().json();
    assert_eq!((&page["has_spikes"], &page["synapses"]), (&true.into(), &serde_json::Value::Null));
    // Ids are exact, and text in JSON.
    assert!(page["ids"]["root"][0].as_str().unwrap().starts_with("864691135000000"), "{page:#}");
    pallium(&["field", "derive", text(&folder), "--matrix", "sttc", "--out", text(&derived)]).ok();
    assert!(derived.join("sttc_matrix.npy").exists());
}

#[test]
fn an_experiment_trains_on_a_scan_directly() {
    let scratch = Scratch::new();
    let (file, out) = (scratch.path().join("experiment.toml"), scratch.path().join("run"));
    let experiment = format!(
        "runs = 1\ntasks = [\"cognition.go-no-go\"]\n\
         [substrate]\nuse = \"nwb.field\"\npath = '{}'\nfield = 2\n\
         [training]\nepochs = 1\ntrials = 32\nbatch = 16\n\
         [[variant]]\nname = \"a\"\nweights = \"init.orthogonal\"\ngeometry = \"soma\"\n\
         constraints = [\"spatial.distance\"]\n",
        scan().display()
    );
    std::fs::write(&file, experiment).unwrap();
    pallium(&["run", text(&file), "--out", text(&out)]).ok();
    pallium(&["run", text(&file), "--out", text(&out), "--set", "substrate.field=8"])
        .refused(&["has no field `8`", "1, 2, 3"]);
}

#[test]
fn a_scan_passes_the_checks_of_a_substrate() {
    let path = format!("nwb.field.path={}", text(&scan()));
    let file = plugin("pallium_nwb");
    let arguments =
        ["plugins", "check", text(&file), "--param", &path, "--param", "nwb.field.field=2", "--json"];
    let report = pallium(&arguments).ok().json();
    // Two checks are skipped: of `store`, because this source cannot write, and of
    // profiles, because it has none.
    assert_eq!((&report["failed"], &report["skipped"]), (&0.into(), &2.into()), "{report:#}");
    assert!(report["passed"].as_u64().unwrap() >= 8, "{report:#}");
}
