//! What is kept of a user, all of it: three keys in their own storage.
//!
//! What lives here: reading, writing and deleting them. Answers live until the result, at most a day; of a result only how
//! urgent it was and when; a booking until it is over.

use hostel::storage::{Delete, Get, Put};
use hostel::{codes, list, Fail, HostError, Value};

use crate::clinic::{Clinic, HOUR_MS};

pub const ALL: &str = "triage/";
pub const ANSWERS: &str = "triage/answers";
pub const RESULTS: &str = "triage/results";
pub const BOOKING: &str = "triage/booking";
pub const RESULTS_MOST: usize = 10;
const ANSWERS_MS: i64 = 24 * HOUR_MS;

/// A value and the version to write over; nil and 0 where there is none.
pub struct Kept {
    pub value: Value,
    pub version: i64,
}

pub fn get(key: &str) -> Result<Kept, HostError> {
    let found = Get { key, ..Default::default() }.call()?;
    Ok(Kept { value: found.value, version: found.version })
}

/// Writes over what was read, and over nothing else; the version written.
pub fn put(key: &str, value: &Value, version: i64) -> Result<i64, HostError> {
    let value = value.clone();
    Ok(Put { key, value, if_version: Some(version), ..Default::default() }.call()?.version)
}

/// True where there was something.
pub fn delete(key: &str) -> Result<bool, HostError> {
    Ok(Delete { key, ..Default::default() }.call()?.deleted)
}

/// The answers so far; those that were left for a day are deleted.
pub fn answers(clinic: &Clinic) -> Result<Kept, HostError> {
    let kept = get(ANSWERS)?;
    let begun_ms = kept.value.get("at_ms").int().unwrap_or(0);
    if kept.version == 0 || clinic.now_ms - begun_ms < ANSWERS_MS {
        return Ok(kept);
    }
    delete(ANSWERS)?;
    Ok(Kept { value: Value::Nil, version: 0 })
}

/// Puts a result before the others, of which the newest are kept. One that is there already, as its call was cut off
/// after this, is not put in twice: the time it was begun at tells.
pub fn add_result(result: &Value) -> Result<(), Fail> {
    loop {
        let kept = get(RESULTS)?;
        if kept.value.items().first().map_or(false, |newest| newest.get("at_ms") == result.get("at_ms")) {
            return Ok(());
        }
        let mut results = vec![result.clone()];
        results.extend(kept.value.items().iter().take(RESULTS_MOST - 1).cloned());
        match put(RESULTS, &Value::List(results), kept.version) {
            Ok(_) => return Ok(()),
            Err(error) if error.is(codes::VERSION_CONFLICT) => continue, // the host's limits end it
            Err(error) => return Err(error.into()),
        }
    }
}

pub fn results() -> Result<Value, HostError> {
    let kept = get(RESULTS)?;
    Ok(if kept.version == 0 { list![] } else { kept.value })
}
