//! The HTTP server: accepts connections within a bound, and serves each with the routes. Started by the broker with its listeners
//! and ended after them, so that readiness can be asked for while clients say goodbye.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::rt::{Sleep, Timer};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::auth::Peer;
use super::stream::Stream;
use super::{Admin, events, routes};
use crate::clock::Clock;

/// Connections at one time; one more waits to be accepted, and those behind it in the system's queue.
const MAX_CONNECTIONS: usize = 2_048;
/// How long the head of a request may take to come, and how long a connection may wait between two.
const HEAD: Duration = Duration::from_secs(30);
/// What is read ahead or waits to be written on a connection, at most: the head of a request must fit.
const BUFFER: usize = 64 * 1024;
/// How long answers may take when the broker ends.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long the server rests after the system would not accept (out of file descriptors, say).
const REST: Duration = Duration::from_millis(50);
/// Connections that the system may hold until they are accepted.
const BACKLOG: i32 = 1_024;

/// A socket that listens, before anything is served on it.
pub(crate) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// The server at work. Dropping it ends it at once.
pub(crate) struct Server {
    address: SocketAddr,
    ending: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Binds its address.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Bound> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        Ok(Bound { address: listener.local_addr()?, listener })
    }

    /// Begins to serve.
    pub(crate) fn start(bound: Bound, admin: &Arc<Admin>) -> Self {
        let ending = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        let router = routes::router(Arc::clone(admin));
        tasks.spawn(accept(bound.listener, router, Arc::clone(admin), ending.subscribe()));
        tasks.spawn(events::run(Arc::clone(admin)));
        Server { address: bound.address, ending, tasks }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets what is being answered be answered, and ends.
    pub(crate) async fn end(mut self) {
        self.ending.send_replace(true);
        // The first task to end is the one that accepts; who looks at what changes has ended with the broker.
        let _ = tokio::time::timeout(GOODBYE, self.tasks.join_next()).await;
        self.tasks.shutdown().await;
    }
}

/// Accepts connections until the server ends.
async fn accept(listener: TcpListener, router: Router, admin: Arc<Admin>, mut ending: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while let Some(ended) = connections.try_join_next() {
            if ended.is_err_and(|error| error.is_panic()) {
                admin.hub.stats.panics.add(1);
            }
        }
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            // The sender lives as long as the server.
            _ = ending.wait_for(|ending| *ending) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = serve(stream, peer, router.clone(), admin.hub.clock.clone(), ending.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for the dashboard, API and metrics");
                tokio::time::sleep(REST).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

/// Serves a connection from its first request to its last.
async fn serve(tcp: TcpStream, peer: SocketAddr, router: Router, clock: Clock, mut ending: watch::Receiver<bool>) {
    // Answers are whole when they are written: none is better late.
    let _ = tcp.set_nodelay(true);
    let routes = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer.ip()));
        routes.call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(ClockTimer(clock.clone())).header_read_timeout(HEAD).max_buf_size(BUFFER);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(Stream::new(tcp, clock)), service));
    let ended = tokio::select! {
        served = &mut connection => Some(served),
        // The sender lives as long as the server.
        _ = ending.wait_for(|ending| *ending) => None,
    };
    let served = match ended {
        Some(served) => served,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "an HTTP connection has ended");
    }
}

/// The broker's clock, as hyper asks for one.
struct ClockTimer(Clock);

/// hyper wants to share what it waits for between threads: under the lock, it can be.
struct ClockSleep(Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Timer for ClockTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        let until = self.0.now().mono + duration.as_millis() as u64;
        Box::pin(ClockSleep(Mutex::new(Box::pin(self.0.sleep_until(until)))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }
}

impl Sleep for ClockSleep {}

impl Future for ClockSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.get_mut().as_mut().poll(cx)
    }
}
