//! The questionnaire as the user goes through it: start, answer, back, show, results.
//!
//! What lives here: how a message moves it on. The answers are deleted in the message that gives the result.

use hostel::{codes, map, Fail, Request, Value};

use crate::clinic::Clinic;
use crate::questions::{next, ORDER};
use crate::{age, keeping, rules, texts};

/// start {agree}: without the user's agreement nothing is asked and nothing is kept. Begins anew each time.
pub fn start(clinic: &Clinic, request: &Request) -> Result<Value, Fail> {
    let agreement = clinic.language.pick(texts::AGREEMENT);
    if request.params.get("agree").bool() != Some(true) {
        return Err(Fail::new("agreement_needed", "agree: true, when the user has read details.text and agrees")
            .with("text", agreement));
    }
    let version = keeping::answers(clinic)?.version;
    let mut answers = map! { "at_ms" => clinic.now_ms };
    let band = age::of_profile();
    answers.set("from_profile", !band.is_nil());
    answers.set("age", band);
    keep(&answers, version)?;
    hostel::info!("a questionnaire began");
    asked(clinic, &answers)
}

/// answer {question, value}: to the question that is open, so that nobody answers one that they do not see.
pub fn answer(clinic: &Clinic, request: &Request) -> Result<Value, Fail> {
    let kept = keeping::answers(clinic)?;
    let mut answers = kept.value;
    if kept.version == 0 {
        return Err(not_started());
    }
    let open = next(&answers).ok_or_else(not_started)?;
    if request.text("question", 1..=16)? != open.id {
        return Err(Fail::new("moved_on", "another question is open").with("question", open.shown(clinic.language)));
    }
    answers.set(open.id, open.accept(request.params.get("value"))?);
    if rules::is_emergency(&answers) || next(&answers).is_none() {
        return finish(clinic, &answers);
    }
    keep(&answers, kept.version)?;
    asked(clinic, &answers)
}

/// back {}: takes the last answer back. An age that the profile gave is no answer.
pub fn back(clinic: &Clinic) -> Result<Value, Fail> {
    let kept = keeping::answers(clinic)?;
    let mut answers = kept.value;
    let given = answers.get("from_profile").bool().map_or(0, usize::from);
    let last = ORDER.iter().skip(given).rev().find(|id| !answers.get(id).is_nil());
    if kept.version == 0 {
        return Err(not_started());
    }
    answers.set(last.ok_or_else(|| Fail::new("at_the_beginning", "nothing was answered yet"))?, Value::Nil);
    keep(&answers, kept.version)?;
    asked(clinic, &answers)
}

/// show {}: where it stands, after a restart of the front end for example.
pub fn show(clinic: &Clinic) -> Result<Value, Fail> {
    let kept = keeping::answers(clinic)?;
    if kept.version == 0 {
        return Err(not_started());
    }
    asked(clinic, &kept.value)
}

/// results {}: how urgent it was and when it was asked, newest first; nothing else is kept.
pub fn results() -> Result<Value, Fail> {
    Ok(map! { "results" => keeping::results()? })
}

/// The result is kept before the answers go: cut off in between, the last answer is given once more.
fn finish(clinic: &Clinic, answers: &Value) -> Result<Value, Fail> {
    let urgency = rules::urgency(answers);
    keeping::add_result(&map! { "urgency" => urgency.name(), "at_ms" => answers.get("at_ms") })?;
    keeping::delete(keeping::ANSWERS)?;
    hostel::info!("a questionnaire came to its result");
    let advice = texts::advice(clinic.language, urgency, &clinic.emergency_number);
    Ok(map! {
        "result" => map! {
            "urgency" => urgency.name(),
            "advice" => advice,
            "note" => clinic.language.pick(texts::NO_DIAGNOSIS),
            "call" => if urgency == rules::Urgency::Emergency { Some(clinic.emergency_number.as_str()) } else { None },
        },
    })
}

fn asked(clinic: &Clinic, answers: &Value) -> Result<Value, Fail> {
    let open = next(answers).ok_or_else(not_started)?;
    let answered = ORDER.iter().filter(|id| !answers.get(id).is_nil()).count();
    Ok(map! { "question" => open.shown(clinic.language), "answered" => answered, "of" => ORDER.len() })
}

/// Two devices may answer at once: who comes second is told, and sees what is open now by `show`.
fn keep(answers: &Value, version: i64) -> Result<(), Fail> {
    match keeping::put(keeping::ANSWERS, answers, version) {
        Ok(_) => Ok(()),
        Err(error) if error.is(codes::VERSION_CONFLICT) => {
            Err(Fail::new("moved_on", "it was answered elsewhere at this moment; show tells what is open"))
        }
        Err(error) => Err(error.into()),
    }
}

fn not_started() -> Fail {
    Fail::new("not_started", "no questionnaire is open; start begins one")
}
