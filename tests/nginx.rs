//! `examples/nginx.conf` at work: Debian's nginx before a small API, holding it to a plan of Weir's. Where nginx is missing, says
//! so, which a passing test could not. `.ci/api` installs it.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use common::http::{Answer, get, request};
use common::{ADMIN_TOKEN, PATIENCE, Weir};

const CONFIG: &str = r#"
admin: { address: "127.0.0.1:0" }
plans: { free: { GET /data: 250/min, "GET /data?query=aggregate": 5/min, POST /device: 10/min } }
profiles: { hobby: { plan: free } }
"#;

fn main() {
    // Asked for a list of tests, as some runners do, there is none to name.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let Some(program) = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists()) else {
        println!("\nleft out, as nginx is not installed (apt-get install nginx-light): examples/nginx.conf at work\n");
        return;
    };
    let mut weir = Weir::at("2026-11-21T12:45:09Z", CONFIG);
    let nginx = Nginx::start(program, weir.admin(), api());
    a_route_is_held_to_its_limit(&weir, &nginx);
    what_is_not_limited_or_not_known(&weir, &nginx);
    weir.clock("2026-11-21T12:46:00Z");
    assert_eq!(nginx.get("/data").status, 200, "another minute");
    println!("nginx: 250 requests pass, the 251st is told to come back in 51 seconds");
}

fn a_route_is_held_to_its_limit(weir: &Weir, nginx: &Nginx) {
    let first = nginx.get("/data?x=1");
    assert_eq!((first.status, first.text()), (200, "the API says /data?x=1"));
    assert_eq!(first.header("ratelimit-policy"), Some(r#""GET /data";q=250;w=60"#));
    assert_eq!(first.header("ratelimit"), Some(r#""GET /data";r=249;t=51"#));
    for n in 2..=250 {
        // However it is spelt.
        let path = ["/data", "//data", "/%64ata", "/x/../data"][n % 4];
        assert_eq!(nginx.get(path).status, 200, "number {n}");
    }
    let denied = nginx.get("/data");
    assert_eq!(denied.status, 429);
    assert_eq!(denied.text(), r#"{"status":false,"message":"Too many requests (Retry-After: 51)"}"#);
    assert_eq!(denied.header("content-type"), Some("application/json"));
    assert_eq!(denied.header("retry-after"), Some("51"));
    assert_eq!(denied.header("ratelimit-policy"), Some(r#""GET /data";q=250;w=60"#));
    assert_eq!(denied.header("ratelimit"), Some(r#""GET /data";r=0;t=51"#));
    let limits = get(weir, "/api/v1/profiles/hobby/limits");
    assert_eq!((&limits["profile"]["denied"], &limits["profile"]["fullest"]), (&1.into(), &1.0.into()));
}

fn what_is_not_limited_or_not_known(_: &Weir, nginx: &Nginx) {
    assert_eq!(nginx.get("/data?query=aggregate").status, 200, "a route of its own");
    assert_eq!(nginx.get("/elsewhere").text(), "the API says /elsewhere");
    assert_eq!(nginx.get("/forbidden").status, 403, "the API's own answer passes as it is");
    let stranger = request(nginx.address, "GET", "/data", &[("X-Api-Key", "guessed")], b"");
    assert_eq!(stranger.status, 401);
    let body = request(nginx.address, "POST", "/device", &[("X-Api-Key", "demo-key-of-hobby")], b"a body");
    assert_eq!(body.text(), "the API says /device a body");
}

/// nginx with the example, on a free port.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Nginx {
    fn start(program: &str, weir: SocketAddr, api: SocketAddr) -> Nginx {
        let directory = TempDir::new().expect("a directory for nginx");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let example = include_str!("../examples/nginx.conf");
        let mut adapted = example.to_owned();
        for (there, here) in [
            ("listen 8000;", format!("listen {address};")),
            ("server 127.0.0.1:8080;", format!("server {weir};")),
            ("server 127.0.0.1:3000;", format!("server {api};")),
            ("CHANGE-ME", ADMIN_TOKEN.to_owned()),
        ] {
            assert_eq!(adapted.matches(there).count(), 1, "{there}");
            adapted = adapted.replace(there, &here);
        }
        let work = directory.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {work}/{kind};\n"))
            .concat();
        fs::write(directory.path().join("example.conf"), adapted).expect("the example is written");
        let whole = format!(
            "daemon off;\nmaster_process off;\npid {work}/pid;\nerror_log {work}/error.log;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}include {work}/example.conf;\n}}\n"
        );
        let path = directory.path().join("nginx.conf");
        fs::write(&path, whole).expect("the configuration is written");
        let mut child = Command::new(program)
            .arg("-c")
            .arg(&path)
            .args(["-p", &work.to_string()])
            .stderr(Stdio::inherit())
            .spawn()
            .expect("nginx starts");
        let until = std::time::Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(child.try_wait().expect("a child").is_none(), "nginx has ended");
            assert!(std::time::Instant::now() < until, "nginx listens");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Nginx { child, address, _directory: directory }
    }

    fn get(&self, path: &str) -> Answer {
        request(self.address, "GET", path, &[("X-Api-Key", "demo-key-of-hobby")], b"")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Ended already, or ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The API behind nginx: it says what it was asked for. It ends with the test.
fn api() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(&mut stream));
        }
    });
    address
}

fn answer(stream: &mut TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let mut lines = (&mut reader).lines().map_while(Result::ok);
    let Some(path) = lines.next().and_then(|line| line.split(' ').nth(1).map(str::to_owned)) else { return };
    let mut length = 0;
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = value.parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    std::io::Read::read_exact(&mut reader, &mut body).expect("the body");
    let space = if body.is_empty() { "" } else { " " };
    let says = format!("the API says {path}{space}{}", String::from_utf8_lossy(&body));
    let status = if path == "/forbidden" { "403 Forbidden" } else { "200 OK" };
    let whole = format!("HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n{says}", says.len());
    let _ = stream.write_all(whole.as_bytes());
}
