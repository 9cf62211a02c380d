//! Tables: a heading and rows for listings, labels and values for one thing.

use alliance_core::label::clean;
use comfy_table::{ContentArrangement, Table};

/// The longest text in a cell of a listing.
const MAX_CELL: usize = 64;
/// The longest value of one thing.
const MAX_VALUE: usize = 400;

/// A listing. Cells are cleaned: they may hold what a partner wrote.
pub(crate) fn listing<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = bare();
    table.set_header(headings);
    for row in rows {
        table.add_row(row.map(|cell| cell_text(&cell, MAX_CELL)));
    }
    trimmed(&table)
}

/// One thing, a line for each of its properties.
pub(crate) fn card<'l>(properties: impl IntoIterator<Item = (&'l str, String)>) -> String {
    let mut table = bare();
    for (label, value) in properties {
        table.add_row([format!("  {label}"), cell_text(&value, MAX_VALUE)]);
    }
    trimmed(&table)
}

fn bare() -> Table {
    let mut table = Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn cell_text(text: &str, max: usize) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        clean(text, max)
    }
}

/// Without the padding that the table leaves around each line.
fn trimmed(table: &Table) -> String {
    let lines = table.lines().map(|line| {
        let line = line.trim_end();
        line.strip_prefix(' ').unwrap_or(line).to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}
