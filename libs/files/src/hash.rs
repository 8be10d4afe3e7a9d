//! SHA-256 of files, as hexadecimal text.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use pallium_core::{Error, Result};
use sha2::{Digest, Sha256};

/// SHA-256 of a file's bytes, in lowercase hexadecimal.
///
/// # Errors
/// If the file cannot be read.
pub fn file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|e| Error::io(path, &e))?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(|e| Error::io(path, &e))? {
            0 => return Ok(hex(&sum.finalize())),
            n => sum.update(&buffer[..n]),
        }
    }
}

/// Bytes as lowercase hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
