//! Medical triage: a few questions, how urgent it is, and a talk with a doctor where that helps.
//!
//! What lives here: which method is answered by what. A fresh sandbox answers each message, so nothing is kept in memory;
//! what is kept, and for how long, is the business of `keeping`.

#![deny(warnings)]

mod age;
mod booking;
mod clinic;
mod keeping;
mod payment_of;
mod privacy;
mod questions;
mod rules;
mod texts;
mod triage;

use clinic::Clinic;
use hostel::{Fail, Request, Value};

const METHODS: &str = "start, show, answer, back, results, book, booking, cancel, privacy and forget";

fn handle(request: &Request) -> Result<Value, Fail> {
    let clinic = Clinic::open()?;
    match request.method.as_str() {
        "start" => triage::start(&clinic, request),
        "show" => triage::show(&clinic),
        "answer" => triage::answer(&clinic, request),
        "back" => triage::back(&clinic),
        "results" => triage::results(),
        "book" => booking::book(&clinic, request),
        "booking" => booking::show(&clinic),
        "cancel" => booking::cancel(&clinic),
        "privacy" => privacy::tell(&clinic),
        "forget" => privacy::forget(&clinic),
        _ => Err(Fail::unknown_method(METHODS)),
    }
}

hostel::main!(handle);
