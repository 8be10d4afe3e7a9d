//! Zarr, version 2, as xarray writes and reads it: one folder for each variable with
//! its shape, its axes and one uncompressed chunk, and a summary of all of them.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Content, Dataset};

/// Writes a dataset to a new folder.
pub(super) fn write(data: &Dataset, folder: &Path) -> io::Result<()> {
    let mut summary = Map::new();
    fs::create_dir(folder)?;
    let mut put = |name: String, value: Value| {
        fs::write(folder.join(&name), format!("{value:#}\n"))?;
        summary.insert(name, value);
        io::Result::Ok(())
    };
    put(".zgroup".into(), json!({ "zarr_format": 2 }))?;
    let mut attributes = data.attributes_json();
    // A variable with the name of its axis is its index anyway.
    let labels = data.variables.iter().filter(|v| v.coordinate && v.axes != [v.name.as_str()]);
    attributes["coordinates"] = labels.map(|v| v.name.as_str()).collect::<Vec<_>>().join(" ").into();
    put(".zattrs".into(), attributes)?;
    for variable in &data.variables {
        let place = folder.join(&variable.name);
        fs::create_dir(&place)?;
        let longest = match &variable.content {
            Content::Text(texts) => texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1),
            _ => 0,
        };
        let kind = match &variable.content {
            Content::Single(_) => "<f4".to_owned(),
            Content::Double(_) => "<f8".to_owned(),
            Content::Whole(_) => "<i8".to_owned(),
            Content::Text(_) => format!("<U{longest}"),
        };
        // A chunk has at least one entry, even of an empty array.
        let chunk: Vec<usize> = variable.shape.iter().map(|&length| length.max(1)).collect();
        let array = json!({
            "zarr_format": 2, "shape": variable.shape, "chunks": chunk, "dtype": kind, "order": "C",
            "compressor": null, "filters": null, "fill_value": null,
        });
        put(format!("{}/.zarray", variable.name), array)?;
        let about = json!({ "_ARRAY_DIMENSIONS": variable.axes, "description": variable.about });
        put(format!("{}/.zattrs", variable.name), about)?;
        if variable.shape.contains(&0) {
            continue;
        }
        let mut file =
            BufWriter::new(fs::File::create(place.join(vec!["0"; variable.axes.len().max(1)].join(".")))?);
        match &variable.content {
            Content::Single(values) => values.iter().try_for_each(|v| file.write_all(&v.to_le_bytes()))?,
            Content::Double(values) => values.iter().try_for_each(|v| file.write_all(&v.to_le_bytes()))?,
            Content::Whole(values) => values.iter().try_for_each(|v| file.write_all(&v.to_le_bytes()))?,
            Content::Text(texts) => {
                for text in texts {
                    file.write_all(&pallium_npy::text_bytes(text, longest))?;
                }
            }
        }
        file.flush()?;
    }
    let all = json!({ "zarr_consolidated_format": 1, "metadata": summary });
    fs::write(folder.join(".zmetadata"), format!("{all:#}\n"))
}
