//! Whether a file is a complete shared library, found out without loading it:
//! a truncated one kills the process inside the dynamic linker, where nothing
//! can be caught.

use std::fs::File;
use std::path::Path;

use object::elf::{EM_AARCH64, EM_X86_64, ET_DYN, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, ReadCache, ReadRef};
use pallium_core::{Error, Result};

const ENDIAN: LittleEndian = LittleEndian;

/// Refuses a file that is not a shared library of this system, or not a
/// complete one. Only ELF files are looked into: on other systems than Linux,
/// the check is that the file can be read and is not empty.
///
/// # Errors
/// If the file cannot be read, is not a shared library for this processor, or
/// ends before its own tables say.
pub fn check(path: &Path) -> Result<()> {
    let file = File::open(path).map_err(|e| Error::io(path, &e))?;
    let length = file.metadata().map_err(|e| Error::io(path, &e))?.len();
    if cfg!(not(target_os = "linux")) && length > 0 {
        return Ok(());
    }
    let refused = |what: &str| {
        Err(Error::input(format!("{} is not a plugin: {what}", path.display()))
            .help("build the plugin with `cargo build --release` and copy the library it makes (lib….so)"))
    };
    // Reads the tables alone, not the whole file.
    let data = &ReadCache::new(file);
    if length < size_of::<FileHeader64<LittleEndian>>() as u64 || data.read_bytes_at(0, 4) != Ok(b"\x7fELF") {
        return refused("it is not a shared library");
    }
    let Ok(header) = FileHeader64::<LittleEndian>::parse(data) else {
        return refused("it is a library for another kind of machine (not 64-bit little-endian)");
    };
    if header.e_type(ENDIAN) != ET_DYN {
        return refused("it is an executable or object file, not a shared library");
    }
    let machine = header.e_machine(ENDIAN);
    let own = if cfg!(target_arch = "x86_64") {
        EM_X86_64
    } else if cfg!(target_arch = "aarch64") {
        EM_AARCH64
    } else {
        machine
    };
    if machine != own {
        return refused("it was built for another processor");
    }
    let end = end(header, data);
    if end > length {
        return Err(Error::input(format!(
            "{} is truncated: it has {length} bytes, but its tables extend to byte {end}",
            path.display()
        ))
        .help("copy or build it again"));
    }
    Ok(())
}

/// Where the file ends by its own tables. Linkers write the table of sections
/// last, so a truncated library lacks its end; a stripped library may have no
/// sections, so its segments count too.
fn end<'data, R: ReadRef<'data>>(header: &FileHeader64<LittleEndian>, data: R) -> u64 {
    let table = |start: u64, entry: u16, count: u16| {
        start.saturating_add(u64::from(entry).saturating_mul(u64::from(count)))
    };
    let sections = table(header.e_shoff(ENDIAN), header.e_shentsize(ENDIAN), header.e_shnum(ENDIAN));
    let segments = table(header.e_phoff(ENDIAN), header.e_phentsize(ENDIAN), header.e_phnum(ENDIAN));
    // Where the table of segments is beyond the file's end, it says so itself.
    let each = header.program_headers(ENDIAN, data).unwrap_or_default();
    let ends = each.iter().map(|s| s.p_offset(ENDIAN).saturating_add(s.p_filesz(ENDIAN)));
    ends.fold(sections.max(segments), u64::max)
}
