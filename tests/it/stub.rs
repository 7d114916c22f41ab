//! A server that answers as a test says, over plain HTTP on this host: a gateway's management API that has gone wrong, or an
//! identity provider.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|it| it.0.eq_ignore_ascii_case(name))
            .map(|it| it.1.as_str())
    }

    /// Method and target.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// The connection ends without one.
    Nothing,
    /// Status, media type and body.
    Whole(u16, &'static str, String),
}

/// JSON with the status 200.
pub(crate) fn ok(value: &impl serde::Serialize) -> Said {
    json(200, value)
}

/// JSON.
pub(crate) fn json(status: u16, value: &impl serde::Serialize) -> Said {
    let body = serde_json::to_string(value).unwrap();
    Said::Whole(status, "application/json", body)
}

/// A server in threads of the test.
pub(crate) struct Stub {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Stub {
    /// Answers each request by `answer`, which gets it and how many came before.
    pub(crate) fn start(answer: impl Fn(&Heard, usize) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let all = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { break };
                serve(stream, &all, &answer);
            }
        });
        Self { address, heard }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

/// One request and its answer, if the client sends a whole one.
fn serve(
    stream: TcpStream,
    heard: &Mutex<Vec<Heard>>,
    answer: &impl Fn(&Heard, usize) -> Said,
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let mut request = Heard {
        method: words.next()?.to_owned(),
        target: words.next()?.to_owned(),
        headers: Vec::new(),
        body: String::new(),
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        request.headers.push((name.to_owned(), value.to_owned()));
    }
    let length = request.header("content-length").unwrap_or("0");
    let mut body = vec![0; length.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).ok()?;
    let count = {
        let mut heard = heard.lock().unwrap();
        heard.push(request.clone());
        heard.len() - 1
    };
    match answer(&request, count) {
        Said::Nothing => {}
        Said::Whole(status, media_type, body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} \r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let mut stream = reader.into_inner();
            stream.write_all(head.as_bytes()).ok()?;
            stream.write_all(body.as_bytes()).ok()?;
        }
    }
    Some(())
}
