//! The other direction of the reader: the data types of MQTT (section 1.5) appended to a vector, and a frame around
//! them. The encoders are its callers. On an error it leaves the vector as it found it.

use super::property::{Holder, validate};
use super::{MAX_REMAINING_LENGTH, PacketKind, Properties, ReasonCode, Version, WireError};

/// Appends a Variable Byte Integer (section 1.5.5) in the fewest bytes [MQTT-1.5.5-1]. A `value` over
/// [`MAX_REMAINING_LENGTH`] has no encoding; what is written for one is refused by every decoder.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: u32) {
    let (bytes, len) = varint_bytes(value);
    out.extend_from_slice(&bytes[..len]);
}

#[inline]
fn varint_bytes(mut value: u32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let mut len = 0;
    while value > 0x7F {
        // The low seven bits, and that more follow.
        bytes[len] = value as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    bytes[len] = value as u8;
    (bytes, len + 1)
}

/// How many bytes [`put_varint`] takes for `value`.
#[inline]
pub fn varint_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Appends a frame whose body `write_body` appends. What it wrote is taken back if it fails or wrote too much.
pub(super) fn put_frame(
    out: &mut Vec<u8>,
    packet: PacketKind,
    write_body: impl FnOnce(&mut Vec<u8>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let start = out.len();
    // The length is known only after the body; nearly always it fits into one byte.
    out.extend([packet.first_byte(), 0]);
    let body = out.len();
    let written = write_body(out).and_then(|()| insert_length(out, body));
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Replaces the byte kept for the remaining length, the one before `body`, by the length of what follows it.
fn insert_length(out: &mut Vec<u8>, body: usize) -> Result<(), WireError> {
    let len = out.len() - body;
    if len > MAX_REMAINING_LENGTH {
        return Err(WireError::BodyTooLarge(len));
    }
    // At most 28 bits, checked above.
    let (bytes, len) = varint_bytes(len as u32);
    out.splice(body - 1..body, bytes[..len].iter().copied());
    Ok(())
}

pub(super) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend(value.to_be_bytes());
}

/// Appends Binary Data: two bytes of length, and the bytes.
pub(super) fn put_binary(out: &mut Vec<u8>, what: &'static str, bytes: &[u8]) -> Result<(), WireError> {
    let len = u16::try_from(bytes.len()).map_err(|_| WireError::TooLong { what, len: bytes.len() })?;
    put_u16(out, len);
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends a UTF-8 Encoded String [MQTT-1.5.4-2].
pub(super) fn put_text(out: &mut Vec<u8>, what: &'static str, text: &str) -> Result<(), WireError> {
    if text.as_bytes().contains(&0) {
        return Err(WireError::NullCharacter(what));
    }
    put_binary(out, what, text.as_bytes())
}

/// Appends a reason code and properties in the shortest form: neither for a success without properties, which is all that
/// there is before MQTT 5, and no property length where there are no properties.
pub(super) fn put_reason(
    out: &mut Vec<u8>,
    version: Version,
    holder: PacketKind,
    reason: ReasonCode,
    properties: Properties<'_>,
) -> Result<(), WireError> {
    if version < Version::V5 || (reason == ReasonCode::Success && properties.is_empty()) {
        return Ok(());
    }
    out.push(reason as u8);
    if properties.is_empty() {
        return Ok(());
    }
    put_properties(out, version, holder, properties)
}

/// Appends the properties of `holder` with their length, which is there even when there are none [MQTT-2.2.2-1]. Before
/// MQTT 5 there is no place for them and they are left out.
pub(super) fn put_properties(
    out: &mut Vec<u8>,
    version: Version,
    holder: impl Into<Holder>,
    properties: Properties<'_>,
) -> Result<(), WireError> {
    if version < Version::V5 {
        return Ok(());
    }
    let bytes = properties.as_bytes();
    if bytes.len() > MAX_REMAINING_LENGTH {
        return Err(WireError::BodyTooLarge(bytes.len()));
    }
    validate(bytes, holder.into())?;
    // At most 28 bits, checked above.
    put_varint(out, bytes.len() as u32);
    out.extend_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame_header;

    #[test]
    fn a_variable_byte_integer_takes_as_many_bytes_as_announced() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value as usize), "{value}");
            assert_eq!(super::super::reader::varint(&out), Ok(Some((value, out.len()))));
        }
    }

    #[test]
    fn a_frame_has_its_length_before_its_body_whatever_the_size() {
        for len in [0, 1, 127, 128, 20_000, 3_000_000] {
            let body: Vec<u8> = (0..len).map(|index| index as u8).collect();
            let mut out = b"before".to_vec();
            put_frame(&mut out, PacketKind::SubAck, |out| {
                out.extend_from_slice(&body);
                Ok(())
            })
            .unwrap();
            assert_eq!(&out[..6], b"before");
            let header = frame_header(&out[6..], usize::MAX).unwrap().unwrap();
            assert_eq!((header.first, header.body_len), (0x90, len), "{len}");
            assert!(out[6 + header.header_len..] == body, "{len}");
        }
    }

    #[test]
    fn a_body_that_fails_leaves_nothing_behind() {
        let mut out = b"before".to_vec();
        let written = put_frame(&mut out, PacketKind::SubAck, |out| {
            out.extend_from_slice(b"half a body");
            Err(WireError::PacketIdZero)
        });
        assert_eq!(written, Err(WireError::PacketIdZero));
        assert_eq!(out, b"before");
    }

    #[test]
    fn text_that_no_length_can_tell_is_refused() {
        let mut out = Vec::new();
        let long = "x".repeat(65_536);
        assert_eq!(
            put_text(&mut out, "client identifier", &long),
            Err(WireError::TooLong { what: "client identifier", len: 65_536 })
        );
        assert_eq!(put_text(&mut out, "client identifier", &long[1..]), Ok(()));
        assert_eq!(out.len(), 65_537);
    }
}
