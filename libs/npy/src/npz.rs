//! Reads and writes npz archives: npy files in a zip, as written by `numpy.savez` and
//! `numpy.savez_compressed`.

use std::fs::File;
use std::io::{self, BufReader, Seek, Write};
use std::path::{Path, PathBuf};

use pallium_core::ndarray::{Array2, ArrayBase, ArrayD, Data, Dimension};
use pallium_core::prelude::*;
use zip::read::ZipFile;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::{Element, npy, write, write_texts};

/// An array may always decompress to this many bytes.
const ALWAYS: u64 = 64 << 20;
/// Beyond that, maximum ratio of decompressed to compressed size, so that a small
/// file cannot fill the memory.
const MAX_RATIO: u64 = 256;
/// Maximum number of arrays in an archive.
const MAX_ARRAYS: usize = 100_000;

/// An npz archive while it is written, without compression, as `numpy.savez` does.
/// The same arrays give the same bytes.
pub struct NpzWriter<W: Write + Seek>(ZipWriter<W>);

impl<W: Write + Seek> NpzWriter<W> {
    /// An archive without arrays.
    pub fn new(to: W) -> Self {
        NpzWriter(ZipWriter::new(to))
    }

    fn start(&mut self, name: &str) -> io::Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .large_file(true);
        self.0.start_file(format!("{name}.npy"), options).map_err(io::Error::from)
    }

    /// Adds an array.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add<T: Element, D: Dimension>(
        &mut self,
        name: &str,
        array: &ArrayBase<impl Data<Elem = T>, D>,
    ) -> io::Result<()> {
        self.start(name)?;
        write(&mut self.0, array)
    }

    /// Adds a list of texts.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add_texts(&mut self, name: &str, texts: &[String]) -> io::Result<()> {
        self.start(name)?;
        write_texts(&mut self.0, texts)
    }

    /// Completes the archive.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(self) -> io::Result<W> {
        self.0.finish().map_err(io::Error::from)
    }
}

/// An open npz archive.
pub struct Npz {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
}

impl Npz {
    /// Opens an archive.
    ///
    /// # Errors
    /// If the file is not an npz.
    pub fn open(path: &Path) -> Result<Self> {
        let (file, _) = pallium_files::open(path)?;
        let archive = ZipArchive::new(BufReader::new(file)).map_err(|e| damaged(path, &e.to_string()))?;
        if archive.len() > MAX_ARRAYS {
            return Err(damaged(path, &format!("it has {} members", archive.len())));
        }
        Ok(Npz { path: path.into(), archive })
    }

    /// Names of the arrays.
    pub fn names(&self) -> Vec<&str> {
        self.archive.file_names().filter_map(|name| name.strip_suffix(".npy")).collect()
    }

    /// The array `name`, or the only one. Its npy may have up to `expected` bytes
    /// whatever its compression ratio.
    ///
    /// # Errors
    /// If there is no such array, or it decompresses to too much.
    pub fn array(&mut self, name: Option<&str>, expected: u64) -> Result<Member<'_>> {
        let names = self.names();
        let known = || {
            let names: Vec<&str> = names.iter().take(40).copied().collect();
            format!("existing arrays: {}", if names.is_empty() { "none".into() } else { names.join(", ") })
        };
        let name = match (name, names.as_slice()) {
            (Some(name), _) => name.to_owned(),
            (None, [only]) => (*only).to_owned(),
            (None, _) if names.contains(&"indptr") && names.contains(&"data") => {
                return Err(Error::input(format!("{} holds a sparse array", self.path.display())).help(
                    "save it as a dense array with numpy.save(path, array.toarray()); only `init.file` with \
                     `connections = true` reads sparse arrays",
                ));
            }
            (None, _) => {
                return Err(Error::input(format!(
                    "{}: the name of the array is missing",
                    self.path.display()
                ))
                .help(format!("set `array` beside the file's name; {}", known())));
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
        let most = expected.max(ALWAYS).max(member.compressed_size().saturating_mul(MAX_RATIO));
        if member.size() > most {
            return Err(damaged(&called, &format!("it decompresses to more than {most} bytes"))
                .help("save it uncompressed (numpy.savez), or as an npy"));
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

/// An array of an archive, not decompressed yet.
pub struct Member<'a> {
    /// Name for messages.
    pub called: PathBuf,
    /// The npy.
    pub npy: ZipFile<'a, BufReader<File>>,
    /// Length of the npy in bytes, according to the archive.
    pub length: u64,
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::input(format!("{} cannot be read: {why}", path.display()))
        .help("copy the file again from its source, or write it again with numpy.savez")
}
