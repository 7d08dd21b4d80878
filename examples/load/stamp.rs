//! What the first bytes of each payload say: which run, which client, its how-manyeth message, and when it was handed
//! over. Written by the publishers, read by `link` from what subscribers get. It must never depend on the wall clock,
//! which may jump: the time is counted from the start of the run.

/// The mark on a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Told apart from other runs on the same broker.
    pub run: u64,
    /// Number of the client that published.
    pub client: u32,
    /// 0 for the first message of the client, and so on, without a gap.
    pub sequence: u32,
    /// When it was handed to the MQTT client, in nanoseconds since the start of the run.
    pub nanos: u64,
}

impl Stamp {
    /// What a stamp takes of the payload.
    pub const BYTES: usize = 24;

    /// A payload of `size` bytes (at least [`Stamp::BYTES`]) that begins with this stamp.
    pub fn payload(&self, size: usize) -> Vec<u8> {
        let mut payload = Vec::with_capacity(size);
        payload.extend_from_slice(&self.run.to_be_bytes());
        payload.extend_from_slice(&self.client.to_be_bytes());
        payload.extend_from_slice(&self.sequence.to_be_bytes());
        payload.extend_from_slice(&self.nanos.to_be_bytes());
        payload.resize(size, b'.');
        payload
    }

    /// Reads the stamp of a payload; `None` where it is too short to carry one.
    pub fn read(payload: &[u8]) -> Option<Stamp> {
        let (run, rest) = payload.split_first_chunk()?;
        let (client, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (nanos, _) = rest.split_first_chunk()?;
        Some(Stamp {
            run: u64::from_be_bytes(*run),
            client: u32::from_be_bytes(*client),
            sequence: u32::from_be_bytes(*sequence),
            nanos: u64::from_be_bytes(*nanos),
        })
    }
}
