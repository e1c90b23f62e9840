//! The control protocol of the JSON streams: SUBSCRIBE and its siblings, replies and errors.
//!
//! Owns: reading a control message, the texts of replies and errors, and stream names. Does not:
//! know connections. Source: Binance Spot `web-socket-streams.md` and its observed error frames.

use serde::Deserialize;
use serde_json::Value;

use super::render::json_string;
use super::source::DepthSpeed;

/// Longest text that serves as a request's id.
pub(crate) const ID_CHARS_MAX: usize = 36;

/// How a control error looks on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlErrorForm {
    /// `{"error":{"code":2,"msg":".."},"id":1}`, as seen on the wire.
    #[default]
    Wrapped,
    /// `{"code":2,"msg":".."}`, as the venue's documents print it.
    Bare,
}

/// A request's id, to be echoed as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    Null,
    Int(i64),
    Text(String),
}

impl Id {
    /// The id of a request; `None` when its type or its text is not allowed.
    pub(crate) fn of(value: Option<&Value>) -> Option<Self> {
        match value {
            None | Some(Value::Null) => Some(Self::Null),
            Some(Value::Number(number)) => number.as_i64().map(Self::Int),
            Some(Value::String(text)) => {
                let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                let fits = (1..=ID_CHARS_MAX).contains(&text.chars().count());
                (fits && text.chars().all(legal)).then(|| Self::Text(text.clone()))
            }
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
        }
    }

    pub(crate) fn json(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Int(number) => number.to_string(),
            Self::Text(text) => json_string(text),
        }
    }
}

/// A control message that can be carried out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Subscribe(Vec<String>),
    Unsubscribe(Vec<String>),
    List,
    SetCombined(bool),
    GetCombined,
}

/// A control message that cannot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ControlError {
    code: i32,
    msg: String,
    /// `None` leaves the member out.
    id: Option<Id>,
}

impl ControlError {
    fn invalid(msg: impl std::fmt::Display, id: Option<Id>) -> Self {
        Self {
            code: 2,
            msg: format!("Invalid request: {msg}"),
            id,
        }
    }

    pub(crate) fn too_many_subscriptions(id: Id) -> Self {
        Self {
            code: 4,
            msg: "Too many subscriptions".to_owned(),
            id: Some(id),
        }
    }

    pub(crate) fn json(&self, form: ControlErrorForm) -> String {
        let msg = json_string(&self.msg);
        let id = match &self.id {
            Some(id) => format!(r#","id":{}"#, id.json()),
            None => String::new(),
        };
        match form {
            ControlErrorForm::Wrapped => {
                format!(r#"{{"error":{{"code":{},"msg":{msg}}}{id}}}"#, self.code)
            }
            // Only "Unknown property" is documented with an id.
            ControlErrorForm::Bare if self.code != 0 => {
                format!(r#"{{"code":{},"msg":{msg}}}"#, self.code)
            }
            ControlErrorForm::Bare => format!(r#"{{"code":{},"msg":{msg}{id}}}"#, self.code),
        }
    }
}

/// The reply to a control message that was carried out; `result` is JSON.
pub(crate) fn reply(result: &str, id: &Id) -> String {
    format!(r#"{{"result":{result},"id":{}}}"#, id.json())
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Method {
    Subscribe,
    Unsubscribe,
    ListSubscriptions,
    SetProperty,
    GetProperty,
}

/// The venue's own server is written with serde too: its error texts come out of these types.
#[derive(Deserialize)]
struct Request {
    method: Method,
    #[serde(default)]
    params: Option<Vec<Value>>,
}

/// Reads a control message.
pub(crate) fn parse(text: &str) -> Result<(Control, Id), ControlError> {
    let value: Value = serde_json::from_str(text).map_err(|error| ControlError {
        code: 3,
        msg: format!("Invalid JSON: {error}"),
        id: None,
    })?;
    let Some(id) = Id::of(value.get("id")) else {
        return Err(ControlError::invalid(
            "request ID must be an unsigned integer",
            None,
        ));
    };
    let request: Request = serde_json::from_str(text)
        .map_err(|error| ControlError::invalid(error, Some(id.clone())))?;
    let params = request.params.unwrap_or_default();
    let control = match request.method {
        Method::Subscribe => Control::Subscribe(names(params, &id)?),
        Method::Unsubscribe => Control::Unsubscribe(names(params, &id)?),
        Method::ListSubscriptions => {
            at_most(0, &params, &id)?;
            Control::List
        }
        Method::SetProperty => {
            at_most(2, &params, &id)?;
            property(&params, &id)?;
            match params.get(1) {
                Some(&Value::Bool(combined)) => Control::SetCombined(combined),
                _ => {
                    return Err(ControlError {
                        code: 1,
                        msg: "Invalid value type: expected Boolean".to_owned(),
                        id: Some(id),
                    });
                }
            }
        }
        Method::GetProperty => {
            at_most(1, &params, &id)?;
            property(&params, &id)?;
            Control::GetCombined
        }
    };
    Ok((control, id))
}

fn names(params: Vec<Value>, id: &Id) -> Result<Vec<String>, ControlError> {
    let text = |value| match value {
        Value::String(name) => Ok(name),
        _ => Err(ControlError::invalid(
            "stream name must be a string",
            Some(id.clone()),
        )),
    };
    params.into_iter().map(text).collect()
}

fn at_most(count: usize, params: &[Value], id: &Id) -> Result<(), ControlError> {
    if params.len() > count {
        return Err(ControlError::invalid(
            "too many parameters",
            Some(id.clone()),
        ));
    }
    Ok(())
}

/// The one property there is: `combined`.
fn property(params: &[Value], id: &Id) -> Result<(), ControlError> {
    match params.first() {
        Some(Value::String(name)) if name == "combined" => Ok(()),
        Some(Value::String(_)) => Err(ControlError {
            code: 0,
            msg: "Unknown property".to_owned(),
            id: Some(id.clone()),
        }),
        _ => Err(ControlError::invalid(
            "property name must be a string",
            Some(id.clone()),
        )),
    }
}

/// The stream names of one symbol, made once.
#[derive(Clone, Debug)]
pub(crate) struct StreamNames {
    pub(crate) book_ticker: String,
    pub(crate) trade: String,
    pub(crate) agg_trade: String,
    diff: [String; 2],
    partial: [[String; 3]; 2],
}

/// Levels of the three partial depth streams.
pub(crate) const PARTIAL_LEVELS: [usize; 3] = [5, 10, 20];

impl StreamNames {
    pub(crate) fn new(symbol: &str) -> Self {
        let symbol = symbol.to_lowercase();
        let partial = |suffix| PARTIAL_LEVELS.map(|count| format!("{symbol}@depth{count}{suffix}"));
        Self {
            book_ticker: format!("{symbol}@bookTicker"),
            trade: format!("{symbol}@trade"),
            agg_trade: format!("{symbol}@aggTrade"),
            diff: [format!("{symbol}@depth@100ms"), format!("{symbol}@depth")],
            partial: [partial("@100ms"), partial("")],
        }
    }

    pub(crate) fn diff(&self, speed: DepthSpeed) -> &str {
        &self.diff[speed as usize]
    }

    pub(crate) fn partial(&self, speed: DepthSpeed) -> &[String; 3] {
        &self.partial[speed as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_messages_are_read() {
        let id = Id::Int(1);
        let cases = [
            (
                r#"{"method":"SUBSCRIBE","params":["btcusdt@trade","x"],"id":1}"#,
                Control::Subscribe(vec!["btcusdt@trade".to_owned(), "x".to_owned()]),
            ),
            (
                r#"{"id":1,"params":["x"],"method":"UNSUBSCRIBE"}"#,
                Control::Unsubscribe(vec!["x".to_owned()]),
            ),
            (r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#, Control::List),
            (
                r#"{"method":"SET_PROPERTY","params":["combined",true],"id":1}"#,
                Control::SetCombined(true),
            ),
            (
                r#"{"method":"GET_PROPERTY","params":["combined"],"id":1}"#,
                Control::GetCombined,
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok((expected, id.clone())), "{text}");
        }
    }

    #[test]
    fn ids_are_echoed_as_they_came() {
        for (id, echo) in [
            ("1", "1"),
            ("-7", "-7"),
            (r#""a-B_9""#, r#""a-B_9""#),
            ("null", "null"),
        ] {
            let text = format!(r#"{{"method":"LIST_SUBSCRIPTIONS","id":{id}}}"#);
            let (_, id) = parse(&text).expect("legal");
            assert_eq!(
                reply("null", &id),
                format!(r#"{{"result":null,"id":{echo}}}"#)
            );
        }
        let (_, id) = parse(r#"{"method":"LIST_SUBSCRIPTIONS"}"#).expect("legal");
        assert_eq!(id, Id::Null);
    }

    #[test]
    fn every_error_has_the_venues_text() {
        let long = "x".repeat(ID_CHARS_MAX + 1);
        let long = format!(r#"{{"method":"LIST_SUBSCRIPTIONS","id":"{long}"}}"#);
        let bad_id = concat!(
            r#"{"error":{"code":2,"msg":"Invalid request: request ID must be "#,
            r#"an unsigned integer"}}"#
        );
        let cases = [
            (
                r#"{"method":"SET_PROPERTY","params":["x",true],"id":5}"#,
                r#"{"error":{"code":0,"msg":"Unknown property"},"id":5}"#,
            ),
            (
                r#"{"method":"SET_PROPERTY","params":["combined","true"],"id":5}"#,
                r#"{"error":{"code":1,"msg":"Invalid value type: expected Boolean"},"id":5}"#,
            ),
            (
                r#"{"method":"GET_PROPERTY","params":[7],"id":5}"#,
                concat!(
                    r#"{"error":{"code":2,"msg":"Invalid request: property name must be "#,
                    r#"a string"},"id":5}"#
                ),
            ),
            (
                r#"{"method":"GET_PROPERTY","params":["combined",1],"id":5}"#,
                r#"{"error":{"code":2,"msg":"Invalid request: too many parameters"},"id":5}"#,
            ),
            (r#"{"method":"LIST_SUBSCRIPTIONS","id":1.5}"#, bad_id),
            (r#"{"method":"LIST_SUBSCRIPTIONS","id":[1]}"#, bad_id),
            (long.as_str(), bad_id),
            (
                r#"{"method":"SUBSCRIBED","id":1}"#,
                concat!(
                    r#"{"error":{"code":2,"msg":"Invalid request: unknown variant `SUBSCRIBED`, "#,
                    r#"expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, "#,
                    r#"`SET_PROPERTY`, `GET_PROPERTY` at line 1 column 22"},"id":1}"#
                ),
            ),
            (
                r#"{"params":["btcusdt@trade"],"id":3}"#,
                concat!(
                    r#"{"error":{"code":2,"msg":"Invalid request: missing field `method` "#,
                    r#"at line 1 column 35"},"id":3}"#
                ),
            ),
            (
                "{\"method\":\n nope}",
                concat!(
                    r#"{"error":{"code":3,"msg":"Invalid JSON: expected ident "#,
                    r#"at line 2 column 3"}}"#
                ),
            ),
            (
                "hello",
                r#"{"error":{"code":3,"msg":"Invalid JSON: expected value at line 1 column 1"}}"#,
            ),
        ];
        for (text, expected) in cases {
            let error = parse(text).expect_err(text);
            assert_eq!(error.json(ControlErrorForm::Wrapped), expected);
        }
        let error = parse("hello").expect_err("no JSON");
        assert_eq!(
            error.json(ControlErrorForm::Bare),
            r#"{"code":3,"msg":"Invalid JSON: expected value at line 1 column 1"}"#
        );
        assert_eq!(
            ControlError::too_many_subscriptions(Id::Int(1)).json(ControlErrorForm::Wrapped),
            r#"{"error":{"code":4,"msg":"Too many subscriptions"},"id":1}"#
        );
    }

    #[test]
    fn names_are_lower_case() {
        let names = StreamNames::new("BTCUSDT");
        assert_eq!(names.diff(DepthSpeed::Ms100), "btcusdt@depth@100ms");
        assert_eq!(names.diff(DepthSpeed::Ms1000), "btcusdt@depth");
        assert_eq!(names.partial(DepthSpeed::Ms100)[0], "btcusdt@depth5@100ms");
        assert_eq!(names.partial(DepthSpeed::Ms1000)[2], "btcusdt@depth20");
    }
}
