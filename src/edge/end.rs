//! Why a connection ends: what the client is told, what becomes of its will, what the log says.

use std::borrow::Cow;

use crate::limits::Denial;
use crate::wire::{ReasonCode, WireError};

/// The end of a connection, on its way up to where it is carried out.
pub(super) struct End {
    pub(super) reason: ReasonCode,
    /// What the client and the log are told beside the reason code.
    pub(super) text: Cow<'static, str>,
    pub(super) denial: Option<Box<Denial>>,
    pub(super) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The client said goodbye: nothing is answered. Its will is discarded where it said so [MQTT-3.14.4-3].
    Goodbye { will: bool },
    /// The network is gone, or counts as gone: there is nobody to tell.
    Lost,
    /// We end it: MQTT 5 clients are told by a DISCONNECT, others by the closed connection.
    Told,
}

/// What a step of the connection comes to: boxed, as an end is large and rare.
pub(super) type Step<T> = Result<T, Box<End>>;

impl End {
    pub(super) fn told(reason: ReasonCode, text: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(End { reason, text: text.into(), denial: None, how: How::Told })
    }

    pub(super) fn denied(denial: Box<Denial>) -> Box<Self> {
        let text = denial.to_string().into();
        Box::new(End { reason: ReasonCode::QuotaExceeded, text, denial: Some(denial), how: How::Told })
    }

    pub(super) fn lost(reason: ReasonCode, text: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(End { reason, text: text.into(), denial: None, how: How::Lost })
    }

    pub(super) fn goodbye(will: bool) -> Box<Self> {
        let reason = if will { ReasonCode::DisconnectWithWill } else { ReasonCode::Success };
        Box::new(End { reason, text: "the client disconnected".into(), denial: None, how: How::Goodbye { will } })
    }

    /// Whether the will is published.
    pub(super) fn publishes_will(&self) -> bool {
        self.how != How::Goodbye { will: false }
    }
}

impl From<WireError> for Box<End> {
    fn from(error: WireError) -> Self {
        let rule = error.rule();
        let text = if rule.is_empty() { error.to_string() } else { format!("{error} [{rule}]") };
        End::told(error.reason(), text)
    }
}
