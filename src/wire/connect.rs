//! CONNECT, the first packet of a client (section 3.1): which protocol it speaks, who it is, and its will. The
//! handshake decodes it, with errors from which it can tell what answer the client will understand. Whether the client
//! may connect is never decided here.

use std::fmt;

use super::property::Holder;
use super::reader::Reader;
use super::writer::{put_binary, put_frame, put_properties, put_text, put_u16};
use super::{PacketKind, Properties, QoS, Version, WireError, validate_topic_name};

const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS: u8 = 0x18;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

/// A CONNECT packet. Debugging shows the lengths of user name and password only, since either can be a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Connect<'a> {
    pub version: Version,
    /// Clean Session before MQTT 5.
    pub clean_start: bool,
    /// Seconds; 0 turns the keep-alive off.
    pub keep_alive: u16,
    pub properties: Properties<'a>,
    /// Empty: the server is to choose one.
    pub client_id: &'a str,
    pub will: Option<Will<'a>>,
    pub user_name: Option<&'a str>,
    pub password: Option<&'a [u8]>,
}

/// The message to be published when the connection ends without a DISCONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    pub qos: QoS,
    pub retain: bool,
    pub properties: Properties<'a>,
    pub topic: &'a str,
    pub payload: &'a [u8],
}

impl<'a> Connect<'a> {
    /// The version that a CONNECT with this body asks for, also where the rest of it is wrong: an error from `decode` is
    /// answered in that version.
    pub fn version_of(body: &[u8]) -> Result<Version, WireError> {
        read_version(&mut Reader::new(body))
    }

    /// Reads the body of a CONNECT of any version.
    pub fn decode(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let version = read_version(&mut reader)?;
        let flags = reader.u8("connect flags")?;
        check_flags(version, flags)?;
        let keep_alive = reader.u16("keep alive")?;
        let properties = reader.properties(version, PacketKind::Connect)?;
        // The order of the payload is fixed [MQTT-3.1.3-1], and the flags say which fields are there [MQTT-3.1.2-9],
        // [MQTT-3.1.2-16], [MQTT-3.1.2-17], [MQTT-3.1.2-18], [MQTT-3.1.2-19].
        let client_id = reader.text("client identifier")?;
        let will = match flags & WILL {
            0 => None,
            _ => Some(Will::read(&mut reader, version, flags)?),
        };
        // MQTT 3.1 had these fields added late: a server accepts that the flag is set and the field is missing.
        let is_there = |flag, reader: &Reader<'_>| flags & flag != 0 && !(version == Version::V3 && reader.is_empty());
        let user_name = match is_there(USER_NAME, &reader) {
            true => Some(reader.text("user name")?),
            false => None,
        };
        let password = match is_there(PASSWORD, &reader) {
            true => Some(reader.binary("password")?),
            false => None,
        };
        reader.finish(PacketKind::Connect)?;
        Ok(Connect {
            version,
            clean_start: flags & CLEAN_START != 0,
            keep_alive,
            properties,
            client_id,
            will,
            user_name,
            password,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        let flags = self.flags();
        check_flags(self.version, flags)?;
        put_frame(out, PacketKind::Connect, |out| {
            let name: &[u8] = match self.version {
                Version::V3 => b"MQIsdp",
                Version::V4 | Version::V5 => b"MQTT",
            };
            put_binary(out, "protocol name", name)?;
            out.extend([self.version.level(), flags]);
            put_u16(out, self.keep_alive);
            put_properties(out, self.version, PacketKind::Connect, self.properties)?;
            put_text(out, "client identifier", self.client_id)?;
            if let Some(will) = &self.will {
                validate_topic_name(will.topic)?;
                put_properties(out, self.version, Holder::WILL, will.properties)?;
                put_text(out, "will topic", will.topic)?;
                put_binary(out, "will payload", will.payload)?;
            }
            if let Some(user_name) = self.user_name {
                put_text(out, "user name", user_name)?;
            }
            if let Some(password) = self.password {
                put_binary(out, "password", password)?;
            }
            Ok(())
        })
    }

    fn flags(&self) -> u8 {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let will = self.will.map_or(0, |will| WILL | (will.qos as u8) << 3 | flag(will.retain, WILL_RETAIN));
        flag(self.clean_start, CLEAN_START)
            | will
            | flag(self.password.is_some(), PASSWORD)
            | flag(self.user_name.is_some(), USER_NAME)
    }
}

/// The protocol name and level [MQTT-3.1.2-1]. A known name with another level gets an answer in the version nearest to
/// it: bridges set the highest bit of the level and fall back when they are told that it is not supported.
fn read_version(reader: &mut Reader<'_>) -> Result<Version, WireError> {
    let is_3_1 = match reader.binary("protocol name")? {
        b"MQTT" => false,
        b"MQIsdp" => true,
        _ => return Err(WireError::BadProtocolName),
    };
    match reader.u8("protocol level")? {
        3 if is_3_1 => Ok(Version::V3),
        4 if !is_3_1 => Ok(Version::V4),
        5 if !is_3_1 => Ok(Version::V5),
        level => Err(WireError::UnsupportedProtocolVersion {
            level,
            answer_in: match level & 0x7F {
                5.. if !is_3_1 => Version::V5,
                _ => Version::V4,
            },
        }),
    }
}

fn check_flags(version: Version, flags: u8) -> Result<(), WireError> {
    if flags & 0x01 != 0 {
        return Err(WireError::ConnectFlagReserved);
    }
    // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
    if flags & WILL == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0 {
        return Err(WireError::WillFlagsWithoutWill);
    }
    if flags & WILL_QOS == WILL_QOS {
        return Err(WireError::WillQoS3);
    }
    // [MQTT-3.1.2-22] of 3.1.1; MQTT 5 allows a password alone.
    if version < Version::V5 && flags & PASSWORD != 0 && flags & USER_NAME == 0 {
        return Err(WireError::PasswordWithoutUserName);
    }
    Ok(())
}

impl<'a> Will<'a> {
    fn read(reader: &mut Reader<'a>, version: Version, flags: u8) -> Result<Will<'a>, WireError> {
        let qos = QoS::from_bits((flags & WILL_QOS) >> 3).ok_or(WireError::WillQoS3)?;
        let properties = reader.properties(version, Holder::WILL)?;
        let topic = reader.text("will topic")?;
        validate_topic_name(topic)?;
        Ok(Will { qos, retain: flags & WILL_RETAIN != 0, properties, topic, payload: reader.binary("will payload")? })
    }
}

impl fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("clean_start", &self.clean_start)
            .field("keep_alive", &self.keep_alive)
            .field("properties", &self.properties)
            .field("client_id", &self.client_id)
            .field("will", &self.will)
            .field("user_name_len", &self.user_name.map(str::len))
            .field("password_len", &self.password.map(<[u8]>::len))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Packet, ReasonCode, TopicFault};

    /// The body of a CONNECT with a keep-alive of 10 s; `payload` starts with the properties in MQTT 5.
    fn body(version: Version, flags: u8, payload: &[u8]) -> Vec<u8> {
        let start: &[u8] = match version {
            Version::V3 => b"\x00\x06MQIsdp\x03",
            Version::V4 => b"\x00\x04MQTT\x04",
            Version::V5 => b"\x00\x04MQTT\x05",
        };
        [start, &[flags, 0, 10], payload].concat()
    }

    fn refused(version: Version, flags: u8, payload: &[u8]) -> Option<WireError> {
        Connect::decode(&body(version, flags, payload)).err()
    }

    #[test]
    fn the_three_protocols_are_told_apart_by_name_and_level() {
        let cases = [(Version::V3, &b"\x00\x01c"[..]), (Version::V4, b"\x00\x01c"), (Version::V5, b"\x00\x00\x01c")];
        for (version, payload) in cases {
            let bytes = body(version, CLEAN_START, payload);
            let connect = Connect {
                version,
                clean_start: true,
                keep_alive: 10,
                properties: Properties::EMPTY,
                client_id: "c",
                will: None,
                user_name: None,
                password: None,
            };
            assert_eq!(Connect::decode(&bytes), Ok(connect));
            assert_eq!(Connect::version_of(&bytes[..9]), Ok(version));
        }
    }

    #[test]
    fn another_protocol_is_no_mqtt_client() {
        for name in [&b"\x00\x04HTTP\x04"[..], b"\x00\x04mqtt\x04", b"\x00\x00\x04", b"\x00\x04MQT\xFF\x04"] {
            assert_eq!(Connect::decode(name), Err(WireError::BadProtocolName), "{name:?}");
        }
    }

    #[test]
    fn an_unknown_level_says_in_which_version_to_answer() {
        let cases = [
            (&b"\x00\x04MQTT\x06"[..], 6, Version::V5),
            (b"\x00\x04MQTT\x85", 0x85, Version::V5),
            (b"\x00\x04MQTT\x84", 0x84, Version::V4),
            (b"\x00\x04MQTT\x03", 3, Version::V4),
            (b"\x00\x04MQTT\x00", 0, Version::V4),
            (b"\x00\x06MQIsdp\x04", 4, Version::V4),
            (b"\x00\x06MQIsdp\x83", 0x83, Version::V4),
            (b"\x00\x06MQIsdp\x06", 6, Version::V4),
        ];
        for (bytes, level, answer_in) in cases {
            let error = WireError::UnsupportedProtocolVersion { level, answer_in };
            assert_eq!(Connect::decode(bytes), Err(error));
            assert_eq!(error.reason(), ReasonCode::UnsupportedProtocolVersion);
        }
    }

    #[test]
    fn the_version_is_known_even_where_the_rest_is_wrong() {
        let broken = body(Version::V5, 0x01, b"");
        assert_eq!(Connect::decode(&broken), Err(WireError::ConnectFlagReserved));
        assert_eq!(Connect::version_of(&broken), Ok(Version::V5));
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        for version in [Version::V3, Version::V4, Version::V5] {
            let cases = [
                (0x01, WireError::ConnectFlagReserved),
                (0x08, WireError::WillFlagsWithoutWill),
                (0x10, WireError::WillFlagsWithoutWill),
                (0x20, WireError::WillFlagsWithoutWill),
                (0x1C, WireError::WillQoS3),
            ];
            for (flags, error) in cases {
                assert_eq!(refused(version, flags, b"\x00\x00\x00"), Some(error), "{flags:#x}");
            }
        }
    }

    #[test]
    fn a_password_alone_is_for_mqtt_5() {
        for version in [Version::V3, Version::V4] {
            assert_eq!(refused(version, PASSWORD, b"\x00\x01c\x00\x01p"), Some(WireError::PasswordWithoutUserName));
        }
        let bytes = body(Version::V5, PASSWORD, b"\x00\x00\x01c\x00\x01p");
        let connect = Connect::decode(&bytes).unwrap();
        assert_eq!((connect.user_name, connect.password), (None, Some(&b"p"[..])));
    }

    #[test]
    fn mqtt_3_1_may_leave_out_the_fields_its_flags_announce() {
        let flags = USER_NAME | PASSWORD;
        let bytes = body(Version::V3, flags, b"\x00\x01c");
        let connect = Connect::decode(&bytes).unwrap();
        assert_eq!((connect.user_name, connect.password), (None, None));

        let bytes = body(Version::V3, flags, b"\x00\x01c\x00\x01u");
        let connect = Connect::decode(&bytes).unwrap();
        assert_eq!((connect.user_name, connect.password), (Some("u"), None));

        assert_eq!(refused(Version::V4, flags, b"\x00\x01c"), Some(WireError::Truncated("user name")));
        assert_eq!(refused(Version::V4, flags, b"\x00\x01c\x00\x01u"), Some(WireError::Truncated("password")));
        assert_eq!(refused(Version::V3, flags, b"\x00\x01c\x00\x01"), Some(WireError::Truncated("user name")));
    }

    #[test]
    fn a_will_needs_a_topic_that_can_be_published_to() {
        let will = |topic: &[u8]| [b"\x00\x01c\x00", &[topic.len() as u8][..], topic, b"\x00\x01p"].concat();
        assert_eq!(refused(Version::V4, WILL, &will(b"a/b")), None);
        assert_eq!(refused(Version::V4, WILL, &will(b"")), Some(WireError::InvalidTopicName(TopicFault::Empty)));
        assert_eq!(refused(Version::V4, WILL, &will(b"a/+")), Some(WireError::InvalidTopicName(TopicFault::Wildcard)));
        assert_eq!(refused(Version::V4, WILL, &will(b"a\0b")), Some(WireError::NullCharacter("will topic")));
        assert_eq!(refused(Version::V4, WILL, b"\x00\x01c\x00\x01t"), Some(WireError::Truncated("will payload")));
    }

    #[test]
    fn will_properties_are_the_wills_own() {
        let with_delay = b"\x00\x00\x01c\x05\x18\x00\x00\x00\x07\x00\x01t\x00\x01p";
        let bytes = body(Version::V5, WILL | WILL_RETAIN | 0x08, with_delay);
        let will = Connect::decode(&bytes).unwrap().will.unwrap();
        assert_eq!((will.qos, will.retain), (QoS::AtLeastOnce, true));
        assert_eq!((will.topic, will.payload), ("t", &b"p"[..]));
        assert_eq!(will.properties.will_delay_interval(), Some(7));

        let delay_in_connect = b"\x05\x18\x00\x00\x00\x07\x00\x01c";
        assert!(matches!(refused(Version::V5, 0, delay_in_connect), Some(WireError::PropertyNotAllowed { .. })));
    }

    #[test]
    fn nothing_may_follow_the_last_field() {
        assert_eq!(
            refused(Version::V4, 0, b"\x00\x01cx"),
            Some(WireError::TrailingBytes { packet: PacketKind::Connect, extra: 1 })
        );
    }

    #[test]
    fn debugging_shows_no_credentials() {
        let bytes = body(Version::V4, USER_NAME | PASSWORD, b"\x00\x01c\x00\x05Token\x00\x06s3cret");
        let shown = format!("{:?}", Connect::decode(&bytes).unwrap());
        assert!(!shown.contains("Token") && !shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("password_len: Some(6)"), "{shown}");
    }

    #[test]
    fn a_connect_that_breaks_a_rule_is_not_written() {
        let good = Connect {
            version: Version::V4,
            clean_start: true,
            keep_alive: 0,
            properties: Properties::EMPTY,
            client_id: "c",
            will: None,
            user_name: None,
            password: None,
        };
        let will =
            Will { qos: QoS::AtMostOnce, retain: false, properties: Properties::EMPTY, topic: "a/#", payload: b"" };
        let long = "x".repeat(65_536);
        let too_long = |what| WireError::TooLong { what, len: 65_536 };
        let cases = [
            (Connect { password: Some(b"p"), ..good }, WireError::PasswordWithoutUserName),
            (Connect { will: Some(will), ..good }, WireError::InvalidTopicName(TopicFault::Wildcard)),
            (
                Connect { will: Some(Will { topic: "a", payload: long.as_bytes(), ..will }), ..good },
                too_long("will payload"),
            ),
            (Connect { client_id: &long, ..good }, too_long("client identifier")),
            (Connect { client_id: "a\0", ..good }, WireError::NullCharacter("client identifier")),
            (Connect { user_name: Some(&long), ..good }, too_long("user name")),
        ];
        for (connect, error) in cases {
            let mut out = vec![7];
            assert_eq!(Packet::Connect(connect).encode(Version::V4, &mut out), Err(error));
            assert_eq!(out, [7]);
        }
    }
}
