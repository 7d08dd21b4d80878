//! A cursor over the body of one packet: the data types of MQTT (section 1.5), read one after the other. The decoders
//! are its only callers; every read names what it was reading, so that an error can. It never allocates and never reads
//! past the end.

use super::property::{Holder, validate};
use super::{PacketId, PacketKind, Properties, Version, WireError};

#[derive(Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, WireError> {
        let (&byte, rest) = self.rest.split_first().ok_or(WireError::Truncated(what))?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, WireError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated(what))?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, WireError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated(what))?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    #[inline]
    pub(super) fn varint(&mut self, what: &'static str) -> Result<u32, WireError> {
        let (value, len) = varint(self.rest)?.ok_or(WireError::Truncated(what))?;
        self.rest = &self.rest[len..];
        Ok(value)
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(WireError::Truncated(what))?;
        self.rest = rest;
        Ok(taken)
    }

    /// Binary Data: two bytes of length, and as many bytes (section 1.5.6).
    #[inline]
    pub(super) fn binary(&mut self, what: &'static str) -> Result<&'a [u8], WireError> {
        let len = self.u16(what)?;
        self.take(usize::from(len), what)
    }

    /// A UTF-8 Encoded String (section 1.5.4): well-formed, without surrogates [MQTT-1.5.4-1] and without U+0000
    /// [MQTT-1.5.4-2]. A leading U+FEFF is text like any other and stays [MQTT-1.5.4-3].
    pub(super) fn text(&mut self, what: &'static str) -> Result<&'a str, WireError> {
        let bytes = self.binary(what)?;
        if bytes.contains(&0) {
            return Err(WireError::NullCharacter(what));
        }
        str::from_utf8(bytes).map_err(|_| WireError::NotUtf8(what))
    }

    #[inline]
    pub(super) fn packet_id(&mut self) -> Result<PacketId, WireError> {
        PacketId::new(self.u16("packet identifier")?).ok_or(WireError::PacketIdZero)
    }

    /// The length-prefixed properties of `holder`; before MQTT 5 there are none and nothing is read.
    #[inline]
    pub(super) fn properties(
        &mut self,
        version: Version,
        holder: impl Into<Holder>,
    ) -> Result<Properties<'a>, WireError> {
        if version < Version::V5 {
            return Ok(Properties::EMPTY);
        }
        // A u32 of at most 28 bits.
        let len = self.varint("property length")? as usize;
        let bytes = self.take(len, "properties")?;
        validate(bytes, holder.into())?;
        Ok(Properties::from_valid(bytes))
    }

    /// Everything that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// The end of a packet that has one.
    pub(super) fn finish(self, packet: PacketKind) -> Result<(), WireError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(WireError::TrailingBytes { packet, extra }),
        }
    }
}

/// The Variable Byte Integer at the start of `bytes` and how many bytes it takes (section 1.5.5); `None` while its end
/// is not there yet. It must be as short as it can be [MQTT-1.5.5-1].
#[inline]
pub(super) fn varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, WireError> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return match byte {
                0 if index > 0 => Err(WireError::VarIntNotMinimal),
                _ => Ok(Some((value, index + 1))),
            };
        }
    }
    if bytes.len() >= 4 {
        return Err(WireError::VarIntTooLong);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Result<&str, WireError> {
        Reader::new(bytes).text("text")
    }

    #[test]
    fn text_is_well_formed_utf8_without_the_null_character() {
        assert_eq!(text(b"\x00\x02\xC3\xA9"), Ok("é"));
        assert_eq!(text(b"\x00\x00"), Ok(""));
        assert_eq!(text(b"\x00\x02\x01\x7F"), Ok("\u{1}\u{7F}"));
        assert_eq!(text(b"\x00\x01\xFF"), Err(WireError::NotUtf8("text")));
        assert_eq!(text(b"\x00\x02\xC0\x80"), Err(WireError::NotUtf8("text")));
        assert_eq!(text(b"\x00\x03\xED\xA0\x80"), Err(WireError::NotUtf8("text")), "a surrogate");
        assert_eq!(text(b"\x00\x03a\x00b"), Err(WireError::NullCharacter("text")));
        assert_eq!(text(b"\x00\x03ab"), Err(WireError::Truncated("text")));
        assert_eq!(text(b"\x00"), Err(WireError::Truncated("text")));
    }

    #[test]
    fn a_byte_order_mark_is_kept_as_text() {
        assert_eq!(text(b"\x00\x04\xEF\xBB\xBFa"), Ok("\u{FEFF}a"));
    }

    #[test]
    fn a_variable_byte_integer_has_up_to_four_bytes_and_none_to_spare() {
        let whole: [(&[u8], u32); 6] = [
            (b"\x00", 0),
            (b"\x7F", 127),
            (b"\x80\x01", 128),
            (b"\xFF\x7F", 16_383),
            (b"\x80\x80\x01", 16_384),
            (b"\xFF\xFF\xFF\x7F", 268_435_455),
        ];
        for (bytes, value) in whole {
            assert_eq!(varint(bytes), Ok(Some((value, bytes.len()))), "{bytes:02x?}");
            assert_eq!(varint(&bytes[..bytes.len() - 1]), Ok(None), "{bytes:02x?}");
        }
        let wrong: [(&[u8], WireError); 3] = [
            (b"\xFF\xFF\xFF\xFF", WireError::VarIntTooLong),
            (b"\x80\x00", WireError::VarIntNotMinimal),
            (b"\xFF\x80\x00", WireError::VarIntNotMinimal),
        ];
        for (bytes, error) in wrong {
            assert_eq!(varint(bytes), Err(error), "{bytes:02x?}");
        }
    }
}
