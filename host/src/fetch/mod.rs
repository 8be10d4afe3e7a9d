//! Downloads released fields: the list of the release, transfers that resume after
//! a failure, and a cache, so that no file is downloaded twice.

mod cache;
mod release;
mod transfer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cache::Cache;
use pallium_core::{Error, Result};
use pallium_files::hash;
pub use release::{FIELDS, LISTING_URL, Listing, RELEASE_URL, names};
pub use transfer::{Client, Patience};

/// File with the SHA-256 of the others, in the format of `sha256sum -c`.
pub const SUMS: &str = "SHA256SUMS";

/// The source of the files.
pub struct Source {
    /// URL of the folder that contains the folders of the fields.
    pub url: String,
    /// The release's list of files with their hashes, if it is available.
    pub listing: Option<Listing>,
    /// Whether the network may be used.
    pub offline: bool,
}

/// How a file was verified, from the strongest way to the weakest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// SHA-256 known to Pallium.
    Known,
    /// Size and git hash in the release's listing.
    Listed,
    /// SHA-256 recorded when the file was first downloaded.
    Noted,
    /// Only the length that the server stated and the first bytes: the first
    /// download of a file without a listing.
    Length,
}

impl Proof {
    /// The description in messages and JSON.
    pub fn words(self) -> &'static str {
        match self {
            Proof::Known => "known SHA-256",
            Proof::Listed => "git hash in the release",
            Proof::Noted => "SHA-256 of the first download",
            Proof::Length => "length only",
        }
    }
}

/// A downloaded field.
pub struct Fetched {
    /// Its folder.
    pub folder: PathBuf,
    /// Number of files.
    pub files: usize,
    /// Total size in bytes.
    pub bytes: u64,
    /// Bytes that were transferred over the network.
    pub transferred: u64,
    /// The weakest verification among the files.
    pub proof: Proof,
    /// Whether the release has event times of this field.
    pub has_spikes: bool,
    /// Whether the folder was already complete.
    pub there: bool,
}

/// Downloads the field `name` to the new folder `out/name`, through the cache.
/// `on_progress` receives the file, the bytes so far and the total if it is known.
///
/// An unchanged folder of an earlier call is kept. A new folder appears only when it
/// is complete.
///
/// # Errors
/// If the folder exists with other contents, a file cannot be downloaded, or its
/// verification fails.
pub fn fetch(
    source: &Source,
    client: &Client,
    cache: &Path,
    (name, out): (&str, &Path),
    on_progress: &mut dyn FnMut(&str, u64, Option<u64>),
) -> Result<Fetched> {
    let folder = out.join(name);
    if let Some(complete) = complete(&folder)? {
        return Ok(complete);
    }
    let cache = Cache::open(cache, name)?;
    let mut fetched = Fetched {
        folder: folder.clone(),
        files: 0,
        bytes: 0,
        transferred: 0,
        proof: Proof::Known,
        has_spikes: false,
        there: false,
    };
    let mut sums = BTreeMap::new();
    let mut files = Vec::new();
    for file in release::files(name) {
        let listed = source.listing.as_ref().map(|listing| listing.get(name, &file.name));
        if matches!(listed, Some(None)) && file.optional {
            continue;
        }
        let expected = cache::Expected {
            sha256: release::known_sum(name, &file.name),
            blob: listed.flatten().cloned(),
            optional: file.optional,
        };
        let url = format!("{}/{name}/{}", source.url.trim_end_matches('/'), file.name);
        let client = (!source.offline).then_some(client);
        let mut on_progress = |done, total| on_progress(&file.name, done, total);
        let Some(got) = cache.file(&file.name, &expected, client, &url, &mut on_progress)? else { continue };
        fetched.files += 1;
        fetched.bytes += got.bytes;
        fetched.transferred += got.transferred;
        fetched.proof = fetched.proof.max(got.proof);
        fetched.has_spikes |= file.optional;
        sums.insert(file.name.clone(), got.sha256);
        files.push((got.path, file.name));
    }
    place(&folder, &files, &sums)?;
    Ok(fetched)
}

/// The field in `folder`, if it agrees with the hashes that are stored in it.
fn complete(folder: &Path) -> Result<Option<Fetched>> {
    let empty = || std::fs::read_dir(folder).map(|mut entries| entries.next().is_none());
    if !folder.exists() || empty().map_err(|e| Error::io(folder, &e))? {
        return Ok(None);
    }
    let other = |what: String| {
        Error::input(format!("{} exists and {what}", folder.display()))
            .help("choose another folder with --out, or remove this one first")
    };
    let list = folder.join(SUMS);
    if !list.is_file() {
        return Err(other("was not created by `pallium field fetch`".into()));
    }
    let text = std::fs::read_to_string(&list).map_err(|e| Error::io(&list, &e))?;
    let mut bytes = 0;
    let mut sums = BTreeMap::new();
    for (name, sum) in cache::read_sums(&text) {
        let file = folder.join(&name);
        let same = file.is_file() && hash::file(&file)? == sum;
        if !same {
            return Err(other(format!("its {name} is changed or missing")));
        }
        bytes += std::fs::metadata(&file).map_err(|e| Error::io(&file, &e))?.len();
        sums.insert(name, sum);
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let all = release::files(&name);
    if let Some(missing) = all.iter().find(|file| !file.optional && !sums.contains_key(&file.name)) {
        return Err(other(format!("lacks {}", missing.name)));
    }
    let has_spikes = all.iter().any(|file| file.optional && sums.contains_key(&file.name));
    Ok(Some(Fetched {
        folder: folder.into(),
        files: sums.len(),
        bytes,
        transferred: 0,
        proof: Proof::Noted,
        has_spikes,
        there: true,
    }))
}

/// Copies `files` to a temporary folder, which is renamed to `folder` when complete.
fn place(folder: &Path, files: &[(PathBuf, String)], sums: &BTreeMap<String, String>) -> Result<()> {
    let parent = folder.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, &e))?;
    let beside =
        tempfile::Builder::new().prefix(".pallium-").tempdir_in(parent).map_err(|e| Error::io(parent, &e))?;
    // A folder inside it, since the permissions of the temporary folder are private.
    let inside = beside.path().join("field");
    std::fs::create_dir(&inside).map_err(|e| Error::io(&inside, &e))?;
    for (from, name) in files {
        let to = inside.join(name);
        std::fs::copy(from, &to).map_err(|e| Error::io(&to, &e))?;
    }
    let list = inside.join(SUMS);
    std::fs::write(&list, cache::sums_text(sums)).map_err(|e| Error::io(&list, &e))?;
    std::fs::rename(&inside, folder).map_err(|e| Error::io(folder, &e))
}
