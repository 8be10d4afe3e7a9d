//! Users' fields and fields from tables, in every command.

use std::fmt::Write;
use std::path::Path;

use ndarray::Array2;
use ndarray_npy::ReadNpyExt;
use serde_json::Value;

use crate::harness::{Scratch, field, pallium, plugin, text};

/// Writes the released field 5_3_8 in the format of the template.
fn as_plain_text(released: &Path, folder: &Path) {
    let restored = folder.join("restored");
    pallium(&["field", "restore", text(released), "--out", text(&restored)]).ok();
    let read = |name: &str| std::fs::File::open(restored.join(name)).unwrap();
    let positions = Array2::<f64>::read_npy(read("positions_5_3_8.npy")).unwrap();
    let ids = ndarray::Array1::<i64>::read_npy(read("root_ids_5_3_8.npy")).unwrap();
    let times = ndarray::Array1::<f64>::read_npy(read("event_times_5_3_8.npy")).unwrap();
    let offsets = ndarray::Array1::<i64>::read_npy(read("event_offsets_5_3_8.npy")).unwrap();
    let mut cells = "cell,x,y,z\n".to_owned();
    for (id, row) in ids.iter().zip(positions.rows()) {
        writeln!(cells, "{id},{},{},{}", row[0], row[1], row[2]).unwrap();
    }
    let mut events = "time,cell\n".to_owned();
    for (i, id) in ids.iter().enumerate() {
        for time in &times.to_vec()[offsets[i] as usize..offsets[i + 1] as usize] {
            writeln!(events, "{time},{id}").unwrap();
        }
    }
    let mut connections = "pre,post\n".to_owned();
    let mut table = csv::Reader::from_path(restored.join("connectome_5_3_8.csv")).unwrap();
    for (pre, row) in ids.iter().zip(table.records()) {
        for (post, count) in ids.iter().zip(row.unwrap().iter().skip(1)) {
            (0..count.parse::<u32>().unwrap()).for_each(|_| writeln!(connections, "{pre},{post}").unwrap());
        }
    }
    connections += "1,2\n";
    for (name, text) in [("cells.csv", cells), ("events.csv", events), ("connections.csv", connections)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

fn info(folder: &Path) -> Value {
    pallium(&["field", "info", text(folder), "--json"]).ok().json()
}

#[test]
fn a_new_description_is_valid_once_its_files_exist() {
    let Some(released) = field("5_3_8") else { return };
    let scratch = Scratch::new();
    let own = scratch.path().join("it's \"mine\"");
    pallium(&["field", "new", text(&own)]).ok();
    pallium(&["field", "info", text(&own)]).refused(&["cells.csv does not exist"]);
    pallium(&["field", "new", text(&own)]).refused(&["field.toml already exists"]);
    as_plain_text(&released, &own);
    let card = std::fs::read_to_string(own.join("field.toml")).unwrap();
    // MICrONS has voxels, and another frame rate than the template.
    let card = card
        .replace("unit = \"um\"", "unit = \"voxel\"\nvoxel_size_nm = [4, 4, 40]")
        .replace("frame_hz = 30.0", "frame_hz = 6.3009");
    std::fs::write(own.join("field.toml"), card).unwrap();

    // The same field as released.
    let (page, real) = (info(&own), info(&released));
    assert_eq!(page["name"], "it's \"mine\"");
    for key in
        ["neurons", "synapses", "connected_pairs", "mean_distance_um", "has_spikes", "activity", "span_um"]
    {
        assert_eq!(page[key], real[key], "{key}");
    }
    assert_eq!(page["ids"]["cell"], real["ids"]["root"]);
    assert_eq!(
        page["mean_connected_distance_um"]["released"],
        real["mean_connected_distance_um"]["restored"]
    );
    assert!(page["notes"].as_array().unwrap().iter().any(|n| n.as_str().unwrap().contains("field derive")));

    // Its matrices equal those of the released field with half a frame.
    let (mine, theirs) = (scratch.path().join("mine"), scratch.path().join("theirs"));
    for (from, to) in [(&own, &mine), (&released, &theirs)] {
        pallium(&["field", "derive", text(from), "--out", text(to)]).ok();
    }
    for name in ["corr_matrix.npy", "sttc_matrix.npy", "precision_matrix.npy"] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        assert_eq!(read(&mine), read(&theirs), "{name}");
    }

    // Weights and penalties from both folders.
    let weights = |folder: &Path, name: &str| {
        let out = scratch.path().join(name);
        pallium(&[
            "weights",
            "microns.functional",
            "--seed",
            "1",
            "--field",
            text(folder),
            "--out",
            text(&out),
        ])
        .ok();
        out
    };
    let (a, b) = (weights(&mine, "a.npy"), weights(&theirs, "b.npy"));
    assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(b).unwrap());
    let penalty = |folder: &Path| {
        let of = ["penalty", "spatial.communicability-emd", "--weights", text(&a), "--field", text(folder)];
        pallium(&[&of[..], &["--json"]].concat()).ok().json()
    };
    assert_eq!(penalty(&own), penalty(&released));

    // An experiment on it.
    let file = scratch.path().join("own.toml");
    std::fs::write(
        &file,
        "runs = 1\ntasks = [\"cognition.go-no-go\"]\n[substrate]\nuse = \"field.described\"\npath = \"it's \\\"mine\\\"\"\n\
         [training]\nepochs = 1\ntrials = 32\nbatch = 16\n[metrics]\nuse = [\"organization.density\"]\n\
         [[variant]]\nname = \"WD*\"\ngeometry = \"soma\"\nconstraints = [\"spatial.distance\"]\n",
    )
    .unwrap();
    pallium(&["run", text(&file), "--out", text(&scratch.path().join("run")), "--jobs", "1"]).ok();
}

/// Tables of the fields `names`, as CAVE exports them.
fn tables(names: &[&str], folder: &Path) -> Option<()> {
    let mut units = "id,session,scan_idx,unit_id,field,pt_position,pt_root_id,target_id\n".to_owned();
    let mut synapses = "id,pre_pt_root_id,post_pt_root_id,size\n".to_owned();
    let mut synapse = 0;
    let mut connect = |pre: &i64, post: &i64| {
        synapse += 1;
        writeln!(synapses, "{synapse},{pre},{post},8").unwrap();
    };
    for name in names {
        let restored = folder.join(format!("restored-{name}"));
        pallium(&["field", "restore", text(&field(name)?), "--out", text(&restored)]).ok();
        let read = |what: &str| std::fs::File::open(restored.join(format!("{what}_{name}.npy"))).unwrap();
        let ids = |what: &str| ndarray::Array1::<i64>::read_npy(read(what)).unwrap();
        let positions = Array2::<f64>::read_npy(read("positions")).unwrap();
        let (root, unit, target) = (ids("root_ids"), ids("unit_ids"), ids("target_ids"));
        let parts: Vec<&str> = name.split('_').collect();
        for i in 0..root.len() {
            let p = positions.row(i);
            writeln!(
                units,
                "{i},{},{},{},{},[{} {} {}],{},{}",
                parts[0], parts[1], unit[i], parts[2], p[0], p[1], p[2], root[i], target[i]
            )
            .unwrap();
        }
        let mut table = csv::Reader::from_path(restored.join(format!("connectome_{name}.csv"))).unwrap();
        for (pre, row) in root.iter().zip(table.records()) {
            for (post, count) in root.iter().zip(row.unwrap().iter().skip(1)) {
                (0..count.parse::<u32>().unwrap()).for_each(|_| connect(pre, post));
                // And one with a cell that was not imaged.
                if count != "0" {
                    connect(pre, &864691130000000001);
                }
            }
        }
    }
    std::fs::write(folder.join("units.csv"), units).unwrap();
    std::fs::write(folder.join("synapses.csv"), synapses).unwrap();
    Some(())
}

#[test]
fn fields_from_tables_are_the_released_ones() {
    let scratch = Scratch::new();
    let names = ["4_7_2", "5_3_4", "5_3_8"];
    if tables(&names, scratch.path()).is_none() {
        return;
    }
    let (units, synapses) = (scratch.path().join("units.csv"), scratch.path().join("synapses.csv"));
    let out = scratch.path().join("fields");
    let all = ["field", "from-tables", "--coregistration", text(&units), "--synapses", text(&synapses)];
    let printed = pallium(&[&all[..], &["--out", text(&out), "--json"]].concat()).ok().json();
    assert_eq!(printed["fields"].as_array().unwrap().iter().map(|f| &f["name"]).collect::<Vec<_>>(), names);
    for name in names {
        let (made, real) = (info(&out.join(name)), info(&field(name).unwrap()));
        for key in ["neurons", "span_um", "ids", "mean_distance_um"] {
            assert_eq!(made[key], real[key], "{name} {key}");
        }
        // A cell of two fields has its synapses in both, so there may be more.
        assert!(made["synapses"].as_f64() >= real["synapses"].as_f64(), "{name}");
        assert!(made["order"]["restored"]["plausible"].as_bool().unwrap(), "{name}");
        let restored = &real["mean_connected_distance_um"]["restored"];
        let (made, real) = (made["mean_connected_distance_um"]["released"].as_f64(), restored.as_f64());
        assert!((made.unwrap() / real.unwrap() - 1.0).abs() < 0.1, "{name}: {made:?} {real:?}");
    }
    // A single field; a missing one; an existing folder.
    let one = scratch.path().join("one");
    let printed = pallium(&[&all[..], &["--field", "5_3_8", "--out", text(&one)]].concat()).ok();
    assert!(printed.stdout.contains("5_3_8") && one.join("5_3_8").is_dir() && !one.join("4_7_2").exists());
    pallium(&[&all[..], &["--field", "5_3_9", "--out", text(&one.join("x"))]].concat())
        .refused(&["no units of field `5_3_9`"]);
    pallium(&[&all[..], &["--out", text(&one)]].concat()).refused(&["not empty"]);
    std::fs::write(&synapses, "pre_pt_root_id,post_pt_root_id\n1,2\n1,8.6e17\n").unwrap();
    let none = scratch.path().join("none");
    pallium(&[&all[..], &["--out", text(&none)]].concat()).refused(&[
        "synapses.csv, line 3: `8.6e17` in column `post_pt_root_id`",
        "never pass through a float",
    ]);
    assert!(!none.exists());
    let left = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(".pallium");
    assert!(!std::fs::read_dir(scratch.path()).unwrap().any(|entry| left(&entry.unwrap())));
}

#[test]
fn a_warning_on_tables_is_printed_once() {
    let scratch = Scratch::new();
    let (units, synapses) = (scratch.path().join("units.csv"), scratch.path().join("synapses.csv"));
    // Nanometres, and root ids of another version of the segmentation.
    let head = "pt_root_id,session,scan_idx,field,unit_id,pt_position_x,pt_position_y,pt_position_z\n";
    std::fs::write(
        &units,
        format!("{head}11,6,6,2,1,700928,532992,793360\n12,6,6,2,2,720000,533200,800440\n"),
    )
    .unwrap();
    std::fs::write(&synapses, "pre_pt_root_id,post_pt_root_id\n21,22\n22,21\n").unwrap();
    let out = scratch.path().join("fields");
    let printed = pallium(&[
        "field",
        "from-tables",
        "--coregistration",
        text(&units),
        "--synapses",
        text(&synapses),
        "--out",
        text(&out),
    ])
    .ok();
    for part in ["look like nanometres", "2 of 2 cells (100 %) occur in no row of synapses.csv, such as 11"] {
        assert_eq!(printed.stderr.matches(part).count(), 1, "{}", printed.stderr);
        assert!(printed.stdout.contains(part), "{}", printed.stdout);
    }
}

#[test]
fn the_conformance_checks_pass_for_user_fields() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("x.csv"), "x,y,z,id\n1,2,3,7\n4,5,6,9\n").unwrap();
    std::fs::write(
        scratch.path().join("field.toml"),
        "[positions]\nfile = \"x.csv\"\nunit = \"um\"\n[ids]\ncell = { file = \"x.csv\", column = \"id\" }\n",
    )
    .unwrap();
    let units =
        "session,scan_idx,field,unit_id,pt_root_id,pt_position\n1,2,3,4,5,[1 2 3]\n1,2,4,4,6,[1 2 3]\n";
    std::fs::write(scratch.path().join("units.csv"), units).unwrap();
    let path = format!("field.described.path={}", text(scratch.path()));
    let table = format!("microns.tables.coregistration={}", text(&scratch.path().join("units.csv")));
    for (plugin_name, id, param) in
        [("pallium_field", "field.described", path), ("pallium_microns", "microns.tables", table)]
    {
        let file = plugin(plugin_name);
        let printed = pallium(&["plugins", "check", text(&file), "--only", id, "--param", &param, "--json"])
            .ok()
            .json();
        let part = printed["parts"].as_array().unwrap().iter().find(|part| part["id"] == id).unwrap();
        for name in ["substrate", "deterministic"] {
            let check =
                part["checks"].as_array().unwrap().iter().find(|check| check["check"] == name).unwrap();
            assert_eq!(check["verdict"], "passed", "{id}: {check}");
        }
    }
}
