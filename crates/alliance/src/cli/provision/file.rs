//! A plan's file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::cli::Failure;

/// Longest file that is read, in bytes.
const MAX_LEN: u64 = 256 << 10;

/// The template in a file, as JSON. YAML's anchors may be used, within reason: what they unfold to is
/// bounded by the parser.
///
/// # Errors
/// Where it is no YAML, with the line.
pub(super) fn read(path: &Path) -> Result<Value, Failure> {
    let shown = path.display();
    let reading = || format!("reading {shown}");
    let mut text = String::new();
    let file = File::open(path).with_context(reading)?;
    file.take(MAX_LEN + 1)
        .read_to_string(&mut text)
        .with_context(reading)?;
    if text.len() as u64 > MAX_LEN {
        return Err(Failure::refused(format!(
            "{shown} is longer than {MAX_LEN} bytes: no plan is"
        )));
    }
    parse(&text).map_err(|why| Failure::refused(format!("{shown} is no YAML: {why}")))
}

fn parse(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

/// `KEY=VALUE`
pub(super) fn parameter(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_is_read_as_heat_reads_it() {
        let text = "\
heat_template_version: 2021-04-16
resources:
  net: {type: 'OS::Neutron::Net'}
  disk:
    type: OS::Cinder::Volume
    properties:
      size: {get_param: size}
      metadata: {answer: \"yes\"}
";
        assert_eq!(
            parse(text),
            Ok(json!({
                "heat_template_version": "2021-04-16",
                "resources": {
                    "net": {"type": "OS::Neutron::Net"},
                    "disk": {
                        "type": "OS::Cinder::Volume",
                        "properties": {"size": {"get_param": "size"}, "metadata": {"answer": "yes"}},
                    },
                },
            }))
        );
        assert_eq!(
            parse(r#"{"a": [1, true, null]}"#),
            Ok(json!({"a": [1, true, null]}))
        );
    }

    #[test]
    fn what_is_no_yaml_is_refused_with_its_place() {
        for (text, part) in [
            ("a: [1", "line"),
            ("a: 1\na: 2", "duplicate"),
            ("a: {b", ""),
        ] {
            let why = parse(text).err().unwrap_or_default();
            assert!(!why.is_empty() && why.contains(part), "{text:?}: {why}");
        }
    }

    #[test]
    fn aliases_that_unfold_without_end_are_refused() {
        let mut text = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (last, next) in ["a", "b", "c", "d", "e", "f", "g", "h"]
            .iter()
            .zip("bcdefghi".chars())
        {
            let many = vec![format!("*{last}"); 10].join(",");
            text.push_str(&format!("{next}: &{next} [{many}]\n"));
        }
        assert!(parse(&text).is_err());
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
