//! The steps of `docs/writing-a-plugin.md`, and the README's constraint.

use std::path::{Path, PathBuf};

use crate::crates::{begin, library};
use crate::harness::{Built, Scratch, cargo_outside, execute, pallium, pallium_with, results, root, text};

/// The code blocks of the page in a language, in order; the README's come last.
fn blocks(language: &str) -> Vec<String> {
    let read = |page: &str| std::fs::read_to_string(root().join(page)).unwrap();
    let page = read("docs/writing-a-plugin.md") + &read("README.md");
    let opening = format!("\n```{language}\n");
    page.split(&opening).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned() + "\n").collect()
}

/// With cargo, in a separate crate.
#[test]
fn the_first_plugin_of_the_page_runs() {
    let folder = begin("page", "long-wires", "constraint");
    let first = &blocks("rust")[0];
    assert!(first.ends_with("pallium_core::plugin!();\n"), "the first block is a complete lib.rs");
    std::fs::write(folder.join("src/lib.rs"), first).unwrap();
    let experiment = blocks("toml").into_iter().find(|b| b.contains("own.long-wires")).unwrap();
    std::fs::write(folder.join("experiment.toml"), experiment).unwrap();
    execute(cargo_outside(&folder).args(["test", "--release"])).ok();
    let built = Built::by(cargo_outside(&folder).args(["build", "--release"])).ok().library("long_wires");
    assert_eq!(built.file_name().unwrap(), "liblong_wires.so");
    // Where cargo puts it for a separate crate.
    let file = folder.join("target/release/liblong_wires.so");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::copy(built, &file).unwrap();
    pallium(&["plugins", "check", text(&file)]).ok();
    let out = folder.join("runs/first");
    pallium(&["run", text(&folder.join("experiment.toml")), "--out", text(&out)]).ok();
    let rows = results(&out);
    assert!(rows.iter().all(|row| row["status"] == "ok"));
    let penalty = rows.iter().find(|row| row["measure"] == "penalty").unwrap();
    assert!(penalty["value"].parse::<f64>().unwrap() > 0.0, "{penalty:?}");
}

#[test]
fn every_rust_block_of_the_page_compiles_conforms_and_trains() {
    let folder = begin("page", "all-pieces", "constraint");
    let pieces = blocks("rust");
    let mut lib = String::from("//! All pieces of the page.\n");
    for (number, piece) in pieces.iter().enumerate() {
        let piece = piece.replace("\npallium_core::plugin!();\n", "\n");
        lib.push_str(&format!("/// A piece.\npub mod piece{number} {{\n{piece}}}\n"));
    }
    std::fs::write(folder.join("src/lib.rs"), lib + "pallium_core::plugin!();\n").unwrap();
    let file = library(&folder);
    let report = pallium(&["plugins", "check", text(&file), "--json"]).ok().json();
    assert_eq!(report["parts"].as_array().unwrap().len(), 1 + pieces.len(), "one component in each block");
    let scratch = Scratch::new();
    let experiment = scratch.path().join("all.toml");
    std::fs::write(
        &experiment,
        "runs = 1\ntasks = [\"own.stronger\", \"own.point\"]\n[substrate]\nuse = \"own.ring\"\n\
         [metrics]\nuse = [\"own.wire-length\", \"own.strength\", \"organization.entropy\"]\n\
         [training]\nepochs = 2\ntrials = 128\nbatch = 32\n\
         [[variant]]\nname = \"a\"\nweights = \"own.normal\"\ngeometry = \"soma\"\n\
         constraints = [\"own.long-wires\", \"own.steady\", \"own.clip\", \"spatial.distance\"]\n",
    )
    .unwrap();
    let out = scratch.path().join("out");
    pallium_with(&[&file], &["run", text(&experiment), "--out", text(&out)]).ok();
    let rows = results(&out);
    let measures: Vec<&str> = rows.iter().map(|row| row["measure"].as_str()).collect();
    assert!(measures.contains(&"wire_length") && measures.contains(&"strength"), "{measures:?}");
}

#[test]
fn other_blocks_of_the_page_are_valid() {
    for block in blocks("toml") {
        block.parse::<toml::Table>().unwrap_or_else(|e| panic!("{e} in\n{block}"));
    }
    let page = std::fs::read_to_string(root().join("docs/writing-a-plugin.md")).unwrap();
    for role in ["substrate", "weights", "constraint", "task", "model", "metric"] {
        assert!(page.contains(&format!("| `{role}` |")), "{role}");
    }
}

/// A constraint, a task and a metric of the reader, each in its own crate, together
/// with components of all of Pallium's plugins.
#[test]
fn components_of_several_new_plugins_train_together() {
    let own = [("far", "constraint"), ("cue", "task"), ("both-ways", "metric")];
    let files = own.map(|(name, role)| library(&begin("page", name, role)));
    let scratch = Scratch::new();
    let experiment = scratch.path().join("e.toml");
    std::fs::write(
        &experiment,
        "runs = 1\ntasks = [\"own.cue\", \"cognition.go-no-go\"]\nmodel = \"rnn.vanilla\"\n\
         [substrate]\nuse = \"synthetic.field\"\nneurons = 30\n\
         [metrics]\nuse = [\"own.both-ways\", \"organization.modularity\"]\n\
         [training]\nepochs = 2\ntrials = 128\nbatch = 32\n\
         [[variant]]\nname = \"a\"\nweights = \"microns.functional\"\ngeometry = \"soma\"\n\
         constraints = [\"own.far\", \"spatial.communicability\", \"spatial.non-negative\"]\n",
    )
    .unwrap();
    let out = scratch.path().join("out");
    let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    pallium_with(&paths, &["run", text(&experiment), "--out", text(&out)]).ok();
    let rows = results(&out);
    assert!(rows.iter().all(|row| row["status"] == "ok"));
    assert!(rows.iter().any(|row| row["measure"] == "reciprocity" && row["task"] == "own.cue"));
}
