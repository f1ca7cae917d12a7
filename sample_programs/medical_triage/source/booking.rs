//! A talk with a doctor: booked, paid, shown, cancelled.
//!
//! What lives here: the one booking that a user may have. Its record is in storage before any money is asked for, and only
//! the host's word makes it paid; so a call that is cut off anywhere is completed by the next one that looks.

use hostel::user::{Authorize, AuthorizeScope, Phone};
use hostel::{codes, map, Fail, HostError, Money, OrderResult, Request, Value};

use crate::clinic::{Clinic, HOUR_MS, MINUTE_MS};
use crate::keeping::{self, Kept, BOOKING};
use crate::payment_of;

const STEP_MS: i64 = 15 * MINUTE_MS;
const FIRST_MS: i64 = 30 * MINUTE_MS;
const LAST_MS: i64 = 48 * HOUR_MS;
/// So long after its time a booking is over, and deleted.
const OVER_MS: i64 = HOUR_MS;
const PHONE_WAIT_MS: i64 = 60_000;
const ID_BYTES: usize = 8;

pub struct Booking {
    pub id: String,
    pub at_ms: i64,
    pub fee: Money,
    pub paid: bool,
    /// Where the doctor calls back; only where the user let us have it. Else they meet in the program.
    pub phone: Option<String>,
}

/// A booking, the version of its record, and its order where it is not marked as paid.
struct Found {
    booking: Booking,
    version: i64,
    order: Option<OrderResult>,
}

impl Booking {
    fn read(record: &Value) -> Option<Self> {
        Some(Booking {
            id: String::from(record.get("id").text()?),
            at_ms: record.get("at_ms").int()?,
            fee: Money::read(record.get("fee").clone())?,
            paid: record.get("paid").bool()?,
            phone: record.get("phone").text().map(String::from),
        })
    }

    fn record(&self) -> Value {
        map! {
            "id" => self.id.as_str(),
            "at_ms" => self.at_ms,
            "fee" => map! { "amount" => self.fee.amount, "currency" => self.fee.currency.as_str() },
            "paid" => self.paid,
            "phone" => self.phone.as_deref(),
        }
    }

    /// For the user; of the number only what they recognise it by.
    fn shown(&self, clinic: &Clinic, payment: &str) -> Value {
        let mut shown = self.record();
        shown.set("clinic", clinic.name.as_str());
        shown.set("payment", payment);
        shown.set("cancel_until_ms", self.at_ms - clinic.cancel_before_ms);
        shown.set("phone", self.phone.as_ref().map(|phone| masked(phone)));
        map! { "booking" => shown }
    }
}

fn masked(phone: &str) -> String {
    let digits: Vec<char> = phone.chars().collect();
    format!("****{}", digits[digits.len().saturating_sub(4)..].iter().collect::<String>())
}

/// book {at_ms, call_back}: after a result that is no emergency. What was not paid is asked for again.
pub fn book(clinic: &Clinic, request: &Request) -> Result<Value, Fail> {
    let at_ms = time(clinic, request)?;
    refuse_without_need()?;
    let before = find(clinic)?;
    let booking = match before {
        Some(found) if found.booking.paid => {
            return Err(Fail::new("already_booked", "one talk at a time; cancel gives the other one up")
                .with("at_ms", found.booking.at_ms))
        }
        Some(found) if found.booking.at_ms == at_ms => found.booking,
        Some(found) => {
            give_up(&found)?;
            begin(clinic, request, at_ms)?
        }
        None => begin(clinic, request, at_ms)?,
    };
    let status = payment_of::ask(clinic, &booking)?.status;
    match find(clinic)? {
        Some(found) if found.booking.paid => {
            hostel::info!("a talk was booked");
            Ok(found.booking.shown(clinic, "paid"))
        }
        Some(found) if status == "confirming" => Ok(found.booking.shown(clinic, "confirming")),
        _ => Err(Fail::new("declined", "the talk was not paid, and is not booked; book asks again")),
    }
}

/// booking {}: the one there is, as the payment stands now.
pub fn show(clinic: &Clinic) -> Result<Value, Fail> {
    let found = find(clinic)?.ok_or_else(no_booking)?;
    Ok(found.booking.shown(clinic, if found.booking.paid { "paid" } else { "unpaid" }))
}

/// cancel {}: in time the fee goes back; what was not paid is given up at any time.
pub fn cancel(clinic: &Clinic) -> Result<Value, Fail> {
    let found = find(clinic)?.ok_or_else(no_booking)?;
    let until_ms = found.booking.at_ms - clinic.cancel_before_ms;
    if !found.booking.paid {
        give_up(&found)?;
        return Ok(map! { "cancelled" => true, "refunded" => Value::Nil });
    }
    if clinic.now_ms > until_ms {
        return Err(Fail::new("too_late", "a talk cannot be cancelled any more").with("until_ms", until_ms));
    }
    let order = payment_of::of(&found.booking)?.ok_or_else(no_booking)?;
    payment_of::refund(clinic, &found.booking, &order)?;
    keeping::delete(BOOKING)?; // cut off before this: cancel again, and the refund is found made
    hostel::info!("a talk was cancelled");
    Ok(map! { "cancelled" => true, "refunded" => found.booking.record().take("fee") })
}

/// Deletes a booking whose time is over, and the phone number with it.
pub fn drop_if_over(clinic: &Clinic) -> Result<(), HostError> {
    find(clinic).map(|_| ())
}

/// Takes the phone number out. True where a booking is kept.
pub fn forget_phone() -> Result<bool, HostError> {
    let Kept { value, version } = keeping::get(BOOKING)?;
    if let Some(mut booking) = Booking::read(&value) {
        booking.phone = None;
        keeping::put(BOOKING, &booking.record(), version)?;
        return Ok(true);
    }
    Ok(false)
}

/// The booking, in line with what the payment says: paid is marked, an order that is closed takes its record along.
fn find(clinic: &Clinic) -> Result<Option<Found>, HostError> {
    let Kept { value, version } = keeping::get(BOOKING)?;
    let mut booking = match Booking::read(&value) {
        Some(booking) => booking,
        None => return Ok(None),
    };
    if clinic.now_ms > booking.at_ms + OVER_MS {
        keeping::delete(BOOKING)?;
        return Ok(None);
    }
    if booking.paid {
        return Ok(Some(Found { booking, version, order: None }));
    }
    let order = payment_of::of(&booking)?;
    match order.as_ref().map(|order| order.status.as_str()) {
        Some("succeeded") => {
            booking.paid = true;
            match keeping::put(BOOKING, &booking.record(), version) {
                Ok(version) => Ok(Some(Found { booking, version, order })),
                Err(error) if error.is(codes::VERSION_CONFLICT) => Ok(Some(Found { booking, version, order })),
                Err(error) => Err(error),
            }
        }
        Some("closed") => {
            keeping::delete(BOOKING)?;
            Ok(None)
        }
        _ => Ok(Some(Found { booking, version, order })),
    }
}

/// Writes the record of a new booking, before any money is asked for.
fn begin(clinic: &Clinic, request: &Request, at_ms: i64) -> Result<Booking, Fail> {
    let phone = if request.params.get("call_back").bool() == Some(true) { phone() } else { None };
    let id = hostel::random(ID_BYTES).iter().map(|byte| format!("{byte:02x}")).collect();
    let booking = Booking { id, at_ms, fee: clinic.fee(), paid: false, phone };
    match keeping::put(BOOKING, &booking.record(), 0) {
        Ok(_) => Ok(booking),
        Err(error) if error.is(codes::VERSION_CONFLICT) => {
            Err(Fail::new("moved_on", "it is being booked elsewhere at this moment; booking shows it"))
        }
        Err(error) => Err(error.into()),
    }
}

/// The user's number, where they consent to it. Whoever does not meets the doctor in the program.
fn phone() -> Option<String> {
    let asked = Authorize { scopes: &[AuthorizeScope::Phone], wait_ms: Some(PHONE_WAIT_MS) }.call().ok()?;
    if !asked.scopes.iter().any(|(scope, said)| scope == "phone" && said == "granted") {
        return None;
    }
    Phone { masked: Some(false) }.call().ok()?.phone
}

/// Closes the order of a booking that was not paid, and deletes its record.
fn give_up(found: &Found) -> Result<(), Fail> {
    if let Some(order) = &found.order {
        payment_of::close(&found.booking, order)?; // paid at this very moment it is refused: try again
    }
    let deleted = hostel::storage::Delete { key: BOOKING, if_version: Some(found.version), ..Default::default() };
    deleted.call()?;
    Ok(())
}

fn time(clinic: &Clinic, request: &Request) -> Result<i64, Fail> {
    let (first, last) = (clinic.now_ms + FIRST_MS, clinic.now_ms + LAST_MS);
    match request.params.get("at_ms").int() {
        Some(at) if (first..=last).contains(&at) && at % STEP_MS == 0 => Ok(at),
        _ => Err(Fail::new("no_such_time", "at_ms: a full quarter of an hour, from half an hour to two days ahead")
            .with("first_ms", (first + STEP_MS - 1) / STEP_MS * STEP_MS)
            .with("last_ms", last / STEP_MS * STEP_MS)),
    }
}

/// A talk is for whom the last questionnaire sent to a doctor, and never in place of an ambulance.
fn refuse_without_need() -> Result<(), Fail> {
    let results = keeping::results()?;
    match results.items().first().and_then(|last| last.get("urgency").text()) {
        None => Err(Fail::new("triage_first", "answer the questions first; start begins them")),
        Some("emergency") => Err(Fail::new("emergency", "this cannot wait for a talk: call the emergency number")),
        Some(_) => Ok(()),
    }
}

fn no_booking() -> Fail {
    Fail::new("no_booking", "there is none; book makes one")
}
