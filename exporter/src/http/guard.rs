//! Who may ask while nobody says who he is: the rules against web pages.
//!
//! Owns: [`names_loopback`], [`is_foreign_write`]. Without authentication the server trusts the machine
//! it runs on, and a web page in a browser on that machine is not the machine. Its requests arrive here
//! when a foreign name resolves to loopback (DNS rebinding): they carry that name as `Host`. Or it sends
//! them to a loopback name openly, without being able to read the answer: a browser marks each write
//! with the page's `Origin`.

use super::cors::Cors;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method, Uri};
use std::net::{IpAddr, Ipv6Addr};

/// Whether a request changes something and comes from a web page of another origin: `scheme` is our
/// own, and pages that `cors` names are not foreign. Programs send no `Origin`.
pub fn is_foreign_write(method: &Method, headers: &HeaderMap, scheme: &str, cors: &Cors) -> bool {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return false;
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return headers.contains_key(ORIGIN);
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = host.map(|host| format!("{scheme}://{host}"));
    let is_own = own.is_some_and(|own| origin.as_bytes().eq_ignore_ascii_case(own.as_bytes()));
    !is_own && !cors.names(origin)
}

/// Whether a request names this machine by a loopback name: exactly one `Host`, and the target's own
/// authority too when it has one.
pub fn names_loopback(headers: &HeaderMap, uri: &Uri) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let host_is_loopback = host.to_str().is_ok_and(is_loopback_authority);
    let target_is_loopback = uri
        .authority()
        .is_none_or(|authority| is_loopback_authority(authority.as_str()));
    host_is_loopback && target_is_loopback
}

/// Whether `name[:port]` is `localhost` or a literal loopback address.
fn is_loopback_authority(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else {
            return false;
        };
        return is_port(after)
            && address
                .parse::<Ipv6Addr>()
                .is_ok_and(|address| IpAddr::V6(address).to_canonical().is_loopback());
    }
    let (name, port) = match authority.find(':') {
        Some(colon) => authority.split_at(colon),
        None => (authority, ""),
    };
    if !is_port(port) {
        return false;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Nothing, or a colon and a port.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|port| port.is_empty() || port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_write_of_a_foreign_page_is_told_from_a_programs() {
        let cors = Cors::of(&["https://ui.example".to_owned()], false).expect("an origin");
        let foreign = |method: Method, origins: &[&'static str]| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("localhost:8080"));
            for origin in origins {
                headers.append(ORIGIN, HeaderValue::from_static(origin));
            }
            is_foreign_write(&method, &headers, "http", &cors)
        };
        for fine in [
            &[][..],
            &["http://localhost:8080"],
            &["HTTP://LOCALHOST:8080"],
            &["https://ui.example"],
        ] {
            assert!(!foreign(Method::POST, fine), "{fine:?}");
        }
        for bad in [
            &["null"][..],
            &[""],
            &["https://localhost:8080"],
            &["http://localhost:3000"],
            &["http://evil.example"],
            &["https://ui.example.evil.example"],
            &["http://localhost:8080", "http://evil.example"],
        ] {
            assert!(foreign(Method::POST, bad), "{bad:?}");
            assert!(foreign(Method::DELETE, bad), "{bad:?}");
            assert!(!foreign(Method::GET, bad), "a page cannot read the answer");
        }
    }

    #[test]
    fn only_names_of_this_machine_pass() {
        let good = [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "127.0.0.1",
            "127.0.0.1:8080",
            "127.1.2.3:1",
            "[::1]",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:80",
        ];
        for name in good {
            assert!(is_loopback_authority(name), "{name}");
        }
        let bad = [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "10.0.0.1",
            "0.0.0.0",
            "[::2]",
            "[::1",
            "[::1]x",
            "::1",
            "localhost:http",
            "localhost:99999",
            "evil@localhost",
            "2130706433",
        ];
        for name in bad {
            assert!(!is_loopback_authority(name), "{name}");
        }
    }

    #[test]
    fn one_host_and_an_agreeing_target() {
        let relative = Uri::from_static("/metrics");
        let mut headers = HeaderMap::new();
        assert!(!names_loopback(&headers, &relative));
        headers.append(HOST, HeaderValue::from_static("localhost:8080"));
        assert!(names_loopback(&headers, &relative));
        assert!(!names_loopback(
            &headers,
            &Uri::from_static("http://example.com/metrics")
        ));
        headers.append(HOST, HeaderValue::from_static("localhost:8080"));
        assert!(!names_loopback(&headers, &relative));
    }
}
