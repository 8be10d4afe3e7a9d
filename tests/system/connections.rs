//! Networks whose weights lie on a set of connections, from experiment file to results.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Scratch, pallium, results, text, trainings};

/// All tensors of a safetensors file, whatever their type.
fn tensors(path: &Path) -> BTreeMap<String, Vec<f64>> {
    let bytes = std::fs::read(path).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: BTreeMap<String, Value> = serde_json::from_slice(&bytes[8..start]).unwrap();
    let read = |(name, tensor): (String, Value)| {
        let [from, to] = [0, 1].map(|k| tensor["data_offsets"][k].as_u64());
        let data = &bytes[start + from? as usize..start + to? as usize];
        let values = match tensor["dtype"].as_str()? {
            "F32" => data.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
            "U32" => data.as_chunks::<4>().0.iter().map(|b| f64::from(u32::from_le_bytes(*b))).collect(),
            "U64" => data.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b) as f64).collect(),
            _ => return None,
        };
        Some((name, values))
    };
    header.into_iter().filter_map(read).collect()
}

const HEAD: &str = "seed = 3\nruns = 1\ntasks = [\"cognition.go-no-go\"]\n\
    [substrate]\nuse = \"synthetic.field\"\nneurons = 30\n\
    [training]\nepochs = 3\ntrials = 64\nbatch = 16\n\
    [metrics]\nuse = [\"connectivity.connections\", \"organization.density\"]\n";

fn variant(name: &str, rest: &str) -> String {
    format!("[[variant]]\nname = \"{name}\"\ngeometry = \"soma\"\n{rest}\n")
}

const SPARSE: &str = "weights = { use = \"init.sparse\", density = 0.2 }\nconnections = true\n";

fn write(folder: &Scratch, experiment: &str) -> std::path::PathBuf {
    let file = folder.path().join("x.toml");
    std::fs::write(&file, experiment).unwrap();
    file
}

/// Weights of a matrix that a mask keeps at the connected pairs train alike: the same
/// accuracies, and weights that agree up to rounding.
#[test]
fn a_training_on_connections_is_that_of_a_masked_matrix() {
    let folder = Scratch::new();
    let constraints = "constraints = [{ use = \"spatial.distance\", strength = 1e-3 }, \"circuit.mask\"]\n";
    let experiment = HEAD.to_owned()
        + &variant("matrix", &format!("weights = \"init.synapses\"\n{constraints}"))
        + &variant("connections", &format!("weights = \"init.synapses\"\nconnections = true\n{constraints}"));
    let file = write(&folder, &experiment);
    let out = folder.path().join("out");
    pallium(&["run", text(&file), "--out", text(&out), "--jobs", "1"]).ok();
    let of = |name: &str| tensors(&trainings(&out)[name].join("weights.safetensors"));
    let (matrix, on) = (of("matrix"), of("connections"));
    let (indptr, indices) = (&on["connections.indptr"], &on["connections.indices"]);
    let mut worst = 0.0_f64;
    let mut count = 0;
    for row in 0..30 {
        for place in indptr[row] as usize..indptr[row + 1] as usize {
            let column = indices[place] as usize;
            let expected = matrix["recurrent"][row * 30 + column];
            worst = worst.max((on["recurrent"][place] - expected).abs());
            count += 1;
        }
    }
    assert_eq!(count, on["recurrent"].len());
    assert!(worst < 2e-5, "weights differ by {worst:.1e}");
    let rows = results(&out);
    let accuracy = |name: &str| {
        let row =
            rows.iter().find(|r| r["variant"] == name && r["measure"] == "accuracy" && r["split"] == "test");
        row.unwrap()["value"].clone()
    };
    assert_eq!(accuracy("matrix"), accuracy("connections"));
    assert!(rows.iter().any(|r| r["measure"] == "connections_reciprocity"));
}

/// Killed and continued with moved connections, a training ends with the same bytes;
/// so does one with more threads.
#[test]
fn an_interrupted_training_that_rewires_ends_with_the_same_bytes() {
    let folder = Scratch::new();
    let constraints = "constraints = [{ use = \"circuit.rewiring\", every = 2, spread = 0.1 }, \
        \"spatial.distance\", \"continual.near-start\", \"circuit.dale\"]\n";
    let experiment = HEAD.to_owned() + &variant("rewired", &(SPARSE.to_owned() + constraints));
    let file = write(&folder, &experiment);
    let run = |out: &str, extra: &[&str]| {
        let out = folder.path().join(out);
        let mut arguments = vec!["run", text(&file), "--out", text(&out)];
        arguments.extend(extra);
        pallium(&arguments).ok();
        let (_, place) = trainings(&out).into_iter().next().unwrap();
        tensors(&place.join("weights.safetensors"))
    };
    let whole = run("whole", &[]);
    // Fewer epochs first, then the rest from their state.
    run("parts", &["--set", "training.epochs=1"]);
    let continued = run("parts", &[]);
    assert!(whole == continued, "the continued training differs");
    assert!(whole.contains_key("initial.indptr"), "no connection moved: {:?}", whole.keys());
    let threads = run("threads", &["--set", "training.threads=2"]);
    assert!(whole == threads, "threads change the result");
}

#[test]
fn what_takes_only_matrices_is_offered_one_or_refused_by_name() {
    let folder = Scratch::new();
    let refused = |rest: &str, sets: &[&str], parts: &[&str]| {
        let file = write(&folder, &(HEAD.to_owned() + &variant("v", rest)));
        let out = folder.path().join("refused");
        let mut arguments = vec!["run", text(&file), "--out", text(&out)];
        arguments.extend(sets);
        pallium(&arguments).refused(parts);
    };
    refused(
        &(SPARSE.to_owned() + "model = \"rnn.gru\"\n"),
        &[],
        &["`rnn.gru` takes recurrent weights as a matrix", "rnn.vanilla"],
    );
    refused("connections = 3\n", &[], &["connections", "true"]);
    refused(
        "weights = { use = \"init.synapses\", spectral_radius = 0.0 }\nconnections = { use = \"init.sparse\", \
         density = 0.0 }\n",
        &[],
        &["connects no pair"],
    );
    refused(
        "weights = { use = \"microns.functional\", diagonal = \"only\" }\nconnections = true\n",
        &[],
        &["diagonal = \"only\"", "init.identity"],
    );
    // Offered: a penalty on walks, whose gradient is taken at the connections.
    let penalty =
        SPARSE.to_owned() + "constraints = [{ use = \"spatial.communicability\", strength = 0.01 }]\n";
    let file = write(&folder, &(HEAD.to_owned() + &variant("v", &penalty)));
    let out = folder.path().join("offered");
    pallium(&["run", text(&file), "--out", text(&out)]).ok();
    let rows = results(&out);
    let row = rows.iter().find(|r| r["measure"] == "penalty" && r["split"] == "test").unwrap();
    assert!(row["value"].parse::<f64>().unwrap() > 0.0);
}

/// A network on connections is lesioned and perturbed, and another training goes on
/// from it on its connections.
#[test]
fn a_finished_network_is_lesioned_and_trained_on() {
    let folder = Scratch::new();
    let file = write(&folder, &(HEAD.to_owned() + &variant("v", SPARSE)));
    let out = folder.path().join("out");
    pallium(&["run", text(&file), "--out", text(&out)]).ok();
    let lesioned = pallium(&[
        "evaluate",
        text(&out),
        "--json",
        "--draws",
        "2",
        "--lesion",
        "connections:strongest:50%",
        "--lesion",
        "recurrence",
        "--perturb",
        "weights:noise:0.5",
    ])
    .ok();
    let found: Value = serde_json::from_str(&lesioned.stdout).unwrap();
    let rows = found["rows"].as_array().unwrap();
    let removed = |lesion: &str| {
        let of = |row: &&Value| row["lesion"] == lesion && row["draw"].is_null();
        rows.iter().find(of).unwrap_or_else(|| panic!("{found}"))["removed"].as_u64().unwrap()
    };
    let trained = trainings(&out)["v"].clone();
    let before = tensors(&trained.join("weights.safetensors"));
    assert_eq!(removed("recurrence"), before["recurrent"].iter().filter(|w| **w != 0.0).count() as u64);
    assert!(removed("connections:strongest:50%") > 50);

    let weights = trained.join("weights.safetensors");
    let on =
        format!("weights = {{ use = \"init.file\", path = {:?} }}\nconnections = true\n", text(&weights));
    let from = format!("batch = 16\nfrom = {:?}\n", text(&out));
    let head = HEAD.replace("batch = 16\n", &from);
    let go_on = |rest: &str| {
        let file = write(&folder, &(head.clone() + &variant("v", rest)));
        let out = folder.path().join("on");
        (pallium(&["run", text(&file), "--out", text(&out)]), out)
    };
    let (other, _) = go_on(&SPARSE.replace("0.2", "0.3"));
    other.refused(&["lies on", "other connections", "init.file"]);
    let (done, out) = go_on(&on);
    done.ok();
    let after = tensors(&trainings(&out)["v"].join("weights.safetensors"));
    assert_eq!(after["initial"], before["recurrent"]);
    assert_ne!(after["recurrent"], before["recurrent"]);
}
