//! What the typed methods in `api` are made of: from parameters to a value, and from a value to an answer.
//!
//! What lives here: two traits for the types that fields have, and the macros that declare enums, answers and methods.
//! Fields of an answer that nobody knows are left alone.

use crate::Value;

/// What a parameter may be.
pub trait Param {
    /// What is sent; None leaves the parameter out.
    fn sent(self) -> Option<Value>;
}

/// What a field of an answer may be.
pub trait Field: Sized {
    /// The field's value, nil where there was none; None where it is something else.
    fn of(value: Value) -> Option<Self>;
}

/// A struct that `answer!` made: not a byte, so that bytes are no list.
pub trait Record: Field {}

macro_rules! sent_as_they_are {
    ($($type:ty),*) => {
        $(impl Param for $type {
            fn sent(self) -> Option<Value> {
                Some(self.into())
            }
        })*
    };
}

sent_as_they_are!(&str, &[u8], i64, f64, bool, Value);

impl<T: Param> Param for Option<T> {
    fn sent(self) -> Option<Value> {
        self.and_then(Param::sent)
    }
}

impl<T: Param + Copy> Param for &[T] {
    fn sent(self) -> Option<Value> {
        Some(Value::List(self.iter().filter_map(|item| item.sent()).collect()))
    }
}

impl Param for &[(&str, &str)] {
    fn sent(self) -> Option<Value> {
        Some(Value::Map(self.iter().map(|(key, text)| (String::from(*key), Value::from(*text))).collect()))
    }
}

impl Field for Value {
    fn of(value: Value) -> Option<Self> {
        Some(value)
    }
}

impl Field for bool {
    fn of(value: Value) -> Option<Self> {
        value.bool()
    }
}

impl Field for i64 {
    fn of(value: Value) -> Option<Self> {
        value.int()
    }
}

impl Field for f64 {
    fn of(value: Value) -> Option<Self> {
        value.float()
    }
}

impl Field for String {
    fn of(value: Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Field for Vec<u8> {
    fn of(value: Value) -> Option<Self> {
        match value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl<T: Field> Field for Option<T> {
    fn of(value: Value) -> Option<Self> {
        match value {
            Value::Nil => Some(None),
            value => T::of(value).map(Some),
        }
    }
}

impl<T: Record> Field for Vec<T> {
    fn of(value: Value) -> Option<Self> {
        match value {
            Value::List(items) => items.into_iter().map(T::of).collect(),
            _ => None,
        }
    }
}

impl<T: Field> Field for Vec<(String, T)> {
    fn of(value: Value) -> Option<Self> {
        match value {
            Value::Map(pairs) => pairs.into_iter().map(|(key, value)| Some((key, T::of(value)?))).collect(),
            _ => None,
        }
    }
}

/// An answer with nothing in it.
impl Field for () {
    fn of(_: Value) -> Option<Self> {
        Some(())
    }
}

/// A map that fields are taken out of. What is not what it should be is noted, and asked once: a way out at every field
/// would make a program several times larger.
pub struct Fields {
    map: Value,
    bad: bool,
}

impl Fields {
    /// Of a value; everything is missing where it is no map.
    pub fn of(map: Value) -> Self {
        Fields { map, bad: false }
    }

    /// Takes that field out.
    #[inline(never)]
    pub fn take<T: Field + Default>(&mut self, name: &str) -> T {
        match T::of(self.map.take(name)) {
            Some(field) => field,
            None => {
                self.bad = true;
                T::default()
            }
        }
    }

    /// `made` of these fields, unless one of them was not what it should be.
    pub fn whole<T>(&self, made: T) -> Option<T> {
        if self.bad {
            None
        } else {
            Some(made)
        }
    }
}

/// Puts a parameter that is not left out into a map.
#[inline(never)]
pub fn put(map: &mut Value, name: &str, param: impl Param) {
    if let Some(value) = param.sent() {
        map.set(name, value);
    }
}

// `#[inline]` in what follows: a method that a program does not use is never compiled.

/// An enum that is sent as a text.
macro_rules! choice {
    ($(#[$about:meta])* $name:ident { $($(#[$mark:meta])* $choice:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`.")] $(#[$mark])* $choice,)*
        }

        impl Param for $name {
            #[inline]
            fn sent(self) -> Option<Value> {
                Some(Value::from(match self { $($name::$choice => $text,)* }))
            }
        }
    };
}

/// A struct that the host answers with, or that lies in one.
macro_rules! answer {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $($(#[$meaning])* pub $field: $type,)*
        }

        impl $name {
            /// From the value that the host gave, as `wait` has it; None where it is something else.
            #[inline]
            pub fn read(value: Value) -> Option<Self> {
                let mut fields = Fields::of(value);
                let answer = $name { $($field: fields.take(stringify!($field)),)* };
                fields.whole(answer)
            }
        }

        impl Field for $name {
            #[inline]
            fn of(value: Value) -> Option<Self> {
                Self::read(value)
            }
        }

        impl Record for $name {}
    };
}

/// A struct with a method's parameters, and what can be done with it.
macro_rules! method {
    ($(#[$about:meta])* $text:literal: $name:ident -> $answer:ty) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;

        method!(@done $name, $text, $answer, {
            #[inline]
            fn params(self) -> Value {
                Value::map()
            }
        });
    };
    ($(#[$about:meta])* $text:literal: $name:ident $(<$life:lifetime>)? -> $answer:ty {
        $($(#[$meaning:meta])* $field:ident: $type:ty,)+
    }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default)]
        pub struct $name $(<$life>)? {
            $($(#[$meaning])* pub $field: $type,)+
        }

        method!(@done $name $(<$life>)?, $text, $answer, {
            #[inline]
            fn params(self) -> Value {
                let mut params = Value::map();
                $(put(&mut params, stringify!($field), self.$field);)+
                params
            }
        });
    };
    (@done $name:ident $(<$life:lifetime>)?, $text:literal, $answer:ty, { $params:item }) => {
        impl $(<$life>)? $name $(<$life>)? {
            $params

            /// Asks the host and waits for the answer.
            #[inline]
            pub fn call(self) -> Result<$answer, HostError> {
                ask($text, self.params())
            }

            /// Begins it and goes on; the answer comes from `wait`, with this ticket.
            #[inline]
            pub fn post(self) -> Result<Ticket, HostError> {
                post($text, self.params())
            }
        }
    };
}
