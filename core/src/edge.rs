//! The only module of the core that touches the operating system: clock, CPU, sockets, threads.

pub mod clock;
pub mod connector;
pub mod core_loop;
pub mod cpu;
pub mod idle;
pub mod link;
mod tcp;
pub mod tls;
