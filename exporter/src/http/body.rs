//! Bodies of requests, read strictly.
//!
//! Owns: [`read_json`], [`read_fields`], [`Fields`], [`Json`]. Does not: know what any route expects. Invariants: an
//! object names each field once, on every level; nothing nests deeper than [`DEPTH_MAX`]; a number stays
//! the text it came as, so that nobody rounds it; of what a client sent no value appears in an error, and the name of a
//! field only if it is [`plain`].

use super::problem::{Code, Problem};
use super::query::Query;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::{BodyExt as _, LengthLimitError};
use serde::Deserializer as _;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Levels of arrays and objects in one body; no request of ours has more than three.
const DEPTH_MAX: usize = 16;

/// Time from the head of a request to the end of its body: a slow sender is cut off before the handler's
/// own time is over.
const BODY_TIME_MAX: Duration = Duration::from_secs(5);

/// A JSON value as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as its text.
    Number(String),
    /// A text.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Object(Fields),
}

/// The fields of an object; each name stands once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, Json)>);

/// The object that a request's body is.
///
/// # Errors
/// `unsupported_media_type`, `body_too_large`, `request_timeout` or `bad_json`.
pub async fn read_json(request: Request) -> Result<Fields, Problem> {
    if !is_json(request.headers()) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "a body of the type application/json is expected",
        ));
    }
    Fields::parse(&read(request).await?)
}

/// The fields of a body that is a JSON object or a form; those of a form are texts, each standing once.
///
/// # Errors
/// As [`read_json`], and `bad_params` for a form that is none.
pub async fn read_fields(request: Request) -> Result<Fields, Problem> {
    let parse = if is_json(request.headers()) {
        Fields::parse
    } else if is_form(request.headers()) {
        Fields::parse_form
    } else {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "a body of the type application/json or application/x-www-form-urlencoded is expected",
        ));
    };
    parse(&read(request).await?)
}

/// The same, and no field where there is no body.
///
/// # Errors
/// As [`read_fields`].
pub async fn read_optional_fields(request: Request) -> Result<Fields, Problem> {
    if request.headers().contains_key(CONTENT_TYPE) {
        return read_fields(request).await;
    }
    if read(request).await?.is_empty() {
        return Ok(Fields::default());
    }
    Err(Problem::new(
        Code::UnsupportedMediaType,
        "a body without a type is not read",
    ))
}

/// All bytes of a body.
///
/// # Errors
/// `body_too_large`, `request_timeout` or `bad_params`.
pub(crate) async fn read(request: Request) -> Result<Bytes, Problem> {
    let collected = tokio::time::timeout(BODY_TIME_MAX, request.into_body().collect());
    match collected.await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if is_too_large(&error) => {
            Err(Problem::new(Code::BodyTooLarge, "the body is too large"))
        }
        Ok(Err(_)) => Err(Problem::new(Code::BadParams, "the body does not end well")),
        Err(_) => Err(Problem::new(
            Code::RequestTimeout,
            "the body did not arrive in time",
        )),
    }
}

fn is_too_large(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn is_json(headers: &HeaderMap) -> bool {
    is_of(headers, "application/json")
}

fn is_form(headers: &HeaderMap) -> bool {
    is_of(headers, "application/x-www-form-urlencoded")
}

/// Whether a body says that it is of this type, in UTF-8 and not packed.
fn is_of(headers: &HeaderMap, expected: &str) -> bool {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else {
        return false;
    };
    let kind = kind.to_str().unwrap_or_default();
    let (media, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    let charset = parameters.trim().to_ascii_lowercase();
    media.trim().eq_ignore_ascii_case(expected)
        && matches!(charset.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"")
        && !headers.contains_key(CONTENT_ENCODING)
}

impl Fields {
    /// Reads an object.
    ///
    /// # Errors
    /// `bad_json`, with where it stopped.
    pub fn parse(text: &[u8]) -> Result<Self, Problem> {
        let bad = |error: &serde_json::Error| {
            let (line, column) = (error.line(), error.column());
            let what = if error.is_data() {
                // Of our own making, without a part of the text.
                error.to_string()
            } else {
                "not valid JSON".to_owned()
            };
            let at = format!(" at line {line} column {column}");
            let what = what.strip_suffix(&at).unwrap_or(&what);
            Problem::new(
                Code::BadJson,
                format!("{what}, line {line}, column {column}"),
            )
        };
        let raw: &RawValue = serde_json::from_slice(text).map_err(|error| bad(&error))?;
        let mut twice = None;
        match value(raw, DEPTH_MAX, &mut twice).map_err(|error| named(bad(&error), twice))? {
            Json::Object(fields) => Ok(fields),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::List(_) => {
                Err(Problem::new(Code::BadJson, "an object is expected"))
            }
        }
    }

    /// Reads `name=value&...`.
    ///
    /// # Errors
    /// `bad_params`.
    pub fn parse_form(text: &[u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(text)
            .map_err(|_| Problem::new(Code::BadParams, "the form is no UTF-8"))?;
        let pairs = Query::parse(Some(text))?.into_pairs();
        if pairs.len() > FIELDS_MAX {
            return Err(Problem::new(Code::BadParams, "too many fields"));
        }
        let texts = pairs
            .into_iter()
            .map(|(name, value)| (name, Json::Text(value)));
        Ok(Self(texts.collect()))
    }

    /// Refuses fields that a route does not read: a word that is misspelled must not be overlooked.
    ///
    /// # Errors
    /// `bad_params` says which fields there are.
    pub fn only(&self, known: &[&str]) -> Result<(), Problem> {
        let mut names = self.0.iter().map(|(name, _)| name.as_str());
        let Some(unknown) = names.find(|name| !known.contains(name)) else {
            return Ok(());
        };
        let known = known.join(", ");
        let (what, name) = match plain(unknown) {
            Some(name) => (format!("{name}: no such field"), Some(name.to_owned())),
            None => ("there is a field that is not known".to_owned(), None),
        };
        Err(named(
            Problem::new(Code::BadParams, format!("{what}; this route takes {known}")),
            name,
        ))
    }

    /// All fields in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// A yes or a no that must be there.
    ///
    /// # Errors
    /// `bad_params` names the field.
    pub fn truth(&self, name: &'static str) -> Result<bool, Problem> {
        match self.get(name) {
            Some(Json::Bool(truth)) => Ok(*truth),
            Some(Json::Text(text)) if text == "true" => Ok(true),
            Some(Json::Text(text)) if text == "false" => Ok(false),
            _ => Err(expected(name, "true or false")),
        }
    }

    /// A field, unless it is not there or `null`.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
            .filter(|value| **value != Json::Null)
    }

    /// Whether a field is there and `null`: for who gives that a meaning of its own.
    pub fn is_null(&self, name: &str) -> bool {
        self.iter()
            .any(|(known, value)| known == name && *value == Json::Null)
    }

    /// A text that must be there and say something.
    ///
    /// # Errors
    /// `bad_params` names the field.
    pub fn text(&self, name: &'static str) -> Result<&str, Problem> {
        self.optional_text(name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| expected(name, "a text"))
    }

    /// A text that may be missing.
    ///
    /// # Errors
    /// `bad_params` names the field.
    pub fn optional_text(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(_) => Err(expected(name, "a text")),
        }
    }

    /// A list of texts that may be missing.
    ///
    /// # Errors
    /// `bad_params` names the field.
    pub fn optional_texts(&self, name: &'static str) -> Result<Option<Vec<&str>>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::List(list)) => list
                .iter()
                .map(|element| match element {
                    Json::Text(text) => Ok(text.as_str()),
                    _ => Err(expected(name, "a list of texts")),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(_) => Err(expected(name, "a list of texts")),
        }
    }

    /// A number, as its text, that may be missing; a text that holds one is as good.
    ///
    /// # Errors
    /// `bad_params` names the field.
    pub fn optional_number(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Number(text) | Json::Text(text)) => Ok(Some(text)),
            Some(_) => Err(expected(name, "a number")),
        }
    }

    /// An object that may be missing.
    ///
    /// # Errors
    /// `bad_params` names the field.
    pub fn optional_object(&self, name: &'static str) -> Result<Option<&Self>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Object(fields)) => Ok(Some(fields)),
            Some(_) => Err(expected(name, "an object")),
        }
    }
}

/// The problem of a field that is not what it must be.
pub fn expected(name: &'static str, what: &str) -> Problem {
    Problem::new(Code::BadParams, format!("{name}: {what} is expected")).field(name)
}

/// Characters of a name that a refusal repeats: more than any field of ours has, fewer than any secret.
const NAME_CHARS_MAX: usize = 32;

/// A name that a refusal may repeat: short, and of the characters that ids have.
pub(super) fn plain(name: &str) -> Option<&str> {
    let is_of_ids = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    Some(name)
        .filter(|name| (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(is_of_ids))
}

/// The same problem, with the field at fault where it has a name.
fn named(problem: Problem, name: Option<String>) -> Problem {
    match name {
        Some(name) => problem.field(name),
        None => problem,
    }
}

/// What a text of JSON, known to be valid, is; `depth` more levels may follow. `twice` becomes the plain name of a field
/// that stands twice.
fn value(
    raw: &RawValue,
    depth: usize,
    twice: &mut Option<String>,
) -> Result<Json, serde_json::Error> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{' | b'[') if depth == 0 => Err(serde_json::Error::custom("nested too deeply")),
        Some(b'{') => {
            serde_json::Deserializer::from_str(text).deserialize_map(ObjectVisitor { depth, twice })
        }
        Some(b'[') => {
            serde_json::Deserializer::from_str(text).deserialize_seq(ListVisitor { depth, twice })
        }
        Some(b'"') => serde_json::from_str(text).map(Json::Text),
        Some(b'n') => Ok(Json::Null),
        Some(b't' | b'f') => serde_json::from_str(text).map(Json::Bool),
        _ => Ok(Json::Number(text.to_owned())),
    }
}

struct ObjectVisitor<'a> {
    depth: usize,
    twice: &'a mut Option<String>,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut fields: Vec<(String, Json)> = Vec::new();
        while let Some((name, raw)) = map.next_entry::<String, &RawValue>()? {
            if fields.iter().any(|(known, _)| *known == name) {
                *self.twice = plain(&name).map(str::to_owned);
                return Err(A::Error::custom(match plain(&name) {
                    Some(name) => format!("{name}: the field stands twice"),
                    None => "a field stands twice".to_owned(),
                }));
            }
            if fields.len() >= FIELDS_MAX {
                return Err(A::Error::custom("too many fields"));
            }
            let value = value(raw, self.depth - 1, self.twice).map_err(A::Error::custom)?;
            fields.push((name, value));
        }
        Ok(Json::Object(Fields(fields)))
    }
}

/// Fields of one object; finding one is a walk over all.
const FIELDS_MAX: usize = 256;

struct ListVisitor<'a> {
    depth: usize,
    twice: &'a mut Option<String>,
}

impl<'de> Visitor<'de> for ListVisitor<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut elements = Vec::new();
        while let Some(raw) = list.next_element::<&RawValue>()? {
            elements.push(value(raw, self.depth - 1, self.twice).map_err(A::Error::custom)?);
        }
        Ok(Json::List(elements))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    fn refusal(text: &str) -> Problem {
        Fields::parse(text.as_bytes()).expect_err("refused")
    }

    #[test]
    fn fields_come_as_they_were_sent() {
        let fields = Fields::parse(
            br#" {"a":"x\ny","n":1e-05,"big":123456789012345678901234567890.10,"l":["p","q"],"o":{"b":true},"z":null} "#,
        )
        .expect("an object");
        assert_eq!(fields.text("a"), Ok("x\ny"));
        assert_eq!(fields.optional_number("n"), Ok(Some("1e-05")));
        assert_eq!(
            fields.optional_number("big"),
            Ok(Some("123456789012345678901234567890.10"))
        );
        assert_eq!(fields.optional_texts("l"), Ok(Some(vec!["p", "q"])));
        let inner = fields
            .optional_object("o")
            .expect("an object")
            .expect("there");
        assert_eq!(inner.get("b"), Some(&Json::Bool(true)));
        assert_eq!(
            fields.optional_text("z"),
            Ok(None),
            "null is as good as nothing"
        );
        assert_eq!(fields.optional_text("absent"), Ok(None));
    }

    #[test]
    fn a_field_of_another_kind_is_named() {
        let fields = Fields::parse(br#"{"a":1,"b":[1],"c":"x","d":""}"#).expect("an object");
        for refused in [
            fields.text("a").map(|_| ()),
            fields.optional_texts("b").map(|_| ()),
            fields.optional_texts("c").map(|_| ()),
            fields.optional_number("b").map(|_| ()),
            fields.optional_object("c").map(|_| ()),
            fields.text("d").map(|_| ()),
            fields.text("absent").map(|_| ()),
        ] {
            assert_eq!(refused.expect_err("refused").code(), Code::BadParams);
        }
    }

    #[test]
    fn what_is_no_plain_object_is_refused() {
        let deep = format!("{}1{}", "{\"a\":".repeat(17), "}".repeat(17));
        let deeper = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        let many: Vec<String> = (0..257).map(|number| format!("\"f{number}\":0")).collect();
        let many = format!("{{{}}}", many.join(","));
        for text in [
            "",
            "null",
            "[]",
            "\"a\"",
            "{",
            "{\"a\":NaN}",
            "{\"a\":Infinity}",
            "{\"a\":-Infinity}",
            "{\"a\":+1}",
            "{\"a\":01}",
            "{\"a\":1,}",
            "{\"a\":1}{}",
            "{'a':1}",
            "{\"a\":\"\n\"}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "{\"o\":{\"a\":1,\"a\":2}}",
            "{\"l\":[{\"a\":1,\"a\":2}]}",
            "{\"a\":\"\\ud800\"}",
            &deep,
            &deeper,
            &many,
        ] {
            let problem = refusal(text);
            assert_eq!(
                problem.code(),
                Code::BadJson,
                "{}",
                &text[..text.len().min(80)]
            );
        }
        assert!(Fields::parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn no_error_repeats_a_value_or_a_name_that_is_not_plain() {
        let long = format!("{{\"{0}\":1,\"{0}\":2}}", "hunter2".repeat(5));
        for text in [
            "{\"password\":\"hunter2\",\"password\":\"hunter2\"}",
            "{\"hunter2 \":1,\"hunter2 \":2}",
            "{\"password\":hunter2}",
            "{\"a\":{\"hunter2<\":1,\"hunter2<\":1}}",
            &long,
        ] {
            let problem = format!("{:?}", refusal(text));
            assert!(!problem.contains("hunter2"), "{problem}");
        }
        let form = Fields::parse_form(b"hunter2%00=1&price=2").expect("a form");
        let problem = format!("{:?}", form.only(&["price"]));
        assert!(!problem.contains("hunter2"), "{problem}");
    }

    #[test]
    fn a_field_that_is_unknown_or_stands_twice_is_named() {
        let known = ["side", "qty"];
        let only = |text: &str| {
            let fields = Fields::parse(text.as_bytes()).expect("an object");
            fields.only(&known).expect_err("refused")
        };
        for (problem, code, field, message) in [
            (
                refusal("{\"qty\":1,\"qty\":2}"),
                Code::BadJson,
                "qty",
                "qty: the field stands twice, line 1, column 17",
            ),
            (
                refusal("{\"o\":[{\"client_order_id\":1,\"client_order_id\":2}]}"),
                Code::BadJson,
                "client_order_id",
                "client_order_id: the field stands twice",
            ),
            (
                only("{\"side\":1,\"quantity\":2}"),
                Code::BadParams,
                "quantity",
                "quantity: no such field; this route takes side, qty",
            ),
            (
                Fields::parse_form(b"qty=1&qty=2").expect_err("refused"),
                Code::BadParams,
                "qty",
                "qty: it stands twice",
            ),
        ] {
            let expected = Problem::new(code, "").field(field);
            let text = format!("{problem:?}");
            assert_eq!(problem.code(), expected.code(), "{text}");
            assert!(text.contains(&format!("\"{field}\"")), "{text}");
            assert!(text.contains(message), "{text}");
        }
    }

    #[test]
    fn only_plain_json_in_utf8_is_read() {
        let of = |kinds: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for kind in kinds {
                headers.append(CONTENT_TYPE, HeaderValue::from_static(kind));
            }
            is_json(&headers)
        };
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
        ] {
            assert!(of(&[good]), "{good}");
        }
        for bad in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
            "application/json; charset=utf-16",
            "",
        ] {
            assert!(!of(&[bad]), "{bad}");
        }
        assert!(!of(&[]));
        assert!(!of(&["application/json", "application/json"]));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(!is_json(&headers), "nothing here unpacks it");
    }

    #[test]
    fn a_form_is_read_as_strictly_as_json() {
        let form = Fields::parse_form(b"side=BUY&qty=1e-05&symbol=BTC%0AUSDT").expect("a form");
        assert_eq!(form.text("side"), Ok("BUY"));
        assert_eq!(form.optional_number("qty"), Ok(Some("1e-05")));
        assert_eq!(form.text("symbol"), Ok("BTC\nUSDT"));
        let many: Vec<String> = (0..257).map(|number| format!("f{number}=0")).collect();
        for bad in [
            &b"a=1&a=2"[..],
            b"a=%f",
            b"a=\xff",
            many.join("&").as_bytes(),
        ] {
            assert_eq!(
                Fields::parse_form(bad).map_err(|problem| problem.code()),
                Err(Code::BadParams)
            );
        }
        assert_eq!(form.only(&["side", "qty", "symbol", "price"]), Ok(()));
        assert!(form.only(&["side", "qty"]).is_err());
    }

    #[test]
    fn a_yes_is_a_yes_however_it_is_sent() {
        let fields = Fields::parse(br#"{"a":true,"b":"false","c":1,"d":"yes"}"#).expect("JSON");
        assert_eq!(fields.truth("a"), Ok(true));
        assert_eq!(fields.truth("b"), Ok(false));
        for bad in ["c", "d", "e"] {
            assert!(fields.truth(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// Against the library's own reading, where that keeps what we keep.
        #[test]
        fn texts_and_structure_agree_with_the_library(
            names in proptest::collection::btree_map("\\PC{0,6}", "\\PC{0,12}", 0..8),
        ) {
            let text = serde_json::to_vec(&names).expect("JSON");
            let fields = Fields::parse(&text).expect("an object");
            prop_assert_eq!(fields.0.len(), names.len());
            for (name, value) in &names {
                prop_assert_eq!(fields.get(name), Some(&Json::Text(value.clone())));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Fields::parse(&bytes);
        }

        #[test]
        fn no_text_of_json_marks_panics(text in "[\\[\\]{}\":,0-9a\\\\ eE+.-]{0,60}") {
            if Fields::parse(text.as_bytes()).is_ok() {
                let accepted: Result<serde_json::Value, _> = serde_json::from_str(&text);
                // A number that overflows a float is a number all the same.
                prop_assert!(accepted.is_ok() || text.contains(['e', 'E']));
            }
        }
    }
}
