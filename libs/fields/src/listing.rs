//! The files of a field's folder, found by their names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pallium_core::prelude::*;

/// Matrices whose files have fixed names.
pub const MATRICES: [(&str, &str); 3] = [
    ("corr_matrix.npy", Substrate::CORRELATION),
    ("sttc_matrix.npy", Substrate::STTC),
    ("precision_matrix.npy", Substrate::PRECISION),
];

/// The files of a folder, sorted by name.
pub(crate) struct Listing {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Names of its files.
    pub(crate) names: Vec<String>,
}

impl Listing {
    /// Lists a folder.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let wrong = |what: &str| {
            Err(Error::input(format!("{} {what}", folder.display()))
                .help("name the folder of a field; a relative path starts at the current folder"))
        };
        if !folder.exists() {
            return wrong("does not exist");
        }
        if !folder.is_dir() {
            return wrong("is not a folder");
        }
        let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, &e))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| Error::io(folder, &e))?;
            names.extend(entry.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(Listing { folder: folder.into(), names })
    }

    /// The only file called `<prefix>_<field>.<extension>` or `<prefix>.<extension>`.
    ///
    /// # Errors
    /// If there are several.
    pub(crate) fn one(&self, prefix: &str, extension: &str) -> Result<Option<PathBuf>> {
        let found: Vec<&String> =
            self.names.iter().filter(|name| suffix(name, prefix, extension).is_some()).collect();
        match found.as_slice() {
            [] => Ok(None),
            [name] => Ok(Some(self.folder.join(name))),
            several => {
                let several: Vec<_> = several.iter().map(|name| name.as_str()).collect();
                let folder = self.folder.display();
                Err(Error::input(format!("{folder} has several candidates: {}", several.join(", ")))
                    .help("keep the files of only one field in a folder"))
            }
        }
    }

    /// Kinds of ids and their files.
    pub(crate) fn ids(&self) -> Vec<(String, PathBuf)> {
        let id = |name: &String| {
            let (kind, _) = name.strip_suffix(".npy")?.split_once("_ids")?;
            Some((kind.to_owned(), self.folder.join(name)))
        };
        self.names.iter().filter_map(id).collect()
    }

    /// Names of matrices and their files.
    pub(crate) fn matrices(&self) -> Vec<(String, PathBuf)> {
        let matrix = |name: &String| {
            let known = MATRICES.iter().find(|(file, _)| file == name).map(|(_, name)| *name);
            let name_of = known.or_else(|| name.strip_prefix("matrix_")?.strip_suffix(".npy"))?;
            Some((name_of.to_owned(), self.folder.join(name)))
        };
        self.names.iter().filter_map(matrix).collect()
    }

    /// The field's name, from the names of its files.
    ///
    /// # Errors
    /// If they disagree.
    pub(crate) fn field(&self) -> Result<Option<String>> {
        let kinds = [("positions", "npy"), ("connectome", "csv"), ("spikes", "npy"), ("event_times", "npy")];
        let mut fields: BTreeMap<String, &str> = BTreeMap::new();
        for name in &self.names {
            let named = kinds
                .iter()
                .find_map(|(prefix, extension)| suffix(name, prefix, extension))
                .or_else(|| name.strip_suffix(".npy")?.split_once("_ids").map(|(_, field)| field));
            if let Some(field) = named.map(|field| field.trim_start_matches('_')).filter(|f| !f.is_empty()) {
                fields.entry(field.to_owned()).or_insert(name);
            }
        }
        let mut files = fields.values();
        if let (Some(first), Some(second)) = (files.next(), files.next()) {
            let folder = self.folder.display();
            return Err(Error::input(format!("{folder} mixes fields: {first} and {second}"))
                .help("keep the files of only one field in a folder"));
        }
        Ok(fields.into_keys().next())
    }
}

/// The part between prefix and extension, with its underscore.
fn suffix<'a>(name: &'a str, prefix: &str, extension: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(prefix)?.strip_suffix(extension)?.strip_suffix('.')?;
    (rest.is_empty() || rest.starts_with('_')).then_some(rest)
}

/// The folder's own name.
pub fn folder_name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.into());
    whole.file_name().map_or_else(|| "field".into(), |name| name.to_string_lossy().into_owned())
}
