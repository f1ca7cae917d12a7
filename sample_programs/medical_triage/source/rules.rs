//! How urgent it is. A clinic's doctors would own this file: rules, without storage or texts.

use hostel::Value;

use crate::questions::{AGE, COMPLAINT, DAYS, PAIN, SIGNS};

#[derive(Clone, Copy, PartialEq)]
pub enum Urgency {
    Emergency,
    Today,
    Soon,
    SelfCare,
}

impl Urgency {
    pub fn name(self) -> &'static str {
        match self {
            Urgency::Emergency => "emergency",
            Urgency::Today => "today",
            Urgency::Soon => "soon",
            Urgency::SelfCare => "self_care",
        }
    }
}

/// A red flag ends the questions at once, whatever else would be asked.
pub fn is_emergency(answers: &Value) -> bool {
    !answers.get(SIGNS).items().is_empty()
}

/// Of a questionnaire that is answered to its end.
pub fn urgency(answers: &Value) -> Urgency {
    let pain = answers.get(PAIN).int().unwrap_or(0);
    let days = answers.get(DAYS).int().unwrap_or(0);
    let complaint = answers.get(COMPLAINT).text().unwrap_or_default();
    let child = answers.get(AGE).text() == Some("0-12");
    if is_emergency(answers) {
        Urgency::Emergency
    } else if pain >= 8 || complaint == "chest_pain" || complaint == "breathing" || (child && complaint == "fever") {
        Urgency::Today
    } else if pain >= 5 || days >= 3 {
        Urgency::Soon
    } else {
        Urgency::SelfCare
    }
}
