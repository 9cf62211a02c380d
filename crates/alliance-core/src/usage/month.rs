//! Calendar months of UTC: what is billed at once.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Millis;

/// A month of UTC, whatever the clocks of either operator's country do in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    first: Date,
    from: Millis,
    to: Millis,
}

/// What should be a month and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no month: expected YYYY-MM, as 2026-11")]
pub struct NotAMonth(String);

impl Month {
    /// When it begins.
    pub fn from(&self) -> Millis {
        self.from
    }

    /// When the next one begins.
    pub fn to(&self) -> Millis {
        self.to
    }
}

impl FromStr for Month {
    type Err = NotAMonth;

    fn from_str(text: &str) -> Result<Self, NotAMonth> {
        let wrong = || NotAMonth(text.chars().take(20).collect());
        let (year, month) = text.split_once('-').ok_or_else(wrong)?;
        if year.len() != 4 || month.len() != 2 || !text.is_ascii() {
            return Err(wrong());
        }
        let (year, month) = (year.parse(), month.parse());
        let (Ok(year), Ok(month)) = (year, month) else {
            return Err(wrong());
        };
        let first = Date::new(year, month, 1).map_err(|_| wrong())?;
        let next = first.last_of_month().tomorrow().map_err(|_| wrong())?;
        let starts = |day: Date| {
            let start = day.to_zoned(TimeZone::UTC).map_err(|_| wrong())?;
            Ok(start.timestamp().as_millisecond())
        };
        Ok(Self {
            first,
            from: starts(first)?,
            to: starts(next)?,
        })
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Millis = 86_400_000;

    fn days(month: &str) -> Result<Millis, NotAMonth> {
        let month: Month = month.parse()?;
        Ok((month.to() - month.from()) / DAY)
    }

    #[test]
    fn a_leap_day_is_billed() -> Result<(), NotAMonth> {
        assert_eq!(days("2028-02")?, 29);
        assert_eq!(days("2027-02")?, 28);
        assert_eq!(days("2100-02")?, 28);
        Ok(())
    }

    #[test]
    fn a_month_with_a_clock_change_is_as_long_as_its_days() -> Result<(), NotAMonth> {
        for month in ["2026-03", "2026-10"] {
            assert_eq!(days(month)?, 31);
            let month: Month = month.parse()?;
            assert_eq!(month.from() % DAY, 0);
        }
        Ok(())
    }

    #[test]
    fn months_touch() -> Result<(), NotAMonth> {
        let (december, january): (Month, Month) = ("2026-12".parse()?, "2027-01".parse()?);
        assert_eq!(december.to(), january.from());
        assert_eq!(december.to_string(), "2026-12");
        Ok(())
    }

    #[test]
    fn other_spellings_are_refused() {
        for wrong in [
            "",
            "2026",
            "2026-13",
            "2026-00",
            "2026-1",
            "26-11",
            "2026-11-01",
            "-026-11",
        ] {
            assert!(wrong.parse::<Month>().is_err(), "{wrong}");
        }
    }
}
