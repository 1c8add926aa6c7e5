//! Messages in the wire format of protocol buffers (protobuf.dev, "Encoding"), as far as ONNX models and TensorBoard's events need it.
//! Fields are named by their numbers, which are those of the published `.proto` files.

/// A message that is being written, field after field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    bytes: Vec<u8>,
}

/// How a field's value lies on the wire.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

impl Message {
    /// A message without fields.
    pub fn new() -> Self {
        Self::default()
    }

    fn push(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn key(&mut self, field: u32, wire: u32) {
        self.push(u64::from(field << 3 | wire));
    }

    /// A whole number (`int32`, `int64`, an `enum`), which is not negative.
    pub fn whole(mut self, field: u32, value: u64) -> Self {
        self.key(field, VARINT);
        self.push(value);
        self
    }

    /// A `float`.
    pub fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, FIXED32);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    /// A `double`.
    pub fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, FIXED64);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    /// A `bytes`.
    pub fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.key(field, LENGTH);
        self.push(value.len() as u64);
        self.bytes.extend(value);
        self
    }

    /// A `string`.
    pub fn text(self, field: u32, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// A message within this one. A repeated field is one that is written more than once.
    pub fn message(self, field: u32, value: &Message) -> Self {
        self.bytes(field, &value.bytes)
    }

    /// The message as it is sent.
    pub fn encoded(&self) -> &[u8] {
        &self.bytes
    }
}

/// A field's value as it is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field<'a> {
    /// A whole number.
    Whole(u64),
    /// A `float`, if it is one.
    Float(f32),
    /// A `double`, if it is one.
    Double(f64),
    /// A text, some bytes or a message.
    Bytes(&'a [u8]),
}

/// The fields of a message, by number, in their order; `None` where the bytes are no message.
pub fn fields(mut bytes: &[u8]) -> Option<Vec<(u32, Field<'_>)>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        let field = u32::try_from(key >> 3).ok().filter(|&field| field > 0)?;
        let value = match key as u32 & 7 {
            VARINT => Field::Whole(take_varint(&mut bytes)?),
            FIXED64 => Field::Double(f64::from_le_bytes(*take_array(&mut bytes)?)),
            FIXED32 => Field::Float(f32::from_le_bytes(*take_array(&mut bytes)?)),
            LENGTH => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Field::Bytes(value)
            }
            _ => return None,
        };
        all.push((field, value));
    }
    Some(all)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take_array<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (array, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_specification() {
        // The examples of protobuf.dev, "Encoding": 150 in field 1, "testing" in field 2, and the first within field 3.
        let number = Message::new().whole(1, 150);
        assert_eq!(number.encoded(), [0x08, 0x96, 0x01]);
        let text = Message::new().text(2, "testing");
        assert_eq!(text.encoded(), [0x12, 7, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        assert_eq!(Message::new().message(3, &number).encoded(), [0x1a, 3, 0x08, 0x96, 0x01]);
    }

    #[test]
    fn what_is_written_is_read() {
        let inner = Message::new().float(2, -0.5);
        let message = Message::new().whole(1, u64::MAX).double(20, 1e-300).message(3, &inner);
        let read = fields(message.encoded()).unwrap();
        let expected = [
            (1, Field::Whole(u64::MAX)),
            (20, Field::Double(1e-300)),
            (3, Field::Bytes(inner.encoded())),
        ];
        assert_eq!(read, expected);
        assert_eq!(fields(inner.encoded()).unwrap(), [(2, Field::Float(-0.5))]);
        for length in 1..message.encoded().len() {
            // Cut anywhere, it has fewer fields or is none.
            let cut = fields(&message.encoded()[..length]);
            assert!(cut.is_none_or(|fields| fields.len() < 3), "{length}");
        }
        assert_eq!(fields(&[0xff; 11]), None);
        assert_eq!(fields(&[0x02, 0x00]), None, "there is no field 0");
    }
}
