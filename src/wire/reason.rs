//! Reason codes of MQTT 5 and return codes of MQTT 3.1 and 3.1.1: how a packet says what became of another. Everything
//! that answers a client uses these; which answer a situation deserves is never decided here.

use std::fmt;

use super::PacketKind;

/// One table for the enum, its bytes and its names, so that they cannot disagree.
macro_rules! reason_codes {
    ($($variant:ident = $code:literal, $name:literal;)*) => {
        /// A reason code of MQTT 5 (table 2-6). One byte can have several names; the others are constants of this type.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum ReasonCode {
            $(#[doc = $name] $variant = $code,)*
        }

        impl ReasonCode {
            /// The reason code of this byte, if there is one.
            pub fn from_u8(code: u8) -> Option<ReasonCode> {
                match code {
                    $($code => Some(ReasonCode::$variant),)*
                    _ => None,
                }
            }

            fn name(self) -> &'static str {
                match self {
                    $(ReasonCode::$variant => $name,)*
                }
            }
        }
    };
}

reason_codes! {
    Success = 0x00, "Success";
    GrantedQoS1 = 0x01, "Granted QoS 1";
    GrantedQoS2 = 0x02, "Granted QoS 2";
    DisconnectWithWill = 0x04, "Disconnect with Will Message";
    NoMatchingSubscribers = 0x10, "No matching subscribers";
    NoSubscriptionExisted = 0x11, "No subscription existed";
    ContinueAuthentication = 0x18, "Continue authentication";
    ReAuthenticate = 0x19, "Re-authenticate";
    UnspecifiedError = 0x80, "Unspecified error";
    MalformedPacket = 0x81, "Malformed Packet";
    ProtocolError = 0x82, "Protocol Error";
    ImplementationSpecificError = 0x83, "Implementation specific error";
    UnsupportedProtocolVersion = 0x84, "Unsupported Protocol Version";
    ClientIdentifierNotValid = 0x85, "Client Identifier not valid";
    BadUserNameOrPassword = 0x86, "Bad User Name or Password";
    NotAuthorized = 0x87, "Not authorized";
    ServerUnavailable = 0x88, "Server unavailable";
    ServerBusy = 0x89, "Server busy";
    Banned = 0x8A, "Banned";
    ServerShuttingDown = 0x8B, "Server shutting down";
    BadAuthenticationMethod = 0x8C, "Bad authentication method";
    KeepAliveTimeout = 0x8D, "Keep Alive timeout";
    SessionTakenOver = 0x8E, "Session taken over";
    TopicFilterInvalid = 0x8F, "Topic Filter invalid";
    TopicNameInvalid = 0x90, "Topic Name invalid";
    PacketIdentifierInUse = 0x91, "Packet Identifier in use";
    PacketIdentifierNotFound = 0x92, "Packet Identifier not found";
    ReceiveMaximumExceeded = 0x93, "Receive Maximum exceeded";
    TopicAliasInvalid = 0x94, "Topic Alias invalid";
    PacketTooLarge = 0x95, "Packet too large";
    MessageRateTooHigh = 0x96, "Message rate too high";
    QuotaExceeded = 0x97, "Quota exceeded";
    AdministrativeAction = 0x98, "Administrative action";
    PayloadFormatInvalid = 0x99, "Payload format invalid";
    RetainNotSupported = 0x9A, "Retain not supported";
    QoSNotSupported = 0x9B, "QoS not supported";
    UseAnotherServer = 0x9C, "Use another server";
    ServerMoved = 0x9D, "Server moved";
    SharedSubscriptionsNotSupported = 0x9E, "Shared Subscriptions not supported";
    ConnectionRateExceeded = 0x9F, "Connection rate exceeded";
    MaximumConnectTime = 0xA0, "Maximum connect time";
    SubscriptionIdentifiersNotSupported = 0xA1, "Subscription Identifiers not supported";
    WildcardSubscriptionsNotSupported = 0xA2, "Wildcard Subscriptions not supported";
}

// The other names of 0x00 are spelled as the specification spells them, so that a reader finds them as variants.
#[allow(non_upper_case_globals)]
impl ReasonCode {
    /// 0x00 in a DISCONNECT.
    pub const NormalDisconnection: ReasonCode = ReasonCode::Success;
    /// 0x00 in a SUBACK.
    pub const GrantedQoS0: ReasonCode = ReasonCode::Success;
}

impl ReasonCode {
    /// Whether this says that something failed: 0x80 and above (section 2.4).
    pub fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// Whether the table of this packet has this reason code [MQTT-3.2.2-8], [MQTT-3.4.2-1], [MQTT-3.5.2-1],
    /// [MQTT-3.6.2-1], [MQTT-3.7.2-1], [MQTT-3.9.3-2], [MQTT-3.11.3-2], [MQTT-3.14.2-1], [MQTT-3.15.2-1].
    pub(super) fn belongs_in(self, packet: PacketKind) -> bool {
        let code = self as u8;
        match packet {
            PacketKind::ConnAck => {
                matches!(code, 0x00 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F)
            }
            PacketKind::PubAck | PacketKind::PubRec => {
                matches!(code, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
            }
            PacketKind::PubRel | PacketKind::PubComp => matches!(code, 0x00 | 0x92),
            PacketKind::SubAck => {
                matches!(code, 0x00..=0x02 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2)
            }
            PacketKind::UnsubAck => matches!(code, 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91),
            // 0x8C is missing from the table of DISCONNECT but table 2-6 gives it to DISCONNECT too.
            PacketKind::Disconnect => matches!(
                code,
                0x00 | 0x04 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B..=0x90 | 0x93..=0xA2
            ),
            PacketKind::Auth => matches!(code, 0x00 | 0x18 | 0x19),
            _ => false,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.name(), *self as u8)
    }
}

/// The answer of a CONNACK in MQTT 3.1 and 3.1.1 (table 3.1 there).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ConnectReturnCode {
    Accepted = 0,
    UnacceptableProtocolVersion = 1,
    IdentifierRejected = 2,
    ServerUnavailable = 3,
    BadUserNameOrPassword = 4,
    NotAuthorized = 5,
}

impl ConnectReturnCode {
    /// The return code nearest to an MQTT 5 reason code. `None`: no return code says it, and the connection is closed
    /// without a CONNACK ([MQTT-3.2.2-6] of 3.1.1).
    pub fn for_reason(reason: ReasonCode) -> Option<ConnectReturnCode> {
        match reason {
            ReasonCode::Success => Some(ConnectReturnCode::Accepted),
            ReasonCode::UnsupportedProtocolVersion => Some(ConnectReturnCode::UnacceptableProtocolVersion),
            ReasonCode::ClientIdentifierNotValid => Some(ConnectReturnCode::IdentifierRejected),
            ReasonCode::ServerUnavailable
            | ReasonCode::ServerBusy
            | ReasonCode::QuotaExceeded
            | ReasonCode::ConnectionRateExceeded => Some(ConnectReturnCode::ServerUnavailable),
            ReasonCode::BadUserNameOrPassword => Some(ConnectReturnCode::BadUserNameOrPassword),
            ReasonCode::NotAuthorized | ReasonCode::Banned | ReasonCode::BadAuthenticationMethod => {
                Some(ConnectReturnCode::NotAuthorized)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_code_comes_back_from_its_byte_and_reads_as_in_the_specification() {
        let known: Vec<_> = (0..=255).filter_map(ReasonCode::from_u8).collect();
        assert_eq!(known.len(), 43);
        for reason in known {
            assert_eq!(ReasonCode::from_u8(reason as u8), Some(reason));
        }
        assert_eq!(ReasonCode::QuotaExceeded.to_string(), "Quota exceeded (0x97)");
        assert_eq!(ReasonCode::NormalDisconnection.to_string(), "Success (0x00)");
    }

    #[test]
    fn only_codes_from_0x80_are_errors() {
        assert!(!ReasonCode::ReAuthenticate.is_error());
        assert!(ReasonCode::UnspecifiedError.is_error());
    }

    #[test]
    fn a_reason_without_a_return_code_is_answered_by_closing() {
        let cases = [
            (ReasonCode::ConnectionRateExceeded, Some(ConnectReturnCode::ServerUnavailable)),
            (ReasonCode::QuotaExceeded, Some(ConnectReturnCode::ServerUnavailable)),
            (ReasonCode::ClientIdentifierNotValid, Some(ConnectReturnCode::IdentifierRejected)),
            (ReasonCode::BadUserNameOrPassword, Some(ConnectReturnCode::BadUserNameOrPassword)),
            (ReasonCode::Banned, Some(ConnectReturnCode::NotAuthorized)),
            (ReasonCode::UnsupportedProtocolVersion, Some(ConnectReturnCode::UnacceptableProtocolVersion)),
            (ReasonCode::MalformedPacket, None),
            (ReasonCode::QoSNotSupported, None),
        ];
        for (reason, expected) in cases {
            assert_eq!(ConnectReturnCode::for_reason(reason), expected, "{reason}");
        }
    }

    #[test]
    fn each_packet_has_as_many_reason_codes_as_its_table() {
        let cases = [
            (PacketKind::ConnAck, 22),
            (PacketKind::PubAck, 9),
            (PacketKind::PubRec, 9),
            (PacketKind::PubRel, 2),
            (PacketKind::PubComp, 2),
            (PacketKind::SubAck, 12),
            (PacketKind::UnsubAck, 7),
            (PacketKind::Disconnect, 30),
            (PacketKind::Auth, 3),
            (PacketKind::Publish, 0),
        ];
        for (packet, expected) in cases {
            let count = (0..=255).filter_map(ReasonCode::from_u8).filter(|reason| reason.belongs_in(packet)).count();
            assert_eq!(count, expected, "{packet}");
        }
    }
}
