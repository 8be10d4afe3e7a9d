//! Downloading of released fields: what the release holds, transfer that
//! survives a bad line, and a cache, so that nothing is fetched twice.

mod cache;
mod release;
mod transfer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pallium_core::{Error, Result};

use cache::Cache;
use pallium_files::hash;
pub use release::{FIELDS, LISTING_URL, Listing, RELEASE_URL, names};
pub use transfer::{Client, Patience};

/// File that keeps the sums of the others, as `sha256sum -c` reads it.
pub const SUMS: &str = "SHA256SUMS";

/// Where files come from.
pub struct Source {
    /// Address of the folder that holds the folders of the fields.
    pub url: String,
    /// The release's own list of files and their sums, if it could be had.
    pub listing: Option<Listing>,
    /// Whether the network may be used.
    pub offline: bool,
}

/// By what a file was found to be the right one, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// SHA-256 known to Pallium.
    Known,
    /// Size and git's sum in the release's own listing.
    Listed,
    /// SHA-256 noted when the file was first fetched.
    Noted,
    /// Nothing but the length that the server told, and the look of its first
    /// bytes: the first time that a file is fetched without a listing.
    Length,
}

impl Proof {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Proof::Known => "known SHA-256",
            Proof::Listed => "git's sum in the release",
            Proof::Noted => "SHA-256 of the first fetch",
            Proof::Length => "length alone",
        }
    }
}

/// What became of a field.
pub struct Fetched {
    /// Where it is.
    pub folder: PathBuf,
    /// Number of files.
    pub files: usize,
    /// Their length together.
    pub bytes: u64,
    /// How much of that came over the network.
    pub transferred: u64,
    /// The weakest proof among the files.
    pub proof: Proof,
    /// Whether the release has event times of this field.
    pub has_spikes: bool,
    /// Whether the folder was whole already.
    pub there: bool,
}

/// Fetches the field `name` to the new folder `out/name`, by way of the cache.
/// `told` hears how many bytes have come, and of how many if that is known.
///
/// A folder that an earlier call has made, and that is as it was, is left
/// alone. A new folder appears when it is whole, not before.
///
/// # Errors
/// If the folder exists and is another one, a file cannot be had, or one is
/// not what it should be.
pub fn fetch(
    source: &Source,
    client: &Client,
    cache: &Path,
    (name, out): (&str, &Path),
    told: &mut dyn FnMut(&str, u64, Option<u64>),
) -> Result<Fetched> {
    let folder = out.join(name);
    if let Some(whole) = whole(&folder)? {
        return Ok(whole);
    }
    let cache = Cache::of(cache, name)?;
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
        let mut told = |done, of| told(&file.name, done, of);
        let Some(got) = cache.file(&file.name, &expected, client, &url, &mut told)? else { continue };
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

/// A folder of that name that holds what its own sums say.
fn whole(folder: &Path) -> Result<Option<Fetched>> {
    let empty = || std::fs::read_dir(folder).map(|mut entries| entries.next().is_none());
    if !folder.exists() || empty().map_err(|e| Error::io(folder, &e))? {
        return Ok(None);
    }
    let other = |what: String| {
        Error::input(format!("{} exists and {what}", folder.display()))
            .help("name another folder for --out, or remove this one first")
    };
    let list = folder.join(SUMS);
    if !list.is_file() {
        return Err(other("was not made by `pallium field fetch`".into()));
    }
    let text = std::fs::read_to_string(&list).map_err(|e| Error::io(&list, &e))?;
    let mut bytes = 0;
    let mut sums = BTreeMap::new();
    for (name, sum) in cache::read_sums(&text) {
        let file = folder.join(&name);
        let same = file.is_file() && hash::file(&file)? == sum;
        if !same {
            return Err(other(format!("its {name} has been changed or lost")));
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

/// Copies `files` to a folder that takes its name when all are there.
fn place(folder: &Path, files: &[(PathBuf, String)], sums: &BTreeMap<String, String>) -> Result<()> {
    let parent = folder.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, &e))?;
    let beside =
        tempfile::Builder::new().prefix(".pallium-").tempdir_in(parent).map_err(|e| Error::io(parent, &e))?;
    // One level down, since the temporary folder itself is private.
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
