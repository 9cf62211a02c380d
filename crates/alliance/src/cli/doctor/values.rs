//! Values that oslo.config does not take.

use alliance_core::label::clean;

use super::conf::{Conf, whole};
use super::{Fault, State};

/// What an option may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Flag,
    /// The least and the greatest.
    Whole(f64, f64),
    Number(f64, f64),
}

/// An option, what it may be, and what becomes of who reads anything else.
pub(super) struct Rule {
    section: &'static str,
    option: &'static str,
    kind: Kind,
    breaks: &'static str,
}

const STARTS: &str = "Keystone does not start with it";
const ANSWERS: &str = "Keystone answers with errors";
const SERVICE: &str = "the service does not start with it";
/// There is no greatest one.
const ANY: f64 = f64::INFINITY;

/// Options of Keystone and of its plugin that are looked at.
pub(super) const OF_KEYSTONE: [Rule; 11] = [
    rule("alliance", "tag_tokens", Kind::Flag, STARTS),
    rule("alliance", "accept_untagged", Kind::Flag, STARTS),
    rule("alliance", "worker_threads", Kind::Whole(1.0, ANY), STARTS),
    rule("alliance", "deadline", Kind::Number(0.1, 30.0), STARTS),
    rule("alliance", "max_staleness", Kind::Whole(0.0, ANY), STARTS),
    rule("alliance", "clock_skew", Kind::Whole(0.0, 600.0), STARTS),
    rule("alliance", "grant_admin_roles", Kind::Flag, STARTS),
    rule("cache", "enabled", Kind::Flag, STARTS),
    rule("token", "cache_time", Kind::Whole(0.0, ANY), STARTS),
    rule("token", "caching", Kind::Flag, ANSWERS),
    rule("revoke", "caching", Kind::Flag, ANSWERS),
];
/// And of services.
pub(super) const OF_SERVICES: [Rule; 1] = [rule(
    "keystone_authtoken",
    "token_cache_time",
    Kind::Whole(-ANY, ANY),
    SERVICE,
)];
/// What a flag may be.
const WORDS: [&str; 8] = ["true", "1", "on", "yes", "false", "0", "off", "no"];

impl Rule {
    /// Its section and its name.
    pub(super) fn names(&self) -> (&'static str, &'static str) {
        (self.section, self.option)
    }
}

const fn rule(
    section: &'static str,
    option: &'static str,
    kind: Kind,
    breaks: &'static str,
) -> Rule {
    Rule {
        section,
        option,
        kind,
        breaks,
    }
}

/// What to say of each value that is not what its option may be. One that refers to another (`$name`) is
/// not followed, and of one that is empty nothing is said.
pub(super) fn refused(conf: &Conf, rules: &[Rule]) -> Vec<Fault> {
    let fault = |rule: &Rule| {
        let (section, option, breaks) = (rule.section, rule.option, rule.breaks);
        let value = conf.text(section, option)?;
        let (wrong, right) = wrong(rule.kind, &value)?;
        let value = clean(&value, 64);
        let detail =
            format!("[{section}] {option} = {value} is {wrong}: {breaks}; set it to {right}");
        Some((State::Fail, detail))
    };
    rules.iter().filter_map(fault).collect()
}

/// What it is in place of what it may be, and what that is; nothing if it may be so.
fn wrong(kind: Kind, value: &str) -> Option<(String, String)> {
    if value.contains('$') {
        return None;
    }
    let (number, min, max) = match kind {
        Kind::Flag if WORDS.contains(&value.to_lowercase().as_str()) => return None,
        Kind::Flag => return Some(("neither true nor false".into(), "true or false".into())),
        Kind::Whole(min, max) => (
            whole(value).and_then(|all| all.parse::<f64>().ok()),
            min,
            max,
        ),
        Kind::Number(min, max) => (value.parse().ok(), min, max),
    };
    match number {
        None => Some(("no number".into(), "digits alone, without a unit".into())),
        Some(number) if number < min => Some((format!("below {min}"), format!("{min} or more"))),
        Some(number) if number > max => Some((format!("above {max}"), format!("{max} or less"))),
        Some(_) => None,
    }
}

/// What to say of each of these options that has a comment behind its value.
pub(super) fn commented<'a>(
    conf: &Conf,
    options: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<Fault> {
    let fault = |(section, option)| {
        let sign = conf.comment(section, option)?;
        let detail = format!(
            "[{section}] {option}: what stands behind {sign} is part of the value, which is not what was meant then; put the comment on a line of its own"
        );
        Some((State::Fail, detail))
    };
    options.into_iter().filter_map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(section: &str, options: &str, rules: &[Rule]) -> Result<Vec<Fault>, String> {
        let mut conf = Conf::empty();
        conf.add(&format!("[{section}]\n{options}\n"))?;
        Ok(refused(&conf, rules))
    }

    #[test]
    fn nothing_is_said_of_values_that_are_taken() -> Result<(), Box<dyn std::error::Error>> {
        let fine = "tag_tokens = Yes\nworker_threads = 1\ndeadline = .5\nmax_staleness = 1_000\nclock_skew = '600'\naccept_untagged = $other\n";
        assert_eq!(found("alliance", fine, &OF_KEYSTONE)?, []);
        assert_eq!(found("token", "cache_time =", &OF_KEYSTONE)?, []);
        assert_eq!(found("token", "caching = OFF", &OF_KEYSTONE)?, []);
        let off = "token_cache_time = -1";
        assert_eq!(found("keystone_authtoken", off, &OF_SERVICES)?, []);
        Ok(())
    }

    #[test]
    fn each_value_that_is_refused_is_named() -> Result<(), Box<dyn std::error::Error>> {
        for (section, option, said) in [
            ("token", "cache_time = 60s", "is no number"),
            ("token", "cache_time = 60.0", "is no number"),
            ("token", "cache_time = 6__0", "is no number"),
            ("token", "cache_time = -1", "below 0"),
            ("token", "caching = maybe", "set it to true or false"),
            ("alliance", "max_staleness = 1m", "is no number"),
            ("alliance", "clock_skew = 3600", "set it to 600 or less"),
            ("alliance", "worker_threads = 0", "set it to 1 or more"),
            ("alliance", "deadline = 0.05", "below 0.1"),
            ("alliance", "deadline = 2s", "Keystone does not start"),
            ("alliance", "tag_tokens = ja", "neither true nor false"),
        ] {
            let found = found(section, option, &OF_KEYSTONE)?;
            assert!(
                matches!(&found[..], [(State::Fail, text)] if text.contains(option) && text.contains(said)),
                "{option}: {found:?}"
            );
        }
        Ok(())
    }

    #[test]
    fn a_comment_behind_a_value_is_named_with_its_option() -> Result<(), Box<dyn std::error::Error>>
    {
        let mut conf = Conf::empty();
        conf.add("[token]\ncache_time = 30 ; seconds\n# or\ncaching = true\n")?;
        let options = OF_KEYSTONE.iter().map(Rule::names);
        let found = commented(&conf, options);
        assert!(
            matches!(&found[..], [(State::Fail, text)]
                if text.starts_with("[token] cache_time: what stands behind ; is part")
                    && text.contains("on a line of its own")),
            "{found:?}"
        );
        assert_eq!(refused(&conf, &OF_KEYSTONE), [], "30 is right");
        Ok(())
    }

    #[test]
    fn the_plugins_numbers_are_bounded_as_here() {
        let source = include_str!("../../../../../keystone-plugin/keystone_alliance/options.py");
        let mut checked = 0;
        for rule in OF_KEYSTONE.iter().filter(|rule| rule.section == "alliance") {
            let (Kind::Whole(min, max) | Kind::Number(min, max)) = rule.kind else {
                continue;
            };
            let named = format!("        '{}',\n", rule.option);
            let after = source.split_once(&named).map(|(_, after)| after);
            let body = after
                .and_then(|after| after.split_once("help="))
                .unwrap_or_default()
                .0;
            let bound = |name: &str| {
                let line = body.lines().find_map(|line| line.trim().strip_prefix(name));
                line.and_then(|value| value.trim_end_matches(',').parse::<f64>().ok())
            };
            assert_eq!(bound("min="), Some(min), "{}", rule.option);
            assert_eq!(bound("max=").unwrap_or(ANY), max, "{}", rule.option);
            checked += 1;
        }
        assert_eq!(checked, 4);
    }
}
