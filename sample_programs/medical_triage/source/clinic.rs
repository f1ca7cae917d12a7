//! The clinic behind the program: its settings, the time, and the language of its user.
//!
//! What lives here: what the operator set (`config`), checked once a message. A setting that cannot be keeps it shut.

use hostel::{session, Fail, Money, Value};

use crate::texts::Language;

const CURRENCY: &str = "CNY";
const FEE_MOST: i64 = 100_000;
pub const MINUTE_MS: i64 = 60_000;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;

/// As it is for this message.
pub struct Clinic {
    pub name: String,
    /// Of a talk of a quarter of an hour, in fen.
    fee: i64,
    /// Who cancels so long before gets the money back.
    pub cancel_before_ms: i64,
    /// What is dialled in an emergency where the users are.
    pub emergency_number: String,
    pub language: Language,
    pub now_ms: i64,
}

impl Clinic {
    pub fn open() -> Result<Self, Fail> {
        let session = session::Info.call()?;
        let config = &session.config;
        Ok(Clinic {
            name: text(config, "clinic", "Riverside Clinic 河畔诊所")?,
            fee: number(config, "fee", 3_000, 100, FEE_MOST)?,
            cancel_before_ms: number(config, "cancel_hours", 2, 0, 72)? * HOUR_MS,
            emergency_number: text(config, "emergency_number", "120")?,
            language: Language::of(&session.locale),
            now_ms: session.time_ms,
        })
    }

    pub fn fee(&self) -> Money {
        Money { amount: self.fee, currency: String::from(CURRENCY) }
    }
}

fn text(config: &Value, name: &str, default: &str) -> Result<String, Fail> {
    match config.get(name) {
        Value::Nil => Ok(String::from(default)),
        Value::Text(text) if (1..=40).contains(&text.chars().count()) => Ok(text.clone()),
        _ => Err(bad_config(name, "a text of 1 to 40 characters")),
    }
}

fn number(config: &Value, name: &str, default: i64, least: i64, most: i64) -> Result<i64, Fail> {
    match config.get(name) {
        Value::Nil => Ok(default),
        Value::Int(number) if (least..=most).contains(number) => Ok(*number),
        _ => Err(bad_config(name, &format!("a whole number from {least} to {most}"))),
    }
}

fn bad_config(name: &str, wanted: &str) -> Fail {
    Fail::new("bad_config", "the clinic's settings are not valid").with("setting", name).with("wanted", wanted)
}
