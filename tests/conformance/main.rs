//! Conformance: one test for each normative statement of MQTT 3.1.1 and MQTT 5 that binds a server, named by its number, on raw
//! frames against the real binary; the rules in which 3.1 differs; and the table that shows that none is missing.

#[path = "../common/mod.rs"]
mod common;

mod table;
mod v31;
mod v311;
mod v311_1_2;
mod v311_3_1;
mod v311_3_1_payload;
mod v311_3_2;
mod v311_3_3;
mod v311_3_4_to_7;
mod v311_3_8;
mod v311_3_9_to_15;
mod v311_4;
mod v311_6_7;
mod v5_1_2;
mod v5_3_1;
mod v5_3_1_3;
mod v5_3_2;
mod v5_3_3;
mod v5_3_3_2;
mod v5_3_4_to_7;
mod v5_3_8;
mod v5_3_9_to_15;
mod v5_4_1_to_3;
mod v5_4_4_to_7;
mod v5_4_8_to_13;
mod v5_6;
mod v5_setup;
mod v5_support;
