//! The packets that say no, put together by hand from the text of the standard: not by the code that is tested.

/// What a denial tells: seconds to wait, the resource, and the rate as it was configured.
pub type Told = (u64, &'static str, &'static str);

/// A whole frame.
pub fn frame(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [vec![first], length(body.len()), body].concat()
}

/// A Variable Byte Integer (section 1.5.5).
fn length(mut left: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (left % 128) as u8;
        left /= 128;
        if left == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

fn with_length(properties: &[Vec<u8>]) -> Vec<u8> {
    let properties = properties.concat();
    [length(properties.len()), properties].concat()
}

/// The properties of a packet with a Reason String alone.
pub fn reason(text: &str) -> Vec<u8> {
    with_length(&[vec![0x1F], string(text)])
}

/// The properties of a denial: the Reason String, then the User Properties in their order.
pub fn reasons((retry_after, resource, limit): Told) -> Vec<u8> {
    let user = |name: &str, value: &str| [vec![0x26], string(name), string(value)].concat();
    with_length(&[
        vec![0x1F],
        string(&format!("Too many requests (Retry-After: {retry_after})")),
        user("retry-after", &retry_after.to_string()),
        user("resource", resource),
        user("limit", limit),
    ])
}

/// CONNACK 0x9F Connection rate exceeded.
pub fn connack(told: Told) -> Vec<u8> {
    frame(0x20, &[&[0, 0x9F], &reasons(told)])
}

/// PUBACK (0x40) or PUBREC (0x50) with 0x97 Quota exceeded and these properties.
pub fn ack(first: u8, packet_id: u16, properties: &[u8]) -> Vec<u8> {
    frame(first, &[&packet_id.to_be_bytes(), &[0x97], properties])
}

/// PUBACK 0x97 Quota exceeded.
pub fn puback(packet_id: u16, told: Told) -> Vec<u8> {
    ack(0x40, packet_id, &reasons(told))
}

/// SUBACK in MQTT 5.
pub fn suback(packet_id: u16, properties: &[u8], codes: &[u8]) -> Vec<u8> {
    frame(0x90, &[&packet_id.to_be_bytes(), properties, codes])
}

/// DISCONNECT 0x97 Quota exceeded.
pub fn disconnect(told: Told) -> Vec<u8> {
    frame(0xE0, &[&[0x97], &reasons(told)])
}
