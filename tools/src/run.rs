//! `veloz run`: starts and wires the threads of one engine process.
