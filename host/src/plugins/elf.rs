//! Whether a file is a whole shared library, found out without loading it: a
//! truncated one kills the process inside the dynamic linker, where nothing
//! can be caught.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use pallium_core::{Error, Result};

/// Refuses a file that is no shared library of this system, or not a whole
/// one. Only the ELF format is looked into; on other systems the check is that
/// the file can be read and is not empty.
///
/// # Errors
/// As said.
pub fn check(path: &Path) -> Result<()> {
    let mut file = File::open(path).map_err(|e| Error::io(path, &e))?;
    let length = file.metadata().map_err(|e| Error::io(path, &e))?.len();
    let mut header = [0u8; 64];
    let read = read_up_to(&mut file, &mut header).map_err(|e| Error::io(path, &e))?;
    if cfg!(not(target_os = "linux")) && read > 0 {
        return Ok(());
    }
    let refused = |what: &str| {
        Err(Error::input(format!("{} is not a plugin: {what}", path.display()))
            .help("build the plugin with `cargo build --release` and copy the library it makes (lib….so)"))
    };
    if read < 64 || !header.starts_with(b"\x7fELF") {
        return refused("it is not a shared library");
    }
    if header[4] != 2 || header[5] != 1 {
        return refused("it is a library for another kind of machine (not 64-bit little-endian)");
    }
    let half = |at: usize| u64::from(u16::from_le_bytes([header[at], header[at + 1]]));
    if half(16) != 3 {
        return refused("it is an executable or object file, not a shared library");
    }
    let machine = half(18);
    let own = if cfg!(target_arch = "x86_64") {
        62
    } else if cfg!(target_arch = "aarch64") {
        183
    } else {
        machine
    };
    if machine != own {
        return refused("it was built for another processor");
    }
    // The section table comes last in the files that linkers write, so a
    // library that was cut short lacks its end.
    let mut offset = [0u8; 8];
    offset.copy_from_slice(&header[40..48]);
    let sections_end = u64::from_le_bytes(offset).saturating_add(half(58).saturating_mul(half(60)));
    let mut segments = [0u8; 8];
    segments.copy_from_slice(&header[32..40]);
    let (table, entry, count) = (u64::from_le_bytes(segments), half(54), half(56));
    let mut end = sections_end.max(table.saturating_add(entry.saturating_mul(count)));
    if end <= length && entry >= 56 {
        // A stripped library may have no sections: its segments count too.
        for index in 0..count {
            let mut program = [0u8; 56];
            file.seek(SeekFrom::Start(table + index * entry)).map_err(|e| Error::io(path, &e))?;
            file.read_exact(&mut program).map_err(|e| Error::io(path, &e))?;
            let word = |at: usize| {
                let mut bytes = [0u8; 8];
                bytes.copy_from_slice(&program[at..at + 8]);
                u64::from_le_bytes(bytes)
            };
            end = end.max(word(8).saturating_add(word(32)));
        }
    }
    if end > length {
        return Err(Error::input(format!(
            "{} is cut short: it has {length} bytes, and its own tables speak of {end}",
            path.display()
        ))
        .help("copy or build it again"));
    }
    Ok(())
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}
