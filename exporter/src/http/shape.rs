//! What a request must look like before anything reads it.
//!
//! Owns: [`check`], [`ShapeLimits`]. Does not: know routes. The connection's own bounds
//! (`server.rs`) are larger, so that what passes them and not these gets an answer in JSON.

use super::problem::{Code, Problem};
use axum::http::{HeaderMap, Uri};

/// Bounds of a request's head. Clients of the earlier gateway know these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeLimits {
    /// Bytes of the target, query included.
    pub target_bytes_max: usize,
    /// Bytes of all header names and values.
    pub header_bytes_max: usize,
}

impl Default for ShapeLimits {
    fn default() -> Self {
        Self {
            target_bytes_max: 2_048,
            header_bytes_max: 8_192,
        }
    }
}

/// Refuses a head that is too large, and a target whose percent signs encode nothing, or encode what
/// no target of ours holds: control characters, and slashes and dots that would make the path another.
pub fn check(uri: &Uri, headers: &HeaderMap, limits: ShapeLimits) -> Result<(), Problem> {
    let target_bytes = uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len())
        + uri
            .authority()
            .map_or(0, |authority| authority.as_str().len());
    if target_bytes > limits.target_bytes_max {
        return Err(Problem::new(
            Code::UriTooLong,
            format!(
                "at most {} bytes of target are read",
                limits.target_bytes_max
            ),
        ));
    }
    let header_bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if header_bytes > limits.header_bytes_max {
        return Err(Problem::new(
            Code::HeadersTooLarge,
            format!(
                "at most {} bytes of headers are read",
                limits.header_bytes_max
            ),
        ));
    }
    let path = decode(uri.path(), Plus::IsPlus)?;
    let tricks = |segment: &[u8]| segment == b"." || segment == b"..";
    if path.iter().any(u8::is_ascii_control) || path.split(|&byte| byte == b'/').any(tricks) {
        return Err(Problem::new(
            Code::BadParams,
            "the path holds control characters or dot segments",
        ));
    }
    decode(uri.query().unwrap_or_default(), Plus::IsSpace).map(|_| ())
}

/// What a plus sign means: itself in a path, a space in a query or a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plus {
    /// Itself.
    IsPlus,
    /// A space.
    IsSpace,
}

/// Undoes percent-encoding.
///
/// # Errors
/// `bad_params` for a percent sign without two hexadecimal digits behind it.
pub(super) fn decode(text: &str, plus: Plus) -> Result<Vec<u8>, Problem> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                    return Err(Problem::new(
                        Code::BadParams,
                        "a percent sign in the target is not followed by two hexadecimal digits",
                    ));
                };
                (high << 4 | low) as u8
            }
            b'+' if plus == Plus::IsSpace => b' ',
            other => other,
        });
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use axum::http::header::COOKIE;

    fn of(target: &str, header_bytes: usize) -> Option<Code> {
        let mut headers = HeaderMap::new();
        let value = "x".repeat(header_bytes.saturating_sub("cookie".len()));
        headers.insert(COOKIE, HeaderValue::from_str(&value).expect("plain"));
        let uri: Uri = target
            .parse()
            .expect("a target that the parser lets through");
        check(&uri, &headers, ShapeLimits::default())
            .err()
            .map(|problem| problem.code())
    }

    #[test]
    fn both_limits_hold_to_the_byte() {
        let target = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));
        assert_eq!(of(&target(2_048), 0), None);
        assert_eq!(of(&target(2_049), 0), Some(Code::UriTooLong));
        assert_eq!(of("/", 8_192), None);
        assert_eq!(of("/", 8_193), Some(Code::HeadersTooLarge));
    }

    #[test]
    fn what_percent_signs_hide_is_refused() {
        let good = [
            "/",
            "/health",
            "/a%20b",
            "/x?name=a%2Fb+c&d=%F0%9F%98%80",
            "*",
        ];
        for target in good {
            assert_eq!(of(target, 0), None, "{target}");
        }
        let bad = [
            "/%",
            "/%4",
            "/%zz",
            "/health?x=%",
            "/health?x=%g0",
            "/health%00",
            "/health%0d%0aX-Evil:1",
            "/a/../metrics",
            "/a/%2e%2e/metrics",
            "/a%2f..%2fmetrics",
            "/./metrics",
        ];
        for target in bad {
            assert_eq!(of(target, 0), Some(Code::BadParams), "{target}");
        }
    }
}
