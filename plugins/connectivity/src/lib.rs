//! Graph measures with the names of the Brain Connectivity Toolbox (Rubinov and
//! Sporns 2010), directed and weighted, and null models.
//!
//! | component | measures |
//! |---|---|
//! | `connectivity.assortativity` | `assortativity_bin`, `assortativity_wei`, directed with the ends that are compared |
//! | `connectivity.charpath` | `charpath_lambda`, `_efficiency`, `_radius`, `_diameter` |
//! | `connectivity.clustering-coef` | `clustering_coef_bu`, `_bd`, `_wu`, `_wd` |
//! | `connectivity.connections` | `connections`, their density, degrees, reciprocity, clustering, strong part and mean weight; of any size |
//! | `connectivity.connections-topology` | `topology_modularity`, `_assortativity`, `_rich_club`, `_efficiency`, `_spectral_radius`; of any size |
//! | `connectivity.core-periphery` | `core_periphery_dir` and the core's size |
//! | `connectivity.efficiency` | `efficiency_bin`, `efficiency_wei`, and the local ones |
//! | `connectivity.modularity` | `modularity_und`, `modularity_dir`, and the number of communities |
//! | `connectivity.participation-coef` | `participation_coef` |
//! | `connectivity.rich-club` | `rich_club_bu`, `_bd`, `_wu`, `_wd`, and the level |
//! | `connectivity.null-density-matched`, `.null-degree-preserving`, `.null-lattice` | clustering and efficiency of the random networks, and the network's z-scores |
//!
//! All measure the graph of strong connections that the parameters `kind` and
//! `quantile` define. `organization.*` measures it as published, binary and
//! undirected. The formulas are those of the papers; tests compare values with
//! the toolbox's (`fixtures/toolbox.py`).

mod assortativity;
mod charpath;
mod clustering_coef;
mod connections;
mod connections_topology;
mod core_periphery;
mod efficiency;
mod modularity;
mod null_degree_preserving;
mod null_density_matched;
mod null_lattice;
mod participation_coef;
mod rich_club;

mod ensemble;
mod graph;
mod paths;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
