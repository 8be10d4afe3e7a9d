//! The component and method that a child entered last, in a page of memory that
//! outlives it.
//!
//! The page is a file of a few kilobytes that the child maps into its memory:
//! recording a call costs no system call, and a crash cannot lose it. It also
//! holds whether a command reached its end, since a plugin may end the process
//! with exit code 0.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use memmap2::MmapMut;
use pallium_core::abi::last_call;
use tempfile::NamedTempFile;

/// Bytes of the page: whether the command ended, its exit code, and the texts of
/// the last call, each ended by a zero.
const SIZE: usize = 4096;
const ENDED: usize = 0;
const CODE: usize = 1;
const TEXTS: usize = 2;
/// Longest texts, in bytes: method, component and file.
const LONGEST: [usize; 3] = [64, 1024, 2048];

/// The parent's side of a page. Dropping it removes the file.
#[derive(Debug)]
pub struct Page(NamedTempFile);

impl Page {
    /// An empty page.
    ///
    /// # Errors
    /// If the folder for temporary files cannot be written.
    pub fn new() -> io::Result<Self> {
        let mut file = NamedTempFile::with_prefix(".pallium-")?;
        // Written, so that there is room: writing to a mapped file on a full disk
        // would end the child.
        file.write_all(&[0; SIZE])?;
        Ok(Page(file))
    }

    /// The path by which the child opens it.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The exit code of a command that reached its end.
    pub fn exit_code(&self) -> Option<u8> {
        let bytes = self.bytes()?;
        (bytes[ENDED] != 0).then_some(bytes[CODE])
    }

    /// The last call; `None` if no plugin code was entered.
    pub fn last_call(&self) -> Option<LastCall> {
        let bytes = self.bytes()?;
        let mut texts =
            bytes[TEXTS..].split(|&byte| byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
        let (method, component, file) = (texts.next()?, texts.next()?, texts.next()?);
        (!method.is_empty()).then_some(LastCall { method, component, file })
    }

    fn bytes(&self) -> Option<[u8; SIZE]> {
        let mut bytes = [0; SIZE];
        let mut file = self.0.as_file();
        file.rewind().and_then(|()| file.read_exact(&mut bytes)).ok()?;
        Some(bytes)
    }
}

/// The plugin code that a child entered last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCall {
    /// The method of the component, or [`LOADING`](last_call::LOADING).
    pub method: String,
    /// Id of the component, or the path of a file that was loaded.
    pub component: String,
    /// The component's plugin file; empty if unknown.
    pub file: String,
}

impl fmt::Display for LastCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LastCall { method, component, file } = self;
        if method == last_call::LOADING {
            return write!(f, "loading of {component}");
        }
        write!(f, "`{method}` of `{component}`")?;
        if file.is_empty() { Ok(()) } else { write!(f, " ({file})") }
    }
}

/// The child's side of a page.
struct Recorder {
    page: MmapMut,
    /// Plugin files by the ids of their components.
    files: BTreeMap<String, String>,
}

static RECORDER: Mutex<Option<Recorder>> = Mutex::new(None);

fn with_recorder(action: impl FnOnce(&mut Recorder)) {
    if let Some(recorder) = &mut *RECORDER.lock().unwrap_or_else(PoisonError::into_inner) {
        action(recorder);
    }
}

/// Records the calls of components in the page at `path` from now on.
///
/// # Errors
/// If the file cannot be mapped.
pub(super) fn record_in(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    // SAFETY: only this process writes to the file, and nobody shortens it: the
    // parent made it for this process, under a name of its own.
    #[expect(unsafe_code, reason = "memory that outlives this process")]
    let page = unsafe { MmapMut::map_mut(&file) }?;
    if page.len() < SIZE {
        return Err(io::Error::other("the page is too short"));
    }
    // The page lives on in both processes; a parent that is killed cannot remove
    // the file.
    std::fs::remove_file(path)?;
    *RECORDER.lock().unwrap_or_else(PoisonError::into_inner) =
        Some(Recorder { page, files: BTreeMap::new() });
    last_call::observe(entered);
    Ok(())
}

/// Notes the plugin file of a component, for the record of its calls.
pub fn offered(id: &str, file: &Path) {
    with_recorder(|recorder| {
        recorder.files.insert(id.to_owned(), file.display().to_string());
    });
}

/// Records that the command ended with this exit code.
pub fn end(code: u8) {
    with_recorder(|recorder| {
        recorder.page[CODE] = code;
        recorder.page[ENDED] = 1;
    });
}

fn entered(component: &str, method: &str) {
    with_recorder(|Recorder { page, files }| {
        let file = files.get(component).map_or("", String::as_str);
        let mut at = TEXTS;
        for (text, longest) in [method, component, file].into_iter().zip(LONGEST) {
            let text = &text.as_bytes()[..text.len().min(longest)];
            page[at..at + text.len()].copy_from_slice(text);
            at += text.len();
            page[at] = 0;
            at += 1;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_call_is_read_from_the_page() {
        let page = Page::new().unwrap();
        assert_eq!((page.last_call(), page.exit_code()), (None, None));
        record_in(page.path()).unwrap();
        entered("/plugins/libx.so", last_call::LOADING);
        assert_eq!(page.last_call().unwrap().to_string(), "loading of /plugins/libx.so");
        offered("a.penalty", Path::new("/plugins/libx.so"));
        entered("a.penalty", "activity_penalty");
        entered("a.penalty", "drop");
        assert_eq!(page.last_call().unwrap().to_string(), "`drop` of `a.penalty` (/plugins/libx.so)");
        entered(&"x".repeat(5000), &"y".repeat(5000));
        assert_eq!(page.last_call().unwrap().component.len(), LONGEST[1]);
        assert_eq!(page.exit_code(), None);
        end(3);
        assert_eq!(page.exit_code(), Some(3));
        *RECORDER.lock().unwrap() = None;
    }
}
