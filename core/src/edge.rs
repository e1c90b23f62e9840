//! The only module of the core that touches the operating system: clock, CPU, sockets, threads.

pub mod clock;
