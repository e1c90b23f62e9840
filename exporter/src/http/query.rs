//! The parameters of a request's target.
//!
//! Owns: [`Query`]. Invariants: each name stands once; percent-encoding that encodes nothing, or no
//! UTF-8, is refused.

use super::body::expected;
use super::problem::{Code, Problem};
use super::shape::{Plus, decode};
use std::ops::RangeInclusive;

/// Names with values, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `name=value&...`.
    ///
    /// # Errors
    /// `bad_params`.
    pub fn parse(text: Option<&str>) -> Result<Self, Problem> {
        let text_of = |encoded: &str| {
            String::from_utf8(decode(encoded, Plus::IsSpace)?)
                .map_err(|_| Problem::new(Code::BadParams, "a parameter is no UTF-8"))
        };
        let mut pairs: Vec<(String, String)> = Vec::new();
        let parts = text.unwrap_or_default().split('&');
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = text_of(name)?;
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(Problem::new(Code::BadParams, "a parameter stands twice"));
            }
            pairs.push((name, text_of(value)?));
        }
        Ok(Self(pairs))
    }

    /// All pairs in the order in which they came.
    pub fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    /// A value that says something.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// A value that must be there.
    ///
    /// # Errors
    /// `bad_params` names it.
    pub fn text(&self, name: &'static str) -> Result<&str, Problem> {
        self.get(name).ok_or_else(|| expected(name, "a value"))
    }

    /// A whole number in a range, or its default.
    ///
    /// # Errors
    /// `bad_params` names it.
    pub fn whole(
        &self,
        name: &'static str,
        range: RangeInclusive<usize>,
        default: usize,
    ) -> Result<usize, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|number| digits && range.contains(number))
            .ok_or_else(|| {
                let (first, last) = (range.start(), range.end());
                expected(name, &format!("a whole number from {first} to {last}"))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_stand_once() {
        let query = Query::parse(Some("a=1&b=x%26y+z&c=&d&%65=%C3%A4")).expect("sound");
        assert_eq!(query.get("a"), Some("1"));
        assert_eq!(query.get("b"), Some("x&y z"));
        assert_eq!(query.get("c"), None);
        assert_eq!(query.get("d"), None);
        assert_eq!(query.get("e"), Some("ä"));
        assert_eq!(Query::parse(None), Ok(Query::default()));
        for bad in ["a=1&a=2", "a=1&%61=2", "a=%", "a=%ff", "%zz=1"] {
            let problem = Query::parse(Some(bad)).expect_err("refused");
            assert_eq!(problem.code(), Code::BadParams, "{bad}");
        }
    }

    #[test]
    fn whole_numbers_have_a_range_and_a_default() {
        let query = Query::parse(Some("a=10&b=1001&c=+5&d=1e2&e=-1&f=99999999999999999999"))
            .expect("sound");
        let whole = |name| query.whole(name, 1..=1_000, 100);
        assert_eq!(whole("a"), Ok(10));
        assert_eq!(whole("absent"), Ok(100));
        for bad in ["b", "c", "d", "e", "f"] {
            assert!(whole(bad).is_err(), "{bad}");
        }
        assert!(query.text("absent").is_err());
    }
}
