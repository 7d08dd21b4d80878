//! MQTT 3.1.1 as the load generator speaks it: the few packets that it sends, and those that it is sent. Called by the
//! connections; it must never use Weir's own codec, which is under measurement here, nor do any I/O.

/// What a broker sent.
pub enum Packet<'a> {
    /// With the return code.
    ConnAck(u8),
    Publish(Publish<'a>),
    PubAck,
    /// With a return code for each filter.
    SubAck(&'a [u8]),
    PingResp,
}

/// A message that was delivered.
pub struct Publish<'a> {
    pub topic: &'a [u8],
    /// `None` at QoS 0.
    pub id: Option<u16>,
    pub payload: &'a [u8],
}

pub const PINGREQ: [u8; 2] = [0xC0, 0];
pub const DISCONNECT: [u8; 2] = [0xE0, 0];

/// Seconds: longer than any run, so that nobody has to ping. Not 0, which rumqttd refuses.
const KEEP_ALIVE: u16 = 3_600;

/// Adds a CONNECT with a clean session.
pub fn connect(out: &mut Vec<u8>, client_id: &str, credentials: Option<(&str, &str)>) {
    let mut body = vec![];
    text(&mut body, "MQTT");
    let flags = if credentials.is_some() { 0xC2 } else { 0x02 };
    body.extend([4, flags]);
    body.extend(KEEP_ALIVE.to_be_bytes());
    text(&mut body, client_id);
    if let Some((user_name, password)) = credentials {
        text(&mut body, user_name);
        text(&mut body, password);
    }
    packet(out, 0x10, &body);
}

/// Adds a SUBSCRIBE of all `filters`.
pub fn subscribe(out: &mut Vec<u8>, filters: &[String], qos: u8) {
    let mut body = vec![0, 1];
    for filter in filters {
        text(&mut body, filter);
        body.push(qos);
    }
    packet(out, 0x82, &body);
}

/// Adds a PUBLISH at QoS 1 with a packet identifier, or at QoS 0 without. Gives where its identifier and its payload begin.
pub fn publish(out: &mut Vec<u8>, topic: &str, id: Option<u16>, payload: &[u8]) -> (Option<usize>, usize) {
    let mut body = vec![];
    text(&mut body, topic);
    if let Some(id) = id {
        body.extend(id.to_be_bytes());
    }
    body.extend(payload);
    packet(out, if id.is_some() { 0x32 } else { 0x30 }, &body);
    let payload_at = out.len() - payload.len();
    (id.map(|_| payload_at - 2), payload_at)
}

/// Adds a PUBACK.
pub fn puback(out: &mut Vec<u8>, id: u16) {
    let [high, low] = id.to_be_bytes();
    out.extend([0x40, 2, high, low]);
}

/// Reads the packet that `bytes` begin with, and gives how long it is; `None` if it is not all there yet.
pub fn decode(bytes: &[u8]) -> Result<Option<(Packet<'_>, usize)>, String> {
    let Some((header, length)) = lengths(bytes)? else {
        return Ok(None);
    };
    let Some(body) = bytes.get(header..header + length) else {
        return Ok(None);
    };
    let packet = match (bytes[0] >> 4, body) {
        (2, &[_, code]) => Packet::ConnAck(code),
        (3, body) => Packet::Publish(read_publish(bytes[0], body).ok_or("a PUBLISH that is cut short")?),
        (4, &[_, _]) => Packet::PubAck,
        (9, [_, _, codes @ ..]) => Packet::SubAck(codes),
        (13, []) => Packet::PingResp,
        (kind, body) => return Err(format!("a packet of kind {kind} and {} bytes was not expected", body.len())),
    };
    Ok(Some((packet, header + length)))
}

/// How long the fixed header is, and what follows it.
fn lengths(bytes: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let mut length = 0;
    for at in 1..=4 {
        let Some(&byte) = bytes.get(at) else {
            return Ok(None);
        };
        length |= usize::from(byte & 0x7F) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            return Ok(Some((at + 1, length)));
        }
    }
    Err("a remaining length of more than four bytes".into())
}

fn read_publish(first: u8, body: &[u8]) -> Option<Publish<'_>> {
    let (length, rest) = body.split_first_chunk::<2>()?;
    let (topic, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    if first & 0x06 == 0 {
        return Some(Publish { topic, id: None, payload: rest });
    }
    let (id, payload) = rest.split_first_chunk::<2>()?;
    Some(Publish { topic, id: Some(u16::from_be_bytes(*id)), payload })
}

fn packet(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    out.push(first);
    let mut left = body.len();
    loop {
        let byte = (left & 0x7F) as u8;
        left >>= 7;
        out.push(if left > 0 { byte | 0x80 } else { byte });
        if left == 0 {
            break;
        }
    }
    out.extend(body);
}

fn text(body: &mut Vec<u8>, text: &str) {
    // Nothing that is written here comes near 64 KiB.
    body.extend((text.len() as u16).to_be_bytes());
    body.extend(text.as_bytes());
}
