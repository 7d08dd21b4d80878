//! MQTT over WebSocket (section 6): the upgrade, and the byte stream inside it. MQTT packets and WebSocket messages need not
//! line up [MQTT-6.0.0-2], so this is a stream of bytes like any other; what is written at a time is one binary message.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header::SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

/// The subprotocol that is offered and chosen [MQTT-6.0.0-3], [MQTT-6.0.0-4].
const SUBPROTOCOL: &str = "mqtt";

/// The stream of bytes inside a WebSocket.
pub(crate) struct WebSocket {
    stream: WebSocketStream<TcpStream>,
    /// The rest of the message that is being read.
    message: Bytes,
}

impl WebSocket {
    /// Carries out the upgrade of a connection. `max_message` bounds the messages that a client may send, in bytes.
    ///
    /// # Errors
    /// The client asks for no WebSocket, or offers no subprotocol `mqtt`: it was answered so.
    pub(super) async fn accept(stream: TcpStream, max_message: usize) -> io::Result<Self> {
        let config = WebSocketConfig::default()
            .read_buffer_size(4 * 1024)
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        let stream = accept_hdr_async_with_config(stream, choose_subprotocol, Some(config)).await.map_err(to_io)?;
        Ok(WebSocket { stream, message: Bytes::new() })
    }

    /// The TCP connection below.
    pub(super) fn tcp(&self) -> &TcpStream {
        self.stream.get_ref()
    }
}

#[expect(clippy::result_large_err, reason = "the library's own signature")]
fn choose_subprotocol(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
    if !offers.flat_map(|offer| offer.split(',')).any(|offer| offer.trim() == SUBPROTOCOL) {
        let mut refused = ErrorResponse::new(Some("the WebSocket subprotocol mqtt is expected\n".to_owned()));
        *refused.status_mut() = StatusCode::BAD_REQUEST;
        return Err(refused);
    }
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    Ok(response)
}

impl AsyncRead for WebSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.message.is_empty() {
            match ready!(Pin::new(&mut this.stream).poll_next(cx)) {
                None | Some(Ok(Message::Close(_))) => return Poll::Ready(Ok(())),
                Some(Ok(Message::Binary(bytes))) => this.message = bytes,
                // Pings are answered by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                // [MQTT-6.0.0-1]
                Some(Ok(Message::Text(_) | Message::Frame(_))) => {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "a WebSocket frame that is not binary",
                    )));
                }
                Some(Err(error)) => return Poll::Ready(Err(to_io(error))),
            }
        }
        let count = this.message.len().min(buf.remaining());
        buf.put_slice(&this.message.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut stream = Pin::new(&mut self.get_mut().stream);
        ready!(stream.as_mut().poll_ready(cx)).map_err(to_io)?;
        stream.as_mut().start_send(Message::Binary(Bytes::copy_from_slice(buf))).map_err(to_io)?;
        // What the socket does not take at once is kept there, and goes out before anything else is taken.
        match stream.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(to_io(error))),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx).map_err(to_io)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_close(cx).map_err(to_io)
    }
}

fn to_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}
