//! The contents of the released fields, and their URL.
//!
//! The release is the repository <https://github.com/neurovium/CorticalBlueprintRNN>
//! (MIT) at one commit, so that the files never change. It has a folder
//! `Model/DATA/info/<session>_<scan>_<field>` for each of 56 fields.

use std::collections::BTreeMap;
use std::path::Path;

use pallium_core::{Error, Result, nearest};
use pallium_files::hash::hex;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::transfer::Client;

/// URL of the folder that contains the folders of the fields.
pub const RELEASE_URL: &str = "https://raw.githubusercontent.com/neurovium/CorticalBlueprintRNN/\
                               97e2b14f635bba57a4c9923f9ba97a28ec119d81/Model/DATA/info";
/// URL of git's list of all files of that commit.
pub const LISTING_URL: &str = "https://api.github.com/repos/neurovium/CorticalBlueprintRNN/git/trees/\
                               97e2b14f635bba57a4c9923f9ba97a28ec119d81?recursive=1";
/// The same commit, which names the cache folder.
pub const COMMIT: &str = "97e2b14f635bba57a4c9923f9ba97a28ec119d81";
/// Path of the folders of the fields in the repository.
const FIELDS_PATH: &str = "Model/DATA/info/";

/// SHA-256 of the files that Pallium knows, in the format of `sha256sum`.
const KNOWN: &str = include_str!("release.sha256");

/// The fields with their numbers of neurons.
pub const FIELDS: [(&str, u32); 56] = [
    ("4_7_2", 88),
    ("4_7_4", 566),
    ("4_7_6", 475),
    ("4_7_8", 193),
    ("5_3_2", 126),
    ("5_3_4", 70),
    ("5_3_6", 175),
    ("5_3_8", 42),
    ("5_6_2", 339),
    ("5_6_4", 521),
    ("5_6_6", 339),
    ("5_6_8", 160),
    ("5_7_2", 390),
    ("5_7_4", 544),
    ("5_7_6", 139),
    ("5_7_8", 275),
    ("6_2_2", 390),
    ("6_2_4", 575),
    ("6_2_6", 264),
    ("6_2_8", 125),
    ("6_4_2", 416),
    ("6_4_4", 595),
    ("6_4_6", 371),
    ("6_4_8", 135),
    ("6_6_2", 312),
    ("6_6_4", 560),
    ("6_6_6", 383),
    ("6_6_8", 129),
    ("6_7_2", 232),
    ("6_7_4", 566),
    ("6_7_6", 533),
    ("6_7_8", 162),
    ("7_3_2", 410),
    ("7_3_4", 385),
    ("7_3_6", 145),
    ("7_3_8", 154),
    ("7_4_2", 297),
    ("7_4_4", 470),
    ("7_4_6", 538),
    ("7_4_8", 224),
    ("7_5_2", 290),
    ("7_5_4", 258),
    ("7_5_6", 283),
    ("7_5_8", 61),
    ("8_5_2", 455),
    ("8_5_4", 467),
    ("8_5_6", 514),
    ("8_5_8", 190),
    ("9_3_2", 632),
    ("9_3_4", 532),
    ("9_3_6", 545),
    ("9_4_2", 385),
    ("9_4_4", 479),
    ("9_4_6", 529),
    ("9_6_2", 422),
    ("9_6_4", 323),
];

/// A file of a field.
pub struct File {
    /// Its name.
    pub name: String,
    /// Whether the release may lack it.
    pub optional: bool,
}

/// The files of the field `name`.
pub fn files(name: &str) -> Vec<File> {
    let always = [
        format!("connectome_{name}.csv"),
        "corr_matrix.npy".into(),
        format!("positions_{name}.npy"),
        "precision_matrix.npy".into(),
        format!("root_ids_{name}.npy"),
        "sttc_matrix.npy".into(),
        format!("target_ids_{name}.npy"),
        format!("unit_ids_{name}.npy"),
    ];
    let file = |optional| move |name| File { name, optional };
    let spikes = std::iter::once(format!("spikes_{name}.npy"));
    always.into_iter().map(file(false)).chain(spikes.map(file(true))).collect()
}

/// SHA-256 of a file, if Pallium knows it.
pub fn known_sum(field: &str, file: &str) -> Option<&'static str> {
    KNOWN.lines().find_map(|line| {
        let (sum, path) = line.split_once("  ")?;
        (path.split_once('/') == Some((field, file))).then_some(sum)
    })
}

/// The requested fields, each once, in the order of the release.
///
/// # Errors
/// If one is not in the release; the help suggests the nearest name.
pub fn names(requested: &[String], all: bool) -> Result<Vec<&'static str>> {
    let known = || FIELDS.iter().map(|(name, _)| *name);
    if let Some(unknown) = requested.iter().find(|name| !known().any(|known| known == *name)) {
        let error = Error::input(format!("the release has no field `{unknown}`"));
        return Err(match nearest(unknown, known()) {
            Some(near) => {
                error.help(format!("did you mean `{near}`? `pallium field fetch --list` shows all"))
            }
            None => error.help("`pallium field fetch --list` shows all"),
        });
    }
    Ok(known().filter(|name| all || requested.iter().any(|requested| requested == name)).collect())
}

/// Size and git hash of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Bytes.
    pub size: u64,
    /// SHA-1 of `blob <size>\0` and the bytes, in hexadecimal.
    pub sha1: String,
}

/// The release's own list of files.
#[derive(Debug)]
pub struct Listing(BTreeMap<String, Blob>);

impl Listing {
    /// Parses the entries of fields in git's list of a tree, in GitHub's format.
    ///
    /// # Errors
    /// If it has another format, or is incomplete.
    pub fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Tree {
            tree: Vec<Entry>,
            #[serde(default)]
            truncated: bool,
        }
        #[derive(Deserialize)]
        struct Entry {
            path: String,
            sha: String,
            size: Option<u64>,
        }
        let tree: Tree = serde_json::from_str(text)
            .map_err(|e| Error::input(format!("the list of released files cannot be parsed: {e}")))?;
        let blob = |entry: Entry| {
            let path = entry.path.strip_prefix(FIELDS_PATH)?.to_owned();
            Some((path, Blob { size: entry.size?, sha1: entry.sha }))
        };
        let files: BTreeMap<String, Blob> = tree.tree.into_iter().filter_map(blob).collect();
        if files.is_empty() || tree.truncated {
            return Err(Error::input("the list of released files is incomplete"));
        }
        Ok(Listing(files))
    }

    /// The list at `url`, which is then kept in the cache folder `cache`.
    ///
    /// # Errors
    /// If it cannot be downloaded or parsed.
    pub fn obtain(url: &str, client: &Client, cache: &Path, offline: bool) -> Result<Self> {
        let folder = cache.join("fields").join(&COMMIT[..12]);
        let kept = folder.join(format!("listing-{}.json", &hex(&Sha256::digest(url))[..12]));
        if let Some(listing) = std::fs::read_to_string(&kept).ok().and_then(|text| Self::parse(&text).ok()) {
            return Ok(listing);
        }
        if offline {
            return Err(Error::input("the list of released files is not in the cache")
                .help("run the command once without --offline"));
        }
        let text = client.text(url)?;
        let listing = Self::parse(&text)?;
        let failed = |e: &std::io::Error| Error::io(&kept, e);
        std::fs::create_dir_all(&folder).map_err(|e| failed(&e))?;
        let beside = tempfile::NamedTempFile::new_in(&folder).map_err(|e| failed(&e))?;
        std::fs::write(beside.path(), text).map_err(|e| failed(&e))?;
        beside.persist(&kept).map_err(|e| failed(&e.error))?;
        Ok(listing)
    }

    /// The entry of a file.
    pub fn get(&self, field: &str, file: &str) -> Option<&Blob> {
        self.0.get(&format!("{field}/{file}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_complete() {
        assert_eq!(FIELDS.iter().map(|(_, neurons)| neurons).sum::<u32>(), 19_178);
        assert!(FIELDS.is_sorted());
        // Every hash belongs to a file of the release.
        for line in KNOWN.lines() {
            let (sum, path) = line.split_once("  ").unwrap();
            let (field, file) = path.split_once('/').unwrap();
            assert!(sum.len() == 64 && names(&[field.into()], false).is_ok(), "{line}");
            assert!(files(field).iter().any(|known| known.name == file), "{line}");
            assert_eq!(known_sum(field, file), Some(sum));
        }
        assert_eq!(known_sum("6_6_4", "corr_matrix.npy"), None);
    }

    #[test]
    fn fields_are_requested_by_name() {
        let ask = |asked: &[&str]| names(&asked.iter().map(|s| s.to_string()).collect::<Vec<_>>(), false);
        assert_eq!(ask(&["6_6_2", "4_7_2", "6_6_2"]).unwrap(), ["4_7_2", "6_6_2"]);
        assert_eq!(names(&[], true).unwrap().len(), 56);
        let error = ask(&["6_6_3"]).unwrap_err();
        assert!(error.message.contains("`6_6_3`") && error.help.unwrap().contains("did you mean `6_6_"));
        assert!(ask(&["../secret"]).is_err());
    }

    #[test]
    fn listings_are_parsed() {
        let text = r#"{"sha": "x", "tree": [
            {"path": "README.md", "type": "blob", "sha": "aa", "size": 3},
            {"path": "Model/DATA/info/5_3_8", "type": "tree", "sha": "bb"},
            {"path": "Model/DATA/info/5_3_8/corr_matrix.npy", "type": "blob", "sha": "cc", "size": 14240}
        ], "truncated": false}"#;
        let listing = Listing::parse(text).unwrap();
        assert_eq!(listing.get("5_3_8", "corr_matrix.npy"), Some(&Blob { size: 14240, sha1: "cc".into() }));
        assert_eq!(listing.get("5_3_8", "sttc_matrix.npy"), None);
        for text in ["", "[]", "<html>", r#"{"tree": []}"#, &text.replace("false", "true")] {
            assert!(Listing::parse(text).is_err(), "{text}");
        }
    }
}
