//! The few shapes of which schemas are made.
//!
//! Owns: builders of JSON Schema. Does not: know what any of it is for. Invariant: an object that is built here is
//! closed: what is not named does not occur in it.

use serde_json::{Map, Value, json};

/// An object whose members are all there.
pub(super) fn object(members: Value) -> Value {
    object_with(members, json!({}))
}

/// An object with members that are there and members that may be.
pub(super) fn object_with(members: Value, optional: Value) -> Value {
    let (Value::Object(mut properties), Value::Object(optional)) = (members, optional) else {
        unreachable!("members have names");
    };
    let required: Vec<String> = properties.keys().cloned().collect();
    properties.extend(optional);
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// An object of a request: what may be missing may be `null` too, which says as little.
pub(super) fn asked(members: Value, optional: Value) -> Value {
    let Value::Object(optional) = optional else {
        unreachable!("members have names");
    };
    let optional: Map<String, Value> = optional
        .into_iter()
        .map(|(name, schema)| (name, or_null(&schema)))
        .collect();
    object_with(members, Value::Object(optional))
}

/// An object with any names, each with a value of one shape.
pub(super) fn map_of(value: &Value) -> Value {
    json!({ "type": "object", "additionalProperties": value })
}

/// A list.
pub(super) fn list_of(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// One of the words of a closed set.
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> Value {
    let words: Vec<&str> = words.into_iter().collect();
    json!({ "type": "string", "enum": words })
}

/// One of these words in upper case, in lower case, or in both mixed.
pub(super) fn in_any_case(words: &[&str]) -> Value {
    let patterns: Vec<String> = words
        .iter()
        .map(|word| {
            let either = |letter: char| {
                if letter.is_ascii_alphabetic() {
                    let (upper, lower) = (letter.to_ascii_uppercase(), letter.to_ascii_lowercase());
                    format!("[{upper}{lower}]")
                } else {
                    letter.to_string()
                }
            };
            word.chars().map(either).collect()
        })
        .collect();
    json!({
        "type": "string",
        "pattern": format!("^({})$", patterns.join("|")),
        "examples": words,
        "description": format!("{}, in either case", words.join(", ")),
    })
}

/// A value, or `null`.
pub(super) fn or_null(value: &Value) -> Value {
    json!({ "anyOf": [value, { "type": "null" }] })
}

/// A schema of the components.
pub(super) fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Any text.
pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

/// A number that is exactly what it says: a decimal of at most eight places.
pub(super) fn decimal() -> Value {
    json!({ "type": "number", "description": "An exact decimal" })
}

/// The same in a text, so that nobody rounds it.
pub(super) fn decimal_text() -> Value {
    json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?$" })
}

/// A count, a size or a duration.
pub(super) fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// A Unix time in nanoseconds.
pub(super) fn unix_ns() -> Value {
    json!({ "type": "integer", "format": "int64" })
}

/// A time in RFC 3339.
pub(super) fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// A yes or a no.
pub(super) fn truth() -> Value {
    json!({ "type": "boolean" })
}

/// This and nothing else.
pub(super) fn just(value: impl Into<Value>) -> Value {
    let value: Value = value.into();
    json!({ "const": value })
}

/// The shape that a value has: objects with their names and no other, texts, numbers, truths.
pub(super) fn like(value: &Value) -> Value {
    match value {
        Value::Object(members) => object(
            members
                .iter()
                .map(|(name, value)| (name.clone(), like(value)))
                .collect::<Map<_, _>>()
                .into(),
        ),
        Value::Array(items) => items
            .first()
            .map_or_else(|| json!({ "type": "array" }), |first| list_of(&like(first))),
        Value::String(_) => text(),
        Value::Number(_) => json!({ "type": "number" }),
        Value::Bool(_) => truth(),
        Value::Null => json!({ "type": "null" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_closed_and_name_what_must_be_there() {
        let shape = object_with(json!({ "a": text() }), json!({ "b": truth() }));
        assert_eq!(shape["required"], json!(["a"]));
        assert_eq!(shape["additionalProperties"], false);
        assert!(!shape["properties"]["b"].is_null());
        let request = asked(json!({}), json!({ "b": truth() }));
        assert_eq!(request["properties"]["b"], or_null(&truth()));
    }

    #[test]
    fn words_in_any_case_are_a_pattern_that_names_each() {
        let shape = in_any_case(&["BUY", "L_M"]);
        assert_eq!(shape["pattern"], "^([Bb][Uu][Yy]|[Ll]_[Mm])$");
    }

    #[test]
    fn a_value_has_the_shape_that_is_made_of_it() {
        let shape = like(&json!({ "a": { "b": true }, "c": [1] }));
        assert_eq!(shape["properties"]["a"]["required"], json!(["b"]));
        assert_eq!(shape["properties"]["c"]["items"]["type"], "number");
    }
}
