//! W3C trace context: who called us, and how our answer names the trace.
//!
//! Owns: reading and writing `traceparent` and `tracestate`. Does not: decide sampling. Invariant: a header
//! that breaks the specification counts as none; other vendors' `tracestate` entries are kept, ours
//! (`veloz=`, the span that answered) stands first.
//!
//! Source: W3C Trace Context, Recommendation of 2021-11-23.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use std::str::FromStr;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Our key in `tracestate`.
const VENDOR: &str = "veloz";

/// Bytes of a version-00 `traceparent`: `00-{32}-{16}-{2}`.
const TRACEPARENT_BYTES: usize = 55;
/// Entries that a `tracestate` may have.
const TRACESTATE_MEMBERS_MAX: usize = 32;
/// Bytes of a `tracestate` that everybody has to propagate; a longer one is not kept.
const TRACESTATE_BYTES_MAX: usize = 512;

/// The caller's span, if the headers name one.
pub fn extract(headers: &HeaderMap) -> Option<SpanContext> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else {
        return None;
    };
    let (trace_id, span_id, flags) = traceparent(parent.to_str().ok()?)?;
    // Lines of one header are one list.
    let state: Vec<&str> = headers
        .get_all(TRACESTATE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .collect();
    let context = SpanContext::new(trace_id, span_id, flags, true, tracestate(&state.join(",")));
    Some(context).filter(SpanContext::is_valid)
}

/// Names `context` in the headers of an answer.
pub fn inject(context: &SpanContext, headers: &mut HeaderMap) {
    let text = format!(
        "00-{}-{}-{:02x}",
        context.trace_id(),
        context.span_id(),
        context.trace_flags() & TraceFlags::SAMPLED
    );
    let value = HeaderValue::from_str(&text).expect("hexadecimal digits and dashes");
    headers.insert(TRACEPARENT, value);
    let state = context
        .trace_state()
        .insert(VENDOR, context.span_id().to_string())
        .map(|state| bounded(&state.header()));
    if let Ok(state) = state
        && let Ok(value) = HeaderValue::from_str(&state)
    {
        headers.insert(TRACESTATE, value);
    }
}

/// The ids and flags of a `traceparent`. A version above 00 may go on behind the flags; `ff` is none.
fn traceparent(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (known, more) = text.split_at_checked(TRACEPARENT_BYTES)?;
    let parts: Vec<&str> = known.split('-').collect();
    let [version, trace, span, flags] = parts[..] else {
        return None;
    };
    let lengths = [version, trace, span, flags].map(str::len);
    let digits = |part: &str| {
        part.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    if lengths != [2, 32, 16, 2] || !parts.iter().all(|part| digits(part)) || version == "ff" {
        return None;
    }
    if !more.is_empty() && (version == "00" || !more.starts_with('-')) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    Some((
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        flags & TraceFlags::SAMPLED,
    ))
}

/// Other vendors' entries; our own of an earlier hop gives way to the one to come.
fn tracestate(text: &str) -> TraceState {
    let members: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|member| !member.is_empty() && !member.starts_with("veloz="))
        .collect();
    if members.len() > TRACESTATE_MEMBERS_MAX || text.len() > TRACESTATE_BYTES_MAX {
        return TraceState::NONE;
    }
    TraceState::from_str(&members.join(",")).unwrap_or_default()
}

/// With our entry it may have become too long: then the last ones go, as the specification wants it.
fn bounded(header: &str) -> String {
    let mut members: Vec<&str> = header.split(',').collect();
    members.truncate(TRACESTATE_MEMBERS_MAX);
    while members.len() > 1 && members.join(",").len() > TRACESTATE_BYTES_MAX {
        members.pop();
    }
    members.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_str(value).expect("text"));
        }
        headers
    }

    #[test]
    fn a_caller_is_recognised_and_answered_in_its_trace() {
        let headers = headers(&[
            (TRACEPARENT, PARENT),
            (TRACESTATE, "a=1,veloz=dead"),
            (TRACESTATE, "b=2"),
        ]);
        let caller = extract(&headers).expect("valid");
        assert_eq!(
            caller.trace_id().to_string(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        assert_eq!(caller.span_id().to_string(), "b7ad6b7169203331");
        assert!(caller.is_remote() && caller.is_sampled());
        assert_eq!(caller.trace_state().header(), "a=1,b=2");

        let ours = SpanContext::new(
            caller.trace_id(),
            SpanId::from(0x1234),
            caller.trace_flags(),
            false,
            caller.trace_state().clone(),
        );
        let mut answer = HeaderMap::new();
        inject(&ours, &mut answer);
        assert_eq!(
            answer[TRACEPARENT],
            "00-0af7651916cd43dd8448eb211c80319c-0000000000001234-01"
        );
        assert_eq!(answer[TRACESTATE], "veloz=0000000000001234,a=1,b=2");
    }

    #[test]
    fn what_breaks_the_specification_counts_as_none() {
        let bad = [
            "",
            "00-zz-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319cb7ad6b7169203331-01--",
        ];
        for text in bad {
            assert_eq!(extract(&headers(&[(TRACEPARENT, text)])), None, "{text}");
        }
        let twice = headers(&[(TRACEPARENT, PARENT), (TRACEPARENT, PARENT)]);
        assert_eq!(extract(&twice), None);
        let newer = PARENT.replacen("00", "cc", 1) + "-what-the-future-brings";
        let newer = extract(&headers(&[(TRACEPARENT, &newer)])).expect("a newer version");
        assert!(newer.is_sampled());
        let unsampled = PARENT.replace("-01", "-fe");
        let unsampled = extract(&headers(&[(TRACEPARENT, &unsampled)])).expect("other flags");
        assert!(!unsampled.is_sampled());
    }

    #[test]
    fn a_state_that_is_too_large_or_broken_is_left_behind() {
        let many: Vec<String> = (0..=TRACESTATE_MEMBERS_MAX)
            .map(|n| format!("k{n}=v"))
            .collect();
        let long = format!("k={}", "v".repeat(TRACESTATE_BYTES_MAX));
        for state in [many.join(","), long, "novalue".to_owned()] {
            let caller = extract(&headers(&[(TRACEPARENT, PARENT), (TRACESTATE, &state)]));
            assert_eq!(
                caller.expect("the parent is fine").trace_state().header(),
                ""
            );
        }
        // Full before us: the last entry makes room for ours.
        let full = many[..TRACESTATE_MEMBERS_MAX].join(",");
        let caller = extract(&headers(&[(TRACEPARENT, PARENT), (TRACESTATE, &full)]));
        let mut answer = HeaderMap::new();
        inject(&caller.expect("valid"), &mut answer);
        let state = answer[TRACESTATE].to_str().expect("text");
        assert_eq!(state.split(',').count(), TRACESTATE_MEMBERS_MAX);
        assert!(state.starts_with("veloz=") && state.contains("k0=v"));
    }

    proptest! {
        #[test]
        fn no_header_panics(parent in "[ -~]{0,70}", state in "[ -~]{0,600}") {
            let headers = headers(&[(TRACEPARENT, &parent), (TRACESTATE, &state)]);
            if let Some(caller) = extract(&headers) {
                let mut answer = HeaderMap::new();
                inject(&caller, &mut answer);
                prop_assert!(answer[TRACESTATE].len() <= TRACESTATE_BYTES_MAX);
            }
            let headers = headers_of(PARENT, &state);
            let caller = extract(&headers).expect("the parent is fine");
            let mut answer = HeaderMap::new();
            inject(&caller, &mut answer);
            prop_assert!(answer[TRACESTATE].len() <= TRACESTATE_BYTES_MAX);
        }
    }

    fn headers_of(parent: &str, state: &str) -> HeaderMap {
        headers(&[(TRACEPARENT, parent), (TRACESTATE, state)])
    }
}
