//! Where one packet ends in a stream of bytes: the fixed header (section 2.1). The connection loop asks it of every
//! byte it has read and not yet handled. It never looks into a body, and never asks for more than the caller accepts.

use super::WireError;
use super::reader::varint;

/// The fixed header of a packet whose body may not have arrived yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The packet type and its flags, as [`Packet::decode`](super::Packet::decode) takes them.
    pub first: u8,
    /// The bytes of the fixed header, 2 to 5.
    pub header_len: usize,
    /// The remaining length: the bytes of the body.
    pub body_len: usize,
}

impl FrameHeader {
    /// The bytes of the whole packet.
    pub fn total_len(&self) -> usize {
        self.header_len + self.body_len
    }

    /// The number of the packet type, 1 to 15.
    pub fn kind(&self) -> u8 {
        self.first >> 4
    }
}

/// Reads the fixed header at the start of `bytes`. `Ok(None)`: it is not complete. The body may still be missing: the
/// packet is there once `bytes` has [`FrameHeader::total_len`] bytes.
///
/// A remaining length of more than four bytes, or of more than it needs [MQTT-1.5.5-1], is malformed in every version;
/// so is packet type 0. Type 15 is reserved before MQTT 5, which only `decode` can know. A packet of more than
/// `max_packet_size` bytes, its header included, is refused before its body is read.
#[inline]
pub fn frame_header(bytes: &[u8], max_packet_size: usize) -> Result<Option<FrameHeader>, WireError> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    if first >> 4 == 0 {
        return Err(WireError::ReservedPacketType(0));
    }
    let Some((body_len, len_len)) = varint(rest)? else {
        return Ok(None);
    };
    let header = FrameHeader {
        first,
        header_len: 1 + len_len,
        // A u32 of at most 28 bits.
        body_len: body_len as usize,
    };
    if header.total_len() > max_packet_size {
        return Err(WireError::PacketTooLarge { size: header.total_len(), limit: max_packet_size });
    }
    Ok(Some(header))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(first: u8, header_len: usize, body_len: usize) -> Result<Option<FrameHeader>, WireError> {
        Ok(Some(FrameHeader { first, header_len, body_len }))
    }

    #[test]
    fn a_header_is_read_as_soon_as_it_is_complete() {
        assert_eq!(frame_header(b"", 100), Ok(None));
        assert_eq!(frame_header(b"\x30", 100), Ok(None));
        assert_eq!(frame_header(b"\x30\x05", 100), header(0x30, 2, 5));
        assert_eq!(frame_header(b"\x30\x80", 1000), Ok(None));
        assert_eq!(frame_header(b"\x30\x80\x01", 1000), header(0x30, 3, 128));
        assert_eq!(frame_header(b"\xC0\x00\x30\x80", 100), header(0xC0, 2, 0));
        assert_eq!(
            frame_header(b"\x30\xFF\xFF\xFF\x7F", usize::MAX),
            header(0x30, 5, super::super::MAX_REMAINING_LENGTH)
        );
    }

    #[test]
    fn a_length_of_five_bytes_or_with_bytes_to_spare_is_malformed() {
        assert_eq!(frame_header(b"\x30\x80\x80\x80\x80", usize::MAX), Err(WireError::VarIntTooLong));
        assert_eq!(frame_header(b"\x30\x80\x00", 100), Err(WireError::VarIntNotMinimal));
    }

    #[test]
    fn a_packet_over_the_maximum_is_refused_before_its_body_arrives() {
        assert_eq!(frame_header(b"\x30\x62", 100), header(0x30, 2, 98));
        assert_eq!(frame_header(b"\x30\x63", 100), Err(WireError::PacketTooLarge { size: 101, limit: 100 }));
    }

    #[test]
    fn packet_type_0_is_refused_at_its_first_byte() {
        assert_eq!(frame_header(b"\x0F", 100), Err(WireError::ReservedPacketType(0)));
        assert_eq!(frame_header(b"\xF0\x00", 100), header(0xF0, 2, 0));
    }
}
