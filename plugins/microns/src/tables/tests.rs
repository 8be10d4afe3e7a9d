use pallium_core::ndarray::array;

use super::*;
use pallium_testing::Folder;

const ROOT: i64 = 864_691_135_927_097_000;

fn units(split: bool) -> String {
    let head = if split { "pt_position_x,pt_position_y,pt_position_z" } else { "pt_position" };
    let place = |x: u32| match (split, x % 2) {
        (true, _) => format!("{x},20,3.5"),
        (false, 0) => format!("\"[{x}, 20, 3.5]\""),
        (false, _) => format!("[ {x}  20 3.5]"),
    };
    let mut text = format!("id,session,scan_idx,unit_id,field,score,{head},pt_root_id,target_id\n");
    for (k, (session, field, root)) in
        [(6, 2, 1), (6, 2, 2), (5, 4, 2), (6, 2, 0), (6, 2, 1), (6, 2, 3), (5, 4, 3)].into_iter().enumerate()
    {
        let root = if root == 0 { 0 } else { ROOT + root };
        let k = k as u32;
        text += &format!("{k},{session},6,{},{field},{},{},{root},{}\n", 100 + k, k, place(k), 7 + k);
    }
    text
}

fn synapses() -> String {
    let pairs = [(1, 2), (1, 2), (2, 3), (3, 3), (9, 1), (1, 9), (3, 2)];
    let row = |(pre, post): (i64, i64)| format!("{},{},{}\n", ROOT + pre, ROOT + post, 10);
    "pre_pt_root_id,post_pt_root_id,size\n".to_owned() + &pairs.into_iter().map(row).collect::<String>()
}

fn build(folder: &Folder, units: &str, synapses: &str, change: impl FnOnce(&mut Params)) -> Tables {
    let text = |name: &str, text: &str| folder.file(name, text.as_bytes()).to_str().unwrap().to_owned();
    let mut params = Params {
        coregistration: text("units.csv", units),
        synapses: text("synapses.csv", synapses),
        ..Params::default()
    };
    change(&mut params);
    Tables::build(params, &Setting::default()).unwrap()
}

fn fields(units: &str, change: impl FnOnce(&mut Params)) -> Vec<Substrate> {
    let folder = Folder::new();
    let mut tables = build(&folder, units, &synapses(), change);
    (0..2).map(|seed| tables.substrate(seed).unwrap()).collect()
}

#[test]
fn fields_come_out_of_tables() {
    for split in [true, false] {
        let fields = fields(&units(split), |_| {});
        let [five, six] = fields.as_slice() else { panic!() };
        assert_eq!((five.name.as_str(), six.name.as_str()), ("5_6_4", "6_6_2"));
        assert_eq!(*six.ids["root"], [ROOT + 1, ROOT + 2, ROOT + 3]);
        assert_eq!((&*six.ids["unit"], &*six.ids["target"]), (&[100, 101, 105][..], &[7, 8, 12][..]));
        let positions = six.positions.as_ref().unwrap();
        assert_eq!(positions.values.view(), array![[0.0, 20.0, 3.5], [1.0, 20.0, 3.5], [5.0, 20.0, 3.5]]);
        assert_eq!(positions.unit_um, [0.004, 0.004, 0.04]);
        assert_eq!(
            six.matrices["connectome"].view(),
            array![[0.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
        );
        // The same cells also belong to another field.
        assert_eq!(*five.ids["root"], [ROOT + 2, ROOT + 3]);
        assert_eq!(five.matrices["connectome"].view(), array![[0.0, 1.0], [1.0, 1.0]]);
        assert!(six.notes.iter().any(|n| n.contains("1 without a cell")), "{:?}", six.notes);
        assert!(six.notes.iter().any(|n| n.contains("1 repeated cells")), "{:?}", six.notes);
        six.check().unwrap();
    }
    let one = fields(&units(true), |params| params.fields = vec!["6_6_2".into()]);
    assert_eq!((one[0].name.as_str(), one[1].name.as_str()), ("6_6_2", "6_6_2"));
    let best = fields(&units(true), |params| params.repeats = Repeats::BestScore);
    assert_eq!(*best[1].ids["unit"], [104, 101, 105]);
    let bare = fields(&units(true), |params| params.synapses.clear());
    assert!(bare[0].matrices.is_empty());
}

#[test]
fn errors_in_a_table_name_the_line() {
    let folder = Folder::new();
    let (units, synapses) = (units(true), synapses());
    let refused = |units: &str, synapses: &str, change: fn(&mut Params), part: &str| {
        let error = build(&folder, units, synapses, change).substrate(0).unwrap_err();
        assert!(error.message.contains(part), "`{error}` does not contain `{part}`");
        assert!(error.kind == pallium_core::Kind::Input && error.help.is_some(), "{error}");
    };
    let nothing: fn(&mut Params) = |_| {};
    refused("", &synapses, nothing, "units.csv is empty");
    refused(&units.replace("scan_idx", "scan"), &synapses, nothing, "no column `scan_idx`");
    refused(&units.replace("pt_position_y", "y"), &synapses, nothing, "no column `pt_position_y`");
    let float = format!("{}.0", ROOT + 2);
    refused(
        &units.replace(&(ROOT + 2).to_string(), &float),
        &synapses,
        nothing,
        "units.csv, line 3: `86469113592709700",
    );
    refused(
        &units.replace("1,20,3.5", "1,20,"),
        &synapses,
        nothing,
        "line 3: column `pt_position_z` is empty",
    );
    refused(&units, &synapses.replace("size", "size,more"), nothing, "synapses.csv, line 2: 3 cells");
    refused(&units, &synapses.replace("post_pt", "pt"), nothing, "no column `post_pt_root_id`");
    refused(&units, &synapses, |p| p.fields = vec!["7_3_2".into()], "no units of field `7_3_2`");
    refused(
        &units,
        &synapses,
        |p| p.repeats = Repeats::Refuse,
        "line 6: units 100 and 104 of field 6_6_2 are the same cell",
    );
    refused(&units, &synapses, |p| p.coregistration = "nowhere.csv".into(), "nowhere.csv does not exist");
    refused(&units, &synapses, |p| p.coregistration.clear(), "`coregistration` is not set");
    let head: String = units.lines().take(1).map(|line| format!("{line}\n")).collect();
    refused(&head, &synapses, nothing, "no unit with a cell");
    let whole = super::tests::units(false);
    refused(&whole.replace("[ 1  20 3.5]", "[1 20]"), &synapses, nothing, "`[1 20]` in column `pt_position`");
}

#[test]
fn positions_in_brackets() {
    assert_eq!(bracketed(b"[1, 2, 3]"), Some([1.0, 2.0, 3.0]));
    assert_eq!(bracketed(b"[ 1  2.5\n 3e2 ]"), Some([1.0, 2.5, 300.0]));
    for text in ["1 2 3", "[1 2]", "[1 2 3 4]", "[a b c]", "[1 2 nan]", "[]", "", "[1 2 3"] {
        assert_eq!(bracketed(text.as_bytes()), None, "{text}");
    }
}

/// The table of a field of `n` units, at these positions.
fn cells(positions: &[[i64; 3]]) -> String {
    let head = "pt_root_id,session,scan_idx,field,unit_id,pt_position_x,pt_position_y,pt_position_z\n";
    let row = |(k, [x, y, z]): (i64, &[i64; 3])| format!("{},6,6,2,{k},{x},{y},{z}\n", ROOT + k);
    head.to_owned() + &(0..).zip(positions).map(row).collect::<String>()
}

fn four_cells() -> String {
    cells(&[[0, 100, 101], [1001, 100, 102], [2002, 100, 103], [3003, 100, 104]])
}

fn one(units: &str, synapses: &str, change: impl FnOnce(&mut Params)) -> Result<Substrate> {
    build(&Folder::new(), units, synapses, change).substrate(0)
}

#[test]
fn repeated_ids_and_counts_are_added_up_as_pandas_does() {
    let mut compared = 0;
    for line in include_str!("../../fixtures/random.txt").lines() {
        let parts: Vec<&str> = line.split(' ').collect();
        let mut table = "id,pre_pt_root_id,post_pt_root_id,n_syn\n".to_owned();
        for row in parts[0].split(';') {
            let cells: Vec<i64> = row.split(',').map(|cell| cell.parse().unwrap()).collect();
            table += &format!("{},{},{},{}\n", cells[0], ROOT + cells[1], ROOT + cells[2], cells[3]);
        }
        for (column, counts) in [("none", parts[1]), ("n_syn", parts[2])] {
            let field = one(&four_cells(), &table, |params| params.count = column.into()).unwrap();
            let expected: Vec<f64> = counts.split(',').map(|count| count.parse().unwrap()).collect();
            assert_eq!(
                field.matrices["connectome"].view().iter().copied().collect::<Vec<_>>(),
                expected,
                "{line}"
            );
        }
        compared += 1;
    }
    assert_eq!(compared, 250);
}

#[test]
fn synapses_that_are_listed_twice_count_once_and_connections_are_not_synapses() {
    let row = |id: i64, pre: i64, post: i64| format!("{id},{},{}\n", ROOT + pre, ROOT + post);
    let head = "id,pre_pt_root_id,post_pt_root_id\n";
    let once = [row(0, 0, 1), row(1, 1, 2), row(2, 2, 0)].concat();
    let field = one(&four_cells(), &format!("{head}{once}{once}"), |_| {}).unwrap();
    assert_eq!(field.matrices["connectome"].view().sum(), 3.0);
    assert!(field.notes.iter().any(|n| n.contains("3 rows skipped")), "{:?}", field.notes);
    let error = one(&four_cells(), &format!("{head}{once}{}", row(1, 0, 2)), |_| {}).unwrap_err();
    assert!(error.message.contains("synapses.csv, line 5: synapse 1 connects"), "{error}");

    let counted = format!("pre_pt_root_id,post_pt_root_id,n_syn\n{ROOT},{},7\n", ROOT + 1);
    let error = one(&four_cells(), &counted, |_| {}).unwrap_err();
    assert!(error.message.contains("column `n_syn`") && error.help.unwrap().contains("count = \"n_syn\""));
    let error = one(&four_cells(), &counted, |p| p.count = "m".into()).unwrap_err();
    assert!(error.message.contains("no column `m`"), "{error}");
    let with = |cell: &str| one(&four_cells(), &counted.replace(",7", cell), |p| p.count = "n_syn".into());
    assert_eq!(with(",3.0").unwrap().matrices["connectome"].view().sum(), 3.0);
    for cell in [",-7", ",3.5"] {
        let error = with(cell).unwrap_err();
        let place = format!("line 2: `{}` in column `n_syn` is not a whole number", &cell[1..]);
        assert!(error.message.contains(&place) && !error.help.unwrap().contains("2^53"), "{}", error.message);
    }
}

#[test]
fn ids_of_another_version_are_remarked_upon() {
    let table = |pairs: &[(i64, i64)]| {
        let row = |(pre, post): &(i64, i64)| format!("{},{}\n", ROOT + pre, ROOT + post);
        "pre_pt_root_id,post_pt_root_id\n".to_owned() + &pairs.iter().map(row).collect::<String>()
    };
    let remarks = |pairs: &[(i64, i64)], joined: bool| {
        let field = one(&four_cells(), &table(pairs), |params| params.joined = joined).unwrap();
        let stale = |note: &&String| note.contains("export both at the same version");
        field.notes.iter().filter(stale).cloned().collect::<Vec<_>>()
    };
    for joined in [false, true] {
        let all = remarks(&[(100, 101), (102, 103)], joined);
        let expected = format!(
            "connectome: 4 of 4 cells (100 %) occur in no row of synapses.csv, such as {ROOT}, and 2 of its 2 rows (100 \
             %) name cells that are not in the table of units, such as {}.",
            ROOT + 100
        );
        assert!(all.len() == 1 && all[0].starts_with(&expected), "{all:?}");
        let some = remarks(&[(100, 101), (0, 1), (2, 102)], joined);
        assert!(
            some[0].contains("1 of 4 cells (25 %)") && some[0].contains("2 of its 3 rows (67 %)"),
            "{some:?}"
        );
        // Rows of a complete volume, and rows between the cells alone.
        assert!(remarks(&[(0, 1), (2, 3), (9, 1), (1, 9), (50, 51)], joined).is_empty());
        assert!(remarks(&[(0, 1)], joined).is_empty());
        // Cells of fields that are not requested are known.
        let two = four_cells()
            + &four_cells()
                .lines()
                .skip(1)
                .map(|line| line.replace(",6,6,2,", ",6,6,4,") + "\n")
                .collect::<String>()
                .replace(&ROOT.to_string(), &(ROOT + 50).to_string());
        let field = one(&two, &table(&[(0, 1), (50, 1)]), |params| {
            (params.joined, params.fields) = (joined, vec!["6_6_2".into()]);
        });
        let notes = field.unwrap().notes;
        assert!(!notes.iter().any(|note| note.contains("materialization")), "{notes:?}");
    }
}

#[test]
fn positions_in_another_unit_are_remarked_upon_whichever_it_is() {
    // Positions of a real field: in voxels of 4×4×40 nm, 0.7, 0.53 and 0.79 mm.
    let voxels = [[175_232.0, 133_248.0, 19_834.0], [180_000.0, 133_300.0, 20_011.0]];
    let table = |per_voxel: [f64; 3]| {
        let head = "pt_root_id,session,scan_idx,field,unit_id,pt_position_x,pt_position_y,pt_position_z\n";
        let row = |(k, [x, y, z]): (i64, [f64; 3])| {
            let [a, b, c] = per_voxel;
            format!("{},6,6,2,{k},{},{},{}\n", ROOT + k, x * a, y * b, z * c)
        };
        head.to_owned() + &(0..).zip(voxels).map(row).collect::<String>()
    };
    let is = [
        (PositionUnit::Voxel, [1.0; 3], "voxels"),
        (PositionUnit::Nm, [4.0, 4.0, 40.0], "nanometres"),
        (PositionUnit::Um, [0.004, 0.004, 0.04], "micrometres"),
    ];
    for (unit, per_voxel, name) in &is {
        for (taken, ..) in &is {
            for joined in [false, true] {
                let read = one(&table(*per_voxel), &synapses(), |params| {
                    (params.unit, params.joined) = (*taken, joined);
                });
                let notes = read.unwrap().notes;
                let note = notes.iter().find(|note| note.starts_with("positions:"));
                let looks = note.is_some_and(|note| {
                    note.split(" instead of ").next().is_some_and(|start| start.contains(name))
                });
                assert_eq!((note.is_some(), looks), (taken != unit, taken != unit), "{name}: {notes:?}");
            }
        }
    }
    let tiny = one(&cells(&[[0, 1, 2], [1, 2, 3]]), &synapses(), |_| {}).unwrap().notes;
    assert!(tiny.iter().any(|note| note.contains("implausible") && note.contains("voxel_nm")), "{tiny:?}");
}

#[test]
fn tables_in_parquet_are_read() {
    let fixture = |name: &str| format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let folder = Folder::new();
    let mut tables = build(&folder, "", "", |params| {
        params.coregistration = fixture("units.parquet");
        params.synapses = fixture("synapses.parquet");
    });
    let field = tables.substrate(0).unwrap();
    assert_eq!(*field.ids["root"], [ROOT, ROOT + 1, ROOT + 2]);
    assert_eq!(
        field.positions.unwrap().values.to_array(),
        array![[1.0, 2.0, 3.0], [5.0, 5.0, 5.0], [7.0, 8.0, 9.0]]
    );
    assert_eq!(
        field.matrices["connectome"].view(),
        array![[0.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    );
    // A damaged file is refused, whatever is damaged.
    let whole = std::fs::read(fixture("units.parquet")).unwrap();
    for at in (4..whole.len()).step_by(11) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        let path = folder.file("units.parquet", &bytes).to_str().unwrap().to_owned();
        if let Err(error) = build(&folder, "", "", |params| params.coregistration = path).substrate(0) {
            assert!(error.help.is_some(), "{error}");
        }
    }
}

#[test]
fn positions_that_look_like_nanometres_are_remarked_upon() {
    let noted = |units: &str, unit: PositionUnit| {
        let field = one(units, &synapses(), |params| params.unit = unit).unwrap();
        field.notes.iter().any(|note| note.contains("look like nanometres"))
    };
    let nm = cells(&[[0, 400, 4000], [1000, 400, 4000], [2000, 400, 4040]]);
    assert!(noted(&nm, PositionUnit::Voxel));
    assert!(!noted(&nm, PositionUnit::Nm));
    assert!(!noted(&four_cells(), PositionUnit::Voxel));
    // Not multiples of the voxels' edges, but beyond the volume.
    assert!(noted(&cells(&[[700_001, 500_003, 800_007], [700_011, 500_013, 800_017]]), PositionUnit::Voxel));
    let field = one(&nm, &synapses(), |params| params.unit = PositionUnit::Nm).unwrap();
    assert_eq!(field.positions.unwrap().micrometres()[[1, 0]], 1.0);
}

#[test]
fn real_positions_in_voxels_are_not_taken_for_nanometres() {
    let Some(volume) = pallium_testing::real_field("volume") else { return };
    let table = std::fs::read_to_string(volume.join("units.csv")).unwrap();
    let folder = Folder::new();
    let mut tables = build(&folder, &table, "", |params| params.synapses.clear());
    let mut names = std::collections::BTreeSet::new();
    for seed in 0..56 {
        let field = tables.substrate(seed).unwrap();
        assert!(!field.notes.iter().any(|note| note.contains("nanometres")), "{:?}", field.notes);
        names.insert(field.name);
    }
    assert_eq!(names.len(), 56);
}

#[test]
fn repeated_units_are_refused_and_repeated_targets_left_out() {
    let head =
        "pt_root_id,session,scan_idx,field,unit_id,target_id,pt_position_x,pt_position_y,pt_position_z\n";
    let units = format!("{head}{ROOT},6,6,2,1,0,1,2,3\n{},6,6,2,2,0,4,5,6\n", ROOT + 1);
    let field = one(&units, &synapses(), |_| {}).unwrap();
    assert!(!field.ids.contains_key("target") && field.ids.contains_key("unit"));
    assert!(field.notes.iter().any(|n| n.contains("target_id is not used")), "{:?}", field.notes);
    let error = one(&units.replace("6,6,2,2,", "6,6,2,1,"), &synapses(), |_| {}).unwrap_err();
    assert!(error.message.contains("line 3: unit 1 of field 6_6_2 is cell"), "{error}");
}

/// Tables with the columns that CAVE documents, as pandas writes them.
#[test]
fn types_areas_and_proofreading_become_properties_of_the_cells() {
    let types = format!(
        "id,valid,target_id,classification_system,cell_type,pt_root_id\n\
         1,t,7,excitatory_neuron,23P,{}\n2,t,8,inhibitory_neuron,BC,{}\n3,t,12,nonneuron,astrocyte,0\n\
         4,t,999,excitatory_neuron,5P-ET,{}\n",
        ROOT + 1,
        ROOT + 2,
        ROOT + 9
    );
    let areas = "id,target_id,tag,value\n1,8,V1,120.5\n2,12,RL,3\n3,99,AL,1\n";
    let proofreading = format!(
        "id,pt_root_id,valid_id,status_dendrite,status_axon,strategy_axon\n1,{0},{0},t,t,axon_fully_extended\n\
         2,{1},{1},True,False,none\n",
        ROOT + 3,
        ROOT + 1
    );
    // The cell that occurs twice has one nucleus.
    let units = |split| units(split).replace(",11\n", ",7\n");
    let folder = Folder::new();
    let table = |name: &str, text: &str| folder.file(name, text.as_bytes()).to_str().unwrap().to_owned();
    let tables = [table("types.csv", &types), table("areas.csv", areas), table("axons.csv", &proofreading)];
    for joined in [false, true] {
        let mut source = build(&folder, &units(true), &synapses(), |params| {
            [params.cell_types, params.areas, params.proofreading] = tables.clone();
            (params.joined, params.fields) = (joined, vec!["6_6_2".into()]);
        });
        let substrate = source.substrate(0).unwrap();
        substrate.check().unwrap();
        let at = |name: &str| -> Vec<i64> {
            let roots = &substrate.ids["root"];
            let of = |root| roots.iter().position(|&known| known == ROOT + root).unwrap();
            [1, 2, 3].map(|root| substrate.ids[name][of(root)]).to_vec()
        };
        assert_eq!(at("inhibitory"), [0, 1, -1]);
        assert_eq!(at("layer"), [23, -1, -1]);
        assert_eq!(at("type"), [0, 1, 2]);
        assert_eq!(at("area"), [-1, 1, 0]);
        assert_eq!(at("axon"), [0, 0, 1]);
        for note in ["type 0 is 23P (1), 1 is BC (1), 2 is astrocyte (1)", "1 excitatory and 1 inhibitory"] {
            assert!(substrate.notes.iter().any(|text| text.contains(note)), "{:?}", substrate.notes);
        }
    }
    let refused = |change: &dyn Fn(&mut Params)| {
        build(&folder, &units(true), &synapses(), |params| change(params)).substrate(1).unwrap_err()
    };
    let others = table("others.csv", "target_id,tag\n1,V1\n");
    let error = refused(&|params| params.areas = others.clone());
    assert!(error.message.contains("others.csv names none of the cells"), "{error}");
    let odd = table("odd.csv", &format!("pt_root_id,status_axon\n{},maybe\n", ROOT + 1));
    let error = refused(&|params| params.proofreading = odd.clone());
    assert!(error.message.contains("line 2: `maybe` in column `status_axon`"), "{error}");
    let error = refused(&|params| params.cell_types = others.clone());
    assert!(error.message.contains("no column `classification_system`"), "{error}");
}
