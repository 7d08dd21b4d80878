//! HTTP as a test speaks it: a request as bytes on a socket of its own, and the whole answer as it came.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::{ADMIN_TOKEN, PATIENCE, Weir};

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// What is wrong, where a problem with this status is expected.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem: weir::admin::model::Problem = serde_json::from_slice(&self.body).expect("a problem");
        assert_eq!(problem.status, status);
        problem.detail
    }

    /// A stream's answer, of which everything after the head is still to come.
    pub fn head(reader: &mut impl BufRead) -> Answer {
        let mut line = String::new();
        reader.read_line(&mut line).expect("an answer");
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("a status: {line:?}"));
        let status = status.parse().expect("a status");
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a header");
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
                None => return Answer { status, headers, body: Vec::new() },
            }
        }
    }
}

/// A socket on which nothing was said yet.
pub fn socket(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    stream
}

/// Sends a request, and reads the whole answer.
pub fn request(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = socket(address);
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() || method == "POST" {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).expect("the server reads");
    // Who does not want the body may answer before it is sent.
    let _ = stream.write_all(body);
    answer(stream)
}

/// Reads the whole answer.
pub fn answer(stream: TcpStream) -> Answer {
    let mut reader = BufReader::new(stream);
    let mut answer = Answer::head(&mut reader);
    match answer.header("content-length").map(|length| length.parse::<usize>().expect("a length")) {
        Some(length) => {
            answer.body.resize(length, 0);
            reader.read_exact(&mut answer.body).expect("the body");
        }
        None => _ = reader.read_to_end(&mut answer.body).expect("the body"),
    }
    answer
}

/// Sends a request with the admin token, and a body of JSON where there is one.
pub fn admin(weir: &Weir, method: &str, path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let mut headers = vec![("Authorization", bearer.as_str())];
    if !body.is_empty() {
        headers.push(("Content-Type", "application/json"));
    }
    request(weir.admin(), method, path, &headers, body.as_bytes())
}

/// The JSON of a GET with the admin token.
#[track_caller]
pub fn get(weir: &Weir, path: &str) -> Value {
    admin(weir, "GET", path, "").json(200)
}

/// A stream of server-sent events.
pub struct Events {
    reader: BufReader<TcpStream>,
}

impl Events {
    pub fn open(address: SocketAddr, path: &str, token: &str) -> Events {
        let mut stream = socket(address);
        let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("the server reads");
        let mut reader = BufReader::new(stream);
        let answer = Answer::head(&mut reader);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
        Events { reader }
    }

    /// The next event: its name, and its JSON.
    pub fn next(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).expect("an event") == 0 {
                return None;
            }
            // Between these are the lengths of chunks, and signs of life.
            if let Some(event) = line.strip_prefix("event: ") {
                name = event.trim_end().to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, serde_json::from_str(data).expect("JSON")));
            } else if line.trim_end() == "0" {
                return None;
            }
        }
    }
}
