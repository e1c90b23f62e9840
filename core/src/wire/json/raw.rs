//! JSON values as the text that they are: that a text is one, and where it ends.
//!
//! Owns: [`Raw`], and the walk over a text, [`Scan`]. Does not: resolve escapes or read numbers. Invariants: a
//! [`Raw`] is one whole value by RFC 8259, without white space around it; nothing is allocated, however deep
//! values nest, and beyond [`DEPTH_MAX`] they are not taken. (`serde_json` notes nesting on the heap from the
//! second bracket on; it is the reference that this is tested against.)

/// Arrays and objects inside each other; `serde_json` reads as many.
const DEPTH_MAX: u32 = 128;

/// The text of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    text: &'a str,
}

impl<'a> Raw<'a> {
    /// The value that the whole of `text` is, white space around it aside.
    pub fn new(text: &'a str) -> Option<Self> {
        let mut scan = Scan::new(text);
        let value = scan.value()?;
        scan.is_at_end().then_some(value)
    }

    /// Its text.
    pub const fn get(self) -> &'a str {
        self.text
    }
}

/// A place in a text; values are taken from it one after another.
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Whether nothing but white space is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.white_space();
        self.at == self.text.len()
    }

    /// Takes this byte if it is the next that is no white space; says whether it did.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        self.white_space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes a key and its colon; the key with its quotes.
    pub(super) fn key(&mut self) -> Option<Raw<'a>> {
        self.white_space();
        let start = self.at;
        self.string()?;
        let text = &self.text[start..self.at];
        self.take(b':').then_some(Raw { text })
    }

    /// Takes one value.
    pub(super) fn value(&mut self) -> Option<Raw<'a>> {
        self.white_space();
        let start = self.at;
        // One bit a bracket that is open: whether it is an object's. The innermost is the lowest.
        let (mut objects, mut depth) = (0u128, 0u32);
        loop {
            self.white_space();
            let opened = match self.peek()? {
                b'{' => Some(true),
                b'[' => Some(false),
                _ => {
                    self.scalar()?;
                    None
                }
            };
            if let Some(is_object) = opened {
                if depth == DEPTH_MAX {
                    return None;
                }
                self.at += 1;
                depth += 1;
                objects = objects << 1 | u128::from(is_object);
                if !self.take(if is_object { b'}' } else { b']' }) {
                    if is_object {
                        self.key()?;
                    }
                    continue;
                }
                depth -= 1;
                objects >>= 1;
            }
            // A value has ended, and with it perhaps those around it.
            loop {
                if depth == 0 {
                    let text = &self.text[start..self.at];
                    return Some(Raw { text });
                }
                let is_object = objects & 1 == 1;
                if self.take(b',') {
                    if is_object {
                        self.key()?;
                    }
                    break;
                }
                if !self.take(if is_object { b'}' } else { b']' }) {
                    return None;
                }
                depth -= 1;
                objects >>= 1;
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn scalar(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.number(),
        }
    }

    fn literal(&mut self, literal: &str) -> Option<()> {
        let found = self.text.as_bytes()[self.at..].starts_with(literal.as_bytes());
        self.at += literal.len();
        found.then_some(())
    }

    /// A string with its quotes; escapes are of a legal form, whatever they mean.
    fn string(&mut self) -> Option<()> {
        if self.peek() != Some(b'"') {
            return None;
        }
        self.at += 1;
        loop {
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => match self.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        for _ in 0..4 {
                            if !self.next()?.is_ascii_hexdigit() {
                                return None;
                            }
                        }
                    }
                    _ => return None,
                },
                0..=0x1F => return None,
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let zero = self.peek() == Some(b'0');
        if self.digits()? > 1 && zero {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// At least one digit; how many.
    fn digits(&mut self) -> Option<usize> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(self.at - start)
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    /// What `serde_json` says the value is.
    fn reference(text: &str) -> Option<&str> {
        serde_json::from_str::<&RawValue>(text)
            .ok()
            .map(RawValue::get)
    }

    fn check(text: &str) {
        assert_eq!(Raw::new(text).map(Raw::get), reference(text), "{text:?}");
    }

    #[test]
    fn values_are_what_the_reference_says() {
        for text in [
            "",
            " ",
            "1",
            " 1 ",
            "-1",
            "-",
            "+1",
            "01",
            "0",
            "-0",
            "00",
            "1.",
            ".5",
            "1.5",
            "1e",
            "1e5",
            "1E+5",
            "1e-",
            "1.5e+10",
            "1 2",
            "true",
            "tru",
            "truex",
            "false",
            "null",
            "nul",
            "nullnull",
            "\"\"",
            "\"a",
            "\"a\"b",
            "\"\\\"\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\ud800\"",
            "\"\\u0041\"",
            "\"\u{1}\"",
            "\"\u{7f}ä\"",
            "\"\\",
            "[]",
            "[ ]",
            "[1]",
            "[1,]",
            "[,1]",
            "[1,2]",
            "[1 2]",
            "[[]]",
            "[[],[]]",
            "[",
            "]",
            "[}",
            "{}",
            "{ }",
            "{\"a\":1}",
            "{\"a\" : 1 , \"b\":[]}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{1:1}",
            "{\"a\":1 \"b\":2}",
            "{]",
            "{\"a\":{\"b\":[1,{}]}}x",
            "{\"a\":{\"b\":[1,{}]}} \n",
            "\u{feff}1",
            "{\"a\":[1,{\"b\":\"}\"}],\"c\":\"]\"}",
        ] {
            check(text);
        }
    }

    #[test]
    fn nesting_is_bounded() {
        for (depth, is_read) in [
            (1, true),
            (DEPTH_MAX as usize, true),
            (DEPTH_MAX as usize + 1, false),
        ] {
            let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
            assert_eq!(Raw::new(&arrays).is_some(), is_read);
            assert_eq!(Raw::new(&objects).is_some(), is_read);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8_192))]

        #[test]
        fn any_text_of_json_characters_is_read_alike(text in r#"[\[\]{}:,"\\ \n0-9.eE+\-untrfalsäb/]{0,24}"#) {
            check(&text);
        }

        #[test]
        fn any_value_is_read_alike(value in values(), cut in 0usize..60, byte in any::<u8>()) {
            check(&value);
            let mut damaged = value.into_bytes();
            if let Some(place) = damaged.get_mut(cut) {
                *place = byte;
            }
            if let Ok(text) = std::str::from_utf8(&damaged) {
                check(text);
            }
        }
    }

    fn values() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            any::<i64>().prop_map(|number| number.to_string()),
            "-?[0-9]{1,4}(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?",
            "[ -~ä]{0,8}".prop_map(|text| serde_json::to_string(&text).expect("a string")),
        ];
        scalar.prop_recursive(5, 40, 4, |inner| {
            let list = prop::collection::vec(inner, 0..4);
            prop_oneof![
                list.clone()
                    .prop_map(|items| format!("[{}]", items.join(","))),
                list.prop_map(|items| {
                    let members: Vec<_> =
                        items.iter().map(|it| format!(" \"k\" : {it}\n")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }
}
