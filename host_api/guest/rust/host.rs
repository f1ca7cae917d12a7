//! Calls to the host: one request and its answer, or several under way at once.
//!
//! What lives here: the imports of `hostel_v1`, requests and responses, errors of the host, the log. The typed methods
//! are in `api`; they end up here.

use std::cell::Cell;

use crate::typed::{Field, Fields};
use crate::{map, wire, Fail, Value};

#[link(wasm_import_module = "hostel_v1")]
extern "C" {
    #[link_name = "call"]
    fn import_call(request: *const u8, size: usize, room: *mut u8, room_size: usize) -> i32;
    #[link_name = "post"]
    fn import_post(request: *const u8, size: usize) -> i32;
    #[link_name = "wait"]
    fn import_wait(room: *mut u8, room_size: usize, timeout_ms: i32) -> i32;
    #[link_name = "take"]
    fn import_take(room: *mut u8, room_size: usize) -> i32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn random_get(at: *mut u8, size: usize) -> i32;
}

/// Most answers fit; a longer one costs one crossing more.
const ROOM_BYTES: usize = 16_384;
const LINE_CHARS: usize = 16_384;

/// What the host answers instead of a result. Compare `code` with the constants in `codes`.
#[derive(Clone, Debug, PartialEq)]
pub struct HostError {
    /// For programs; it never changes its meaning.
    pub code: String,
    /// For developers.
    pub message: String,
    /// The same request may succeed later.
    pub retryable: bool,
    /// Not sooner than that; milliseconds.
    pub retry_after_ms: Option<i64>,
    /// A map: which limit, which field, which state.
    pub details: Value,
}

impl HostError {
    /// An error of this side: `bad_request`, `bad_response`.
    fn own(code: &str, message: &str) -> Self {
        HostError {
            code: String::from(code),
            message: String::from(message),
            retryable: false,
            retry_after_ms: None,
            details: Value::map(),
        }
    }

    /// True if the error has this code.
    pub fn is(&self, code: &str) -> bool {
        self.code == code
    }

    fn read(error: Value) -> Option<Self> {
        let mut fields = Fields::of(error);
        let error = HostError {
            code: fields.take("code"),
            message: fields.take("message"),
            retryable: fields.take::<Option<bool>>("retryable").unwrap_or(false),
            retry_after_ms: fields.take("retry_after_ms"),
            details: fields.take("details"),
        };
        fields.whole(error)
    }
}

/// Which posted request an answer is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u32);

/// What came of waiting.
#[derive(Debug)]
pub enum Waited {
    /// The next answer among the requests posted, in the order in which they were done.
    Answer(Ticket, Result<Value, HostError>),
    /// None came in time.
    TimedOut,
    /// Nothing is under way.
    NothingPosted,
}

struct Counter(Cell<u32>);

// SAFETY: a mini-program has one thread.
unsafe impl Sync for Counter {}

static LAST: Counter = Counter(Cell::new(0));

fn request(method: &str, params: Value) -> Result<(u32, Vec<u8>), HostError> {
    LAST.0.set(LAST.0.get().wrapping_add(1));
    let params = if params.is_nil() { Value::map() } else { params };
    let message = Value::List(vec![0.into(), LAST.0.get().into(), method.into(), params]);
    let bytes = wire::encode(&message)
        .map_err(|_| HostError::own("bad_request", "the params are too deep, or hold a float that is not finite"))?;
    Ok((LAST.0.get(), bytes))
}

fn bad_response() -> HostError {
    HostError::own("bad_response", "the host's answer is no response")
}

/// The bytes of the response of `size` bytes: in `room`, or kept by the host where it did not fit.
fn taken(mut room: Vec<u8>, size: i32) -> Option<Vec<u8>> {
    let size = usize::try_from(size).ok()?;
    if size > room.capacity() {
        room.try_reserve_exact(size).ok()?;
        // SAFETY: the host writes at most as many bytes as there is room for.
        if unsafe { import_take(room.as_mut_ptr(), size) } != size as i32 {
            return None;
        }
    }
    // SAFETY: the host has written so many bytes.
    unsafe { room.set_len(size) };
    Some(room)
}

fn received(room: Vec<u8>, size: i32) -> Result<(u32, Result<Value, HostError>), HostError> {
    let message = taken(room, size).and_then(|bytes| wire::decode(&bytes).ok()).unwrap_or_default();
    let parts: [Value; 4] = match message {
        Value::List(parts) => parts.try_into().map_err(|_| bad_response())?,
        _ => return Err(bad_response()),
    };
    let [kind, msgid, error, result] = parts;
    let msgid = msgid.int().and_then(|msgid| u32::try_from(msgid).ok());
    match (kind.int(), msgid) {
        (Some(1), Some(msgid)) if error.is_nil() => Ok((msgid, Ok(result))),
        (Some(1), Some(msgid)) => Ok((msgid, Err(HostError::read(error).unwrap_or_else(bad_response)))),
        _ => Err(bad_response()),
    }
}

/// Asks the host and waits for the answer. `params`: a map, or nil for none. The typed methods do the same:
/// `storage::Get { key: "cart", ..Default::default() }.call()`.
pub fn call(method: &str, params: Value) -> Result<Value, HostError> {
    let (_, bytes) = request(method, params)?;
    let mut room = Vec::with_capacity(ROOM_BYTES);
    // SAFETY: both ranges are this program's own, and are read and written before the import returns.
    let size = unsafe { import_call(bytes.as_ptr(), bytes.len(), room.as_mut_ptr(), room.capacity()) };
    received(room, size)?.1
}

/// Begins a request without waiting for it; its answer comes from `wait`, with this ticket.
pub fn post(method: &str, params: Value) -> Result<Ticket, HostError> {
    let (msgid, bytes) = request(method, params)?;
    // SAFETY: the range is this program's own, and read before the import returns.
    unsafe { import_post(bytes.as_ptr(), bytes.len()) };
    Ok(Ticket(msgid))
}

/// Sends a request that is not to be answered.
pub fn notify(method: &str, params: Value) -> Result<(), HostError> {
    let params = if params.is_nil() { Value::map() } else { params };
    let bytes = wire::encode(&Value::List(vec![2.into(), method.into(), params]))
        .map_err(|_| HostError::own("bad_request", "the params are too deep, or hold a float that is not finite"))?;
    // SAFETY: as in `post`.
    unsafe { import_post(bytes.as_ptr(), bytes.len()) };
    Ok(())
}

/// The next answer to a posted request, whichever it is. `timeout_ms`: 0 only looks, a negative one waits for as long
/// as the call may last.
pub fn wait(timeout_ms: i32) -> Waited {
    let mut room = Vec::with_capacity(ROOM_BYTES);
    // SAFETY: the range is this program's own, and written before the import returns.
    let size = unsafe { import_wait(room.as_mut_ptr(), room.capacity(), timeout_ms) };
    match size {
        -1 => Waited::NothingPosted,
        -2 => Waited::TimedOut,
        _ => match received(room, size) {
            Ok((msgid, outcome)) => Waited::Answer(Ticket(msgid), outcome),
            Err(error) => Waited::Answer(Ticket(0), Err(error)),
        },
    }
}

/// So many random bytes of the host's, at most 65,536.
pub fn random(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    // SAFETY: the range is this program's own.
    if unsafe { random_get(bytes.as_mut_ptr(), size) } != 0 {
        panic!("the host gave no random bytes");
    }
    bytes
}

/// Writes a line to the log, cut to what the host takes. A line that the host refuses is lost, never an error.
pub fn write_line(level: &str, line: &str) {
    let line: String = line.chars().take(LINE_CHARS).collect();
    let _ = call("log.write", map! { "level" => level, "message" => line });
}

/// For the typed methods: asks, and reads the answer.
pub(crate) fn ask<T: Field>(method: &str, params: Value) -> Result<T, HostError> {
    T::of(call(method, params)?).ok_or_else(bad_response)
}

impl From<HostError> for Fail {
    /// The host's error, passed on to who called the program.
    #[inline(never)]
    fn from(error: HostError) -> Self {
        Fail {
            code: error.code,
            message: error.message,
            retryable: error.retryable,
            retry_after_ms: error.retry_after_ms,
            details: error.details,
        }
    }
}
