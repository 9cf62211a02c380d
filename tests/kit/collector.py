"""A collector of traces: it takes OTLP over HTTP, and refuses what OpenTelemetry's own schema does
not know."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from dataclasses import dataclass, field

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.kit.waiting import until

#: Spans are sent once a second.
SOON = 20.0
#: Where OTLP's JSON has hexadecimal digits in place of protobuf's base64.
IDS = {"traceId", "spanId", "parentSpanId"}


@dataclass(frozen=True)
class Span:
    trace: str
    id: str
    parent: str
    name: str
    #: SERVER or CLIENT.
    kind: str
    #: The cloud whose daemon has told it.
    cloud: str
    failed: bool
    began: int
    ended: int
    state: str
    attributes: dict = field(hash=False)
    resource: dict = field(hash=False)

    def __str__(self) -> str:
        return f"{self.cloud}: {self.kind} {self.name}"


class Collector:
    """Listens for as long as it is entered."""

    def __init__(self):
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        #: What was sent, as it came, and why it was refused.
        self.bodies: list[bytes] = []
        self.refused: list[str] = []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = collector._take(self.path, self.headers["Content-Type"], body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> Collector:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    def spans(self, trace: str | None = None) -> list[Span]:
        """What has come of a trace, or of all."""
        with self._lock:
            return [span for span in self._spans if trace in (None, span.trace)]

    def whole(self, trace: str, *names: str) -> list[Span]:
        """The spans of a trace, once there are some of all these names."""

        def all_there():
            spans = self.spans(trace)
            return spans if set(names) <= {str(span) for span in spans} else None

        return until(all_there, f"{names} in trace {trace}", deadline=SOON)

    def _take(self, path: str, content_type: str, body: bytes) -> int:
        try:
            assert (path, content_type) == ("/v1/traces", "application/json")
            spans = _read(json.loads(body))
        except Exception as error:
            with self._lock:
                self.refused.append(f"{error!r}: {body!r}")
            return 400
        with self._lock:
            self.bodies.append(body)
            self._spans += spans
        return 200


def _read(sent: dict) -> list[Span]:
    request = json_format.ParseDict(_as_protobuf(sent), ExportTraceServiceRequest())
    found = []
    for told in request.resource_spans:
        resource = _attributes(told.resource.attributes)
        for scope in told.scope_spans:
            found += [_span(span, resource) for span in scope.spans]
    return found


def _as_protobuf(value):
    """JSON of OTLP as JSON of protobuf."""
    if isinstance(value, list):
        return [_as_protobuf(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: base64.b64encode(bytes.fromhex(one)).decode() if name in IDS else _as_protobuf(one)
        for name, one in value.items()
    }


def _span(span: trace_pb2.Span, resource: dict) -> Span:
    kind = trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_")
    assert (len(span.trace_id), len(span.span_id)) == (16, 8)
    return Span(
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        kind=kind,
        cloud=resource["service.namespace"],
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        state=span.trace_state,
        attributes=_attributes(span.attributes),
        resource=resource,
    )


def _attributes(pairs) -> dict:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def tree(spans: list[Span]) -> str:
    """As an indented text, with what each took in milliseconds."""
    ids = {span.id for span in spans}
    lines = []

    def add(span: Span, depth: int) -> None:
        took = (span.ended - span.began) / 1e6
        lines.append(f"{'  ' * depth}{span}  {took:.1f} ms")
        for child in sorted(spans, key=lambda one: one.began):
            if child.parent == span.id:
                add(child, depth + 1)

    for span in sorted(spans, key=lambda one: one.began):
        if span.parent not in ids:
            add(span, 0)
    return "\n".join(lines)
