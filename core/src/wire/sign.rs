//! Signatures of requests: Ed25519 as base64, or HMAC-SHA256 as hexadecimal.
//!
//! Owns: [`Signer`] and the text form of its signatures. Does not: know what is signed, or read files.
//! Invariants: no text that this module makes shows a secret; HMAC signs without allocation (Ed25519
//! allocates inside its library, which is why a session logs on with it once and then signs no more).

mod hmac_sha256;

use self::hmac_sha256::{HmacKey, SIGNATURE_BYTES as HMAC_BYTES};
use aws_lc_rs::signature::{ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair as _};
use rustls_pki_types::pem::{self, SectionKind};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of an Ed25519 signature.
const ED25519_BYTES: usize = 64;
/// Longest text of a signature: 64 bytes in base64.
const TEXT_BYTES_MAX: usize = ED25519_BYTES.div_ceil(3) * 4;

labelled! {
    /// What stands in a file where an Ed25519 private key should.
    pub enum KeyKind {
        /// A private key behind a pass phrase.
        Encrypted = "an encrypted private key",
        /// A key in the form of OpenSSH.
        OpenSsh = "an OpenSSH key",
        /// RSA, in either of its forms.
        Rsa = "an RSA private key",
        /// ECDSA or ECDH over an elliptic curve.
        EllipticCurve = "an elliptic-curve private key",
        /// Key agreement on Ed25519's curve: signs nothing.
        X25519 = "an X25519 private key",
        /// The larger Edwards curve.
        Ed448 = "an Ed448 private key",
        /// A private key of an algorithm that we do not know.
        Other = "a private key of another algorithm",
        /// A public key, of whichever algorithm.
        Public = "a public key",
        /// A certificate or a request for one.
        Certificate = "a certificate",
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Why a secret cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is a key, but not one that signs here.
    #[error(
        "it is {found}; expected an Ed25519 private key in PKCS#8 (PEM, `BEGIN PRIVATE KEY`), as `openssl genpkey -algorithm ed25519` writes it"
    )]
    NotEd25519 {
        /// What it is.
        found: KeyKind,
    },
    /// It holds no key in PEM.
    #[error("it holds no PEM section; expected an Ed25519 private key (`BEGIN PRIVATE KEY`)")]
    NoKey,
    /// The PEM text around the key is damaged.
    #[error("its PEM text is damaged; expected an Ed25519 private key (`BEGIN PRIVATE KEY`)")]
    Pem,
    /// It says that it is an Ed25519 key, but the key inside is damaged.
    #[error("it is an Ed25519 private key whose content is damaged")]
    Damaged,
    /// An HMAC secret of no bytes would sign like anybody's.
    #[error("it is empty; expected the API secret")]
    Empty,
}

/// Signs requests with one account's secret.
pub struct Signer {
    key: Key,
}

enum Key {
    Ed25519(Ed25519KeyPair),
    Hmac(Box<HmacKey>),
}

/// Room for the text of one signature.
#[derive(Clone, Copy, Debug)]
pub struct SignatureText {
    bytes: [u8; TEXT_BYTES_MAX],
}

impl Default for SignatureText {
    fn default() -> Self {
        Self {
            bytes: [0; TEXT_BYTES_MAX],
        }
    }
}

impl Signer {
    /// Longest text of a signature.
    pub const TEXT_BYTES_MAX: usize = TEXT_BYTES_MAX;

    /// A signer with an Ed25519 key: the first private key of a PEM text, PKCS#8 as version 1 or 2.
    ///
    /// # Errors
    /// [`KeyError`], which says what was found and what was expected, and nothing of the content.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let mut rest = text;
        let section = pem::from_buf(&mut rest).map_err(|_| KeyError::Pem)?;
        let Some((section, der)) = section else {
            return Err(unreadable_section(text));
        };
        let der = Zeroizing::new(der);
        let found = match section {
            SectionKind::PrivateKey => match algorithm(&der) {
                None => return Err(KeyError::Damaged),
                Some(oid) => match oid {
                    [0x2B, 0x65, 0x70] => {
                        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
                            .map_err(|_| KeyError::Damaged)?;
                        return Ok(Self {
                            key: Key::Ed25519(pair),
                        });
                    }
                    [0x2B, 0x65, 0x6E] => KeyKind::X25519,
                    [0x2B, 0x65, 0x71] => KeyKind::Ed448,
                    [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01] => KeyKind::Rsa,
                    [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01] => KeyKind::EllipticCurve,
                    _ => KeyKind::Other,
                },
            },
            SectionKind::RsaPrivateKey => KeyKind::Rsa,
            SectionKind::EcPrivateKey => KeyKind::EllipticCurve,
            SectionKind::PublicKey => KeyKind::Public,
            SectionKind::Certificate | SectionKind::Csr => KeyKind::Certificate,
            _ => KeyKind::Other,
        };
        Err(KeyError::NotEd25519 { found })
    }

    /// A signer with an HMAC secret, as the venue shows it once: its bytes are the key.
    ///
    /// # Errors
    /// [`KeyError::Empty`].
    pub fn hmac(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(Self {
            key: Key::Hmac(Box::new(HmacKey::new(secret))),
        })
    }

    /// Tells what payloads begin with, so that this is hashed once. Others are signed as well.
    pub fn begin_with(&mut self, beginning: &[u8]) {
        match &mut self.key {
            Key::Ed25519(_) => {}
            Key::Hmac(key) => key.begin_with(beginning),
        }
    }

    /// Whether a session can be logged on with this key, so that its requests need no signature.
    pub const fn can_log_on(&self) -> bool {
        match self.key {
            Key::Ed25519(_) => true,
            Key::Hmac(_) => false,
        }
    }

    /// Bytes of every signature's text: 88 of base64, or 64 of lower-case hexadecimal.
    pub const fn text_bytes(&self) -> usize {
        match self.key {
            Key::Ed25519(_) => TEXT_BYTES_MAX,
            Key::Hmac(_) => 2 * HMAC_BYTES,
        }
    }

    /// The public half of an Ed25519 key, for telling which key is in use; `None` for HMAC.
    pub fn public_key(&self) -> Option<[u8; ED25519_PUBLIC_KEY_LEN]> {
        match &self.key {
            Key::Ed25519(pair) => pair.public_key().as_ref().try_into().ok(),
            Key::Hmac(_) => None,
        }
    }

    /// Signs `payload`; the text is [`Signer::text_bytes`] of ASCII in `out`.
    pub fn sign<'o>(&self, payload: &[u8], out: &'o mut SignatureText) -> &'o [u8] {
        let bytes = self.text_bytes();
        match &self.key {
            Key::Ed25519(pair) => base64(pair.sign(payload).as_ref(), &mut out.bytes),
            Key::Hmac(key) => hexadecimal(key.sign(payload), &mut out.bytes),
        }
        &out.bytes[..bytes]
    }
}

/// Shows the algorithm and nothing of the key.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.key {
            Key::Ed25519(_) => "Signer(Ed25519)",
            Key::Hmac(_) => "Signer(HMAC-SHA256)",
        })
    }
}

/// What a text is whose PEM sections the reader skips.
fn unreadable_section(text: &[u8]) -> KeyError {
    let has = |label: &[u8]| text.windows(label.len()).any(|window| window == label);
    let found = if has(b"BEGIN ENCRYPTED PRIVATE KEY") {
        KeyKind::Encrypted
    } else if has(b"BEGIN OPENSSH PRIVATE KEY") {
        KeyKind::OpenSsh
    } else {
        return KeyError::NoKey;
    };
    KeyError::NotEd25519 { found }
}

/// The algorithm's object identifier in a PKCS#8 key (RFC 5958): the outer sequence, the version, then
/// a sequence that begins with it. `None` when the bytes are no such thing.
fn algorithm(pkcs8: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    let (key, _) = element(SEQUENCE, pkcs8)?;
    let (_, rest) = element(INTEGER, key)?;
    let (identifier, _) = element(SEQUENCE, rest)?;
    Some(element(OBJECT_IDENTIFIER, identifier)?.0)
}

/// The content of the DER element that `bytes` begins with, and what follows it; keys are far below the
/// 64 KiB that two length bytes can say.
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first != tag {
        return None;
    }
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7F => (usize::from(length), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => {
            let (high, low) = (*rest.first()?, *rest.get(1)?);
            (usize::from(u16::from_be_bytes([high, low])), rest.get(2..)?)
        }
        _ => return None,
    };
    (length <= rest.len()).then(|| rest.split_at(length))
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8], text: &mut [u8; TEXT_BYTES_MAX]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (group, four) in bytes.chunks(3).zip(text.chunks_exact_mut(4)) {
        let byte = |position: usize| u32::from(group.get(position).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (position, character) in four.iter_mut().enumerate() {
            *character = if position <= group.len() {
                ALPHABET[(bits >> (18 - 6 * position) & 63) as usize]
            } else {
                b'='
            };
        }
    }
}

/// Two lower-case digits for each byte; without a table, so that the compiler can do many at a time.
#[inline]
fn hexadecimal(bytes: [u8; HMAC_BYTES], text: &mut [u8; TEXT_BYTES_MAX]) {
    let digit = |four_bits: u8| {
        let letter = if four_bits > 9 { b'a' - b'0' - 10 } else { 0 };
        b'0' + four_bits + letter
    };
    for (byte, two) in bytes.iter().zip(text.as_chunks_mut::<2>().0) {
        *two = [digit(byte >> 4), digit(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    /// The illustrative key that the venue's FIX pages print.
    const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIIJEYWtGBrhACmb9Dvy+qa8WEf0lQOl1s4CLIAB9m89u
-----END PRIVATE KEY-----
";

    /// The secret of the venue's pages.
    const SECRET: &[u8] = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";

    fn sign(signer: &Signer, payload: &str) -> String {
        let mut out = SignatureText::default();
        let text = signer.sign(payload.as_bytes(), &mut out);
        assert_eq!(text.len(), signer.text_bytes());
        String::from_utf8(text.to_vec()).expect("ASCII")
    }

    #[test]
    fn ed25519_signs_as_the_venue_prints_it() {
        let signer = Signer::from_pem(KEY.as_bytes()).expect("a key");
        assert!(signer.can_log_on());
        let mut public = String::new();
        for byte in signer.public_key().expect("Ed25519 has one") {
            write!(public, "{byte:02x}").expect("a string");
        }
        assert_eq!(
            public,
            "19420abfd752a565c15625e9da6eaf0086fc40c14960183214442c14996a800d"
        );
        let vectors = [
            (
                "A\u{1}EXAMPLE\u{1}SPOT\u{1}1\u{1}20240627-11:17:25.223",
                "4MHXelVVcpkdwuLbl6n73HQUXUf1dse2PCgT1DYqW9w8AVZ1RACFGM+5UdlGPrQHrgtS3CvsRURC1oj73j8gCA==",
            ),
            (
                "apiKey=4yNzx3yWC5bS6YTwEkSRaC0nRmSQIIStAUOh1b6kqaBrTLIhjCpI5lJH8q8R8WNO&timestamp=1649729878532",
                "cGkloHLHGGNbrduoWDYBlzIPwRHyDVYVfCE0rDkPwKdKedurBgm2JNWRkwloQDBFG6Mcloavo1siYfEtZbV/Ag==",
            ),
            (
                "apiKey=4yNzx3yWC5bS6YTwEkSRaC0nRmSQIIStAUOh1b6kqaBrTLIhjCpI5lJH8q8R8WNO&price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT&timeInForce=GTC&timestamp=1645423376532&type=LIMIT",
                "82wlF5RobwT7JZehRQgOaupNEm5GrAqJj5tqZeCCE6ZxkhlUbWBThOx00q3FVnCKn882P+9p85phztjk4bOMAQ==",
            ),
            (
                "symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTC&quantity=1&price=0.2&timestamp=1668481559918&recvWindow=5000",
                "inDT086KVIP8vgUfw5sV3VTkescWztiAGlf4x8FLKHM4NInsn0c1kYVLoGMO8cyjfR6vmTku2YQE0gtfVVlfCw==",
            ),
        ];
        for (payload, expected) in vectors {
            assert_eq!(sign(&signer, payload), expected, "{payload:?}");
        }
    }

    #[test]
    fn hmac_signs_as_the_venue_prints_it() {
        let signer = Signer::hmac(SECRET).expect("not empty");
        assert!(!signer.can_log_on());
        assert_eq!(signer.public_key(), None);
        let vectors = [
            (
                "timestamp=1578963600000",
                "d84e6641b1e328e7b418fff030caed655c266299c9355e36ce801ed14631eed4",
            ),
            (
                "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
                "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
            ),
            (
                "symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
                "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
            ),
            (
                "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTCquantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
                "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77",
            ),
            (
                "apiKey=vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A&price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT&timeInForce=GTC&timestamp=1645423376532&type=LIMIT",
                "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24",
            ),
            (
                "apiKey=vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A&price=0.10000000&quantity=1.00000000&recvWindow=5000&side=BUY&symbol=１２３４５６&timeInForce=GTC&timestamp=1645423376532&type=LIMIT",
                "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd",
            ),
        ];
        for (payload, expected) in vectors {
            assert_eq!(sign(&signer, payload), expected, "{payload:?}");
        }
        assert_eq!(Signer::hmac(b"").err(), Some(KeyError::Empty));

        // Whatever a payload is said to begin with, its signature is the same.
        let mut signer = signer;
        for beginning in [
            "",
            "t",
            "symbol=LTCBTC&side=",
            "apiKey=vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A&",
        ] {
            signer.begin_with(beginning.as_bytes());
            for (payload, expected) in vectors {
                assert_eq!(
                    sign(&signer, payload),
                    expected,
                    "{payload:?} after {beginning:?}"
                );
            }
        }
    }

    /// A PKCS#8 frame around an algorithm and a key that nobody looks at.
    fn pkcs8(oid: &[u8]) -> String {
        let mut inner = vec![
            0x02,
            0x01,
            0x00,
            0x30,
            oid.len() as u8 + 2,
            0x06,
            oid.len() as u8,
        ];
        inner.extend_from_slice(oid);
        inner.extend_from_slice(&[0x04, 0x02, 0x05, 0x00]);
        let mut der = vec![0x30, 0x81, inner.len() as u8];
        der.extend_from_slice(&inner);
        section("PRIVATE KEY", &der)
    }

    fn section(label: &str, der: &[u8]) -> String {
        let mut body = String::new();
        for group in der.chunks(ED25519_BYTES) {
            let mut text = [0; TEXT_BYTES_MAX];
            base64(group, &mut text);
            let bytes = group.len().div_ceil(3) * 4;
            body.push_str(std::str::from_utf8(&text[..bytes]).expect("ASCII"));
        }
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn what_is_no_ed25519_key_is_named() {
        let not = |found| KeyError::NotEd25519 { found };
        let any = [0x30, 0x00];
        let cases = [
            (section("RSA PRIVATE KEY", &any), not(KeyKind::Rsa)),
            (section("EC PRIVATE KEY", &any), not(KeyKind::EllipticCurve)),
            (section("PUBLIC KEY", &any), not(KeyKind::Public)),
            (section("CERTIFICATE", &any), not(KeyKind::Certificate)),
            (
                section("CERTIFICATE REQUEST", &any),
                not(KeyKind::Certificate),
            ),
            (section("X509 CRL", &any), not(KeyKind::Other)),
            (
                section("ENCRYPTED PRIVATE KEY", &any),
                not(KeyKind::Encrypted),
            ),
            (section("OPENSSH PRIVATE KEY", &any), not(KeyKind::OpenSsh)),
            (
                pkcs8(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01]),
                not(KeyKind::Rsa),
            ),
            (
                pkcs8(&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01]),
                not(KeyKind::EllipticCurve),
            ),
            (pkcs8(&[0x2B, 0x65, 0x6E]), not(KeyKind::X25519)),
            (pkcs8(&[0x2B, 0x65, 0x71]), not(KeyKind::Ed448)),
            (pkcs8(&[0x2B, 0x65, 0x72]), not(KeyKind::Other)),
            (pkcs8(&[0x2B, 0x65, 0x70]), KeyError::Damaged),
            (section("PRIVATE KEY", &any), KeyError::Damaged),
            (section("PRIVATE KEY", &[0x30, 0x83, 1]), KeyError::Damaged),
            (String::new(), KeyError::NoKey),
            ("NhqPtmdSJYdKjVHjA7PZj4Mge3R5".to_owned(), KeyError::NoKey),
            (KEY.replace("-----END", "-----NO"), KeyError::Pem),
            (KEY.replace("MC4C", "M*4C"), KeyError::Pem),
        ];
        for (text, expected) in cases {
            let error = Signer::from_pem(text.as_bytes()).expect_err(&text);
            assert_eq!(error, expected, "{text}");
        }
        assert_eq!(
            not(KeyKind::Rsa).to_string(),
            "it is an RSA private key; expected an Ed25519 private key in PKCS#8 (PEM, `BEGIN PRIVATE KEY`), as `openssl genpkey -algorithm ed25519` writes it"
        );
    }

    #[test]
    fn nothing_shows_a_secret() {
        let signer = Signer::from_pem(KEY.as_bytes()).expect("a key");
        assert_eq!(format!("{signer:?}"), "Signer(Ed25519)");
        let signer = Signer::hmac(SECRET).expect("not empty");
        assert_eq!(format!("{signer:?}"), "Signer(HMAC-SHA256)");
    }

    #[test]
    fn base64_pads_what_does_not_fill_a_group() {
        let cases: [(&[u8], &str); 4] = [
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
        ];
        for (bytes, expected) in cases {
            let mut text = [0; TEXT_BYTES_MAX];
            base64(bytes, &mut text);
            assert_eq!(&text[..expected.len()], expected.as_bytes());
        }
    }
}
