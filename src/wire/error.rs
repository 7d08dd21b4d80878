//! What can be wrong with a packet: one variant for each rule, in words for a person, with the reason code to answer in
//! MQTT 5 and the normative statement that was broken. The connection loop turns these into a CONNACK, a DISCONNECT or a
//! closed socket; this file never decides which.

use super::{PacketKind, ReasonCode, Version};

/// Why bytes are not a packet, or a packet cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    // The frame.
    #[error("packet type {0} is reserved")]
    ReservedPacketType(u8),
    #[error("the flags of {packet} are {flags:#06b}, which are reserved values")]
    ReservedFlags { packet: PacketKind, flags: u8 },
    #[error("a length or identifier takes more than the four bytes it may")]
    VarIntTooLong,
    #[error("a length or identifier is written with more bytes than it needs")]
    VarIntNotMinimal,
    #[error("the packet has {size} bytes; at most {limit} are accepted")]
    PacketTooLarge { size: usize, limit: usize },

    // Any packet.
    #[error("the packet ends before or inside its {0}")]
    Truncated(&'static str),
    #[error("{packet} has {extra} bytes after its end")]
    TrailingBytes { packet: PacketKind, extra: usize },
    #[error("the {0} is not well-formed UTF-8")]
    NotUtf8(&'static str),
    #[error("the {0} contains the null character U+0000")]
    NullCharacter(&'static str),
    #[error("the packet identifier is 0")]
    PacketIdZero,
    #[error("{packet} carries reason code {code:#04x}, which it cannot have")]
    UnknownReasonCode { packet: PacketKind, code: u8 },

    // CONNECT and CONNACK.
    #[error("the protocol name is neither MQTT nor MQIsdp: this is no MQTT client")]
    BadProtocolName,
    /// `answer_in` is the version whose CONNACK the client can be expected to understand: in [`Version::V5`] reason code
    /// 0x84 [MQTT-3.1.2-2], in [`Version::V4`] return code 1 (the rule of the same number in 3.1.1).
    #[error("protocol level {level} is not supported: use MQTT 3.1, 3.1.1 or 5")]
    UnsupportedProtocolVersion { level: u8, answer_in: Version },
    #[error("the reserved connect flag is set")]
    ConnectFlagReserved,
    #[error("will QoS or will retain is set without a will")]
    WillFlagsWithoutWill,
    #[error("the will asks for QoS 3")]
    WillQoS3,
    #[error("a password needs a user name before MQTT 5")]
    PasswordWithoutUserName,
    #[error("the connect acknowledge flags are {0:#010b}; only the lowest bit has a meaning")]
    ConnectAcknowledgeFlags(u8),
    #[error("session present is set although the connection is refused")]
    SessionPresentOnRefusal,

    // PUBLISH.
    #[error("the message is published with QoS 3")]
    PublishQoS3,
    #[error("DUP is set on a QoS 0 message")]
    DupWithQoS0,
    #[error("the topic name is empty and no topic alias stands in for it")]
    NoTopicNameOrAlias,
    #[error("the topic name {0}")]
    InvalidTopicName(TopicFault),

    // SUBSCRIBE and UNSUBSCRIBE, SUBACK and UNSUBACK.
    #[error("{0} names no topic filter")]
    NoTopicFilters(PacketKind),
    #[error("the topic filter {0}")]
    InvalidTopicFilter(TopicFault),
    #[error("the subscription options {0:#010b} have reserved bits set")]
    SubscriptionOptionsReserved(u8),
    #[error("a subscription asks for QoS 3")]
    SubscriptionQoS3,
    #[error("a subscription asks for retain handling 3")]
    RetainHandling3,
    #[error("no local is set on a shared subscription")]
    NoLocalOnSharedSubscription,
    #[error("{0} carries no reason code")]
    NoReasonCodes(PacketKind),

    // Properties.
    #[error("there is no property {0:#04x}")]
    UnknownProperty(u8),
    #[error("the property {property} has no place in {holder}")]
    PropertyNotAllowed { property: &'static str, holder: &'static str },
    #[error("the property {0} is given more than once")]
    DuplicateProperty(&'static str),
    #[error("the property {0} has a value it cannot have")]
    PropertyOutOfRange(&'static str),
    #[error("the Payload Format Indicator is {0}, neither 0 nor 1")]
    PayloadFormatIndicator(u8),
    #[error("the response topic {0}")]
    InvalidResponseTopic(TopicFault),
    #[error("the topic alias is 0")]
    TopicAliasZero,
    #[error("there is no Authentication Method")]
    NoAuthenticationMethod,

    // Writing.
    #[error("the {what} has {len} bytes; 65,535 is the most MQTT can carry")]
    TooLong { what: &'static str, len: usize },
    #[error("the packet would have {0} bytes after its fixed header; 268,435,455 is the most MQTT can carry")]
    BodyTooLarge(usize),
    #[error("a PUBLISH has a packet identifier with QoS 1 and 2, and none with QoS 0")]
    PacketIdMismatch,
    #[error("MQTT {version} has no {packet} that says this")]
    NotInThisVersion { packet: PacketKind, version: Version },
}

/// What is wrong with a topic name or topic filter; completes the sentence "the topic filter …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicFault {
    #[error("is empty")]
    Empty,
    #[error("is longer than 65,535 bytes")]
    TooLong,
    #[error("contains the null character U+0000")]
    NullCharacter,
    #[error("contains a wildcard, + or #, which only a topic filter may")]
    Wildcard,
    #[error("has a # that is not its whole last level")]
    MisplacedHash,
    #[error("has a + that is not a whole level")]
    MisplacedPlus,
    #[error("starts with $share/ but has no share name, or one with a wildcard in it")]
    BadShareName,
    #[error("starts with $share/ but has no filter after its share name")]
    NoSharedFilter,
}

impl TopicFault {
    fn rule(self) -> &'static str {
        match self {
            TopicFault::Empty => "MQTT-4.7.3-1",
            TopicFault::NullCharacter => "MQTT-4.7.3-2",
            TopicFault::TooLong => "MQTT-4.7.3-3",
            TopicFault::Wildcard => "MQTT-4.7.0-1",
            TopicFault::MisplacedHash => "MQTT-4.7.1-1",
            TopicFault::MisplacedPlus => "MQTT-4.7.1-2",
            TopicFault::BadShareName => "MQTT-4.8.2-1",
            TopicFault::NoSharedFilter => "MQTT-4.8.2-2",
        }
    }
}

impl WireError {
    /// The reason code that tells an MQTT 5 peer what was wrong, in a CONNACK or DISCONNECT.
    pub fn reason(&self) -> ReasonCode {
        use WireError::*;
        match self {
            PacketTooLarge { .. } | BodyTooLarge(_) => ReasonCode::PacketTooLarge,
            BadProtocolName | UnsupportedProtocolVersion { .. } => ReasonCode::UnsupportedProtocolVersion,
            InvalidTopicName(_) => ReasonCode::TopicNameInvalid,
            InvalidTopicFilter(_) => ReasonCode::TopicFilterInvalid,
            TopicAliasZero => ReasonCode::TopicAliasInvalid,
            UnknownReasonCode { .. }
            | SessionPresentOnRefusal
            | NoTopicNameOrAlias
            | NoTopicFilters(_)
            | SubscriptionQoS3
            | RetainHandling3
            | NoLocalOnSharedSubscription
            | DuplicateProperty(_)
            | PropertyOutOfRange(_)
            | NoAuthenticationMethod => ReasonCode::ProtocolError,
            TooLong { .. } | PacketIdMismatch | NotInThisVersion { .. } => ReasonCode::ImplementationSpecificError,
            ReservedPacketType(_)
            | ReservedFlags { .. }
            | VarIntTooLong
            | VarIntNotMinimal
            | Truncated(_)
            | TrailingBytes { .. }
            | NotUtf8(_)
            | NullCharacter(_)
            | PacketIdZero
            | ConnectFlagReserved
            | WillFlagsWithoutWill
            | WillQoS3
            | PasswordWithoutUserName
            | ConnectAcknowledgeFlags(_)
            | PublishQoS3
            | DupWithQoS0
            | SubscriptionOptionsReserved(_)
            | NoReasonCodes(_)
            | UnknownProperty(_)
            | PropertyNotAllowed { .. }
            | PayloadFormatIndicator(_)
            | InvalidResponseTopic(_) => ReasonCode::MalformedPacket,
        }
    }

    /// The normative statement that was broken, in the numbering of MQTT 5; empty where the specification says it in
    /// prose only.
    pub fn rule(&self) -> &'static str {
        use WireError::*;
        match self {
            ReservedFlags { .. } => "MQTT-2.1.3-1",
            VarIntNotMinimal => "MQTT-1.5.5-1",
            NotUtf8(_) => "MQTT-1.5.4-1",
            NullCharacter(_) => "MQTT-1.5.4-2",
            PacketIdZero => "MQTT-2.2.1-3",
            UnknownReasonCode { packet, .. } => match packet {
                PacketKind::ConnAck => "MQTT-3.2.2-8",
                PacketKind::PubAck => "MQTT-3.4.2-1",
                PacketKind::PubRec => "MQTT-3.5.2-1",
                PacketKind::PubRel => "MQTT-3.6.2-1",
                PacketKind::PubComp => "MQTT-3.7.2-1",
                PacketKind::SubAck => "MQTT-3.9.3-2",
                PacketKind::UnsubAck => "MQTT-3.11.3-2",
                PacketKind::Disconnect => "MQTT-3.14.2-1",
                PacketKind::Auth => "MQTT-3.15.2-1",
                _ => "",
            },
            BadProtocolName => "MQTT-3.1.2-1",
            UnsupportedProtocolVersion { .. } => "MQTT-3.1.2-2",
            ConnectFlagReserved => "MQTT-3.1.2-3",
            WillFlagsWithoutWill => "MQTT-3.1.2-11",
            WillQoS3 => "MQTT-3.1.2-12",
            ConnectAcknowledgeFlags(_) => "MQTT-3.2.2-1",
            SessionPresentOnRefusal => "MQTT-3.2.2-6",
            PublishQoS3 => "MQTT-3.3.1-4",
            DupWithQoS0 => "MQTT-3.3.1-2",
            InvalidTopicName(TopicFault::Wildcard) => "MQTT-3.3.2-2",
            InvalidResponseTopic(TopicFault::Wildcard) => "MQTT-3.3.2-14",
            InvalidTopicName(fault) | InvalidTopicFilter(fault) | InvalidResponseTopic(fault) => fault.rule(),
            NoTopicFilters(PacketKind::Unsubscribe) => "MQTT-3.10.3-2",
            NoTopicFilters(_) => "MQTT-3.8.3-2",
            SubscriptionOptionsReserved(_) => "MQTT-3.8.3-5",
            NoLocalOnSharedSubscription => "MQTT-3.8.3-4",
            NoReasonCodes(PacketKind::SubAck) => "MQTT-3.8.4-6",
            TopicAliasZero => "MQTT-3.3.2-8",
            PacketIdMismatch => "MQTT-2.2.1-2",
            ReservedPacketType(_)
            | VarIntTooLong
            | PacketTooLarge { .. }
            | Truncated(_)
            | TrailingBytes { .. }
            | PasswordWithoutUserName
            | NoTopicNameOrAlias
            | SubscriptionQoS3
            | RetainHandling3
            | NoReasonCodes(_)
            | UnknownProperty(_)
            | PropertyNotAllowed { .. }
            | DuplicateProperty(_)
            | PropertyOutOfRange(_)
            | PayloadFormatIndicator(_)
            | NoAuthenticationMethod
            | TooLong { .. }
            | BodyTooLarge(_)
            | NotInThisVersion { .. } => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_small_enough_to_return_by_value() {
        assert!(size_of::<WireError>() <= 40, "{} bytes", size_of::<WireError>());
    }

    #[test]
    fn a_message_says_what_is_wrong_in_words() {
        let cases = [
            (WireError::Truncated("client identifier"), "the packet ends before or inside its client identifier"),
            (
                WireError::InvalidTopicFilter(TopicFault::MisplacedHash),
                "the topic filter has a # that is not its whole last level",
            ),
            (
                WireError::ReservedFlags { packet: PacketKind::Subscribe, flags: 0 },
                "the flags of SUBSCRIBE are 0b0000, which are reserved values",
            ),
        ];
        for (error, message) in cases {
            assert_eq!(error.to_string(), message);
        }
    }
}
