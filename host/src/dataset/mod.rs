//! Named arrays with named axes, as analyses in Python read them, and the formats
//! that they are written in.

mod zarr;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use ndarray::{ArrayView1, ArrayViewD, IxDyn};
use pallium_core::{Error, Result, Tensor, Values};
use pallium_npy::npz::NpzWriter;
use pallium_record::safetensors_file::{of_tensors, with_metadata};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A format of files with arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Format {
    /// numpy's archive of arrays.
    Npz,
    /// Tensors for machine learning; texts are in its header.
    Safetensors,
    /// A folder that xarray opens, with axes and coordinates (Zarr version 2).
    Zarr,
}

impl Format {
    /// The format that the ending of a name stands for.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "npz" => Some(Format::Npz),
            "safetensors" => Some(Format::Safetensors),
            "zarr" => Some(Format::Zarr),
            _ => None,
        }
    }

    /// The ending of its names.
    pub fn ending(self) -> &'static str {
        match self {
            Format::Npz => "npz",
            Format::Safetensors => "safetensors",
            Format::Zarr => "zarr",
        }
    }
}

/// The values of a variable, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Numbers of single precision.
    Single(Vec<f32>),
    /// Numbers of double precision.
    Double(Vec<f64>),
    /// Whole numbers.
    Whole(Vec<i64>),
    /// Texts.
    Text(Vec<String>),
}

/// An array with named axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// Name.
    pub name: String,
    /// Names of the axes.
    pub axes: Vec<&'static str>,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The values.
    pub content: Content,
    /// What it is, with its unit.
    pub about: &'static str,
    /// Whether it labels an axis.
    pub coordinate: bool,
}

/// Variables and what they are about.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// The variables.
    pub variables: Vec<Variable>,
    /// Names and texts.
    pub attributes: BTreeMap<String, String>,
}

impl Dataset {
    /// Adds a variable.
    pub fn push(
        &mut self,
        name: impl Into<String>,
        axes: &[(&'static str, usize)],
        content: Content,
        about: &'static str,
    ) {
        let (axes, shape) = axes.iter().copied().unzip();
        self.variables.push(Variable { name: name.into(), axes, shape, content, about, coordinate: false });
    }

    /// Adds a variable that labels an axis.
    pub fn label(
        &mut self,
        name: impl Into<String>,
        axis: (&'static str, usize),
        content: Content,
        about: &'static str,
    ) {
        self.push(name, &[axis], content, about);
        if let Some(last) = self.variables.last_mut() {
            last.coordinate = true;
        }
    }

    /// Writes to a new file, or a new folder for Zarr.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path, format: Format) -> Result<()> {
        match format {
            Format::Npz => self.write_npz(path),
            Format::Safetensors => {
                let bytes = self.safetensors()?;
                fs::write(path, bytes).map_err(|e| Error::io(path, &e))
            }
            Format::Zarr => zarr::write(self, path).map_err(|e| Error::io(path, &e)),
        }
    }

    fn write_npz(&self, path: &Path) -> Result<()> {
        let failed = |e: std::io::Error| Error::io(path, &e);
        let file = fs::File::create(path).map_err(failed)?;
        let mut archive = NpzWriter::new(std::io::BufWriter::new(file));
        for variable in &self.variables {
            let shape = IxDyn(&variable.shape);
            match &variable.content {
                Content::Single(values) => archive.add(&variable.name, &array(shape, values)?),
                Content::Double(values) => archive.add(&variable.name, &array(shape, values)?),
                Content::Whole(values) => archive.add(&variable.name, &array(shape, values)?),
                Content::Text(values) => archive.add_texts(&variable.name, values),
            }
            .map_err(failed)?;
        }
        for (name, text) in &self.attributes {
            archive.add_texts(&format!("about_{name}"), std::slice::from_ref(text)).map_err(failed)?;
        }
        archive.finish().and_then(|mut file| file.flush()).map_err(failed)
    }

    fn safetensors(&self) -> Result<Vec<u8>> {
        let mut tensors = Vec::new();
        let mut about: BTreeMap<String, String> = self.attributes.clone();
        for variable in &self.variables {
            let values: Values = match &variable.content {
                Content::Single(values) => values.clone().into(),
                Content::Double(values) => values.clone().into(),
                Content::Whole(values) => values.clone().into(),
                Content::Text(values) => {
                    about.insert(variable.name.clone(), json!(values).to_string());
                    continue;
                }
            };
            about.insert(format!("axes.{}", variable.name), variable.axes.join(" "));
            tensors.push(Tensor::new(&variable.name, variable.shape.clone(), values));
        }
        let about: BTreeMap<&str, &str> = about.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        with_metadata(&of_tensors("an export", &tensors)?, &about)
    }

    /// The attributes as JSON.
    fn attributes_json(&self) -> Value {
        json!(self.attributes)
    }
}

fn array<T>(shape: IxDyn, values: &[T]) -> Result<ArrayViewD<'_, T>> {
    ArrayView1::from(values)
        .into_shape_with_order(shape)
        .map_err(|e| Error::bug(format!("a variable has another shape than it states: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset() -> Dataset {
        let mut data = Dataset::default();
        data.push("activity", &[("trial", 2), ("unit", 3)], Content::Single(vec![0.5; 6]), "activity");
        data.label("condition", ("trial", 2), Content::Text(vec!["go".into(), "größer".into()]), "condition");
        data.label("unit", ("unit", 3), Content::Whole(vec![0, 1, 1 << 60]), "unit");
        data.attributes.insert("variant".into(), "W*".into());
        data
    }

    #[test]
    fn archives_and_tensors_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        dataset().write(&path, Format::Npz).unwrap();
        let mut read = pallium_npy::npz::Npz::open(&path).unwrap();
        assert_eq!(read.names(), ["activity", "condition", "unit", "about_variant"]);
        assert!(read.numbers("activity").unwrap().iter().all(|v| *v == 0.5));
        let path = folder.path().join("a.safetensors");
        dataset().write(&path, Format::Safetensors).unwrap();
        let bytes = fs::read(&path).unwrap();
        let (_, about) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let about = about.metadata().clone().unwrap();
        assert_eq!(about["condition"], "[\"go\",\"größer\"]");
        assert_eq!((about["axes.activity"].as_str(), about["variant"].as_str()), ("trial unit", "W*"));
    }

    #[test]
    fn zarr_states_shapes_types_and_axes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zarr");
        dataset().write(&path, Format::Zarr).unwrap();
        let json = |name: &str| -> Value {
            serde_json::from_str(&fs::read_to_string(path.join(name)).unwrap()).unwrap()
        };
        let array = json("activity/.zarray");
        assert_eq!((&array["shape"], &array["dtype"]), (&json!([2, 3]), &json!("<f4")));
        assert_eq!(json("activity/.zattrs")["_ARRAY_DIMENSIONS"], json!(["trial", "unit"]));
        assert_eq!(json("condition/.zarray")["dtype"], "<U6");
        assert_eq!(json(".zattrs")["coordinates"], "condition");
        assert_eq!(fs::metadata(path.join("condition/0")).unwrap().len(), 2 * 6 * 4);
        let all = json(".zmetadata");
        assert_eq!(all["metadata"]["activity/.zarray"], array);
    }
}
