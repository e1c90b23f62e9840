//! Wire formats that no venue owns: websocket frames, JSON scanning.

pub mod digits;
pub mod json;
pub mod websocket;
