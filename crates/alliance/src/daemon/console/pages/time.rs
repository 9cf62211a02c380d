//! Times: absolute, and from when the page was made.

use std::time::Duration;

use alliance_core::Seconds;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

/// When a page is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(pub Seconds);

impl Clock {
    /// That time.
    pub(super) fn time(self) -> Markup {
        time(self.0)
    }

    /// A time, and how long ago it is or in how long it will be.
    pub(super) fn at(self, at: Seconds) -> Markup {
        html! { span.when { (time(at)) " " small { (self.relative(at)) } } }
    }

    /// The same, or what `None` means.
    pub(super) fn maybe(self, at: Option<Seconds>, none: &str) -> Markup {
        match at {
            Some(at) => self.at(at),
            None => html! { span.none { (none) } },
        }
    }

    /// How long ago it is, or in how long it will be.
    pub(super) fn relative(self, at: Seconds) -> String {
        let apart = self.0 - at;
        match apart {
            0 => "now".to_owned(),
            1.. => format!("{} ago", span(apart)),
            _ => format!("in {}", span(-apart)),
        }
    }

    /// How long since then.
    pub(super) fn since(self, at: Seconds) -> String {
        span((self.0 - at).max(0))
    }
}

fn time(at: Seconds) -> Markup {
    let Ok(stamp) = Timestamp::from_second(at) else {
        return html! { (at) " s" };
    };
    let zoned = stamp.to_zoned(TimeZone::UTC);
    html! { time datetime=(stamp) { (zoned.strftime("%Y-%m-%d %H:%M:%S")) " UTC" } }
}

/// In its largest fitting unit.
fn span(seconds: Seconds) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How long something took.
pub(super) fn took(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1000.0;
    match milliseconds {
        ..10.0 => format!("{milliseconds:.1} ms"),
        10.0..1000.0 => format!("{milliseconds:.0} ms"),
        1000.0..120_000.0 => format!("{:.1} s", time.as_secs_f64()),
        _ => format!("{} min", time.as_secs() / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_and_the_future_are_told_apart() {
        let clock = Clock(1_000_000);
        assert_eq!(clock.relative(1_000_000), "now");
        assert_eq!(clock.relative(999_990), "10 s ago");
        assert_eq!(clock.relative(1_000_180), "in 3 min");
        assert_eq!(clock.relative(0), "11 d ago");
        let shown = clock.at(999_000).into_string();
        assert!(
            shown.contains(r#"datetime="1970-01-12T13:30:00Z""#),
            "{shown}"
        );
        assert!(shown.contains("16 min ago"), "{shown}");
    }

    #[test]
    fn what_took_long_is_not_told_in_milliseconds() {
        let said = [1_500, 42_000, 1_500_000, 200_000_000].map(Duration::from_micros);
        assert_eq!(said.map(took), ["1.5 ms", "42 ms", "1.5 s", "3 min"]);
    }
}
