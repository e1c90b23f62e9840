//! Signatures against the venue's vectors, as a file beside the recorded data has them.

use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;
use veloz_core::wire::sign::{SignatureText, Signer};

/// The file, where there is one.
fn vectors() -> Option<Value> {
    let Some(data) = std::env::var_os("VELOZ_DATA_DIR") else {
        println!("skipped: VELOZ_DATA_DIR is not set");
        return None;
    };
    let path = PathBuf::from(data).join("../venue/binance_vectors.json");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            println!("skipped: {}: {error}", path.display());
            return None;
        }
    };
    Some(serde_json::from_str(&text).expect("JSON"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} is not in {value}"))
}

/// Each vector of a list; that there is one.
fn check(signer: &Signer, list: &Value, expected: &str) {
    let list = list["vectors"].as_array().expect("a list");
    assert!(!list.is_empty(), "nothing is checked");
    for vector in list {
        let mut out = SignatureText::default();
        let signed = signer.sign(text(vector, "payload").as_bytes(), &mut out);
        let signed = std::str::from_utf8(signed).expect("ASCII");
        assert_eq!(signed, text(vector, expected), "{}", text(vector, "name"));
    }
    println!("{} signatures agree", list.len());
}

#[test]
fn ed25519_signs_every_vector_as_the_venue_does() {
    let Some(vectors) = vectors() else { return };
    let ed25519 = &vectors["ed25519"];
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        text(ed25519, "pkcs8_pem_body")
    );
    let signer = Signer::from_pem(pem.as_bytes()).expect("a key");
    let mut public = String::new();
    for byte in signer.public_key().expect("Ed25519 has one") {
        write!(public, "{byte:02x}").expect("a string");
    }
    assert_eq!(public, text(ed25519, "public_hex"));
    check(&signer, ed25519, "signature_base64");
}

#[test]
fn hmac_sha256_signs_every_vector_as_the_venue_does() {
    let Some(vectors) = vectors() else { return };
    let hmac = &vectors["hmac_sha256"];
    let signer = Signer::hmac(text(hmac, "secret").as_bytes()).expect("not empty");
    check(&signer, hmac, "signature_hex");
}
