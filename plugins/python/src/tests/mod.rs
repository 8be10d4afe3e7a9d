//! Tests with the files of `fixtures/`.

mod components;
mod tasks;
