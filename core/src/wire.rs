//! Wire formats that no venue owns: websocket frames, JSON scanning, signatures.

pub mod digits;
pub mod json;
pub mod sign;
pub mod websocket;
