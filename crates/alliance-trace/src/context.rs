//! What travels with a request: W3C Trace Context, level 2.

use std::fmt;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// How long a `traceparent` of version 00 is, in bytes.
const PARENT_LEN: usize = 55;
/// The longest `tracestate` that is handed on, in bytes, and how many members it may have (§3.3.1).
const MAX_STATE_LEN: usize = 512;
const MAX_STATE_MEMBERS: usize = 32;
const MAX_STATE_PART: usize = 256;

const SAMPLED: u8 = 1;
const RANDOM: u8 = 2;

/// Which trace: 16 bytes, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// Which span of it: 8 bytes, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// Which trace a request belongs to, and which span it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace: TraceId,
    /// The span from which the request came.
    pub span: SpanId,
    /// Whether that one is kept.
    pub sampled: bool,
    /// Whether who made the trace's id says that its last 7 bytes are random.
    random: bool,
    state: Option<Arc<str>>,
}

impl TraceId {
    /// The trace of a request to which nobody gave one: who knows the request's id finds it, in both
    /// clouds. `None` for the UUID that is all zero.
    pub fn of_request(id: Uuid) -> Option<Self> {
        Self::new(id.into_bytes())
    }

    fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The last 7 bytes, by which every cloud decides alike. The 8 that many libraries look at begin
    /// with a UUID's variant, two bits that are the same in every request's id.
    pub(crate) fn randomness(self) -> u64 {
        let [.., a, b, c, d, e, f, g] = self.0;
        u64::from_be_bytes([0, a, b, c, d, e, f, g])
    }
}

impl SpanId {
    /// A new one.
    pub(crate) fn random() -> Self {
        loop {
            let bytes = rand::random::<[u8; 8]>();
            if let Some(id) = Self::new(bytes) {
                return id;
            }
        }
    }

    fn new(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl Context {
    /// That of a request's headers. What is not of the grammar is as if it were not there; a
    /// `tracestate` counts only beside a `traceparent`.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let (Some(parent), None) = (parents.next(), parents.next()) else {
            return None;
        };
        let mut context = Self::parse(parent.to_str().ok()?)?;
        context.state = state(headers);
        Some(context)
    }

    /// A trace that begins here with the span `span`, as [`TraceId::of_request`] has it.
    pub(crate) fn of_request(id: Uuid, span: SpanId) -> Option<Self> {
        Some(Self {
            trace: TraceId::of_request(id)?,
            span,
            sampled: true,
            random: id.get_version_num() == 4,
            state: None,
        })
    }

    /// The same trace, seen from another span.
    pub(crate) fn at(&self, span: SpanId, sampled: bool) -> Self {
        Self {
            span,
            sampled,
            ..self.clone()
        }
    }

    /// §3.2: of a higher version, what is known of this one.
    fn parse(text: &str) -> Option<Self> {
        let (known, rest) = text.split_at_checked(PARENT_LEN)?;
        let mut parts = known.split('-');
        let [version] = hex(parts.next()?)?;
        let trace = TraceId::new(hex(parts.next()?)?)?;
        let span = SpanId::new(hex(parts.next()?)?)?;
        let [flags] = hex(parts.next()?)?;
        let is_whole = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        (is_whole && parts.next().is_none()).then_some(Self {
            trace,
            span,
            sampled: flags & SAMPLED != 0,
            random: flags & RANDOM != 0,
            state: None,
        })
    }

    /// As the flags of a `traceparent`.
    pub(crate) fn flags(&self) -> u8 {
        (u8::from(self.sampled) * SAMPLED) | (u8::from(self.random) * RANDOM)
    }

    /// What others have put beside it.
    pub(crate) fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Puts it into the headers of a request.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Ok(parent) = HeaderValue::try_from(self.to_string()) {
            headers.insert(TRACEPARENT, parent);
        }
        if let Some(Ok(state)) = self.state().map(HeaderValue::from_str) {
            headers.insert(TRACESTATE, state);
        }
    }
}

/// As a `traceparent`.
impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags())
    }
}

/// Lowercase only (§3.2.2).
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn state(headers: &HeaderMap) -> Option<Arc<str>> {
    let lines = headers.get_all(TRACESTATE).iter();
    let lines: Option<Vec<_>> = lines.map(|line| line.to_str().ok()).collect();
    let state = lines?.join(",");
    let members = || {
        let members = state
            .split(',')
            .map(|member| member.trim_matches([' ', '\t']));
        members.filter(|member| !member.is_empty())
    };
    let is_fit = state.len() <= MAX_STATE_LEN
        && (1..=MAX_STATE_MEMBERS).contains(&members().count())
        && members().all(is_member);
    is_fit.then(|| state.into())
}

/// §3.3.1.3
fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else {
        return false;
    };
    let is_key = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"_-*/@".contains(&c);
    let is_value = |c: u8| matches!(c, b' '..=b'~') && c != b'=';
    (1..=MAX_STATE_PART).contains(&key.len())
        && (1..=MAX_STATE_PART).contains(&value.len())
        && key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && key.bytes().all(is_key)
        && value.bytes().all(is_value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The specification's own example.
    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = lines.iter().map(|(name, value)| {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            (name.clone(), value)
        });
        pairs.collect()
    }

    fn of_parent(parent: &str) -> Option<Context> {
        Context::from_headers(&headers(&[(TRACEPARENT, parent)]))
    }

    fn state_of(states: &[&str]) -> Option<String> {
        let mut lines = vec![(TRACEPARENT, EXAMPLE)];
        lines.extend(states.iter().map(|state| (TRACESTATE, *state)));
        let context = Context::from_headers(&headers(&lines)).unwrap();
        context.state().map(str::to_owned)
    }

    #[test]
    fn the_specifications_own_example_is_read_and_written() {
        let context = of_parent(EXAMPLE).unwrap();
        assert_eq!(
            context.trace.to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(context.span.to_string(), "00f067aa0ba902b7");
        assert!(context.sampled);
        assert_eq!(context.to_string(), EXAMPLE);
    }

    #[test]
    fn what_is_not_of_the_grammar_is_as_if_it_were_not_there() {
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e47-3600f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(of_parent(wrong), None, "{wrong:?}");
        }
        let twice = headers(&[(TRACEPARENT, EXAMPLE), (TRACEPARENT, EXAMPLE)]);
        assert_eq!(Context::from_headers(&twice), None);
    }

    #[test]
    fn of_a_later_version_what_is_known_counts() {
        let later = EXAMPLE.replacen("00", "cc", 1);
        for text in [later.clone(), format!("{later}-what-ever")] {
            assert_eq!(of_parent(&text).unwrap().to_string(), EXAMPLE);
        }
    }

    #[test]
    fn flags_that_are_not_known_are_not_handed_on() {
        let all = EXAMPLE.replace("-01", "-ff");
        assert_eq!(
            of_parent(&all).unwrap().to_string(),
            EXAMPLE.replace("-01", "-03")
        );
    }

    #[test]
    fn a_state_is_handed_on_as_it_came_if_it_is_one() {
        for right in ["rojo=00f067aa0ba902b7", "a@b=c d, e/f=g\t,,", "1=2"] {
            assert_eq!(state_of(&[right]).as_deref(), Some(right));
        }
        assert_eq!(state_of(&["a=b", "c=d"]).as_deref(), Some("a=b,c=d"));
        let long = format!("a={}", "b".repeat(255));
        let longer = format!("{long},c={}", "d".repeat(254));
        assert_eq!(longer.len(), 514);
        let many: String = (0..33).map(|number| format!("a{number}=b,")).collect();
        for wrong in [
            "", ",", "a", "=b", "a=", "A=b", "a=b=c", "-a=b", "a=bé", &longer, &many,
        ] {
            assert_eq!(state_of(&[wrong]), None, "{wrong:?}");
        }
        assert_eq!(state_of(&[]), None);
    }

    #[test]
    fn a_state_alone_is_nothing() {
        assert_eq!(
            Context::from_headers(&headers(&[(TRACESTATE, "a=b")])),
            None
        );
    }

    #[test]
    fn the_trace_of_a_request_is_found_by_its_id() {
        let id = Uuid::parse_str("1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b").unwrap();
        let trace = TraceId::of_request(id).unwrap();
        assert_eq!(trace.to_string(), "1b4e28ba2fa14d3ba3f5ef19b5a7633b");
        assert_eq!(TraceId::of_request(Uuid::nil()), None);
        let of_random = Context::of_request(id, SpanId::random()).unwrap();
        assert!(of_random.to_string().ends_with("-03"));
        let by_name = Uuid::new_v5(&id, b"x");
        let of_name = Context::of_request(by_name, SpanId::random()).unwrap();
        assert!(of_name.to_string().ends_with("-01"));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(text in "0[0-9a-f]-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]") {
            if let Some(context) = of_parent(&text) {
                prop_assert_eq!(&context.to_string()[2..], &text[2..]);
                prop_assert_eq!(of_parent(&context.to_string()), Some(context));
            }
        }

        #[test]
        fn whatever_a_stranger_sends_ends_in_headers_that_are_fit(
            parent in prop_oneof![Just(EXAMPLE.to_owned()), "[ -~]{0,80}"],
            state in "[ -~\t]{0,600}",
        ) {
            let sent = headers(&[(TRACEPARENT, &parent), (TRACESTATE, &state)]);
            if let Some(context) = Context::from_headers(&sent) {
                let mut written = HeaderMap::new();
                context.write(&mut written);
                prop_assert_eq!(written.get(TRACEPARENT).unwrap().len(), PARENT_LEN);
                let state = written.get(TRACESTATE).map_or(0, HeaderValue::len);
                prop_assert!(state <= MAX_STATE_LEN);
                prop_assert_eq!(Context::from_headers(&written), Some(context));
            }
        }
    }
}
