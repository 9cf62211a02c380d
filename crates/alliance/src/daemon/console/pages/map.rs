//! The map: this cloud, its partners around it, and how the way to each is. States differ by the line's
//! dashes, by a shape and by a word, not by colour alone.

use maud::{Markup, html};

use super::Mood;

/// A partner on it.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub name: String,
    pub mood: Mood,
    /// How it is, in a few words.
    pub state: String,
    /// What passes.
    pub traffic: String,
    /// Whether its users come here.
    pub comes: bool,
    /// Whether ours go there.
    pub goes: bool,
    /// How much passes in a minute.
    pub weight: u64,
}

/// No more are drawn.
pub(super) const MOST: usize = 12;

const CARD: (i32, i32) = (216, 56);
const ROW: i32 = 72;

/// One way of drawing it.
struct Sheet {
    class: &'static str,
    width: i32,
    /// The middle of the own card, across, and half of its width.
    own: (i32, i32),
    /// Left edges of the columns of cards.
    columns: &'static [i32],
}

const WIDE: Sheet = Sheet {
    class: "map wide",
    width: 860,
    own: (430, 80),
    columns: &[2, 642],
};
const NARROW: Sheet = Sheet {
    class: "map slim",
    width: 358,
    own: (44, 42),
    columns: &[140],
};

/// Both drawings; the style sheet shows the one that fits.
pub(super) fn map(cloud: &str, nodes: &[Node]) -> Markup {
    html! {
        (draw(&WIDE, cloud, nodes))
        (draw(&NARROW, cloud, nodes))
    }
}

fn draw(sheet: &Sheet, cloud: &str, nodes: &[Node]) -> Markup {
    let columns = sheet.columns.len();
    let rows = i32::try_from(nodes.len().div_ceil(columns))
        .unwrap_or_default()
        .max(1);
    let height = rows * ROW;
    let middle = height / 2;
    let (x, half) = sheet.own;
    html! {
        svg class=(sheet.class) viewBox=(format!("0 0 {} {height}", sheet.width)) role="group"
            aria-label="Map: this cloud and its partners" {
            @for (number, node) in nodes.iter().enumerate() {
                (spot(sheet, number, nodes.len(), middle, node))
            }
            g.own {
                rect x=(x - half) y=(middle - 28) width=(2 * half) height="56" rx="6" {}
                text x=(x) y=(middle + 5) text-anchor="middle" { (short(cloud, if half < 60 { 9 } else { 18 })) }
            }
        }
    }
}

fn spot(sheet: &Sheet, number: usize, all: usize, middle: i32, node: &Node) -> Markup {
    let columns = sheet.columns.len();
    let (column, row) = (number % columns, number / columns);
    let left = sheet.columns.get(column).copied().unwrap_or_default();
    // A column with fewer rows is centred.
    let in_column = (all + columns - 1 - column) / columns;
    let rows = i32::try_from(in_column).unwrap_or_default();
    let row = i32::try_from(row).unwrap_or_default();
    let y = middle - rows * ROW / 2 + row * ROW + ROW / 2;
    let (width, tall) = CARD;
    let (own, half) = sheet.own;
    let is_left = left + width < own;
    let (from, to) = match is_left {
        true => (own - half, left + width),
        false => (own + half, left),
    };
    let bend = (from + to) / 2;
    let line = format!("M{from} {middle} C{bend} {middle} {bend} {y} {to} {y}");
    let thick = 2 + node.weight.checked_ilog10().map_or(0, |log| log.min(3) + 1);
    // An arrow's head, at one end of the line.
    let head = |tip: i32, y: i32, to_right: bool| {
        let back = if to_right { tip - 8 } else { tip + 8 };
        format!("M{tip} {y}L{back} {} L{back} {}z", y - 5, y + 5)
    };
    let label = format!("{}: {}, {}", node.name, node.state, node.traffic);
    let top = y - tall / 2;
    html! {
        g.spot data-mood=(node.mood.as_str()) {
            path.way d=(line) stroke-width=(thick) {}
            @if node.comes {
                path.head d=(head(from, middle, is_left)) {}
            }
            @if node.goes {
                path.head d=(head(to, y, !is_left)) {}
            }
            a href=(format!("/partners/{}", node.name)) aria-label=(label) {
                rect x=(left) y=(top) width=(width) height=(tall) rx="6" {}
                (shape(node.mood, left + 16, y - 10))
                text.name x=(left + 30) y=(y - 5) { (short(&node.name, 20)) }
                text.small x=(left + 30) y=(y + 9) { (short(&node.state, 30)) }
                text.small x=(left + 30) y=(y + 22) { (short(&node.traffic, 30)) }
            }
        }
    }
}

/// A shape for each mood.
fn shape(mood: Mood, x: i32, y: i32) -> Markup {
    let path = match mood {
        Mood::Good => format!("M{} {y}a6 6 0 1 0 12 0a6 6 0 1 0 -12 0z", x - 6),
        Mood::Busy => format!("M{x} {}L{} {} L{} {}z", y - 7, x + 7, y + 6, x - 7, y + 6),
        Mood::Off => format!(
            "M{} {}h4v12h-4z M{} {}h4v12h-4z",
            x - 6,
            y - 6,
            x + 2,
            y - 6
        ),
        Mood::Bad => format!("M{} {}l12 12 M{} {}l-12 12", x - 6, y - 6, x + 6, y - 6),
    };
    html! { path.shape d=(path) {} }
}

fn short(text: &str, most: usize) -> String {
    alliance_core::label::clean(text, most)
}

/// A small chart of what passed, the oldest first.
pub(super) fn sparkline(steps: &[u64], label: &str) -> Markup {
    let most = u128::from(steps.iter().copied().max().unwrap_or_default().max(1));
    let bars = steps.iter().rev().take(40).enumerate();
    html! {
        svg.spark viewBox="0 0 120 20" role="img" aria-label=(label) {
            path.base d="M0 19.5h120" {}
            @for (back, step) in bars {
                @let tall = (u128::from(*step) * 18).div_ceil(most);
                @if tall > 0 {
                    rect x=(117_usize.saturating_sub(back * 3)) y=(19 - tall) width="2" height=(tall) {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Node {
        Node {
            name: name.to_owned(),
            mood: Mood::Bad,
            state: "silent".to_owned(),
            traffic: "0 a minute".to_owned(),
            comes: true,
            goes: false,
            weight: 0,
        }
    }

    #[test]
    fn every_partner_is_on_the_map_with_words_for_what_is_drawn() {
        let nodes: Vec<_> = (0..MOST)
            .map(|number| node(&format!("p{number}")))
            .collect();
        let drawn = map("west", &nodes).into_string();
        for number in 0..MOST {
            let label = format!(r#"aria-label="p{number}: silent, 0 a minute""#);
            assert_eq!(drawn.matches(&label).count(), 2, "{label}");
        }
        assert_eq!(drawn.matches("data-mood=\"bad\"").count(), 2 * MOST);
        assert!(map("west", &[]).into_string().contains("west"));
    }

    #[test]
    fn a_chart_fits_its_box() {
        let drawn = sparkline(&[u64::MAX, 0, 3], "traffic").into_string();
        assert_eq!(drawn.matches("<rect").count(), 2);
        assert!(drawn.contains(r#"height="18""#), "{drawn}");
    }
}
