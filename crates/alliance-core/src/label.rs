//! Names that come from others. A name is a label: it is shown, never looked up.

/// `text` fit for a terminal, a log line and Keystone: control and formatting characters become
/// `�`, blanks at the ends go, at most `max` characters remain (the last is `…` if more were
/// there). Empty names become `(unnamed)`.
pub fn clean(text: &str, max: usize) -> String {
    let cleaned: String = text
        .trim()
        .chars()
        .map(|c| if is_hostile(c) { '\u{fffd}' } else { c })
        .collect();
    if cleaned.is_empty() {
        return "(unnamed)".chars().take(max).collect();
    }
    if cleaned.chars().count() <= max {
        return cleaned;
    }
    let mut short: String = cleaned.chars().take(max.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Whether `text` may be the alias of a partner: it becomes a Keystone domain's name, an identity
/// provider's id and a word on command lines.
pub fn is_alias(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Whether `c` is a control character, or an invisible one that reorders or hides text.
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_and_line_breaks_do_not_survive() {
        assert_eq!(clean("a\u{1b}[31mb\nc", 64), "a\u{fffd}[31mb\u{fffd}c");
        assert_eq!(clean("evil\u{202e}gpj", 64), "evil\u{fffd}gpj");
    }

    #[test]
    fn long_names_are_cut_by_characters_not_bytes() {
        assert_eq!(clean(&"ü".repeat(300), 64).chars().count(), 64);
        assert_eq!(clean("", 64), "(unnamed)");
    }

    #[test]
    fn an_alias_is_a_plain_word() {
        assert!(is_alias("west") && is_alias("eu-1.prod"));
        for wrong in ["", "-x", "a b", "a;b", "ü", "a/b", &"a".repeat(33)] {
            assert!(!is_alias(wrong), "{wrong}");
        }
    }
}
