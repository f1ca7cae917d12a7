//! Everything that a user reads, in Chinese and in English.
//!
//! What lives here: texts. Which question comes when is in `questions`, what is urgent in `rules`.

use crate::rules::Urgency;

#[derive(Clone, Copy, PartialEq)]
pub enum Language {
    Chinese,
    English,
}

/// One text in both languages.
pub type Text = (&'static str, &'static str);

impl Language {
    /// Chinese for any kind of Chinese, else English.
    pub fn of(locale: &str) -> Self {
        if locale == "zh" || locale.starts_with("zh-") {
            Language::Chinese
        } else {
            Language::English
        }
    }

    pub fn pick(self, (chinese, english): Text) -> &'static str {
        match self {
            Language::Chinese => chinese,
            Language::English => english,
        }
    }
}

pub const AGREEMENT: Text = (
    "我们会在问答期间保存您的回答，得出结果后立即删除，只保留紧急程度和时间。您可以随时删除全部内容。",
    "Your answers are kept while we ask, and deleted with the result; only how urgent it was and when is kept. You can \
     have all of it deleted at any time.",
);
pub const NO_DIAGNOSIS: Text = ("这不是诊断。", "This is no diagnosis.");
pub const SUBJECT: Text = ("远程问诊 15 分钟", "Talk with a doctor, 15 min");
pub const REFUND_REASON: Text = ("按时取消远程问诊", "Talk cancelled in time");

/// What to do now.
pub fn advice(language: Language, urgency: Urgency, emergency_number: &str) -> String {
    let text = match (language, urgency) {
        (Language::Chinese, Urgency::Emergency) => "请立即拨打 {number}，不要独自前往医院。",
        (Language::English, Urgency::Emergency) => "Call {number} now. Do not travel on your own.",
        (Language::Chinese, Urgency::Today) => "请今天就医；也可以现在预约远程问诊。",
        (Language::English, Urgency::Today) => "See a doctor today; you can book a talk with one now.",
        (Language::Chinese, Urgency::Soon) => "请在几天内就医；如果加重，请再次自查。",
        (Language::English, Urgency::Soon) => "See a doctor within days; check again if it gets worse.",
        (Language::Chinese, Urgency::SelfCare) => "多休息、多喝水；如果加重或三天后仍未好转，请再次自查。",
        (Language::English, Urgency::SelfCare) => {
            "Rest and drink enough; check again if it gets worse, or is not better in three days."
        }
    };
    text.replace("{number}", emergency_number)
}
