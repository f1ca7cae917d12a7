//! The questionnaire: which question follows on what was answered, and what may be answered.
//!
//! What lives here: questions and their choices as data, and the next one that is open. Nothing is stored or judged here.

use hostel::{map, Fail, Value};

use crate::texts::{Language, Text};

/// A choice: what is sent, and what is shown.
pub type Choice = (&'static str, Text);

pub enum Kind {
    /// One of these.
    One(&'static [Choice]),
    /// Any of these, none too.
    Any(&'static [Choice]),
    /// A whole number from 0 to that.
    Number(i64),
}

pub struct Question {
    pub id: &'static str,
    text: Text,
    pub kind: Kind,
}

pub const AGE: &str = "age";
pub const COMPLAINT: &str = "complaint";
pub const SIGNS: &str = "signs";
pub const PAIN: &str = "pain";
pub const DAYS: &str = "days";
/// In the order in which they are asked.
pub const ORDER: [&str; 5] = [AGE, COMPLAINT, SIGNS, PAIN, DAYS];

const AGES: &[Choice] = &[
    ("0-12", ("12 岁以下", "Up to 12")),
    ("13-15", ("13 至 15 岁", "13 to 15")),
    ("16-17", ("16 至 17 岁", "16 or 17")),
    ("18+", ("18 岁以上", "18 and more")),
];
const COMPLAINTS: &[Choice] = &[
    ("chest_pain", ("胸痛", "Pain in the chest")),
    ("breathing", ("呼吸困难", "Trouble breathing")),
    ("headache", ("头痛", "Headache")),
    ("fever", ("发烧", "Fever")),
    ("stomach", ("腹痛", "Pain in the belly")),
    ("other", ("其他", "Something else")),
];
const CHEST: &[Choice] = &[
    ("spreads", ("疼痛放射到手臂、下巴或背部", "It spreads to arm, jaw or back")),
    ("sweating", ("出冷汗或面色苍白", "Cold sweat, or very pale")),
    ("short_of_breath", ("气短", "Short of breath")),
];
const BREATHING: &[Choice] = &[
    ("no_sentence", ("说不出完整的一句话", "Cannot speak a whole sentence")),
    ("blue_lips", ("嘴唇发紫", "Blue lips")),
    ("swollen_face", ("面部或舌头肿胀", "Swollen face or tongue")),
];
const HEAD: &[Choice] = &[
    ("worst_ever", ("突发的、从未有过的剧痛", "Sudden, and the worst ever")),
    ("weak_side", ("一侧肢体无力或口齿不清", "One side weak, or speech unclear")),
    ("stiff_neck", ("颈部僵硬并发烧", "Stiff neck with fever")),
];
const FEVER: &[Choice] = &[
    ("hard_to_wake", ("难以唤醒或神志不清", "Hard to wake, or confused")),
    ("rash", ("按压不褪色的皮疹", "A rash that does not fade when pressed")),
    ("fit", ("抽搐", "A fit")),
];
const BELLY: &[Choice] = &[
    ("blood", ("呕血或便血", "Blood in vomit or stool")),
    ("hard_belly", ("腹部僵硬", "The belly is hard")),
    ("fainted", ("晕倒过", "Fainted")),
];
const OTHER: &[Choice] = &[
    ("fainted", ("晕倒过", "Fainted")),
    ("heavy_bleeding", ("大量出血", "Bleeds heavily")),
    ("weak_side", ("一侧肢体无力或口齿不清", "One side weak, or speech unclear")),
];

/// The first question that is not answered yet; None where all are.
pub fn next(answers: &Value) -> Option<Question> {
    ORDER.iter().find(|id| answers.get(id).is_nil()).map(|id| question(id, answers))
}

fn question(id: &'static str, answers: &Value) -> Question {
    let (text, kind) = match id {
        AGE => (("患者多大年龄？", "How old is the patient?"), Kind::One(AGES)),
        COMPLAINT => (("主要哪里不舒服？", "What is the matter?"), Kind::One(COMPLAINTS)),
        SIGNS => (("有以下情况吗？", "Is any of this so?"), Kind::Any(signs(answers.get(COMPLAINT).text()))),
        PAIN => (("疼痛或不适有多重，0 到 10？", "How bad is it, from 0 to 10?"), Kind::Number(10)),
        _ => (("持续了多少天？", "For how many days?"), Kind::Number(365)),
    };
    Question { id, text, kind }
}

fn signs(complaint: Option<&str>) -> &'static [Choice] {
    match complaint {
        Some("chest_pain") => CHEST,
        Some("breathing") => BREATHING,
        Some("headache") => HEAD,
        Some("fever") => FEVER,
        Some("stomach") => BELLY,
        _ => OTHER,
    }
}

impl Question {
    /// As a front end shows it.
    pub fn shown(&self, language: Language) -> Value {
        let mut shown = map! { "id" => self.id, "text" => language.pick(self.text) };
        let choices = |choices: &[Choice]| -> Vec<Value> {
            choices.iter().map(|(value, text)| map! { "value" => *value, "text" => language.pick(*text) }).collect()
        };
        match self.kind {
            Kind::One(one) => shown.set("one_of", choices(one)),
            Kind::Any(any) => shown.set("any_of", choices(any)),
            Kind::Number(most) => shown.set("number", map! { "least" => 0, "most" => most }),
        }
        shown
    }

    /// The value, if it is an answer to this; else the error `no_answer`.
    pub fn accept(&self, value: &Value) -> Result<Value, Fail> {
        let known = |choices: &[Choice], value: &Value| choices.iter().any(|(known, _)| value.text() == Some(*known));
        let fits = match self.kind {
            Kind::One(choices) => known(choices, value),
            Kind::Any(choices) => {
                let items = value.items();
                let once = items.iter().enumerate().all(|(i, item)| !items[..i].contains(item));
                matches!(value, Value::List(_)) && once && items.iter().all(|item| known(choices, item))
            }
            Kind::Number(most) => value.int().map_or(false, |number| (0..=most).contains(&number)),
        };
        if fits {
            Ok(value.clone())
        } else {
            Err(Fail::new("no_answer", "value: as the question says").with("question", self.id))
        }
    }
}
