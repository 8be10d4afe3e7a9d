//! Helpers for targets that read folders.

use std::path::{Path, PathBuf};

/// Creates a folder for a target's files, in memory if possible.
pub fn folder(name: &str) -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    let base = if shared.is_dir() { shared } else { std::env::temp_dir() };
    let folder = base.join(format!("pallium-fuzz-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the field");
    folder
}

/// Writes `files` into `folder`. The input is a sequence of files, each preceded by
/// its length (two bytes, little-endian); empty files are not written.
pub fn unpack(mut input: &[u8], folder: &Path, files: &[&str]) {
    for name in files {
        let path = folder.join(name);
        let _ = std::fs::remove_file(&path);
        if let Some((length, after)) = input.split_first_chunk::<2>() {
            let (file, after) = after.split_at(after.len().min(u16::from_le_bytes(*length).into()));
            input = after;
            if !file.is_empty() {
                std::fs::write(&path, file).expect("a file of the field");
            }
        }
    }
}
