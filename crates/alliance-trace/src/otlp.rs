//! What a collector is sent: OTLP 1, as JSON.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value as Json, json};

use crate::span::{Ended, Kind, Value};

/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`, `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

const STATUS_ERROR: u8 = 2;

/// The body of an `ExportTraceServiceRequest`. `resource` says who tells it.
pub fn request(
    resource: &[(&'static str, String)],
    scope_version: &str,
    spans: &[Ended],
) -> String {
    let resource = resource.iter().map(|(name, text)| {
        let text = Value::from(text.clone());
        attribute(name, &text)
    });
    let spans: Vec<_> = spans.iter().map(span).collect();
    json!({
        "resourceSpans": [{
            "resource": {"attributes": resource.collect::<Vec<_>>()},
            "scopeSpans": [{
                "scope": {"name": "alliance", "version": scope_version},
                "spans": spans,
            }],
        }],
    })
    .to_string()
}

fn span(span: &Ended) -> Json {
    let context = &span.context;
    let remote = if span.is_parent_remote { IS_REMOTE } else { 0 };
    let attributes = span
        .notes
        .iter()
        .map(|(name, value)| attribute(name, value));
    let mut told = json!({
        "traceId": context.trace.to_string(),
        "spanId": context.span.to_string(),
        "flags": u32::from(context.flags()) | HAS_IS_REMOTE | remote,
        "name": span.name,
        "kind": match span.kind {
            Kind::Server => 2,
            Kind::Client => 3,
        },
        "startTimeUnixNano": nanos(span.began),
        "endTimeUnixNano": nanos(span.began + span.took),
        "attributes": attributes.collect::<Vec<_>>(),
    });
    let more = [
        ("parentSpanId", span.parent.map(|id| json!(id.to_string()))),
        ("traceState", context.state().map(|state| json!(state))),
        (
            "status",
            span.failure
                .as_ref()
                .map(|why| json!({"code": STATUS_ERROR, "message": why})),
        ),
    ];
    let more = more
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    if let Some(told) = told.as_object_mut() {
        told.extend(more.collect::<Map<_, _>>());
    }
    told
}

fn attribute(name: &str, value: &Value) -> Json {
    let value = match value {
        Value::Text(text) => json!({"stringValue": text}),
        // 64 bits are more than JSON's numbers hold everywhere.
        Value::Number(number) => json!({"intValue": number.to_string()}),
    };
    json!({"key": name, "value": value})
}

fn nanos(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since
        .map_or(0, |since: Duration| since.as_nanos())
        .to_string()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::context::Context;

    #[test]
    fn a_span_is_told_as_the_specification_has_it() {
        let mut headers = HeaderMap::new();
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        headers.insert("traceparent", parent.parse().unwrap());
        let unstated = Context::from_headers(&headers).unwrap();
        headers.insert("tracestate", "a=b".parse().unwrap());
        let context = Context::from_headers(&headers).unwrap();
        let ended = Ended {
            parent: Some(context.span),
            is_parent_remote: true,
            kind: Kind::Server,
            name: "POST /v1/introspect".into(),
            began: SystemTime::UNIX_EPOCH + Duration::new(1_764_400_000, 5),
            took: Duration::from_millis(3),
            notes: vec![("http.response.status_code", 503.into())],
            failure: Some("503".into()),
            context,
        };
        let bare = Ended {
            parent: None,
            is_parent_remote: false,
            kind: Kind::Client,
            notes: Vec::new(),
            failure: None,
            context: unstated,
            ..ended.clone()
        };
        let told = request(
            &[("service.name", "alliance".into())],
            "1.2",
            &[ended, bare],
        );
        let ids = json!({
            "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
            "spanId": "00f067aa0ba902b7",
            "name": "POST /v1/introspect",
            "startTimeUnixNano": "1764400000000000005",
            "endTimeUnixNano": "1764400000003000005",
        });
        let with = |more: Json| {
            let mut all = ids.clone();
            all.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            all
        };
        let expected = json!({"resourceSpans": [{
            "resource": {
                "attributes": [{"key": "service.name", "value": {"stringValue": "alliance"}}],
            },
            "scopeSpans": [{
                "scope": {"name": "alliance", "version": "1.2"},
                "spans": [
                    with(json!({
                        "flags": 0x301,
                        "kind": 2,
                        "parentSpanId": "00f067aa0ba902b7",
                        "traceState": "a=b",
                        "attributes": [
                            {"key": "http.response.status_code", "value": {"intValue": "503"}},
                        ],
                        "status": {"code": 2, "message": "503"},
                    })),
                    with(json!({"flags": 0x101, "kind": 3, "attributes": []})),
                ],
            }],
        }]});
        assert_eq!(serde_json::from_str::<Json>(&told).unwrap(), expected);
    }
}
