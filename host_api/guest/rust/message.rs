//! The message that comes in, and its answer.
//!
//! What lives here: requests and notifications, a program's own errors, and the two exports that `main!` makes.

use std::cell::Cell;
use std::ops::RangeInclusive;

use crate::stderr::{tell, tell_panics};
use crate::{wire, Value};

/// What the program is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Such as `cart.add`.
    pub method: String,
    /// A map.
    pub params: Value,
    /// Nobody waits for an answer: what the program gives is dropped.
    pub notification: bool,
}

impl Request {
    /// The param of that name, a text of so many characters; else the error `invalid_params`, which says so.
    pub fn text(&self, name: &str, chars: RangeInclusive<usize>) -> Result<&str, Fail> {
        match self.params.get(name).text() {
            Some(text) if chars.contains(&text.chars().count()) => Ok(text),
            _ => Err(Fail::invalid(name, &format!("a text of {} to {} characters", chars.start(), chars.end()))),
        }
    }

    /// The param of that name, a whole number in these bounds; else the error `invalid_params`, which says so.
    pub fn int(&self, name: &str, bounds: RangeInclusive<i64>) -> Result<i64, Fail> {
        match self.params.get(name).int() {
            Some(number) if bounds.contains(&number) => Ok(number),
            _ => Err(Fail::invalid(name, &format!("a whole number from {} to {}", bounds.start(), bounds.end()))),
        }
    }

    /// True if the param was given, as anything but nil.
    pub fn has(&self, name: &str) -> bool {
        !self.params.get(name).is_nil()
    }
}

/// An error that the program answers with.
#[derive(Clone, Debug, PartialEq)]
pub struct Fail {
    /// snake_case; for programs, so never change one.
    pub code: String,
    /// One line, for people.
    pub message: String,
    /// The same request may succeed later.
    pub retryable: bool,
    /// Not sooner than that; milliseconds.
    pub retry_after_ms: Option<i64>,
    /// A map.
    pub details: Value,
}

impl Fail {
    /// An error without details.
    #[inline(never)]
    pub fn new(code: &str, message: &str) -> Self {
        Fail {
            code: String::from(code),
            message: String::from(message),
            retryable: false,
            retry_after_ms: None,
            details: Value::map(),
        }
    }

    /// The same with one detail more.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.set(name, value);
        self
    }

    /// `invalid_params`: `name` must be `wanted`.
    pub fn invalid(name: &str, wanted: &str) -> Self {
        Fail::new("invalid_params", &joined(&[name, ": ", wanted])).with("param", name)
    }

    /// `unknown_method`. `methods`: those that there are.
    pub fn unknown_method(methods: &str) -> Self {
        Fail::new("unknown_method", &joined(&["this program answers ", methods]))
    }

    fn wire(self) -> Value {
        crate::map! {
            "code" => self.code,
            "message" => self.message,
            "retryable" => self.retryable,
            "retry_after_ms" => self.retry_after_ms,
            "details" => self.details,
        }
    }
}

/// (Not `concat`, nor `format!`: see `stderr`.)
fn joined(parts: &[&str]) -> String {
    let mut text = String::new();
    for part in parts {
        text.push_str(part);
    }
    text
}

/// Bytes that the host is to write or to read after an export has returned.
struct Kept(Cell<Vec<u8>>);

// SAFETY: a mini-program has one thread.
unsafe impl Sync for Kept {}

static KEPT: Kept = Kept(Cell::new(Vec::new()));

/// `hostel_alloc`: room for a message; 0 where there is none.
pub fn alloc(size: usize) -> usize {
    let mut room = Vec::new();
    if room.try_reserve_exact(size).is_err() {
        return 0;
    }
    room.resize(size, 0);
    let at = room.as_ptr() as usize;
    KEPT.0.set(room);
    at
}

/// `hostel_handle`: 0 for a notification, and for bytes that are no request (the host ends the call then).
pub fn handle(at: usize, size: usize, program: fn(&Request) -> Result<Value, Fail>) -> u64 {
    tell_panics();
    let message = {
        let _room = KEPT.0.take();
        // SAFETY: the host has written a message there: into `_room`.
        wire::decode(unsafe { std::slice::from_raw_parts(at as *const u8, size) })
    };
    let (msgid, request) = match message.ok().and_then(read) {
        Some(read) => read,
        None => return 0,
    };
    let outcome = program(&request);
    if request.notification {
        if let Err(fail) = outcome {
            tell(&[&request.method, " was not handled: ", &fail.code]);
        }
        return 0;
    }
    let response = response(msgid, outcome);
    let answer = (response.as_ptr() as u64) << 32 | response.len() as u64;
    KEPT.0.set(response);
    answer
}

/// The msgid and the request; None for what is neither a request nor a notification.
fn read(message: Value) -> Option<(u32, Request)> {
    let mut parts = match message {
        Value::List(parts) => parts,
        _ => return None,
    };
    let notification = match (parts.len(), parts.get(0)?.int()?) {
        (4, 0) => false,
        (3, 2) => true,
        _ => return None,
    };
    let (params, method) = (parts.pop()?, parts.pop()?);
    match (method, params) {
        (Value::Text(method), params @ Value::Map(_)) => {
            let msgid = if notification { 0 } else { u32::try_from(parts.pop()?.int()?).ok()? };
            Some((msgid, Request { method, params, notification }))
        }
        _ => None,
    }
}

fn response(msgid: u32, outcome: Result<Value, Fail>) -> Vec<u8> {
    let of = |error, result| Value::List(vec![1.into(), msgid.into(), error, result]);
    let message = match outcome {
        Ok(value) => of(Value::Nil, value),
        Err(fail) => of(fail.wire(), Value::Nil),
    };
    wire::encode(&message).unwrap_or_else(|_| {
        let fail = Fail::new("bad_reply", "the answer is too deep, or holds a float that is not finite");
        wire::encode(&of(fail.wire(), Value::Nil)).unwrap_or_default()
    })
}
