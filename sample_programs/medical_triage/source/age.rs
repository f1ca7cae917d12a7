//! The patient's age, from their profile where they let us have it.
//!
//! What lives here: asking for consent to the age band. Whoever says no is asked for it as the first question: nothing
//! else changes for them.

use hostel::user::{Authorize, AuthorizeScope, Profile, ProfileScope};
use hostel::{HostError, Value};

const WAIT_MS: i64 = 60_000;

/// The age band of the profile; nil where it is not known, or not for us to know.
pub fn of_profile() -> Value {
    consented().unwrap_or_default()
}

/// An error says that there is no consent now (refused, not granted, nobody looks): the age is asked for then.
fn consented() -> Result<Value, HostError> {
    let asked = Authorize { scopes: &[AuthorizeScope::AgeBand], wait_ms: Some(WAIT_MS) }.call()?;
    if !asked.scopes.iter().any(|(scope, said)| scope == "age_band" && said == "granted") {
        return Ok(Value::Nil);
    }
    let profile = Profile { scopes: &[ProfileScope::AgeBand] }.call()?.profile;
    Ok(profile.into_iter().find(|(scope, _)| scope == "age_band").and_then(|(_, band)| band).into())
}
