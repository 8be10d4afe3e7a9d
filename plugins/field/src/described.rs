//! `field.described`: your own field, as ordinary files described by a `field.toml`
//! (see [`pallium_fields::own_field`]).

use std::path::{Path, PathBuf};

use pallium_core::prelude::*;
use pallium_fields::field_toml::FIELD_TOML;
use pallium_fields::folder::{self, ReadOptions};
use pallium_fields::store;

pallium_core::params! {
    /// The field.
    pub struct Params {
        /// The folder with the `field.toml`.
        path: String = String::new(),
        /// Whether to load event times, if the field has any, for components
        /// that need them.
        events: bool = false,
    }
}

/// Your own field, described by a `field.toml`.
pub struct Described {
    params: Params,
}

impl Component for Described {
    const ID: &'static str = "field.described";
    const ABOUT: &'static str = "your own field: files described by a field.toml";
    const CITE: &'static str = "this work";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        Ok(Described { params })
    }
}

impl SubstrateSource for Described {
    fn substrate(&mut self, _seed: u64) -> Result<Substrate> {
        if self.params.path.is_empty() {
            return Err(Error::input("`field.described`: parameter `path` is not set").help(
                "set substrate.path to a folder with a field.toml; `pallium field new DIR` writes a template",
            ));
        }
        let folder = PathBuf::from(&self.params.path);
        if folder.is_dir() && !folder.join(FIELD_TOML).is_file() {
            return Err(Error::input(format!("{} has no {FIELD_TOML}", folder.display())).help(
                "`pallium field new DIR` writes a template; released fields are read by `microns.field`",
            ));
        }
        let reading = ReadOptions { events: self.params.events, ..ReadOptions::default() };
        folder::read(&folder, &reading)
    }

    fn store(&mut self, substrate: &SubstrateView<'_>, folder: &Path) -> Result<()> {
        store::write(substrate, folder)
    }
}
pallium_core::register!(SubstrateSource, Described);

#[cfg(test)]
mod tests {
    use pallium_testing::Folder;

    use super::*;

    fn described(path: &Path) -> Described {
        let params = Params { path: path.to_str().unwrap().into(), events: true };
        Described::build(params, &Setting::default()).unwrap()
    }

    #[test]
    fn a_described_field_is_read_and_stored() {
        let folder = Folder::new();
        folder.file("cells.csv", b"cell,x,y,z\n7,1,2,3\n9,4,5,6.5\n");
        folder.file("events.csv", b"s,cell\n1.5,7\n0.25,9\n");
        let description = "frame_hz = 10\nids.cell = { file = \"cells.csv\", column = \"cell\" }\n\
                    [positions]\nfile = \"cells.csv\"\nunit = \"um\"\n\
                    [events]\nfile = \"events.csv\"\nneurons = \"cell\"\ntimes = \"s\"\nunit = \"s\"\n";
        folder.file(FIELD_TOML, description.as_bytes());
        let mut source = described(folder.path());
        let field = source.substrate(0).unwrap();
        assert_eq!((field.neurons, &*field.ids["cell"]), (2, &[7, 9][..]));
        let stored = folder.path().join("stored");
        source.store(&field, &stored).unwrap();
        assert_eq!(described(&stored).substrate(0).unwrap().positions, field.positions);
    }

    #[test]
    fn a_folder_without_a_description_is_refused() {
        let mut unset = Described::build(Params::default(), &Setting::default()).unwrap();
        assert!(unset.substrate(0).unwrap_err().help.unwrap().contains("pallium field new"));
        let folder = Folder::new();
        let error = described(folder.path()).substrate(0).unwrap_err();
        assert!(error.message.contains("has no field.toml"), "{error}");
    }
}
