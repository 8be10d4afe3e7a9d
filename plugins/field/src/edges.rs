//! `field.edges`: a connectome as a list of its connections, such as a whole brain.

use std::path::Path;

use pallium_core::ndarray::Array2;
use pallium_core::{PairTable, prelude::*};
use pallium_fields::rows::{Header, Rows, shown};
use pallium_fields::store;

/// Largest number of neurons and of connected pairs.
const MOST_NEURONS: usize = 10_000_000;
const MOST_PAIRS: usize = 1 << 31;
/// Rows are added up by pair whenever so many new ones have been read.
const ROWS_AT_ONCE: usize = 1 << 24;

/// Column names that are recognised, in this order.
const PRE: [&str; 7] = ["pre_pt_root_id", "pre_root_id", "pre_id", "pre", "bodyId_pre", "source", "from"];
const POST: [&str; 7] = ["post_pt_root_id", "post_root_id", "post_id", "post", "bodyId_post", "target", "to"];
const COUNT: [&str; 7] = ["syn_count", "n_syn", "num_syn", "synapse_count", "synapses", "count", "weight"];
const ID: [&str; 6] = ["pt_root_id", "root_id", "bodyId", "id", "neuron", "index"];

pallium_core::params! {
    /// The tables of connections and of neurons.
    pub struct Params {
        /// Table of connections (csv, csv.gz or parquet): a row for each connected
        /// pair, for each pair and part of the brain, or for each synapse. Rows of the
        /// same pair are added up.
        path: String = String::new(),
        /// Column of the presynaptic neuron's id, a 64-bit integer. Empty: the first of
        /// `pre_pt_root_id`, `pre_root_id`, `pre_id`, `pre`, `bodyId_pre`, `source`,
        /// `from`.
        pre: String = String::new(),
        /// Column of the postsynaptic neuron's id. Empty: the first of `post_pt_root_id`,
        /// `post_root_id`, `post_id`, `post`, `bodyId_post`, `target`, `to`.
        post: String = String::new(),
        /// Column of the number (or size) of synapses of a row. Empty: the first of
        /// `syn_count`, `n_syn`, `num_syn`, `synapse_count`, `synapses`, `count`,
        /// `weight`; without any, or with `none`, a row is one synapse.
        count: String = String::new(),
        /// Minimum number of synapses of a connected pair (above 0); pairs with fewer are
        /// left out.
        least: f64 = 1.0,
        /// Table of neurons (csv, csv.gz or parquet). The network consists of these
        /// neurons, in this order; connections of others are counted and left out.
        /// Without a table, the network consists of all neurons that the connections
        /// name, in the order of their ids.
        #[schemars(extend("format" = "path"))]
        neurons: String = String::new(),
        /// Column of the ids in `neurons`. Empty: the first of `pt_root_id`, `root_id`,
        /// `bodyId`, `id`, `neuron`, `index`.
        id: String = String::new(),
        /// Three columns of `neurons` with the positions. Empty: no positions.
        positions: Vec<String> = Vec::new(),
        /// Micrometres in one unit of each position.
        unit_um: [f64; 3] = [1.0; 3],
        /// Column of `neurons` that marks inhibitory neurons, such as that of the
        /// transmitter.
        transmitter: String = String::new(),
        /// Values of `transmitter` that mark a neuron as inhibitory; an empty cell means
        /// unknown.
        inhibitory: Vec<String> = ["GABA", "GLUT", "glycine", "inhibitory"].map(str::to_owned).to_vec(),
    }
}

/// A connectome from the list of its connections: numbers of synapses between pairs
/// of neurons, known of these pairs alone, so it needs components that take
/// connections.
///
/// Tables are read row by row. The neurons' ids are kept as `root`; with
/// `transmitter`, `inhibitory` is 1 for inhibitory neurons, 0 for others and −1 where
/// it is unknown (`circuit.dale` with `assignment = "measured"`).
pub struct Edges {
    params: Params,
}

impl Component for Edges {
    const ID: &'static str = "field.edges";
    const ABOUT: &'static str = "a connectome as a list of connections, such as that of a whole brain";
    const CITE: &'static str = "this work";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        if !(params.least > 0.0 && params.least.is_finite()) {
            return Err(Error::input(format!("parameter `least` is {}", params.least))
                .help("it must be above 0: a pair without synapses is not connected"));
        }
        for unit in params.unit_um {
            one_of_range("unit_um", unit, 1e-9, 1e9)?;
        }
        if ![0, 3].contains(&params.positions.len()) {
            return Err(Error::input(format!(
                "parameter `positions` names {} columns",
                params.positions.len()
            ))
            .help("name three, such as positions = [\"x\", \"y\", \"z\"], or none"));
        }
        let of_table = [
            ("id", !params.id.is_empty()),
            ("positions", !params.positions.is_empty()),
            ("transmitter", !params.transmitter.is_empty()),
        ];
        if let Some((name, _)) = of_table.iter().find(|(_, set)| *set && params.neurons.is_empty()) {
            return Err(Error::input(format!("parameter `{name}` is set, but `neurons` is not"))
                .help("set `neurons` to the table that has this column"));
        }
        Ok(Edges { params })
    }
}

impl SubstrateSource for Edges {
    fn substrate(&mut self, _seed: u64) -> Result<Substrate> {
        let params = &self.params;
        if params.path.is_empty() {
            return Err(Error::input("`field.edges`: parameter `path` is not set")
                .help("set substrate.path to a table of connections: csv, csv.gz or parquet"));
        }
        let known = match params.neurons.is_empty() {
            true => None,
            false => Some(Neurons::read(Path::new(&params.neurons), params)?),
        };
        let path = Path::new(&params.path);
        let mut list = List::default();
        list.read(path, params, known.as_ref())?;
        list.add_up();
        let (neurons, strangers) = match known {
            Some(known) => {
                let strangers = list.strangers;
                (known, strangers)
            }
            None => (list.number_neurons(), 0),
        };
        let mut few = 0_usize;
        list.pairs.retain(|&(_, _, count)| {
            few += usize::from(count < params.least);
            count >= params.least
        });
        if list.pairs.is_empty() {
            let why = match (few, strangers) {
                (0, 0) => "it has no rows".to_owned(),
                (0, _) => format!("all of its {strangers} rows name neurons that `neurons` does not list"),
                _ => format!("{few} pairs have fewer than {} synapses", params.least),
            };
            return Err(Error::input(format!("{} connects no pair: {why}", path.display()))
                .help("check `pre`, `post`, `count`, `least` and `id`"));
        }
        let n = neurons.ids.len();
        let mut values = Vec::with_capacity(list.pairs.len());
        let mut ends = Vec::with_capacity(list.pairs.len());
        for &(pre, post, count) in &list.pairs {
            ends.push((pre as u32, post as u32));
            values.push(count);
        }
        drop(list.pairs);
        let connections = Connections::from_pairs(n, n, ends)?;
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut substrate = Substrate {
            name: name.split('.').next().unwrap_or_default().to_owned(),
            neurons: n,
            positions: neurons.positions.map(|at| Positions::new(at, params.unit_um)),
            ..Substrate::default()
        };
        let total: f64 = values.iter().sum();
        let mut note = |text: String| substrate.notes.push(text);
        note(format!(
            "connectome: {total} synapses of {} pairs of {n} neurons; {} of {name}",
            values.len(),
            match &list.column {
                Some(column) => format!("numbers in column `{column}`"),
                None => "rows".to_owned(),
            }
        ));
        if strangers > 0 {
            note(format!(
                "connectome: {strangers} rows left out, because `neurons` does not list their neurons"
            ));
        }
        if few > 0 {
            note(format!("connectome: {few} pairs with fewer than {} synapses left out", params.least));
        }
        substrate.pairs.insert(Substrate::CONNECTOME.into(), PairTable::new(&connections, values)?);
        substrate.ids.insert("root".into(), neurons.ids.into());
        if let Some(inhibitory) = neurons.inhibitory {
            substrate.ids.insert("inhibitory".into(), inhibitory.into());
        }
        Ok(substrate)
    }

    fn store(&mut self, substrate: &SubstrateView<'_>, folder: &Path) -> Result<()> {
        store::write(substrate, folder)
    }
}
pallium_core::register!(SubstrateSource, Edges);

/// The neurons of the network.
#[derive(Default)]
struct Neurons {
    ids: Vec<i64>,
    /// Ids and numbers of the neurons, by id.
    sorted: Vec<(i64, u32)>,
    positions: Option<Array2<f64>>,
    /// 1, 0 or −1 for each.
    inhibitory: Option<Vec<i64>>,
}

impl Neurons {
    fn new(ids: Vec<i64>) -> Self {
        let mut sorted: Vec<(i64, u32)> = ids.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        Neurons { ids, sorted, ..Neurons::default() }
    }

    fn number(&self, id: i64) -> Option<i64> {
        let at = self.sorted.binary_search_by_key(&id, |&(id, _)| id).ok()?;
        Some(i64::from(self.sorted[at].1))
    }

    fn read(path: &Path, params: &Params) -> Result<Self> {
        let mut rows = Rows::open(path)?;
        let header = rows.header()?;
        let (id_at, id) = column(path, &header, &params.id, &ID, "ids of neurons", "id")?;
        let axes: Vec<usize> =
            params.positions.iter().map(|name| header.column(name)).collect::<Result<_>>()?;
        let kind_at = match params.transmitter.as_str() {
            "" => None,
            name => Some(header.column(name)?),
        };
        let (mut ids, mut points, mut inhibitory) = (Vec::new(), Vec::new(), Vec::new());
        while rows.advance_under(&header)? {
            if ids.len() == MOST_NEURONS {
                return Err(rows
                    .wrong(&format!("there are more than {MOST_NEURONS} neurons"))
                    .help("is this the table of neurons?"));
            }
            ids.push(rows.id(id_at, &id)?);
            for (&at, name) in axes.iter().zip(&params.positions) {
                points.push(rows.number(at, name)?);
            }
            if let Some(at) = kind_at {
                let kind = shown(rows.cell(at));
                inhibitory.push(match kind.as_str() {
                    "" => -1,
                    kind => i64::from(params.inhibitory.iter().any(|name| name.eq_ignore_ascii_case(kind))),
                });
            }
        }
        if ids.is_empty() {
            return Err(Error::input(format!("{} lists no neuron", path.display()))
                .help("it needs a row for each neuron of the network"));
        }
        let mut neurons = Neurons::new(ids);
        if let Some(pair) = neurons.sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::input(format!("{} lists neuron {} twice", path.display(), pair[0].0))
                .help("keep one row for each neuron"));
        }
        if !axes.is_empty() {
            let at = Array2::from_shape_vec((neurons.ids.len(), 3), points);
            neurons.positions = Some(at.map_err(|e| Error::bug(e.to_string()))?);
        }
        if kind_at.is_some() {
            if !inhibitory.contains(&1) {
                return Err(Error::input(format!(
                    "{}: no cell in column `{}` is one of `inhibitory`: {}",
                    path.display(),
                    params.transmitter,
                    params.inhibitory.join(", ")
                ))
                .help("set `inhibitory` to the names of inhibitory kinds in this table"));
            }
            neurons.inhibitory = Some(inhibitory);
        }
        Ok(neurons)
    }
}

/// The column called `wanted`, or the first of the `usual` names.
fn column(
    path: &Path,
    header: &Header,
    wanted: &str,
    usual: &[&str],
    what: &str,
    parameter: &str,
) -> Result<(usize, String)> {
    if !wanted.is_empty() {
        return Ok((header.column(wanted)?, wanted.to_owned()));
    }
    match usual.iter().find(|name| header.find(name).is_some()) {
        Some(name) => Ok((header.column(name)?, (*name).to_owned())),
        None => {
            let error = header.column(usual[0]).err();
            let columns = error.and_then(|error| error.help).unwrap_or_default();
            Err(Error::input(format!("{}: no column is known to hold the {what}", path.display()))
                .help(format!("set `{parameter}` to its name; {columns}")))
        }
    }
}

/// Connected pairs: numbers of their neurons, or their ids until these are numbered,
/// and their synapses.
#[derive(Default)]
struct List {
    pairs: Vec<(i64, i64, f64)>,
    /// Pairs at the beginning that are added up and in order.
    added_up: usize,
    strangers: u64,
    /// The column of numbers of synapses.
    column: Option<String>,
}

impl List {
    fn read(&mut self, path: &Path, params: &Params, known: Option<&Neurons>) -> Result<()> {
        let mut rows = Rows::open(path)?;
        let header = rows.header()?;
        let (pre_at, pre_name) = column(path, &header, &params.pre, &PRE, "presynaptic neurons", "pre")?;
        let (post_at, post_name) =
            column(path, &header, &params.post, &POST, "postsynaptic neurons", "post")?;
        if pre_at == post_at {
            return Err(Error::input(format!(
                "{}: `pre` and `post` are the same column, `{pre_name}`",
                path.display()
            ))
            .help("set each to the column of its neurons"));
        }
        let count_at = match params.count.as_str() {
            "none" => None,
            "" => COUNT.iter().copied().find(|name| header.find(name).is_some()),
            name => Some(name),
        };
        let count_at = count_at.map(|name| Ok((header.column(name)?, name.to_owned()))).transpose()?;
        if count_at.as_ref().is_some_and(|(at, _)| [pre_at, post_at].contains(at)) {
            return Err(Error::input(format!("{}: `count` is a column of neurons", path.display()))
                .help("set it to the column of the numbers of synapses, or to `none`"));
        }
        while rows.advance_under(&header)? {
            let (pre, post) = (rows.id(pre_at, &pre_name)?, rows.id(post_at, &post_name)?);
            let count = match &count_at {
                None => 1.0,
                Some((at, name)) => rows.number(*at, name)?,
            };
            if count < 0.0 {
                return Err(rows
                    .wrong(&format!("{count} synapses"))
                    .help("numbers and sizes of synapses are at least 0: correct or remove the row"));
            }
            match known {
                None => self.pairs.push((pre, post, count)),
                Some(known) => match (known.number(pre), known.number(post)) {
                    (Some(pre), Some(post)) => self.pairs.push((pre, post, count)),
                    _ => self.strangers += 1,
                },
            }
            if self.pairs.len() - self.added_up >= ROWS_AT_ONCE.max(self.added_up) {
                self.add_up();
                if self.pairs.len() > MOST_PAIRS {
                    return Err(rows
                        .wrong(&format!("there are more than {MOST_PAIRS} connected pairs"))
                        .help("name the neurons of the network in `neurons`"));
                }
            }
        }
        self.column = count_at.map(|(_, name)| name);
        Ok(())
    }

    /// Adds up the rows of each pair, in their order in the table.
    fn add_up(&mut self) {
        self.pairs.sort_by_key(|&(pre, post, _)| (pre, post));
        self.pairs.dedup_by(|next, kept| {
            let same = (next.0, next.1) == (kept.0, kept.1);
            if same {
                kept.2 += next.2;
            }
            same
        });
        self.added_up = self.pairs.len();
    }

    /// Replaces ids by numbers in their order.
    fn number_neurons(&mut self) -> Neurons {
        // The presynaptic ids are in order.
        let mut ids: Vec<i64> = self.pairs.iter().map(|pair| pair.0).collect();
        ids.dedup();
        let mut targets: Vec<i64> = self.pairs.iter().map(|pair| pair.1).collect();
        targets.sort_unstable();
        targets.dedup();
        ids.append(&mut targets);
        ids.sort_unstable();
        ids.dedup();
        let neurons = Neurons::new(ids);
        for pair in &mut self.pairs {
            // Every id was listed.
            pair.0 = neurons.number(pair.0).unwrap_or(-1);
            pair.1 = neurons.number(pair.1).unwrap_or(-1);
        }
        neurons
    }
}

#[cfg(test)]
mod tests {
    use pallium_core::parse_parameters;
    use pallium_core::serde_json::{Value, json};
    use pallium_testing::Folder;

    use super::*;

    fn source(params: &Value) -> Result<Edges> {
        Edges::build(parse_parameters(Edges::ID, &params.to_string())?, &Setting::default())
    }

    fn read(params: &Value) -> Result<Substrate> {
        source(params)?.substrate(0)
    }

    /// Neuron, neuron, synapses.
    fn pairs(substrate: &Substrate) -> Vec<(usize, usize, f64)> {
        let table = substrate.pairs(Substrate::CONNECTOME).unwrap();
        table.connections().pairs().zip(table.values()).map(|((i, j), &s)| (i, j, s)).collect()
    }

    const TABLE: &[u8] = b"pre_root_id,post_root_id,neuropil,syn_count\n720575940596125868,7,ME,5\n\
        7,720575940596125868,ME,2\n720575940596125868,7,LO,6\n7,7,LO,1\n-3,7,LO,4\n";

    #[test]
    fn rows_of_a_pair_are_added_up_and_ids_keep_all_digits() {
        let folder = Folder::new();
        let path = folder.file("flies.csv", TABLE);
        let substrate = read(&json!({ "path": path })).unwrap();
        assert_eq!((substrate.name.as_str(), substrate.neurons), ("flies", 3));
        assert_eq!(&*substrate.ids["root"], &[-3, 7, 720575940596125868]);
        assert_eq!(pairs(&substrate), [(0, 1, 4.0), (1, 1, 1.0), (1, 2, 2.0), (2, 1, 11.0)]);
        substrate.check().unwrap();
        let strong = read(&json!({ "path": path, "least": 4 })).unwrap();
        assert_eq!(pairs(&strong), [(0, 1, 4.0), (2, 1, 11.0)]);
        assert!(strong.notes.iter().any(|note| note.contains("2 pairs with fewer than 4 synapses")));
        let rows = read(&json!({ "path": path, "count": "none" })).unwrap();
        assert_eq!(pairs(&rows)[3], (2, 1, 2.0));
    }

    #[test]
    fn a_table_of_neurons_gives_their_order_places_and_kinds() {
        let folder = Folder::new();
        let path = folder.file("edges.csv", TABLE);
        let neurons = b"root_id,a,b,c,top_nt\n7,1,2,3,gaba\n-3,4,5,6,ACH\n12,0,0,0,\n".as_slice();
        let neurons = folder.file("neurons.csv", neurons);
        let params = json!({ "path": path, "neurons": neurons, "positions": ["a", "b", "c"],
            "unit_um": [0.5, 1.0, 1.0], "transmitter": "top_nt" });
        let substrate = read(&params).unwrap();
        assert_eq!(&*substrate.ids["root"], &[7, -3, 12]);
        assert_eq!(&*substrate.ids["inhibitory"], &[1, 0, -1]);
        assert_eq!(pairs(&substrate), [(0, 0, 1.0), (1, 0, 4.0)]);
        assert_eq!(substrate.positions().unwrap().micrometres()[[1, 0]], 2.0);
        assert!(substrate.notes.iter().any(|note| note.starts_with("connectome: 3 rows left out")));
    }

    /// More rows than are added up at once would take minutes: the same code, called
    /// in between.
    #[test]
    fn adding_up_in_parts_gives_the_same() {
        let row = |k: i64| (k * 7 % 5, k * 3 % 4, 1.0 + k as f64);
        let mut whole = List { pairs: (0..40).map(row).collect(), ..List::default() };
        whole.add_up();
        let mut parts = List::default();
        for k in 0..40 {
            parts.pairs.push(row(k));
            if k % 9 == 0 {
                parts.add_up();
            }
        }
        parts.add_up();
        assert_eq!(whole.pairs, parts.pairs);
        assert_eq!(whole.pairs.len(), 20);
    }

    #[test]
    fn errors_name_the_file_and_the_remedy() {
        let folder = Folder::new();
        let path = folder.file("edges.csv", TABLE);
        let odd = folder.file("odd.csv", b"a,b\n1,2\n");
        let negative = folder.file("negative.csv", b"pre,post,count\n1,2,-1\n");
        let float = folder.file("float.csv", b"pre,post\n1.5e17,2\n");
        let twice = folder.file("twice.csv", b"id\n7\n7\n");
        let others = folder.file("others.csv", b"id\n100\n");
        for (params, message, help) in [
            (json!({}), "`path` is not set", "csv.gz"),
            (
                json!({ "path": odd }),
                "hold the presynaptic neurons",
                "set `pre` to its name; existing columns: a, b",
            ),
            (json!({ "path": path, "post": "x" }), "no column `x`", "syn_count"),
            (json!({ "path": negative }), "line 2: -1 synapses", "at least 0"),
            (json!({ "path": float }), "is not a 64-bit integer", "float"),
            (json!({ "path": path, "neurons": twice }), "lists neuron 7 twice", "one row"),
            (json!({ "path": path, "neurons": others }), "all of its 5 rows name neurons", "`id`"),
            (json!({ "path": path, "least": 99 }), "4 pairs have fewer than 99", "`least`"),
            (json!({ "path": path, "least": 0 }), "`least` is 0", "above 0"),
            (json!({ "path": path, "positions": ["x"] }), "names 1 columns", "three"),
            (json!({ "path": path, "transmitter": "nt" }), "`neurons` is not", "`neurons`"),
        ] {
            let error = read(&params).err().unwrap_or_else(|| panic!("{params}"));
            assert!(error.message.contains(message), "{params}: {error:?}");
            assert!(error.help.as_ref().is_some_and(|text| text.contains(help)), "{params}: {error:?}");
        }
        let kinds = folder.file("kinds.csv", b"id,nt\n7,ACH\n");
        let error = read(&json!({ "path": path, "neurons": kinds, "transmitter": "nt" })).unwrap_err();
        assert!(error.message.contains("no cell in column `nt` is one of `inhibitory`: GABA"), "{error}");
    }
}
