//! The parameters of a request's target.
//!
//! Owns: [`Query`], [`only`]. Invariants: each name stands once; percent-encoding that encodes nothing, or no
//! UTF-8, is refused.

use super::body::{expected, plain};
use super::problem::{Code, Problem};
use super::shape::{Plus, decode};
use std::ops::RangeInclusive;

/// The parameter with which browsers' libraries keep caches off; it means nothing anywhere.
const AGAINST_CACHES: &str = "_";
/// Characters of an unknown name that its refusal repeats.
const NAME_CHARS_MAX: usize = 64;

/// Refuses names that a route does not know: whoever misspells a filter is worse off with an answer to another question.
///
/// # Errors
/// `bad_params` with the name and those that are known.
pub(super) fn only(
    text: &str,
    known: impl Iterator<Item = &'static str> + Clone,
) -> Result<(), Problem> {
    for part in text.split('&').filter(|part| !part.is_empty()) {
        let name = part.split_once('=').map_or(part, |(name, _)| name);
        let name = decode(name, Plus::IsSpace)?;
        let is_known = |known: &str| known.as_bytes() == name;
        if known.clone().any(is_known) || is_known(AGAINST_CACHES) {
            continue;
        }
        let name: String = String::from_utf8_lossy(&name)
            .chars()
            .take(NAME_CHARS_MAX)
            .collect();
        let list = known.collect::<Vec<_>>().join(", ");
        let expected = if list.is_empty() {
            "this route takes no parameters".to_owned()
        } else {
            format!("this route takes {list}")
        };
        let message = format!("{name}: no such parameter; {expected}");
        return Err(Problem::new(Code::BadParams, message).field(name));
    }
    Ok(())
}

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
                return Err(match plain(&name) {
                    Some(plain) => {
                        Problem::new(Code::BadParams, format!("{plain}: it stands twice"))
                            .field(plain.to_owned())
                    }
                    None => Problem::new(Code::BadParams, "a name stands twice"),
                });
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
        self.given(name).filter(|value| !value.is_empty())
    }

    /// A value, an empty one too.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// A value that must be there.
    ///
    /// # Errors
    /// `bad_params` names it.
    pub fn text(&self, name: &'static str) -> Result<&str, Problem> {
        self.get(name).ok_or_else(|| expected(name, "a value"))
    }

    /// A whole number in a range, or its default where it is not given; an empty text is no number.
    ///
    /// # Errors
    /// `bad_params` names it.
    pub fn whole(
        &self,
        name: &'static str,
        range: RangeInclusive<usize>,
        default: usize,
    ) -> Result<usize, Problem> {
        let Some(text) = self.given(name) else {
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
    fn a_name_that_nobody_knows_is_refused_with_those_that_are() {
        let known = || ["last_id", "events"].into_iter();
        for fine in ["", "&", "events=a&events=b", "last%5Fid=1&_=17", "_"] {
            assert_eq!(only(fine, known()), Ok(()), "{fine}");
        }
        for bad in ["event=a", "events=a&Last_id=1", "=", "%20", "events%00=1"] {
            let problem = only(bad, known()).expect_err("refused");
            assert_eq!(problem.code(), Code::BadParams, "{bad}");
            assert!(format!("{problem:?}").contains("last_id, events"), "{bad}");
        }
        assert!(only("%zz=1", known()).is_err());
        let none = only("x=1", std::iter::empty()).expect_err("refused");
        assert!(format!("{none:?}").contains("takes no parameters"));
    }

    #[test]
    fn whole_numbers_have_a_range_and_a_default() {
        let query = Query::parse(Some(
            "a=10&b=1001&c=+5&d=1e2&e=-1&f=99999999999999999999&g=",
        ))
        .expect("sound");
        let whole = |name| query.whole(name, 1..=1_000, 100);
        assert_eq!(whole("a"), Ok(10));
        assert_eq!(whole("absent"), Ok(100));
        for bad in ["b", "c", "d", "e", "f", "g"] {
            assert!(whole(bad).is_err(), "{bad}");
        }
        assert!(query.text("absent").is_err());
    }
}
