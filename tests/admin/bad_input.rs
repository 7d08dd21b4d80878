//! Bodies that are too large or too slow, heads that never end, and readers that do not read: each costs the broker little and
//! other clients nothing.

use std::io::{Read, Write};

use weir::wire::Version;

use super::common::http::{admin, answer, request, socket};
use super::common::{ADMIN_TOKEN, Weir};
use super::weir;

fn head(method: &str, path: &str, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\nDevice-Token: t-pump\r\n{more}\r\n"
    )
}

/// Sends the head and then 100 MB, as far as they are taken.
fn send_much(weir: &Weir, head: &str, chunked: bool) -> u16 {
    let mut stream = socket(weir.admin());
    stream.write_all(head.as_bytes()).unwrap();
    let sent = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let mut sent = sent;
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..100 {
            let whole = if chunked { [b"100000\r\n", piece.as_slice(), b"\r\n"].concat() } else { piece.clone() };
            if sent.write_all(&whole).is_err() {
                return;
            }
        }
    });
    let status = answer(stream).status;
    sender.join().unwrap();
    status
}

#[test]
fn a_body_of_100_mb_is_refused_without_being_held() {
    let weir = weir();
    let mut client = weir.client(Version::V5, "t-pump", "c");
    let before = weir.memory_kib();
    let json = "Content-Type: application/json\r\n";
    for path in ["/api/v1/check", "/api/v1/profiles/acme/devices", "/data?topic=a", "/login"] {
        let announced = head("POST", path, &format!("{json}Content-Length: 104857600\r\n"));
        assert_eq!(send_much(&weir, &announced, false), 413, "{path}");
        let chunked = head("POST", path, &format!("{json}Transfer-Encoding: chunked\r\n"));
        assert_eq!(send_much(&weir, &chunked, true), 413, "{path}, of a length that is not told");
        client.expect_nothing();
    }
    assert!(weir.memory_kib() < before + 16 * 1024, "{} KiB, {before} before", weir.memory_kib());
    let told = request(weir.admin(), "POST", "/data?topic=a", &[("Device-Token", "t-pump")], &vec![0; 2 << 20]);
    assert_eq!(told.problem(413), "a body of up to 1048563 bytes is expected; this is larger");
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let mut weir = weir();
    let mut slow = socket(weir.admin());
    let headers =
        "Content-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\nConnection: close\r\n";
    slow.write_all(head("POST", "/api/v1/check", headers).as_bytes()).unwrap();
    // From here on the body is awaited.
    let mut go_on = [0; 25];
    slow.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    slow.write_all(b"{").unwrap();
    weir.clock("+31s");
    assert_eq!(answer(slow).problem(408), "the body did not come within 30 seconds");
}

#[test]
fn a_head_that_does_not_end_is_given_up() {
    let mut weir = weir();
    let mut slow = socket(weir.admin());
    slow.write_all(b"GET /healthz HTTP/1.1\r\nX: y").unwrap();
    assert_eq!(admin(&weir, "GET", "/api/v1/profiles", "").status, 200);
    weir.clock("+31s");
    let mut rest = Vec::new();
    // It may be told, or only closed.
    let _ = slow.read_to_end(&mut rest);
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
    let mut long = socket(weir.admin());
    let endless = format!("GET /healthz HTTP/1.1\r\nX: {}", "y".repeat(100_000));
    let _ = long.write_all(endless.as_bytes());
    assert_eq!(answer(long).status, 431);
}

#[test]
fn what_is_no_json_by_its_type_is_told_so() {
    let weir = weir();
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    for headers in [vec![], vec![("Content-Type", "text/plain")]] {
        let headers: Vec<_> = headers.into_iter().chain([("Authorization", bearer.as_str())]).collect();
        let told = request(weir.admin(), "POST", "/api/v1/check", &headers, b"{}").problem(415);
        assert_eq!(told, "a body of JSON is expected, with the header `Content-Type: application/json`");
    }
}

#[test]
fn what_is_no_http_harms_nobody() {
    let weir = weir();
    for garbage in [
        &b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = socket(weir.admin());
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut rest);
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4") || rest.starts_with(b"HTTP/1.1 5"), "{rest:?}");
    }
    assert_eq!(admin(&weir, "GET", "/api/v1/profiles", "").status, 200);
}
