//! Errors of the HDF5 reader, with what helps against each.

use pallium_core::prelude::*;

/// An error of the reader; only what is damaged is called so.
pub fn refused(place: &str, error: &hdf5_reader::error::Error) -> Error {
    use hdf5_reader::error::Error as E;
    let mut cause = error;
    while let E::Context { source, .. } = cause {
        cause = source;
    }
    let wrong = Error::input(format!("{place}: {error}"));
    match cause {
        E::UnsupportedFilter(filter) => {
            Error::input(format!("{place} is compressed with {}", filter_name(filter))).help(
                "gzip, szip, shuffle and checksums are supported: write the data again with gzip or \
                 uncompressed, with a program that has the filter (in Python, h5py with hdf5plugin)",
            )
        }
        E::ResourceLimit(_) => wrong.help("write the data again in smaller chunks"),
        E::Io(_) => wrong.help("check that the file is complete and can be read"),
        E::UnsupportedEncoding(_)
        | E::UnsupportedSuperblockVersion(_)
        | E::UnsupportedObjectHeaderVersion(_)
        | E::UnsupportedBTreeVersion(_)
        | E::UnsupportedDatatypeClass(_)
        | E::UnsupportedLayoutClass(_)
        | E::UnsupportedLayoutVersion(_)
        | E::UnsupportedFilterPipelineVersion(_)
        | E::UnsupportedLinkVersion(_)
        | E::UnsupportedLinkType(_)
        | E::UnsupportedAttributeVersion(_)
        | E::UnsupportedChunkIndexType(_) => {
            wrong.help("this part of HDF5 is not supported: write the file again with pynwb or h5py")
        }
        _ => wrong.help("the file may be damaged or truncated: copy it again from its source"),
    }
}

/// The name of a filter that the reader gives by number, as `filter id 32015`.
fn filter_name(filter: &str) -> String {
    // https://github.com/HDFGroup/hdf5_plugins/blob/master/docs/RegisteredFilterPlugins.md
    let name = match filter.rsplit(' ').next().unwrap_or_default() {
        "307" => "bzip2",
        "32000" => "LZF",
        "32001" => "Blosc",
        "32004" => "LZ4",
        "32008" => "Bitshuffle",
        "32013" => "ZFP",
        "32015" => "Zstandard",
        "32026" => "Blosc2",
        _ => return format!("HDF5's {filter}, which is not supported"),
    };
    format!("{name} (HDF5's {filter}), which is not supported")
}

/// Whether there is no such object.
pub fn absent(error: &hdf5_reader::error::Error) -> bool {
    use hdf5_reader::error::Error as E;
    match error {
        E::GroupNotFound(_) | E::DatasetNotFound(_) => true,
        E::Context { source, .. } => absent(source),
        _ => false,
    }
}
