//! Configuration text: it loads or it is refused in words, and what loads prints and loads again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use veloz::config::load_text;

fuzz_target!(|text: &str| {
    match load_text("fuzz.toml", text) {
        Ok(loaded) => {
            let printed = loaded.print();
            let again = load_text("printed.toml", &printed)
                .unwrap_or_else(|error| panic!("{error}\n{printed}"));
            assert_eq!(again.config, loaded.config);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
