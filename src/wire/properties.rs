//! The properties of one packet: a view of bytes that were checked, and a buffer to make new ones. Decoded packets carry
//! the view, and the broker passes its bytes on as they are; the buffer is for what the broker says itself. A view never
//! owns or allocates, and no getter can fail: an absent property is `None`.

use std::fmt;

use super::Property;
use super::reader::Reader;

/// The properties of a packet, in the order in which they were written. Empty before MQTT 5.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Properties<'a>(&'a [u8]);

/// One getter for each property that can be there once.
macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident: $variant:ident($id:literal) -> $value:ty;)*) => {
        $(
            $(#[$doc])*
            pub fn $name(&self) -> Option<$value> {
                match self.find($id)? {
                    Property::$variant(value) => Some(value),
                    _ => None,
                }
            }
        )*
    };
}

impl<'a> Properties<'a> {
    /// No properties.
    pub const EMPTY: Properties<'static> = Properties(&[]);

    /// The view of bytes that `property::validate` found good, or that [`Property::encode`] wrote.
    pub(crate) fn from_valid(bytes: &'a [u8]) -> Properties<'a> {
        Properties(bytes)
    }

    /// Every property, in order.
    pub fn iter(&self) -> PropertyIter<'a> {
        PropertyIter(Reader::new(self.0))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes they take, without the length before them.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The properties as they are on the wire, without the length before them.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    getters! {
        /// 1: the payload is UTF-8 text.
        payload_format_indicator: PayloadFormatIndicator(0x01) -> u8;
        /// Seconds.
        message_expiry_interval: MessageExpiryInterval(0x02) -> u32;
        content_type: ContentType(0x03) -> &'a str;
        response_topic: ResponseTopic(0x08) -> &'a str;
        correlation_data: CorrelationData(0x09) -> &'a [u8];
        /// Seconds; `u32::MAX` means that the session does not expire.
        session_expiry_interval: SessionExpiryInterval(0x11) -> u32;
        assigned_client_identifier: AssignedClientIdentifier(0x12) -> &'a str;
        /// Seconds.
        server_keep_alive: ServerKeepAlive(0x13) -> u16;
        authentication_method: AuthenticationMethod(0x15) -> &'a str;
        authentication_data: AuthenticationData(0x16) -> &'a [u8];
        request_problem_information: RequestProblemInformation(0x17) -> bool;
        /// Seconds.
        will_delay_interval: WillDelayInterval(0x18) -> u32;
        request_response_information: RequestResponseInformation(0x19) -> bool;
        response_information: ResponseInformation(0x1A) -> &'a str;
        server_reference: ServerReference(0x1C) -> &'a str;
        reason_string: ReasonString(0x1F) -> &'a str;
        receive_maximum: ReceiveMaximum(0x21) -> u16;
        topic_alias_maximum: TopicAliasMaximum(0x22) -> u16;
        topic_alias: TopicAlias(0x23) -> u16;
        maximum_qos: MaximumQoS(0x24) -> u8;
        retain_available: RetainAvailable(0x25) -> bool;
        /// Bytes of a whole packet, its fixed header included.
        maximum_packet_size: MaximumPacketSize(0x27) -> u32;
        wildcard_subscription_available: WildcardSubscriptionAvailable(0x28) -> bool;
        subscription_identifiers_available: SubscriptionIdentifiersAvailable(0x29) -> bool;
        shared_subscription_available: SharedSubscriptionAvailable(0x2A) -> bool;
    }

    /// One in a SUBSCRIBE; in a PUBLISH, one for each subscription that it matched and that has one.
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.iter().filter_map(|property| match property {
            Property::SubscriptionIdentifier(identifier) => Some(identifier),
            _ => None,
        })
    }

    /// Names and values, in order; a name can come more than once.
    pub fn user_properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.iter().filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// The first property with this identifier. Those before it are stepped over without checking their text again.
    fn find(&self, id: u8) -> Option<Property<'a>> {
        let mut reader = Reader::new(self.0);
        while reader.clone().u8("property identifier").ok()? != id {
            Property::skip(&mut reader).ok()?;
        }
        Property::read(&mut reader).ok()
    }
}

impl fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The properties of a packet, one after the other.
#[derive(Clone)]
pub struct PropertyIter<'a>(Reader<'a>);

impl<'a> Iterator for PropertyIter<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Property<'a>> {
        // The bytes were checked when the view was made: the only error left is their end.
        Property::read(&mut self.0).ok()
    }
}

/// Properties to be sent. Which packet may carry which is checked when the packet is encoded.
#[derive(Clone, Debug, Default)]
pub struct PropertyBuf(Vec<u8>);

impl PropertyBuf {
    pub fn new() -> PropertyBuf {
        PropertyBuf::default()
    }

    /// Adds a property after the others, as [`Property::encode`] writes it.
    pub fn push(&mut self, property: Property<'_>) {
        property.encode(&mut self.0);
    }

    pub fn as_properties(&self) -> Properties<'_> {
        Properties::from_valid(&self.0)
    }

    /// Forgets the properties and keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes they take, without the length before them.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Property; 27] = [
        Property::PayloadFormatIndicator(1),
        Property::MessageExpiryInterval(2),
        Property::ContentType("content type"),
        Property::ResponseTopic("response/topic"),
        Property::CorrelationData(b"correlation data"),
        Property::SubscriptionIdentifier(268_435_455),
        Property::SessionExpiryInterval(u32::MAX),
        Property::AssignedClientIdentifier("assigned"),
        Property::ServerKeepAlive(3),
        Property::AuthenticationMethod("method"),
        Property::AuthenticationData(b"data"),
        Property::RequestProblemInformation(false),
        Property::WillDelayInterval(4),
        Property::RequestResponseInformation(true),
        Property::ResponseInformation("information"),
        Property::ServerReference("reference"),
        Property::ReasonString("reason"),
        Property::ReceiveMaximum(5),
        Property::TopicAliasMaximum(0),
        Property::TopicAlias(6),
        Property::MaximumQoS(1),
        Property::RetainAvailable(true),
        Property::UserProperty("name", "value"),
        Property::MaximumPacketSize(7),
        Property::WildcardSubscriptionAvailable(false),
        Property::SubscriptionIdentifiersAvailable(true),
        Property::SharedSubscriptionAvailable(false),
    ];

    #[test]
    fn all_27_properties_come_back_as_they_were_pushed() {
        let mut buf = PropertyBuf::new();
        for property in ALL {
            buf.push(property);
        }
        assert!(buf.as_properties().iter().eq(ALL));
        assert_eq!(buf.len(), buf.as_properties().as_bytes().len());
        buf.clear();
        assert!(buf.is_empty() && buf.as_properties() == Properties::EMPTY);
    }

    #[test]
    fn each_getter_finds_its_own_property_and_no_other() {
        let mut buf = PropertyBuf::new();
        for property in ALL {
            buf.push(property);
        }
        let all = buf.as_properties();
        assert_eq!(all.payload_format_indicator(), Some(1));
        assert_eq!(all.message_expiry_interval(), Some(2));
        assert_eq!(all.content_type(), Some("content type"));
        assert_eq!(all.response_topic(), Some("response/topic"));
        assert_eq!(all.correlation_data(), Some(&b"correlation data"[..]));
        assert_eq!(all.session_expiry_interval(), Some(u32::MAX));
        assert_eq!(all.assigned_client_identifier(), Some("assigned"));
        assert_eq!(all.server_keep_alive(), Some(3));
        assert_eq!(all.authentication_method(), Some("method"));
        assert_eq!(all.authentication_data(), Some(&b"data"[..]));
        assert_eq!(all.request_problem_information(), Some(false));
        assert_eq!(all.will_delay_interval(), Some(4));
        assert_eq!(all.request_response_information(), Some(true));
        assert_eq!(all.response_information(), Some("information"));
        assert_eq!(all.server_reference(), Some("reference"));
        assert_eq!(all.reason_string(), Some("reason"));
        assert_eq!(all.receive_maximum(), Some(5));
        assert_eq!(all.topic_alias_maximum(), Some(0));
        assert_eq!(all.topic_alias(), Some(6));
        assert_eq!(all.maximum_qos(), Some(1));
        assert_eq!(all.retain_available(), Some(true));
        assert_eq!(all.maximum_packet_size(), Some(7));
        assert_eq!(all.wildcard_subscription_available(), Some(false));
        assert_eq!(all.subscription_identifiers_available(), Some(true));
        assert_eq!(all.shared_subscription_available(), Some(false));
        assert!(all.subscription_identifiers().eq([268_435_455]));
        assert!(all.user_properties().eq([("name", "value")]));

        assert_eq!(Properties::EMPTY.reason_string(), None);
        assert_eq!(Properties::EMPTY.user_properties().count(), 0);
    }

    #[test]
    fn debugging_shows_each_property() {
        let mut buf = PropertyBuf::new();
        buf.push(Property::ReceiveMaximum(5));
        buf.push(Property::UserProperty("a", "b"));
        assert_eq!(format!("{:?}", buf.as_properties()), r#"[ReceiveMaximum(5), UserProperty("a", "b")]"#);
    }
}
