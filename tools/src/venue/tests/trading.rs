//! Trading in virtual time: every answer, event, refusal and fault.

mod anything;
mod authorization;
mod cancels;
mod feeding;
mod limits;
mod mishaps;
mod orders;
mod parameters;
mod rest;
mod user_data;

use super::desk::{self, Desk, Sign, still};
use super::*;
