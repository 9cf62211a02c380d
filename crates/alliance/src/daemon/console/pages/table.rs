//! Tables that become lists on a phone: each cell knows its heading. Their roles are said, since a browser
//! forgets them when a table is laid out otherwise.

use maud::{Markup, html};

/// A table.
pub(super) struct Table<'a> {
    /// What it is about, for those who do not see where it stands.
    pub caption: &'a str,
    /// The headings; the first names the row.
    pub heads: &'a [&'a str],
    /// The cells.
    pub rows: Vec<Vec<Markup>>,
    /// What is said where there are none.
    pub none: &'a str,
}

impl Table<'_> {
    pub(super) fn render(&self) -> Markup {
        if self.rows.is_empty() {
            return html! { p.none { (self.none) } };
        }
        html! {
            table role="table" {
                caption.unseen { (self.caption) }
                thead role="rowgroup" {
                    tr role="row" {
                        @for head in self.heads {
                            th role="columnheader" scope="col" { (head) }
                        }
                    }
                }
                tbody role="rowgroup" {
                    @for row in &self.rows {
                        tr role="row" {
                            @for (number, (cell, head)) in row.iter().zip(self.heads).enumerate() {
                                @if number == 0 {
                                    th role="rowheader" scope="row" data-head=(head) { div { (cell) } }
                                } @else {
                                    td role="cell" data-head=(head) { div { (cell) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
