//! Groups and columns of an HDF5 file, with errors that name the file and the
//! place in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hdf5_reader::group::Group;
use hdf5_reader::{Dataset, Datatype, FileStorage, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem, Storage};
use pallium_core::prelude::*;

/// Most bytes that one read may make, and most that one chunk may unpack to.
/// Traces and masks are read in pieces far smaller than this.
const MOST_BYTES: usize = 1 << 28;
/// What deflate compresses at best: a data set cannot hold more than this many
/// bytes for each byte of its file.
const BEST_RATIO: u64 = 1032;

/// The file that an object is in.
#[derive(Debug)]
struct Home {
    path: PathBuf,
    length: u64,
}

/// A group.
#[derive(Clone)]
pub struct Node {
    home: Arc<Home>,
    group: Group,
    /// Its path within the file.
    at: String,
}

/// A data set.
#[derive(Clone)]
pub struct Column {
    home: Arc<Home>,
    dataset: Dataset,
    at: String,
}

/// Opens a file and returns its root.
///
/// # Errors
/// If there is no such file, it is a pipe or a folder, or is not in HDF5.
pub fn open(path: &Path) -> Result<Node> {
    let name = path.display();
    // Before it is opened: opening a pipe waits for somebody to write to it.
    let about = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::input(format!("{name} does not exist"))
            .help("check the path; a relative one is taken from the working folder"),
        _ => Error::io(path, &e),
    })?;
    if !about.is_file() {
        return Err(Error::input(format!("{name} is not a file")).help("an .nwb file is expected here"));
    }
    // Ranges of the file are read, not mapped: a mapped file that is cut short
    // meanwhile would end the process.
    let storage = FileStorage::open(path).map_err(|e| refused(&name.to_string(), &e))?;
    root(path, Arc::new(storage))
}

/// The root of a file in `storage`, to be called `path` in messages.
///
/// # Errors
/// If it is not in HDF5.
pub fn root(path: &Path, storage: Arc<dyn Storage>) -> Result<Node> {
    let (name, length) = (path.display(), storage.len());
    let options = OpenOptions::default()
        .with_max_chunk_bytes(MOST_BYTES)
        .with_max_read_bytes(MOST_BYTES)
        .with_max_object_header_bytes(1 << 24);
    let file = Hdf5File::from_storage_with_options(storage, options)
        .map_err(|e| refused(&name.to_string(), &e).help("an .nwb file in HDF5 is expected here"))?;
    let home = Arc::new(Home { path: path.into(), length });
    let group = file.root_group().map_err(|e| refused(&name.to_string(), &e))?;
    Ok(Node { home, group, at: String::new() })
}

fn refused(place: &str, error: &hdf5_reader::error::Error) -> Error {
    Error::input(format!("{place}: {error}"))
        .help("the file may be damaged, or cut short: copy it again from where it came from")
}

impl Node {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.home.path
    }

    /// Its path within the file.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// The last part of its path.
    pub fn name(&self) -> &str {
        self.at.rsplit('/').next().unwrap_or_default()
    }

    /// Where its header is in the file, which is what references hold.
    pub fn address(&self) -> u64 {
        self.group.address()
    }

    /// An error about this group.
    pub fn bad(&self, what: impl std::fmt::Display) -> Error {
        Error::input(format!("{}: {} {what}", self.home.path.display(), self.shown()))
    }

    fn shown(&self) -> &str {
        if self.at.is_empty() { "/" } else { &self.at }
    }

    fn refused(&self, error: &hdf5_reader::error::Error) -> Error {
        refused(&format!("{}: {}", self.home.path.display(), self.shown()), error)
    }

    fn node(&self, group: Group) -> Node {
        let at = format!("{}/{}", self.at, group.name());
        Node { home: self.home.clone(), group, at }
    }

    /// The groups in it, by name.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn groups(&self) -> Result<Vec<Node>> {
        let mut groups: Vec<Node> =
            self.group.groups().map_err(|e| self.refused(&e))?.into_iter().map(|g| self.node(g)).collect();
        groups.sort_by(|a, b| a.at.cmp(&b.at));
        Ok(groups)
    }

    /// The group of that name, if there is one.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn group(&self, name: &str) -> Result<Option<Node>> {
        match self.group.group(name) {
            Ok(group) => {
                let at = format!("{}/{name}", self.at);
                Ok(Some(Node { home: self.home.clone(), group, at }))
            }
            Err(e) if absent(&e) => Ok(None),
            Err(e) => Err(self.refused(&e)),
        }
    }

    /// The data set of that name, if there is one.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn column(&self, name: &str) -> Result<Option<Column>> {
        let at = format!("{}/{name}", self.at);
        match self.group.dataset(name) {
            Ok(dataset) => Ok(Some(Column { home: self.home.clone(), dataset, at })),
            Err(e) if absent(&e) => Ok(None),
            Err(e) => Err(self.refused(&e)),
        }
    }

    /// As [`Node::column`], which must be there.
    ///
    /// # Errors
    /// If it is not.
    pub fn needed(&self, name: &str) -> Result<Column> {
        self.column(name)?.ok_or_else(|| {
            self.bad(format!("has no `{name}`")).help("is the file complete, and in the layout of NWB 2?")
        })
    }

    /// Its type in NWB, such as `PlaneSegmentation`.
    pub fn kind(&self) -> Option<String> {
        self.group.attribute("neurodata_type").ok()?.read_string().ok()
    }
}

fn absent(error: &hdf5_reader::error::Error) -> bool {
    use hdf5_reader::error::Error as E;
    match error {
        E::GroupNotFound(_) | E::DatasetNotFound(_) => true,
        E::Context { source, .. } => absent(source),
        _ => false,
    }
}

impl Column {
    /// An error about this data set.
    pub fn bad(&self, what: impl std::fmt::Display) -> Error {
        Error::input(format!("{}: {} {what}", self.home.path.display(), self.at))
    }

    fn refused(&self, error: &hdf5_reader::error::Error) -> Error {
        refused(&format!("{}: {}", self.home.path.display(), self.at), error)
    }

    /// Extent along each axis, checked against what its file can hold.
    ///
    /// # Errors
    /// If the extents cannot be those of a data set in a file of this length.
    pub fn shape(&self) -> Result<Vec<usize>> {
        let shape = self.dataset.shape();
        // What is not a number is counted as one byte.
        let size = match self.dataset.dtype() {
            Datatype::FloatingPoint { size, .. } | Datatype::FixedPoint { size, .. } => u64::from(*size),
            _ => 1,
        };
        let bytes = shape.iter().try_fold(size, |total, &side| total.checked_mul(side));
        let most = self.home.length.saturating_mul(BEST_RATIO);
        let sides = shape.iter().map(|&side| usize::try_from(side).ok()).collect::<Option<Vec<_>>>();
        match (bytes, sides) {
            (Some(bytes), Some(sides)) if bytes <= most => Ok(sides),
            _ => {
                let sides: Vec<String> = shape.iter().map(u64::to_string).collect();
                Err(self
                    .bad(format!("claims to be {}, more than its file can hold", sides.join("×")))
                    .help("the file is damaged, or cut short: copy it again from where it came from"))
            }
        }
    }

    /// Whether its elements are whole numbers.
    pub fn is_complete(&self) -> bool {
        matches!(self.dataset.dtype(), Datatype::FixedPoint { .. })
    }

    /// Rows that are stored together; 1 if they are stored in a piece.
    pub fn rows_together(&self) -> usize {
        self.dataset.chunks().and_then(|chunk| chunk.first().copied()).map_or(1, |rows| rows.max(1) as usize)
    }

    /// The object that its attribute `name` refers to.
    pub fn reference(&self, name: &str) -> Option<u64> {
        let attribute = self.dataset.attribute(name).ok()?;
        // Longer offsets than 8 bytes are not in use.
        let mut address = [0; 8];
        let bytes = attribute.raw_data.get(..8.min(attribute.raw_data.len()))?;
        address[..bytes.len()].copy_from_slice(bytes);
        matches!(attribute.datatype, Datatype::Reference { .. }).then(|| u64::from_le_bytes(address))
    }

    /// Text of its attribute `name`.
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.dataset.attribute(name).ok()?.read_string().ok()
    }

    /// The number in its attribute `name`.
    pub fn attribute_number(&self, name: &str) -> Option<f64> {
        self.dataset.attribute(name).ok()?.read_as_f64().ok()
    }

    /// All elements, last axis fastest.
    ///
    /// # Errors
    /// If they are not numbers, or cannot be read.
    pub fn numbers(&self) -> Result<Vec<f64>> {
        self.shape()?;
        self.selected(&SliceInfo::all(self.dataset.ndim()))
    }

    /// The rows `from..to` along the first axis, all elements of each, last
    /// axis fastest.
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
            _ => Err(self
                .bad("does not hold plain numbers")
                .help("floats of 32 or 64 bits and integers of 8 to 64 bits are read")),
        }
    }

    /// All elements as integers, exact to 64 bits.
    ///
    /// # Errors
    /// If they are not integers, too large, or cannot be read.
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
