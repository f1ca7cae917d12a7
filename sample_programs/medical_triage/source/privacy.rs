//! What is known about the user, told and deleted.
//!
//! What lives here: the two methods that a privacy page needs. What is kept is said by the storage itself, not by us.

use hostel::{map, storage, user, Fail, Value};

use crate::clinic::Clinic;
use crate::{booking, keeping};

/// privacy {}: which of our keys the host holds for this user, and what they consented to.
pub fn tell(clinic: &Clinic) -> Result<Value, Fail> {
    booking::drop_if_over(clinic)?;
    keeping::answers(clinic)?; // deletes those left for a day
    let kept = storage::List { prefix: Some(keeping::ALL), ..Default::default() }.call()?.keys;
    let decided = user::Consents.call()?.consents;
    let decided = decided.into_iter().map(|one| map! { "scope" => one.scope, "given" => one.given });
    let kept = kept.into_iter().map(|key| Value::from(key.key));
    Ok(map! { "kept" => kept.collect::<Vec<_>>(), "decided" => decided.collect::<Vec<_>>() })
}

/// forget {}: deletes answers and results at once. A booking that is still to come is a contract: it stays until it is
/// cancelled or over, without the phone number.
pub fn forget(clinic: &Clinic) -> Result<Value, Fail> {
    booking::drop_if_over(clinic)?;
    keeping::delete(keeping::ANSWERS)?;
    keeping::delete(keeping::RESULTS)?;
    let booked = booking::forget_phone()?;
    hostel::info!("a user had everything deleted");
    Ok(map! { "kept" => if booked { vec![Value::from(keeping::BOOKING)] } else { vec![] } })
}
