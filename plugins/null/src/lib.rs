//! Null models of initial weights: other weights, drawn at random, that keep some
//! properties of those of a variant.
//!
//! | component | what it keeps |
//! |---|---|
//! | `null.density` | the number of connections, and mean and standard deviation of the weights |
//! | `null.weight-distribution` | the number of connections, and every weight with its sign |
//! | `null.diagonal` | as before, and the weight from each neuron to itself |
//! | `null.degrees` | the weights, and each neuron's numbers of inputs and outputs |
//! | `null.strengths` | as before, and the sums of each neuron's inputs and outputs, nearly |
//! | `null.lengths` | the weights and degrees, and the distribution of lengths with the weights at each length |
//! | `null.modules` | the weights and connections within and between communities |
//! | `null.eigenvalues` | the eigenvalues |
//! | `null.schur-form` | eigenvalues, singular values and all that does not depend on the neurons' basis |
//!
//! All but the last two change which pairs are connected (see `wiring`); on a matrix
//! whose pairs are all connected they move the weights alone.

mod anneal;
mod degrees;
mod density;
mod diagonal;
mod eigenvalues;
mod lengths;
mod modules;
mod orthogonal;
mod rewire;
mod schur_form;
mod strengths;
mod weight_distribution;
mod wiring;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
