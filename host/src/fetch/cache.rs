//! The user's cache of downloaded files.
//!
//! A file has the ending `.part` during its download; if that is interrupted, the
//! next one continues it. A file under its own name has been verified; its hash is
//! recorded beside it, so that it can be verified again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use pallium_core::{Error, Result};
use pallium_files::hash::hex;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::release::{Blob, COMMIT};
use super::transfer::{Client, End};
use super::{Proof, SUMS};

/// What is known about a file before it is downloaded.
pub struct Expected {
    /// SHA-256.
    pub sha256: Option<&'static str>,
    /// Its entry in the release's listing.
    pub blob: Option<Blob>,
    /// Whether the release may lack it.
    pub optional: bool,
}

/// A file in the cache.
pub struct CachedFile {
    /// Its path.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Bytes that this call transferred over the network.
    pub transferred: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// How it was verified.
    pub proof: Proof,
}

/// Size and hashes of a file.
struct Sums {
    bytes: u64,
    sha256: String,
    blob_sha1: String,
}

/// The cached files of one field.
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens the cache of the field `name` inside the folder `root`.
    ///
    /// # Errors
    /// If its folder cannot be created.
    pub fn open(root: &Path, name: &str) -> Result<Self> {
        let folder = root.join("fields").join(&COMMIT[..12]).join(name);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
        Ok(Cache { folder })
    }

    /// The file `name` from the cache, or else from `url`; `None` if it is optional
    /// and does not exist there. Without a client, only the cache is used.
    ///
    /// # Errors
    /// If the file cannot be downloaded, or its verification fails.
    pub fn file(
        &self,
        name: &str,
        expected: &Expected,
        client: Option<&Client>,
        url: &str,
        on_progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Option<CachedFile>> {
        let path = self.folder.join(name);
        let part = self.folder.join(format!("{name}.part"));
        if let Some(got) = self.cached(&path, name, expected)? {
            return Ok(Some(got));
        }
        let absent = self.folder.join(format!("{name}.absent"));
        if expected.optional && expected.blob.is_none() && absent.exists() {
            return Ok(None);
        }
        let Some(client) = client else {
            return Err(Error::input(format!(
                "{name} is not in the cache, and --offline forbids the network"
            ))
            .help("run the command once without --offline"));
        };
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&part)
            .map_err(|e| Error::io(&part, &e))?;
        // Waits for another process that downloads the same file.
        file.lock().map_err(|e| Error::io(&part, &e))?;
        if let Some(got) = self.cached(&path, name, expected)? {
            return Ok(Some(got));
        }
        let size = expected.blob.as_ref().map(|blob| blob.size);
        let mut transferred = 0;
        // The rest of an interrupted transfer may belong to another version of
        // the file: if the complete file is wrong, it is downloaded once more.
        for attempt in 0.. {
            let begun = file.metadata().map_err(|e| Error::io(&part, &e))?.len();
            match client.download(url, &mut file, &part, size, on_progress)? {
                End::Complete { received } => transferred += received,
                End::Absent if expected.optional => {
                    drop(file);
                    let _ = std::fs::remove_file(&part);
                    std::fs::write(&absent, "").map_err(|e| Error::io(&absent, &e))?;
                    return Ok(None);
                }
                End::Absent => {
                    let _ = std::fs::remove_file(&part);
                    return Err(Error::input(format!("{url} does not exist")).help(
                        "check --url or $PALLIUM_FIELDS_URL: it must contain the folders of the fields",
                    ));
                }
            }
            let sums = sums(&mut file, &part)?;
            match proof(&sums, name, &mut file, expected, None) {
                Ok(proof) => {
                    self.note(name, &sums.sha256)?;
                    std::fs::rename(&part, &path).map_err(|e| Error::io(&path, &e))?;
                    let Sums { bytes, sha256, .. } = sums;
                    return Ok(Some(CachedFile { path, bytes, transferred, sha256, proof }));
                }
                Err(what) => {
                    file.set_len(0).map_err(|e| Error::io(&part, &e))?;
                    if begun > 0 && attempt == 0 {
                        tracing::info!("{url}: {what}; downloading it again from the beginning");
                        continue;
                    }
                    let _ = std::fs::remove_file(&part);
                    return Err(Error::input(format!("{url} is not the file of the release: {what}"))
                        .help("try again later, without a proxy, or with another --url"));
                }
            }
        }
        Err(Error::bug("a download was attempted without end"))
    }

    /// The file under its own name, if it exists and verification succeeds.
    fn cached(&self, path: &Path, name: &str, expected: &Expected) -> Result<Option<CachedFile>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path, &e)),
        };
        let sums = sums(&mut file, path)?;
        let noted = self.noted()?.remove(name);
        match proof(&sums, name, &mut file, expected, noted.as_deref()) {
            Ok(proof) if noted.is_some() => {
                let Sums { bytes, sha256, .. } = sums;
                Ok(Some(CachedFile { path: path.into(), bytes, transferred: 0, sha256, proof }))
            }
            wrong => {
                let what = wrong.err().unwrap_or_else(|| "its hash was not recorded".into());
                tracing::warn!("{} is downloaded again: {what}", path.display());
                std::fs::remove_file(path).map_err(|e| Error::io(path, &e))?;
                Ok(None)
            }
        }
    }

    fn noted(&self) -> Result<BTreeMap<String, String>> {
        let list = self.folder.join(SUMS);
        match std::fs::read_to_string(&list) {
            Ok(text) => Ok(read_sums(&text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(e) => Err(Error::io(&list, &e)),
        }
    }

    fn note(&self, name: &str, sum: &str) -> Result<()> {
        let mut noted = self.noted()?;
        noted.insert(name.into(), sum.into());
        let list = self.folder.join(SUMS);
        let failed = |e: &std::io::Error| Error::io(&list, e);
        let beside = tempfile::NamedTempFile::new_in(&self.folder).map_err(|e| failed(&e))?;
        std::fs::write(beside.path(), sums_text(&noted)).map_err(|e| failed(&e))?;
        beside.persist(&list).map(drop).map_err(|e| failed(&e.error))
    }
}

/// The hashes by file, from text in the format of `sha256sum`. Names that lead out
/// of the folder are left out.
pub fn read_sums(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once("  "))
        .filter(|(_, name)| !name.contains(['/', '\\']) && *name != "..")
        .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
        .collect()
}

/// Text in the format of `sha256sum`.
pub fn sums_text(sums: &BTreeMap<String, String>) -> String {
    sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect()
}

fn sums(file: &mut File, path: &Path) -> Result<Sums> {
    let failed = |e: std::io::Error| Error::io(path, &e);
    let bytes = file.metadata().map_err(failed)?.len();
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let (mut sha256, mut sha1) = (Sha256::new(), Sha1::new());
    sha1.update(format!("blob {bytes}\0"));
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            n => {
                sha256.update(&buffer[..n]);
                sha1.update(&buffer[..n]);
            }
        }
    }
    Ok(Sums { bytes, sha256: hex(&sha256.finalize()), blob_sha1: hex(&sha1.finalize()) })
}

/// How a file is verified, or what is wrong with it.
fn proof(
    sums: &Sums,
    name: &str,
    file: &mut File,
    expected: &Expected,
    noted: Option<&str>,
) -> Result<Proof, String> {
    if let Some(blob) = &expected.blob {
        if sums.bytes != blob.size {
            return Err(format!("it has {} bytes instead of {}", sums.bytes, blob.size));
        }
        if sums.blob_sha1 != blob.sha1 {
            return Err(format!("its git hash is {} instead of {}", sums.blob_sha1, blob.sha1));
        }
    }
    match (expected.sha256, &expected.blob, noted) {
        (Some(known), _, _) if known == sums.sha256 => Ok(Proof::Known),
        (Some(known), ..) => Err(format!("its SHA-256 is {} instead of {known}", sums.sha256)),
        (None, Some(_), _) => Ok(Proof::Listed),
        (None, None, Some(noted)) if noted == sums.sha256 => Ok(Proof::Noted),
        (None, None, Some(noted)) => Err(format!("its SHA-256 is {}, but was {noted}", sums.sha256)),
        (None, None, None) => check_start(name, file).map(|()| Proof::Length),
    }
}

/// Checks the first bytes of a file, so that an error page or a Git LFS pointer is
/// not taken for it.
fn check_start(name: &str, file: &mut File) -> Result<(), String> {
    let start: &[u8] = if name.ends_with(".npy") { b"\x93NUMPY" } else { b",0" };
    let mut found = vec![0; start.len()];
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut found));
    match read {
        Ok(()) if found == start => Ok(()),
        _ => Err(format!(
            "it does not start like a {}",
            if start.len() == 6 { ".npy file" } else { "connectome" }
        )),
    }
}
