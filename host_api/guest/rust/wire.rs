//! MessagePack as the wire has it: values to bytes, and any bytes to a value or one refusal.
//!
//! What lives here: the codec, bounded on both sides; docs/protocol.md §5.1 has the rules. No message, no host call.
//! It recurses at most `DEPTH` levels and never panics, whatever the bytes are.

use crate::Value;

/// Containers inside each other, the outermost being the first.
pub const DEPTH: usize = 16;
/// The longest key of a map.
pub const KEY_BYTES: usize = 256;

/// Bytes that are not exactly one value of the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Malformed;

/// A value that the wire has no form for: too deep, or a float that is not finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unencodable;

/// The bytes of a value, each part in its shortest form.
pub fn encode(value: &Value) -> Result<Vec<u8>, Unencodable> {
    let mut out = Vec::with_capacity(256);
    put(&mut out, value, DEPTH)?;
    Ok(out)
}

fn put(out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), Unencodable> {
    match value {
        Value::Nil => out.push(0xc0),
        Value::Bool(value) => out.push(0xc2 | u8::from(*value)),
        Value::Int(value) => put_int(out, *value),
        Value::Uint(value) => put_uint(out, *value),
        Value::Float(value) if value.is_finite() => put_head(out, 0xcb, value.to_bits(), 8),
        Value::Float(_) => return Err(Unencodable),
        Value::Text(text) => put_text(out, text),
        Value::Bytes(bytes) => {
            put_sized(out, bytes.len(), 0xc4, 0);
            out.extend_from_slice(bytes);
        }
        Value::List(items) => {
            let left = depth.checked_sub(1).ok_or(Unencodable)?;
            put_count(out, items.len(), 0x90, 0xdc);
            for item in items {
                put(out, item, left)?;
            }
        }
        Value::Map(pairs) => {
            let left = depth.checked_sub(1).ok_or(Unencodable)?;
            put_count(out, pairs.len(), 0x80, 0xde);
            for (key, value) in pairs {
                put_text(out, key);
                put(out, value, left)?;
            }
        }
    }
    Ok(())
}

/// One tag and the lowest `size` bytes of `number`, highest first.
fn put_head(out: &mut Vec<u8>, tag: u8, number: u64, size: usize) {
    out.push(tag);
    for i in (0..size).rev() {
        out.push((number >> (8 * i)) as u8);
    }
}

fn put_uint(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=0x7f => out.push(value as u8),
        0x80..=0xff => put_head(out, 0xcc, value, 1),
        0x100..=0xffff => put_head(out, 0xcd, value, 2),
        0x1_0000..=0xffff_ffff => put_head(out, 0xce, value, 4),
        _ => put_head(out, 0xcf, value, 8),
    }
}

fn put_int(out: &mut Vec<u8>, value: i64) {
    let bits = value as u64;
    match value {
        0.. => put_uint(out, bits),
        -0x20..=-1 => out.push(bits as u8),
        -0x80..=-0x21 => put_head(out, 0xd0, bits, 1),
        -0x8000..=-0x81 => put_head(out, 0xd1, bits, 2),
        -0x8000_0000..=-0x8001 => put_head(out, 0xd2, bits, 4),
        _ => put_head(out, 0xd3, bits, 8),
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_sized(out, text.len(), 0xd9, 0xa0);
    out.extend_from_slice(text.as_bytes());
}

/// The length of a text or of bytes. `short`: the tag that holds lengths below 32 itself, 0 for none.
fn put_sized(out: &mut Vec<u8>, size: usize, tag: u8, short: u8) {
    match size {
        0..=31 if short != 0 => out.push(short | size as u8),
        0..=0xff => put_head(out, tag, size as u64, 1),
        0x100..=0xffff => put_head(out, tag + 1, size as u64, 2),
        _ => put_head(out, tag + 2, size as u64, 4),
    }
}

fn put_count(out: &mut Vec<u8>, count: usize, short: u8, tag: u8) {
    match count {
        0..=15 => out.push(short | count as u8),
        16..=0xffff => put_head(out, tag, count as u64, 2),
        _ => put_head(out, tag + 1, count as u64, 4),
    }
}

/// The value that these bytes are, all of them.
pub fn decode(bytes: &[u8]) -> Result<Value, Malformed> {
    let mut reader = Reader { bytes, elements: bytes.len() };
    let value = reader.value(DEPTH)?;
    if reader.bytes.is_empty() {
        Ok(value)
    } else {
        Err(Malformed)
    }
}

/// What is left to be read.
struct Reader<'a> {
    bytes: &'a [u8],
    /// How many values lists and maps may still announce: each takes a byte, so memory is bounded by the message.
    elements: usize,
}

impl<'a> Reader<'a> {
    fn slice(&mut self, size: usize) -> Result<&'a [u8], Malformed> {
        if size > self.bytes.len() {
            return Err(Malformed);
        }
        let (read, rest) = self.bytes.split_at(size);
        self.bytes = rest;
        Ok(read)
    }

    /// A whole number of `size` bytes, highest first.
    fn number(&mut self, size: usize) -> Result<u64, Malformed> {
        Ok(self.slice(size)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn value(&mut self, depth: usize) -> Result<Value, Malformed> {
        let tag = self.number(1)? as u8;
        match tag {
            0x00..=0x7f => Ok(Value::Int(tag.into())),
            0x80..=0x8f => self.map(usize::from(tag & 15), depth),
            0x90..=0x9f => self.list(usize::from(tag & 15), depth),
            0xa0..=0xbf => self.text(usize::from(tag & 31)),
            0xc0 => Ok(Value::Nil),
            0xc2 | 0xc3 => Ok(Value::Bool(tag == 0xc3)),
            0xc4..=0xc6 => {
                let size = self.number(1 << (tag - 0xc4))? as usize;
                Ok(Value::Bytes(self.slice(size)?.to_vec()))
            }
            0xca => self.number(4).and_then(|bits| finite(f32::from_bits(bits as u32).into())),
            0xcb => self.number(8).and_then(|bits| finite(f64::from_bits(bits))),
            0xcc..=0xcf => self.number(1 << (tag & 3)).map(Value::from),
            0xd0..=0xd3 => {
                let size = 1 << (tag & 3);
                let shift = 64 - 8 * size;
                self.number(size).map(|number| Value::Int((number << shift) as i64 >> shift))
            }
            0xd9..=0xdb => {
                let size = self.number(1 << (tag - 0xd9))? as usize;
                self.text(size)
            }
            0xdc | 0xdd => {
                let count = self.number(2 << (tag - 0xdc))? as usize;
                self.list(count, depth)
            }
            0xde | 0xdf => {
                let count = self.number(2 << (tag - 0xde))? as usize;
                self.map(count, depth)
            }
            0xe0..=0xff => Ok(Value::Int((tag as i8).into())),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => Err(Malformed), // nothing, and the extension types
        }
    }

    fn text(&mut self, size: usize) -> Result<Value, Malformed> {
        let text = std::str::from_utf8(self.slice(size)?).map_err(|_| Malformed)?;
        Ok(Value::Text(String::from(text)))
    }

    fn list(&mut self, count: usize, depth: usize) -> Result<Value, Malformed> {
        let left = depth.checked_sub(1).ok_or(Malformed)?;
        self.elements = self.elements.checked_sub(count).ok_or(Malformed)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.value(left)?);
        }
        Ok(Value::List(items))
    }

    fn map(&mut self, count: usize, depth: usize) -> Result<Value, Malformed> {
        let left = depth.checked_sub(1).ok_or(Malformed)?;
        self.elements = count.checked_mul(2).and_then(|both| self.elements.checked_sub(both)).ok_or(Malformed)?;
        let mut pairs: Vec<(String, Value)> = Vec::with_capacity(count);
        let mut highest = 0;
        for i in 0..count {
            let key = match self.value(0)? {
                Value::Text(key) if key.len() <= KEY_BYTES => key,
                _ => return Err(Malformed),
            };
            // Keys in order, as the host writes them, are told apart by one look.
            if pairs.get(highest).map_or(true, |(other, _)| key > *other) {
                highest = i;
            } else if pairs.iter().any(|(other, _)| key == *other) {
                return Err(Malformed);
            }
            pairs.push((key, self.value(left)?));
        }
        Ok(Value::Map(pairs))
    }
}

fn finite(value: f64) -> Result<Value, Malformed> {
    if value.is_finite() {
        Ok(Value::Float(value))
    } else {
        Err(Malformed)
    }
}
