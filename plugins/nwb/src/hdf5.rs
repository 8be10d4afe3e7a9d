//! Reads groups and data sets of an HDF5 file; errors name the file and the path
//! within it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hdf5_reader::group::Group;
use hdf5_reader::{
    Dataset, Datatype, FileStorage, H5Type, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem, Storage,
};
use pallium_core::prelude::*;

use crate::links::Links;
use crate::refusals::{absent, refused};

/// Maximum bytes of one read and of one decompressed chunk. Traces and masks are
/// read in much smaller pieces.
const MAX_BYTES: usize = 1 << 28;
/// Best compression ratio of deflate: a data set has at most this many bytes per
/// byte of its file.
const BEST_RATIO: u64 = 1032;

/// The file of an object.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    length: u64,
    /// Follows links to other files.
    links: Option<Arc<Links>>,
}

impl Source {
    /// The links to other files that could not be followed so far.
    fn broken(&self) -> usize {
        self.links.as_ref().map_or(0, |links| links.broken())
    }

    /// The last of them, if there are more than `before`.
    fn newly_broken(&self, before: usize) -> Option<String> {
        self.links.as_ref().and_then(|links| links.last_broken(before))
    }

    /// Bytes of the file and of all that links led to.
    fn bytes(&self) -> u64 {
        self.length.saturating_add(self.links.as_ref().map_or(0, |links| links.bytes()))
    }
}

/// A group.
#[derive(Clone)]
pub struct Node {
    source: Arc<Source>,
    group: Group,
    /// Path within the file.
    at: String,
}

/// A data set.
#[derive(Clone)]
pub struct Column {
    source: Arc<Source>,
    dataset: Dataset,
    at: String,
}

/// Opens a file and returns its root group. Links to other files are followed
/// within the folder of the file.
///
/// # Errors
/// If there is no such file, it is not a regular file, or it is not in HDF5.
pub fn open(path: &Path) -> Result<Node> {
    let (file, _) = pallium_files::open(path)?;
    // Read rather than mapped: truncating a mapped file would kill the process.
    let storage = FileStorage::from_file(file).map_err(|e| refused(&path.display().to_string(), &e))?;
    root(path, Arc::new(storage), Some(Links::beside(path)))
}

/// The root group of a file in `storage`; messages call it `path`. Without `links`,
/// links to other files are not followed.
///
/// # Errors
/// If it is not in HDF5, or is truncated.
pub fn root(path: &Path, storage: Arc<dyn Storage>, links: Option<Arc<Links>>) -> Result<Node> {
    let (name, length) = (path.display(), storage.len());
    let file = Hdf5File::from_storage_with_options(storage, options(links.clone())).map_err(|e| {
        let error = refused(&name.to_string(), &e);
        let magic = matches!(e, hdf5_reader::error::Error::InvalidMagic);
        if magic { error.help("an .nwb file in HDF5 is expected") } else { error }
    })?;
    if let Some(why) = truncated(&file, length) {
        return Err(Error::input(format!("{name} is truncated: {why}"))
            .help("copy or download the file again from its source"));
    }
    let source = Arc::new(Source { path: path.into(), length, links });
    let group = file.root_group().map_err(|e| refused(&name.to_string(), &e))?;
    Ok(Node { source, group, at: String::new() })
}

/// Why a file of `length` bytes is incomplete: its superblock states where it ends. Data
/// sets that remain could be read, but others would be missing without an error.
pub(crate) fn truncated(file: &Hdf5File, length: u64) -> Option<String> {
    let end = file.superblock().eof_address;
    (length < end).then(|| format!("it has {length} of {end} bytes"))
}

/// Limits of every file, also of those that links lead to.
pub(crate) fn options(links: Option<Arc<Links>>) -> OpenOptions {
    let options = OpenOptions::default()
        .with_max_chunk_bytes(MAX_BYTES)
        .with_max_read_bytes(MAX_BYTES)
        .with_max_object_header_bytes(1 << 24);
    match links {
        Some(links) => options.with_external_link_resolver(links),
        None => options,
    }
}

impl Node {
    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// Path within the file.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// Last part of the path.
    pub fn name(&self) -> &str {
        self.at.rsplit('/').next().unwrap_or_default()
    }

    /// Address of its header, which references contain.
    pub fn address(&self) -> u64 {
        self.group.address()
    }

    /// An error about this group.
    pub fn bad(&self, what: impl std::fmt::Display) -> Error {
        Error::input(format!("{}: {} {what}", self.source.path.display(), self.shown()))
    }

    fn shown(&self) -> &str {
        if self.at.is_empty() { "/" } else { &self.at }
    }

    fn refused(&self, error: &hdf5_reader::error::Error) -> Error {
        refused(&format!("{}: {}", self.source.path.display(), self.shown()), error)
    }

    fn node(&self, group: Group) -> Node {
        let at = format!("{}/{}", self.at, group.name());
        Node { source: self.source.clone(), group, at }
    }

    /// Its subgroups, sorted by name.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn groups(&self) -> Result<Vec<Node>> {
        let mut groups: Vec<Node> =
            self.group.groups().map_err(|e| self.refused(&e))?.into_iter().map(|g| self.node(g)).collect();
        groups.sort_by(|a, b| a.at.cmp(&b.at));
        Ok(groups)
    }

    /// The subgroup `name`, if it exists.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn group(&self, name: &str) -> Result<Option<Node>> {
        let broken = self.source.broken();
        match self.group.group(name) {
            Ok(group) => {
                let at = format!("{}/{name}", self.at);
                Ok(Some(Node { source: self.source.clone(), group, at }))
            }
            Err(e) if absent(&e) => self.none(name, broken),
            Err(e) => Err(self.refused(&e)),
        }
    }

    /// The data set `name`, if it exists.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn column(&self, name: &str) -> Result<Option<Column>> {
        let broken = self.source.broken();
        let at = format!("{}/{name}", self.at);
        match self.group.dataset(name) {
            Ok(dataset) => Ok(Some(Column { source: self.source.clone(), dataset, at })),
            Err(e) if absent(&e) => self.none(name, broken),
            Err(e) => Err(self.refused(&e)),
        }
    }

    /// Nothing called `name`, unless it is a link that could not be followed;
    /// `broken` is the number of those before it was looked for.
    fn none<T>(&self, name: &str, broken: usize) -> Result<Option<T>> {
        match self.source.newly_broken(broken) {
            None => Ok(None),
            Some(why) => Err(self.bad(format!("has `{name}` as a link to another file: {why}")).help(
                "a link may lead to a file beside this one or in a folder below; put the file there under the name \
                 that the link has",
            )),
        }
    }

    /// The data set `name`.
    ///
    /// # Errors
    /// If it does not exist.
    pub fn needed(&self, name: &str) -> Result<Column> {
        self.column(name)?
            .ok_or_else(|| self.bad(format!("has no `{name}`")).help("is the file complete and in NWB 2?"))
    }

    /// NWB type, such as `PlaneSegmentation`.
    pub fn kind(&self) -> Option<String> {
        self.group.attribute("neurodata_type").ok()?.read_string().ok()
    }
}

impl Column {
    /// An error about this data set.
    pub fn bad(&self, what: impl std::fmt::Display) -> Error {
        Error::input(format!("{}: {} {what}", self.source.path.display(), self.at))
    }

    fn refused(&self, error: &hdf5_reader::error::Error) -> Error {
        refused(&format!("{}: {}", self.source.path.display(), self.at), error)
    }

    /// Shape, checked against the length of the file.
    ///
    /// # Errors
    /// If the file is too short for a data set of this shape.
    pub fn shape(&self) -> Result<Vec<usize>> {
        let shape = self.dataset.shape();
        // Other types count as one byte per element.
        let size = match self.dataset.dtype() {
            Datatype::FloatingPoint { size, .. } | Datatype::FixedPoint { size, .. } => u64::from(*size),
            _ => 1,
        };
        let bytes = shape.iter().try_fold(size, |total, &side| total.checked_mul(side));
        let most = self.source.bytes().saturating_mul(BEST_RATIO);
        let sides = shape.iter().map(|&side| usize::try_from(side).ok()).collect::<Option<Vec<_>>>();
        match (bytes, sides) {
            (Some(bytes), Some(sides)) if bytes <= most => Ok(sides),
            _ => {
                let sides: Vec<String> = shape.iter().map(u64::to_string).collect();
                Err(self
                    .bad(format!("claims to be {}, more than the file can hold", sides.join("×")))
                    .help("the file is damaged or truncated: copy it again from its source"))
            }
        }
    }

    /// Whether its elements are integers.
    pub fn is_integer(&self) -> bool {
        matches!(self.dataset.dtype(), Datatype::FixedPoint { .. })
    }

    /// Rows per chunk; 1 if the data set is not chunked.
    pub fn rows_per_chunk(&self) -> usize {
        self.dataset.chunks().and_then(|chunk| chunk.first().copied()).map_or(1, |rows| rows.max(1) as usize)
    }

    /// Address that its attribute `name` refers to.
    pub fn reference(&self, name: &str) -> Option<u64> {
        let attribute = self.dataset.attribute(name).ok()?;
        // Offsets longer than 8 bytes do not occur.
        let mut address = [0; 8];
        let bytes = attribute.raw_data.get(..8.min(attribute.raw_data.len()))?;
        address[..bytes.len()].copy_from_slice(bytes);
        matches!(attribute.datatype, Datatype::Reference { .. }).then(|| u64::from_le_bytes(address))
    }

    /// Its attribute `name` as text.
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.dataset.attribute(name).ok()?.read_string().ok()
    }

    /// Its attribute `name` as a number.
    pub fn attribute_number(&self, name: &str) -> Option<f64> {
        self.dataset.attribute(name).ok()?.read_as_f64().ok()
    }

    /// All elements in row-major order.
    ///
    /// # Errors
    /// If they are not numbers, or cannot be read.
    pub fn numbers(&self) -> Result<Vec<f64>> {
        self.shape()?;
        self.selected(&SliceInfo::all(self.dataset.ndim()))
    }

    /// All elements of rows `from..to`, in row-major order.
    ///
    /// # Errors
    /// As [`Column::numbers`].
    pub fn rows(&self, from: usize, to: usize) -> Result<Vec<f64>> {
        let mut selection = SliceInfo::all(self.dataset.ndim());
        if let Some(first) = selection.selections.first_mut() {
            *first = SliceInfoElem::Slice { start: from as u64, end: to as u64, step: 1 };
        }
        self.selected(&selection)
    }

    fn selected(&self, selection: &SliceInfo) -> Result<Vec<f64>> {
        macro_rules! read {
            ($number:ty, $convert:expr) => {
                self.dataset
                    .read_slice::<$number>(selection)
                    .map(|array| array.into_iter().map($convert).collect())
                    .map_err(|e| self.refused(&e))
            };
        }
        match *self.dataset.dtype() {
            Datatype::FloatingPoint { size: 4, .. } => read!(f32, f64::from),
            Datatype::FloatingPoint { size: 8, .. } => read!(f64, |v| v),
            Datatype::FixedPoint { size: 1, signed: true, .. } => read!(i8, f64::from),
            Datatype::FixedPoint { size: 2, signed: true, .. } => read!(i16, f64::from),
            Datatype::FixedPoint { size: 4, signed: true, .. } => read!(i32, f64::from),
            Datatype::FixedPoint { size: 8, signed: true, .. } => read!(i64, |v| v as f64),
            Datatype::FixedPoint { size: 1, signed: false, .. } => read!(u8, f64::from),
            Datatype::FixedPoint { size: 2, signed: false, .. } => read!(u16, f64::from),
            Datatype::FixedPoint { size: 4, signed: false, .. } => read!(u32, f64::from),
            Datatype::FixedPoint { size: 8, signed: false, .. } => read!(u64, |v| v as f64),
            Datatype::Enum { ref base, .. } if one_byte(base) => read!(Flag, |v| f64::from(v.0)),
            Datatype::Bitfield { size: 1, .. } => read!(Flag, |v| f64::from(v.0)),
            _ => Err(self
                .bad("does not hold numbers")
                .help("floats of 32 or 64 bits, integers of 8 to 64 bits and booleans are supported")),
        }
    }

    /// All elements as 64-bit integers, exactly.
    ///
    /// # Errors
    /// If they are not integers, are too large, or cannot be read.
    pub fn integers(&self) -> Result<Vec<i64>> {
        self.shape()?;
        let all = SliceInfo::all(self.dataset.ndim());
        macro_rules! read {
            ($number:ty) => {
                self.dataset
                    .read_slice::<$number>(&all)
                    .map_err(|e| self.refused(&e))?
                    .into_iter()
                    .map(|value| i64::try_from(value).ok())
                    .collect::<Option<Vec<i64>>>()
                    .ok_or_else(|| self.bad("holds numbers beyond 64-bit integers"))
            };
        }
        match *self.dataset.dtype() {
            Datatype::FixedPoint { size: 1, signed: true, .. } => read!(i8),
            Datatype::FixedPoint { size: 2, signed: true, .. } => read!(i16),
            Datatype::FixedPoint { size: 4, signed: true, .. } => read!(i32),
            Datatype::FixedPoint { size: 8, signed: true, .. } => read!(i64),
            Datatype::FixedPoint { size: 1, signed: false, .. } => read!(u8),
            Datatype::FixedPoint { size: 2, signed: false, .. } => read!(u16),
            Datatype::FixedPoint { size: 4, signed: false, .. } => read!(u32),
            Datatype::FixedPoint { size: 8, signed: false, .. } => read!(u64),
            _ => Err(self.bad("does not hold integers")),
        }
    }

    /// All elements as text.
    ///
    /// # Errors
    /// If they are not text, or cannot be read.
    pub fn texts(&self) -> Result<Vec<String>> {
        self.shape()?;
        self.dataset.read_strings().map_err(|e| self.refused(&e))
    }
}

/// A boolean, which h5py writes as an enumeration of one byte.
#[derive(Clone)]
struct Flag(u8);

impl H5Type for Flag {
    fn hdf5_type() -> Datatype {
        u8::hdf5_type()
    }

    fn from_bytes(bytes: &[u8], _: &Datatype) -> hdf5_reader::error::Result<Self> {
        let first = bytes.first().copied();
        first
            .map(Flag)
            .ok_or_else(|| hdf5_reader::error::Error::InvalidData("a boolean without a byte".into()))
    }

    fn element_size(_: &Datatype) -> usize {
        1
    }
}

fn one_byte(base: &Datatype) -> bool {
    matches!(base, Datatype::FixedPoint { size: 1, .. })
}
