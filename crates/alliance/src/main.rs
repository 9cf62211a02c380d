//! The daemon and its command line.

mod config;
mod wire;

fn main() {}
