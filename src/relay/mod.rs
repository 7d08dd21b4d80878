//! In place of session and router: an embedded rumqttd, or another broker. Each client is relayed over a connection of its own;
//! what Weir has to say itself goes over one more, which also knows whether the backend is there.

#[cfg_attr(not(test), expect(dead_code, reason = "nothing is relayed yet"))]
pub(crate) mod steward;
#[cfg_attr(not(test), expect(dead_code, reason = "nothing is relayed yet"))]
pub(crate) mod upstream;
