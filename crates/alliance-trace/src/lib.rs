//! One request across clouds: which trace it belongs to, what was done for it, and how a collector is
//! told.
//!
//! - [`Context`]: what travels with a request, as W3C Trace Context has it. It comes from strangers.
//! - [`Share`]: which traces are kept though nobody asks for it: the same in every cloud.
//! - [`Tracer`]: begins a [`Span`] where a request comes in. Everything below finds it by itself:
//!   [`call`] begins one for a question to somebody else, [`note`] says something about the one under way.
//! - [`otlp`]: what a collector is sent.
//!
//! Spans are no part of the log, and the log is none of theirs. Where nothing is traced, all of this is
//! the look into an empty cell of the task.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod context;
pub mod otlp;
mod share;
mod span;

pub use self::context::{Context, SpanId, TraceId};
pub use self::share::Share;
pub use self::span::{
    Ended, Kind, Outbox, Span, Tracer, Value, answer, call, carried, fail, note, within,
};
