//! `veloz alert-sink`: a receiver of alerts on loopback, to rehearse where Alertmanager sends what.
//!
//! Owns: the receiver, and what it says of each delivery ([`Delivery`]). Does not: page anybody. Invariants: it listens on
//! loopback only, because tiny_http is not made for ports that others reach; no key of a receiver is printed.
//!
//! It understands what Alertmanager posts to PagerDuty (Events API v2), Opsgenie, Slack and webhooks, and answers as they
//! do. Anything else is told as `unknown`, so that nothing that arrives is lost.

use crate::cli::{AlertSinkArgs, EXIT_FAILURE, EXIT_OK};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, Read as _, Write};
use std::net::{Ipv4Addr, SocketAddr};
use tiny_http::{Request, Response, Server};

/// Bytes of a delivery: Alertmanager sends a group of alerts at once, each of some kilobytes.
const BODY_BYTES_MAX: u64 = 1 << 20;

/// Who a delivery is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// PagerDuty's Events API v2.
    PagerDuty,
    /// Opsgenie's alerts.
    Opsgenie,
    /// A Slack webhook.
    Slack,
    /// Alertmanager's own webhook.
    Webhook,
    /// None of these.
    Unknown,
}

/// One line of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Delivery {
    /// Where it was posted to.
    path: String,
    kind: Kind,
    /// `firing` or `resolved`, where the delivery tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    /// Names of alerts, where the delivery lists them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alerts: Vec<String>,
    /// What a person would read first.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Why it cannot be read, where it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

/// `veloz alert-sink`.
pub fn alert_sink(arguments: &AlertSinkArgs) -> u8 {
    match receive(arguments, &mut io::stdout().lock()) {
        Ok(()) => EXIT_OK,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            EXIT_FAILURE
        }
    }
}

fn receive(arguments: &AlertSinkArgs, out: &mut impl Write) -> Result<(), String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    let server = Server::http(address).map_err(|error| {
        format!("cannot listen on {address}: {error}; choose another port with --port")
    })?;
    let told = |error: io::Error| format!("standard output: {error}");
    writeln!(out, "{{\"listening\":\"http://{}\"}}", server.server_addr()).map_err(told)?;
    let mut taken = 0;
    while arguments.count.is_none_or(|count| taken < count) {
        let request = server.recv().map_err(|error| error.to_string())?;
        let delivery = answer(request);
        let line = serde_json::to_string(&delivery).expect("plain text");
        writeln!(out, "{line}")
            .and_then(|()| out.flush())
            .map_err(told)?;
        taken += 1;
    }
    Ok(())
}

/// Reads one request, answers it, and says what it was.
fn answer(mut request: Request) -> Delivery {
    let path = request.url().to_owned();
    let mut body = String::new();
    let read = request
        .as_reader()
        .take(BODY_BYTES_MAX + 1)
        .read_to_string(&mut body);
    let (delivery, status, text) = match read {
        Err(error) => (unreadable(path, error.to_string()), 400, ""),
        Ok(_) if body.len() as u64 > BODY_BYTES_MAX => {
            let fault = format!("more than {BODY_BYTES_MAX} bytes");
            (unreadable(path, fault), 413, "")
        }
        Ok(_) => {
            let delivery = describe(path, &body);
            let (status, text) = match delivery.kind {
                Kind::PagerDuty => (202, r#"{"status":"success","message":"Event processed"}"#),
                Kind::Opsgenie => (202, r#"{"result":"Request will be processed"}"#),
                Kind::Slack => (200, "ok"),
                Kind::Webhook => (200, "{}"),
                Kind::Unknown => (400, ""),
            };
            (delivery, status, text)
        }
    };
    // Who posted may be gone; what was posted is told all the same.
    let _ = request.respond(Response::from_string(text).with_status_code(status));
    delivery
}

fn unreadable(path: String, fault: String) -> Delivery {
    Delivery {
        path,
        kind: Kind::Unknown,
        status: None,
        alerts: Vec::new(),
        text: None,
        fault: Some(fault),
    }
}

/// What a body says. Only named fields are taken, so that keys in it stay unseen.
fn describe(path: String, body: &str) -> Delivery {
    let route = path.split('?').next().unwrap_or_default();
    let value: Value = match serde_json::from_str(body) {
        Ok(value) => value,
        Err(error) => return unreadable(path, format!("no JSON: {error}")),
    };
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    let resolved = |resolved: bool| Some(if resolved { "resolved" } else { "firing" });
    let (kind, status, alerts, said) = if let Some(action) = text("/event_action") {
        let summary = text("/payload/summary");
        (
            Kind::PagerDuty,
            resolved(action == "resolve"),
            Vec::new(),
            summary,
        )
    } else if let Some(alerts) = value.get("alerts").and_then(Value::as_array) {
        let name = |alert: &Value| {
            let name = alert.pointer("/labels/alertname")?.as_str()?;
            Some(name.to_owned())
        };
        let names = alerts.iter().filter_map(name).collect();
        let status = text("/status").map(|status| status == "resolved");
        (
            Kind::Webhook,
            status.and_then(resolved),
            names,
            text("/commonAnnotations/summary"),
        )
    } else if value.get("attachments").is_some() {
        (
            Kind::Slack,
            None,
            Vec::new(),
            text("/attachments/0/title").or(text("/attachments/0/text")),
        )
    } else if value.get("message").is_some() {
        (
            Kind::Opsgenie,
            resolved(false),
            Vec::new(),
            text("/message"),
        )
    } else if route.ends_with("/close") {
        (Kind::Opsgenie, resolved(true), Vec::new(), None)
    } else {
        return unreadable(path, "nothing that Alertmanager sends".to_owned());
    };
    Delivery {
        kind,
        status,
        alerts,
        text: said.map(str::to_owned),
        fault: None,
        path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::thread;

    #[test]
    fn each_receiver_of_alertmanager_is_understood() {
        let cases = [
            (
                "/v2/enqueue",
                r#"{"routing_key":"SECRET","event_action":"trigger","payload":{"summary":"down","severity":"critical"}}"#,
                r#"{"path":"/v2/enqueue","kind":"pagerduty","status":"firing","text":"down"}"#,
            ),
            (
                "/v2/enqueue",
                r#"{"routing_key":"SECRET","event_action":"resolve","payload":{"summary":"down"}}"#,
                r#"{"path":"/v2/enqueue","kind":"pagerduty","status":"resolved","text":"down"}"#,
            ),
            (
                "/v2/alerts",
                r#"{"alias":"a","message":"slow","priority":"P3"}"#,
                r#"{"path":"/v2/alerts","kind":"opsgenie","status":"firing","text":"slow"}"#,
            ),
            (
                "/v2/alerts/a/close?identifierType=alias",
                r#"{"source":""}"#,
                r#"{"path":"/v2/alerts/a/close?identifierType=alias","kind":"opsgenie","status":"resolved"}"#,
            ),
            (
                "/slack",
                r##"{"channel":"#a","attachments":[{"title":"[FIRING] slow","text":"very"}]}"##,
                r#"{"path":"/slack","kind":"slack","text":"[FIRING] slow"}"#,
            ),
            (
                "/hook",
                r#"{"version":"4","status":"resolved","alerts":[{"labels":{"alertname":"Watchdog"}}],"commonAnnotations":{"summary":"fine"}}"#,
                r#"{"path":"/hook","kind":"webhook","status":"resolved","alerts":["Watchdog"],"text":"fine"}"#,
            ),
            (
                "/x",
                r#"{"a":1}"#,
                r#"{"path":"/x","kind":"unknown","fault":"nothing that Alertmanager sends"}"#,
            ),
        ];
        for (path, body, line) in cases {
            let delivery = describe(path.to_owned(), body);
            assert_eq!(serde_json::to_string(&delivery).expect("text"), line);
        }
        let broken = describe("/x".to_owned(), "{");
        assert!(
            broken
                .fault
                .is_some_and(|fault| fault.starts_with("no JSON"))
        );
    }

    #[test]
    fn it_answers_over_a_socket_and_ends_after_the_count() {
        // The port is found first, because the line that names it goes to a buffer here.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|probe| probe.local_addr())
            .expect("a free port")
            .port();
        let arguments = AlertSinkArgs {
            port,
            count: Some(2),
        };
        let sink = thread::spawn(move || {
            let mut out = Vec::new();
            receive(&arguments, &mut out).map(|()| String::from_utf8(out).expect("text"))
        });
        let post = |body: &str| {
            let mut stream = loop {
                match TcpStream::connect(("127.0.0.1", port)) {
                    Ok(stream) => break stream,
                    Err(_) => thread::yield_now(),
                }
            };
            let head = format!(
                "POST /slack HTTP/1.1\r\nHost: sink\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(head.as_bytes()).expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("answered");
            answer
        };
        let taken = post(r#"{"attachments":[{"title":"slow"}]}"#);
        assert!(taken.starts_with("HTTP/1.1 200 "), "{taken}");
        let refused = post("no");
        assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
        let said = sink.join().expect("no panic").expect("served");
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(
            lines[0],
            format!("{{\"listening\":\"http://127.0.0.1:{port}\"}}")
        );
        assert_eq!(
            lines[1],
            r#"{"path":"/slack","kind":"slack","text":"slow"}"#
        );
        assert!(lines[2].contains(r#""fault":"no JSON"#), "{}", lines[2]);
    }
}
