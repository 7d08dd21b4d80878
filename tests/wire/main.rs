//! The wire as an embedding program sees it, on packets nobody thought of: random well-formed ones, damaged ones and
//! noise, and the opinion of another codec.

use proptest::prelude::*;
use weir::wire::{Packet, Version, frame_header};

mod packets;
mod second_opinion;
mod translation;

use packets::{VERSIONS, packet};

fn encoded(version: Version, packet: &Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(version, &mut out).unwrap();
    out
}

/// Reads the first frame of `bytes`, if it is all there.
fn decoded(version: Version, bytes: &[u8]) -> Option<Packet<'_>> {
    let header = frame_header(bytes, usize::MAX).ok()??;
    let body = bytes.get(header.header_len..header.total_len())?;
    Packet::decode(version, header.first, body).ok()
}

/// What can be read can be written, and reads the same again.
fn check_that_it_survives(version: Version, bytes: &[u8]) {
    if let Some(packet) = decoded(version, bytes) {
        let again = encoded(version, &packet);
        assert_eq!(decoded(version, &again), Some(packet), "re-encoded as {again:02x?}");
    }
}

/// Whether every shorter body of this packet is an error: not so where it ends in a payload, a list or an optional field.
fn has_a_fixed_end(version: Version, packet: &Packet<'_>) -> bool {
    match packet {
        Packet::Connect(_) => version > Version::V3,
        Packet::ConnAck(_) => true,
        Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubRel(_) | Packet::PubComp(_) | Packet::UnsubAck(_) => {
            version < Version::V5
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_packet_comes_back_as_it_was_written((version, packet) in packet()) {
        let bytes = encoded(version, &packet);
        let header = frame_header(&bytes, bytes.len()).unwrap().unwrap();
        prop_assert_eq!(header.total_len(), bytes.len());
        let body = &bytes[header.header_len..];
        prop_assert_eq!(Packet::decode(version, header.first, body), Ok(packet));
    }

    #[test]
    fn a_packet_is_appended_to_what_is_there((version, packet) in packet()) {
        let mut out = b"before".to_vec();
        packet.encode(version, &mut out).unwrap();
        prop_assert_eq!(&out[..6], b"before");
        prop_assert_eq!(&out[6..], &encoded(version, &packet)[..]);
    }

    #[test]
    fn a_frame_cut_short_is_never_taken_for_a_whole_one((version, packet) in packet()) {
        let bytes = encoded(version, &packet);
        for cut in 0..bytes.len() {
            let header = frame_header(&bytes[..cut], usize::MAX).unwrap();
            prop_assert!(header.is_none_or(|header| header.total_len() > cut));
        }
        let header = frame_header(&bytes, usize::MAX).unwrap().unwrap();
        let body = &bytes[header.header_len..];
        for cut in 0..body.len() {
            let shortened = Packet::decode(version, header.first, &body[..cut]);
            if has_a_fixed_end(version, &packet) {
                prop_assert!(shortened.is_err(), "{shortened:?} out of {cut} bytes");
            }
        }
    }

    #[test]
    fn a_damaged_packet_is_refused_or_is_another_packet(
        (version, packet) in packet(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        tail in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut bytes = encoded(version, &packet);
        for (index, bit) in flips {
            let index = index.index(bytes.len());
            bytes[index] ^= 1u8 << bit;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes.extend(tail);
        for version in VERSIONS {
            check_that_it_survives(version, &bytes);
            // The same with a header that fits whatever the body has become.
            if let Some((&first, body)) = bytes.split_first()
                && let Ok(packet) = Packet::decode(version, first, body)
            {
                check_that_it_survives(version, &encoded(version, &packet));
            }
        }
    }

    #[test]
    fn noise_is_no_danger(first in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..64)) {
        for version in VERSIONS {
            if let Ok(packet) = Packet::decode(version, first, &body) {
                let again = encoded(version, &packet);
                prop_assert_eq!(decoded(version, &again), Some(packet));
            }
            let mut bytes = vec![first];
            bytes.extend(&body);
            check_that_it_survives(version, &bytes);
        }
    }
}
