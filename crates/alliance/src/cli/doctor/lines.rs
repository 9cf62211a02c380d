//! Lines that oslo.config does not take: who reads a file with one does not start.

/// What a line is. As `oslo_config.iniparser` reads it, of a text in which it refuses none.
pub(super) enum Line<'a> {
    /// Empty, or a comment.
    Nothing,
    Section(&'a str),
    /// Its name and its value.
    Option(&'a str, &'a str),
    /// What goes on with the option before.
    Further(&'a str),
}

impl<'a> Line<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        let line = line.trim_end();
        if line.starts_with([' ', '\t']) {
            return Self::Further(line.trim_start());
        }
        if let Some(rest) = line.strip_prefix('[') {
            return Self::Section(rest.strip_suffix(']').unwrap_or(rest));
        }
        match line.split_once(['=', ':']) {
            Some((name, value)) if !line.starts_with(['#', ';']) => {
                Self::Option(name.trim(), value.trim())
            }
            _ => Self::Nothing,
        }
    }
}

/// What is wrong with the first line that is refused, if one is. As `oslo_config.iniparser` reads them, and
/// without what stands there: it may be a password.
pub(super) fn fault(text: &str) -> Option<String> {
    let mut place = Place::default();
    let mut lines = (1..).zip(text.lines());
    lines.find_map(|(number, line)| {
        let wrong = place.wrong(line.trim_end())?;
        Some(format!(
            "line {number} {wrong}: oslo.config refuses the file, and what reads it does not start; mend the line, or begin it with #"
        ))
    })
}

/// Where in the file it is read.
#[derive(Default)]
struct Place {
    is_in_section: bool,
    /// Whether an indented line goes on with the one before.
    is_in_value: bool,
}

impl Place {
    /// What is wrong with the next line.
    fn wrong(&mut self, line: &str) -> Option<&'static str> {
        if line.starts_with([' ', '\t']) {
            let wrong = "is indented, and goes on with no option";
            return (!self.is_in_value).then_some(wrong);
        }
        self.is_in_value = false;
        if line.is_empty() || line.starts_with(['#', ';']) {
            return None;
        }
        if line.starts_with('[') {
            self.is_in_section = true;
            return wrong_section(line);
        }
        self.is_in_value = true;
        match line.split_once(['=', ':']) {
            None => Some("has neither = nor :"),
            Some((name, _)) if name.trim().is_empty() => Some("has no option before its ="),
            Some(_) if !self.is_in_section => Some("is in no [section]"),
            Some(_) => None,
        }
    }
}

fn wrong_section(line: &str) -> Option<&'static str> {
    match line {
        "[]" => Some("has no name between [ and ]"),
        _ if line.ends_with(']') => None,
        _ => Some("begins with [ and does not end with ]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_of_lines_that_are_taken() {
        for fine in [
            "",
            "# no more than that\n",
            "[DEFAULT]\n\n[a b]  \n; nothing\nkey =\nother: 1\n",
            "[a]\nlist = one,\n  two\n\tthree = 3\n  # four\n\n\nnext = '\n",
            "[a]\r\nkey = value\r\n",
        ] {
            assert_eq!(fault(fine), None, "{fine}");
        }
    }

    #[test]
    fn a_line_that_is_refused_is_named_by_its_number() {
        for (wrong, said) in [
            ("[a]\nkey = 1\nsecret\n", "line 3 has neither = nor :"),
            ("[a] # of a\n", "line 1 begins with [ and does not end"),
            ("[]\n", "line 1 has no name"),
            ("\nkey = 1\n[a]\n", "line 2 is in no [section]"),
            ("[a]\n= 1\n", "line 2 has no option before"),
            ("[a]\n  key = 1\n", "line 2 is indented"),
            ("[a]\nkey = 1\n\n  2\n", "line 4 is indented"),
            ("[a]\nkey = 1,\n# or\n  2\n", "line 4 is indented"),
        ] {
            let found = fault(wrong).unwrap_or_default();
            assert!(found.starts_with(said), "{wrong}: {found}");
            assert!(!found.contains("secret"), "{found}");
        }
    }
}
