//! Arrays of an npz: npy files in a zip archive, as `numpy.savez` and
//! `numpy.savez_compressed` write them.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use pallium_core::ndarray::{Array2, ArrayD};
use pallium_core::prelude::*;
use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use crate::npy;

/// What an archive may always unpack to (bytes), and how many times its packed
/// length beyond that: a small file must not fill the memory.
const ALWAYS: u64 = 64 << 20;
const TIMES: u64 = 256;
/// Most arrays in an archive.
const MOST: usize = 100_000;

/// An npz that is being read.
pub struct Npz {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
}

impl Npz {
    /// Opens an archive.
    ///
    /// # Errors
    /// If it is none.
    pub fn open(path: &Path) -> Result<Self> {
        let (file, _) = npy::open(path)?;
        let archive = ZipArchive::new(BufReader::new(file)).map_err(|e| damaged(path, &e.to_string()))?;
        if archive.len() > MOST {
            return Err(damaged(path, &format!("it has {} members", archive.len())));
        }
        Ok(Npz { path: path.into(), archive })
    }

    /// Names of the arrays.
    pub fn names(&self) -> Vec<&str> {
        self.archive.file_names().filter_map(|name| name.strip_suffix(".npy")).collect()
    }

    /// The array `name`, or the only one; `expected` is how long its npy may be
    /// for certain.
    ///
    /// # Errors
    /// If there is no such array, or it unpacks to more than is sensible.
    pub fn array(&mut self, name: Option<&str>, expected: u64) -> Result<Member<'_>> {
        let names = self.names();
        let known = || {
            let names: Vec<&str> = names.iter().take(40).copied().collect();
            format!("its arrays: {}", if names.is_empty() { "none".into() } else { names.join(", ") })
        };
        let name = match (name, names.as_slice()) {
            (Some(name), _) => name.to_owned(),
            (None, [only]) => (*only).to_owned(),
            (None, _) => {
                return Err(Error::input(format!("{}: which array?", self.path.display()))
                    .help(format!("say {{ file = …, array = … }}; {}", known())));
            }
        };
        if !names.contains(&name.as_str()) {
            return Err(Error::input(format!("{} has no array `{name}`", self.path.display())).help(known()));
        }
        let called = PathBuf::from(format!("{}, array {name}", self.path.display()));
        let member = match self.archive.by_name(&format!("{name}.npy")) {
            Err(ZipError::UnsupportedArchive(why)) => {
                return Err(damaged(&called, why).help("write it with numpy.savez or numpy.savez_compressed"));
            }
            other => other.map_err(|e| damaged(&called, &e.to_string()))?,
        };
        let most = expected.max(ALWAYS).max(member.compressed_size().saturating_mul(TIMES));
        if member.size() > most {
            return Err(damaged(&called, &format!("it unpacks to more than {most} bytes"))
                .help("save it unpacked (numpy.savez), or as an npy"));
        }
        Ok(Member { called, length: member.size(), npy: member })
    }

    /// The numbers of the array `name`.
    ///
    /// # Errors
    /// As [`Npz::array`] and [`npy::read_array`].
    pub fn numbers(&mut self, name: &str) -> Result<ArrayD<f64>> {
        let Member { called, npy, length } = self.array(Some(name), 0)?;
        npy::array(&called, npy, length, &npy::any)
    }

    /// The matrix `name`, finite.
    ///
    /// # Errors
    /// As [`Npz::array`] and [`npy::read_matrix`].
    pub fn matrix(&mut self, name: &str) -> Result<Array2<f64>> {
        let Member { called, npy, length } = self.array(Some(name), 0)?;
        npy::matrix(&called, npy, length, &npy::any)
    }
}

/// An array of an archive, not unpacked yet.
pub struct Member<'a> {
    /// What to call it in messages.
    pub called: PathBuf,
    /// An npy, of which no more is to be read than
    pub npy: ZipFile<'a, BufReader<File>>,
    /// so many bytes, as the archive says.
    pub length: u64,
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::input(format!("{} cannot be read: {why}", path.display()))
        .help("copy the file again from where it came from, or write it again with numpy.savez")
}
