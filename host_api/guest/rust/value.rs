//! What messages, params, results and stored values are made of.
//!
//! What lives here: the one type, what turns into it, and how it is read. Bytes are the business of `wire`.

/// Any value of the wire. Texts are UTF-8, floats finite; money is never a float.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing: also what `get` gives for a key that is not there.
    Nil,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number above `i64::MAX`; smaller ones are always `Int`.
    Uint(u64),
    /// A number that is not whole, or was written as such.
    Float(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values in order.
    List(Vec<Value>),
    /// Text to value, in the order in which they were written; no key twice.
    Map(Vec<(String, Value)>),
}

static NIL: Value = Value::Nil;

impl Value {
    /// An empty map, to `set` keys of.
    pub const fn map() -> Value {
        Value::Map(Vec::new())
    }

    /// The value under `key`; nil where there is none, or where this is no map. Chains: `v.get("a").get("b")`.
    #[inline(never)]
    pub fn get(&self, key: &str) -> &Value {
        match self {
            Value::Map(pairs) => pairs.iter().find(|(name, _)| name == key).map_or(&NIL, |(_, value)| value),
            _ => &NIL,
        }
    }

    /// Puts `value` under `key`, in place of what was there. What is no map becomes one.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.set_value(key, value.into());
    }

    /// As `set`; once in the program, and not once for each type.
    #[inline(never)]
    fn set_value(&mut self, key: &str, value: Value) {
        if !matches!(self, Value::Map(_)) {
            *self = Value::map();
        }
        if let Value::Map(pairs) = self {
            match pairs.iter_mut().find(|(name, _)| name == key) {
                Some((_, old)) => *old = value,
                None => pairs.push((String::from(key), value)),
            }
        }
    }

    /// Takes the value under `key` out, leaving nil; nil where there is none.
    #[inline(never)]
    pub fn take(&mut self, key: &str) -> Value {
        if let Value::Map(pairs) = self {
            if let Some((_, value)) = pairs.iter_mut().find(|(name, _)| name == key) {
                return std::mem::replace(value, Value::Nil);
            }
        }
        Value::Nil
    }

    /// True for nil, and so for a key that is not there.
    pub fn is_nil(&self) -> bool {
        matches!(self, Value::Nil)
    }

    /// The truth value, if it is one.
    pub fn bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The whole number, if it is one up to `i64::MAX`. A float is none, even 1.0.
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, whole or not.
    pub fn float(&self) -> Option<f64> {
        match self {
            Value::Float(value) => Some(*value),
            Value::Int(value) => Some(*value as f64),
            Value::Uint(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(value) => Some(value),
            _ => None,
        }
    }

    /// The bytes, if it is bytes.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(value) => Some(value),
            _ => None,
        }
    }

    /// The values of a list; none where it is no list.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The pairs of a map; none where it is no map.
    pub fn pairs(&self) -> &[(String, Value)] {
        match self {
            Value::Map(pairs) => pairs,
            _ => &[],
        }
    }
}

impl Default for Value {
    fn default() -> Self {
        Value::Nil
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Value::Int(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Int(value.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Value::Uint(value), Value::Int)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Value::from(value as u64)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(String::from(value))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Text(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Value::Bytes(value.to_vec())
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Value::List(items)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Nil, Into::into)
    }
}

impl From<&Value> for Value {
    fn from(value: &Value) -> Self {
        value.clone()
    }
}
