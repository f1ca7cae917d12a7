//! The Rust SDK: mini-programs for hostel, without dependencies, from Rust 1.63 on.
//!
//! A program is one function, from a request to a value or an error, and one line that exports it:
//!
//! ```ignore
//! use hostel::{map, storage, Fail, Request, Value};
//!
//! fn handle(request: &Request) -> Result<Value, Fail> {
//!     match request.method.as_str() {
//!         "hits" => {
//!             let kept = storage::Get { key: "hits", ..Default::default() }.call()?;
//!             let hits = kept.value.int().unwrap_or(0) + 1;
//!             storage::Put { key: "hits", value: hits.into(), ..Default::default() }.call()?;
//!             Ok(map! { "hits" => hits })
//!         }
//!         _ => Err(Fail::unknown_method("hits")),
//!     }
//! }
//!
//! hostel::main!(handle);
//! ```
//!
//! What lives here: the parts, and what they are called from outside. `wire` is the codec, `value` what it carries,
//! `host` the calls to the host, `message` what comes in and goes out, `memory` the allocator, `api` the typed methods,
//! written from the host's schema by `hostel api bindings --lang rust`, `typed` what those are made of.

#![warn(missing_docs)]

#[macro_use]
mod typed;

mod api;
mod host;
#[cfg(target_arch = "wasm32")] // the rest is checked by editors for the machine that they run on
mod memory;
mod message;
mod stderr;
mod value;
pub mod wire;

pub use api::*;
pub use host::{call, notify, post, random, wait, HostError, Ticket, Waited};
pub use message::{Fail, Request};
pub use value::Value;

/// What `main!` and the logging macros expand to; nothing to call.
#[doc(hidden)]
pub mod exported {
    pub use crate::host::write_line;
    pub use crate::message::{alloc, handle};
}

/// Exports the program: `hostel::main!(handle)`, with a `fn handle(&Request) -> Result<Value, Fail>`.
#[macro_export]
macro_rules! main {
    ($handle:path) => {
        #[no_mangle]
        extern "C" fn hostel_alloc(size: usize) -> usize {
            $crate::exported::alloc(size)
        }
        #[no_mangle]
        extern "C" fn hostel_handle(at: usize, size: usize) -> u64 {
            $crate::exported::handle(at, size, $handle)
        }
    };
}

/// A map: `map! { "count" => 3, "text" => text }`.
#[macro_export]
macro_rules! map {
    ($($key:expr => $value:expr),* $(,)?) => {{
        let mut map = $crate::Value::map();
        $(map.set($key, $value);)*
        map
    }};
}

/// A list: `list![1, "two", map! { "three" => 3 }]`.
#[macro_export]
macro_rules! list {
    ($($value:expr),* $(,)?) => { $crate::Value::List(vec![$($crate::Value::from($value)),*]) };
}

/// Writes a line to the program's log, for its developer: `debug!("{} lines", n)`. Nothing personal belongs there.
#[macro_export]
macro_rules! debug { ($($part:tt)*) => { $crate::exported::write_line("debug", &format!($($part)*)) }; }

/// As `debug!`: what happened.
#[macro_export]
macro_rules! info { ($($part:tt)*) => { $crate::exported::write_line("info", &format!($($part)*)) }; }

/// As `debug!`: what somebody should look at.
#[macro_export]
macro_rules! warning { ($($part:tt)*) => { $crate::exported::write_line("warning", &format!($($part)*)) }; }

/// As `debug!`: what went wrong.
#[macro_export]
macro_rules! error { ($($part:tt)*) => { $crate::exported::write_line("error", &format!($($part)*)) }; }
