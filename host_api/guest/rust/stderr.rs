//! Standard error, which the host makes lines of the program's log: for what no answer can tell.
//!
//! What lives here: one line, and that a panic leaves one behind. Its call then ends as `trapped`.

use std::panic::set_hook;

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn fd_write(descriptor: i32, parts: *const [usize; 2], count: usize, written: *mut usize) -> i32;
}

const STDERR: i32 = 2;
const PARTS: usize = 7;
const PART_BYTES: usize = 1_024;

/// From now on a panic leaves its message and place behind.
///
/// (Nothing is formatted here: a program that formats nothing is a third smaller without what does it.)
pub fn tell_panics() {
    set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let (file, mut line) = panic.location().map_or(("", 0), |place| (place.file(), place.line()));
        let (mut digits, mut first) = ([b'0'; 10], 10);
        while line > 0 && first > 0 {
            first -= 1;
            digits[first] = b'0' + (line % 10) as u8;
            line /= 10;
        }
        let line = digits.get(first..).and_then(|digits| std::str::from_utf8(digits).ok());
        tell(&["panicked at ", file, ":", line.unwrap_or(""), ": ", text.unwrap_or("")]);
    }));
}

/// Writes a line of at most six parts, each cut to 1,024 bytes.
pub fn tell(parts: &[&str]) {
    let mut ranges = [[0; 2]; PARTS];
    for (range, part) in ranges.iter_mut().zip(parts.iter().chain(&["\n"])) {
        *range = [part.as_ptr() as usize, part.len().min(PART_BYTES)];
    }
    let mut written = 0;
    // SAFETY: the ranges are this program's own, and read before the import returns.
    unsafe { fd_write(STDERR, ranges.as_ptr(), PARTS, &mut written) };
}
