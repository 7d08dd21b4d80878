//! MQTT 3.1.1, sections 3.4 to 3.7: the acknowledgements of a PUBLISH. What they do is shown with section 4.3.

use weir::wire::QoS;

use crate::v311::*;

#[test]
fn v311_3_6_1_1_a_pubrel_whose_flags_are_not_0010_closes_the_connection() {
    let weir = weir();
    for flags in (0..16).filter(|flags| *flags != 0b0010) {
        let mut client = clean(&weir, "client");
        client.publish("t", b"x", QoS::ExactlyOnce, 1);
        client.expect(&[0x50, 2, 0, 1]);
        client.send_bytes(&[0x60 | flags, 2, 0, 1]);
        client.expect_closed();
    }
}
