//! Points in time on the command line and on the screen.

use alliance_core::Seconds;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp, ToSpan};

/// What `--till` and `--trust-till` take, for their help.
pub(crate) const FORMS: &str = "A date (through the end of that day, UTC), an RFC 3339 time, or a duration from now as 12h or 30d";

/// Why a text is no point in the future.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTime {
    /// None of the forms.
    #[error("expected a date as 2027-01-31, a time as 2027-01-31T12:00:00Z, or a duration as 30d")]
    Form,
    /// Over already.
    #[error("{0} has passed; expected a time in the future")]
    Past(Timestamp),
}

/// Parses a `--till` against the clock.
///
/// # Errors
/// See [`BadTime`].
pub(crate) fn till(text: &str) -> Result<Seconds, BadTime> {
    till_at(text, Timestamp::now())
}

/// A date ends with its day in UTC: agreements and trust end *at* their `till`, so that
/// 2027-01-31 means 2027-02-01T00:00:00Z.
fn till_at(text: &str, now: Timestamp) -> Result<Seconds, BadTime> {
    let utc = |date: Date| date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
    let time = if let Ok(time) = text.parse::<Timestamp>() {
        time
    } else if let Some(date) = date(text) {
        date.checked_add(1.day())
            .and_then(utc)
            .map_err(|_| BadTime::Form)?
    } else {
        let span: Span = text.parse().map_err(|_| BadTime::Form)?;
        now.to_zoned(TimeZone::UTC)
            .checked_add(span)
            .map_err(|_| BadTime::Form)?
            .timestamp()
    };
    if time <= now {
        return Err(BadTime::Past(time));
    }
    Ok(time.as_second())
}

/// Parses a `--from`: a date begins with its day in UTC.
///
/// # Errors
/// [`BadTime::Form`].
pub(crate) fn from(text: &str) -> Result<Seconds, BadTime> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_second());
    }
    let date = date(text).ok_or(BadTime::Form)?;
    let zoned = date.to_zoned(TimeZone::UTC).map_err(|_| BadTime::Form)?;
    Ok(zoned.timestamp().as_second())
}

/// Parses a `--since`: as [`from`], or a duration before now.
///
/// # Errors
/// [`BadTime::Form`].
pub(crate) fn since(text: &str) -> Result<Seconds, BadTime> {
    from(text).or_else(|_| Ok(now() - duration(text)?))
}

/// Parses a duration as 12h or 7d, in seconds.
///
/// # Errors
/// [`BadTime::Form`].
pub(crate) fn duration(text: &str) -> Result<Seconds, BadTime> {
    let span: Span = text.parse().map_err(|_| BadTime::Form)?;
    let relative = SpanRelativeTo::days_are_24_hours();
    let long = span.to_duration(relative).map_err(|_| BadTime::Form)?;
    Ok(long.as_secs())
}

/// A date alone: jiff would also take one out of a longer text.
fn date(text: &str) -> Option<Date> {
    (text.len() == "2027-01-31".len()).then(|| text.parse().ok())?
}

/// Seconds since 1970, UTC.
pub(crate) fn now() -> Seconds {
    Timestamp::now().as_second()
}

/// RFC 3339, UTC.
pub(crate) fn rfc3339(time: Seconds) -> String {
    Timestamp::from_second(time).map_or_else(|_| format!("{time} s"), |time| time.to_string())
}

/// RFC 3339, or `never`.
pub(crate) fn rfc3339_or(time: Option<Seconds>, never: &str) -> String {
    time.map_or_else(|| never.to_owned(), rfc3339)
}

/// How long ago `time` was: `12 s ago`, `3 min ago`, `5 h ago`, `9 d ago`.
pub(crate) fn ago(time: Option<Seconds>) -> String {
    time.map_or_else(
        || "never".to_owned(),
        |time| format!("{} ago", span(now() - time)),
    )
}

/// A duration for people, in its largest fitting unit.
pub(crate) fn span(seconds: Seconds) -> String {
    match seconds.max(0) {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min", s / 60),
        s @ 7_200..172_800 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Result<String, BadTime> {
        let now = Timestamp::constant(1_795_564_800, 0); // 2026-11-25T00:00:00Z
        till_at(text, now).map(rfc3339)
    }

    #[test]
    fn a_date_lasts_to_the_end_of_its_day() {
        assert_eq!(at("2027-01-31").as_deref(), Ok("2027-02-01T00:00:00Z"));
        assert_eq!(at("2026-11-25").as_deref(), Ok("2026-11-26T00:00:00Z"));
    }

    #[test]
    fn times_and_durations_are_taken() {
        assert_eq!(
            at("2027-01-31T12:00:00+02:00").as_deref(),
            Ok("2027-01-31T10:00:00Z")
        );
        assert_eq!(at("30d").as_deref(), Ok("2026-12-25T00:00:00Z"));
        assert_eq!(at("1h 30m").as_deref(), Ok("2026-11-25T01:30:00Z"));
    }

    #[test]
    fn the_past_is_refused() {
        for past in ["2026-11-24", "2026-11-25T00:00:00Z", "-1d", "1d ago"] {
            assert!(
                matches!(at(past), Err(BadTime::Past(_))),
                "{past}: {:?}",
                at(past)
            );
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in [
            "",
            "tomorrow",
            "31.01.2027",
            "2027-02-30",
            "30",
            "2027-01-31T12:00",
        ] {
            assert_eq!(at(wrong), Err(BadTime::Form), "{wrong}");
        }
    }
}
