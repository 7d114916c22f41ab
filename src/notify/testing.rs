//! Far sides for tests, over real sockets: a mail server and a webhook that fail as they are told to.
//!
//! `tests/it` includes this file as well, so it names nothing of this crate.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for something to arrive before it fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a far side has seen and how it behaves; whoever waits is told of each change.
struct Shared<B, S> {
    state: Mutex<(B, Vec<S>)>,
    changed: Condvar,
}

impl<B: Clone, S: Clone> Shared<B, S> {
    fn new(behaviour: B) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new((behaviour, Vec::new())),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, (B, Vec<S>)> {
        self.state.lock().unwrap()
    }

    fn behaviour(&self) -> B {
        self.lock().0.clone()
    }

    fn seen(&self, one: S) {
        self.lock().1.push(one);
        self.changed.notify_all();
    }

    fn wait<T>(&self, what: &str, mut ready: impl FnMut(&(B, Vec<S>)) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut state = self.lock();
        loop {
            if let Some(found) = ready(&state) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited too long for {what}");
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits until the behaviour is another than `hanging`: the far side says nothing meanwhile.
    fn hang(&self, hangs: impl Fn(&B) -> bool) {
        let mut state = self.lock();
        while hangs(&state.0) {
            state = self.changed.wait(state).unwrap();
        }
    }
}

/// How the mail server behaves. A step is `connect`, `EHLO`, `AUTH`, `MAIL`, `RCPT`, `DATA`, or `.` for the end of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mailing {
    Accepts,
    /// Answers this to a step.
    Answers(&'static str, &'static str),
    /// Closes the connection at a step. At `.`, it has taken the message, and nobody knows.
    Drops(&'static str),
    /// Says nothing more from a step on.
    Hangs(&'static str),
}

/// A mail that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) text: String,
    /// Who signed in.
    pub(crate) user: Option<String>,
    pub(crate) was_encrypted: bool,
}

impl Mail {
    /// The value of a header, unfolded.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = self.text.split("\r\n\r\n").next().unwrap();
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        unfolded.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    }
}

impl Mail {
    /// The text with quoted-printable (RFC 2045, section 6.7) undone.
    pub(crate) fn words(&self) -> String {
        let bytes = self.text.replace("=\r\n", "").into_bytes();
        let mut words = Vec::with_capacity(bytes.len());
        let mut rest = bytes.as_slice();
        while let [first, others @ ..] = rest {
            let digits = others.get(..2).and_then(|it| std::str::from_utf8(it).ok());
            let code = digits.and_then(|it| u8::from_str_radix(it, 16).ok());
            if let Some(byte) = code.filter(|_| *first == b'=') {
                words.push(byte);
                rest = &others[2..];
            } else {
                words.push(*first);
                rest = others;
            }
        }
        String::from_utf8(words).unwrap()
    }
}

/// A mail server that keeps what it gets.
pub(crate) struct Postbox {
    address: SocketAddr,
    shared: Arc<Shared<Mailing, Mail>>,
}

/// What a mail server offers.
#[derive(Clone, Default)]
pub(crate) struct Offer {
    /// TLS, and whether from the first byte or by STARTTLS.
    pub(crate) tls: Option<(Arc<rustls::ServerConfig>, TlsFrom)>,
    /// The user and password that it wants.
    pub(crate) sign_in: Option<(&'static str, &'static str)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsFrom {
    Start,
    StartTls,
}

trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

impl Postbox {
    pub(crate) fn start(mailing: Mailing) -> Self {
        Self::offering(Offer::default(), mailing)
    }

    pub(crate) fn offering(offer: Offer, mailing: Mailing) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared::new(mailing);
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming() {
                    let (shared, offer) = (Arc::clone(&shared), offer.clone());
                    // A client that goes away ends the session; that is no failure of the test.
                    thread::spawn(move || {
                        let _ = session(stream.unwrap(), &offer, &shared);
                    });
                }
            }
        });
        Self { address, shared }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn behave(&self, mailing: Mailing) {
        self.shared.lock().0 = mailing;
        self.shared.changed.notify_all();
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.shared.lock().1.clone()
    }

    /// The first `count` mails, as soon as there are so many.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Mail> {
        self.shared.wait("mails", |(_, mails)| {
            (mails.len() >= count).then(|| mails.clone())
        })
    }
}

fn session(
    stream: TcpStream,
    offer: &Offer,
    shared: &Shared<Mailing, Mail>,
) -> std::io::Result<()> {
    let mut plain = Some(stream.try_clone()?);
    let mut wire: BufReader<Box<dyn Wire>> = match &offer.tls {
        Some((config, TlsFrom::Start)) => BufReader::new(encrypted(stream, config)),
        _ => BufReader::new(Box::new(stream)),
    };
    let mut was_encrypted = matches!(offer.tls, Some((_, TlsFrom::Start)));
    let (mut user, mut from, mut to) = (None, String::new(), String::new());
    let act = |wire: &mut BufReader<Box<dyn Wire>>, step: &str, usual: &str| {
        shared.hang(|it| matches!(it, Mailing::Hangs(at) if *at == step));
        let answer = match shared.behaviour() {
            Mailing::Answers(at, answer) if at == step => answer,
            Mailing::Drops(at) if at == step => {
                return Err(std::io::Error::other("dropped"));
            }
            _ => usual,
        };
        write!(wire.get_mut(), "{answer}\r\n")?;
        wire.get_mut().flush()?;
        Ok(answer.starts_with(['2', '3']))
    };
    act(&mut wire, "connect", "220 postbox ESMTP")?;
    loop {
        let mut line = String::new();
        if wire.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let verb = line.split([' ', ':']).next().unwrap().to_uppercase();
        match verb.as_str() {
            "EHLO" => {
                let mut offers = "250-postbox\r\n250-8BITMIME".to_owned();
                if matches!(offer.tls, Some((_, TlsFrom::StartTls))) && !was_encrypted {
                    offers.push_str("\r\n250-STARTTLS");
                }
                if offer.sign_in.is_some() && (was_encrypted || offer.tls.is_none()) {
                    offers.push_str("\r\n250-AUTH PLAIN LOGIN");
                }
                act(&mut wire, "EHLO", &format!("{offers}\r\n250 SMTPUTF8"))?;
            }
            "STARTTLS" => {
                act(&mut wire, "STARTTLS", "220 go on")?;
                let (config, _) = offer.tls.as_ref().unwrap();
                wire = BufReader::new(encrypted(plain.take().unwrap(), config));
                was_encrypted = true;
            }
            "AUTH" => {
                use base64::Engine as _;
                let (name, password) = offer.sign_in.unwrap();
                let expected = format!("\0{name}\0{password}");
                let expected = base64::engine::general_purpose::STANDARD.encode(expected);
                let is_right = line == format!("AUTH PLAIN {expected}");
                let answer = if is_right {
                    "235 welcome"
                } else {
                    "535 who are you?"
                };
                if act(&mut wire, "AUTH", answer)? {
                    user = Some(name.to_owned());
                }
            }
            "MAIL" | "RCPT" => {
                if act(&mut wire, &verb, "250 ok")? {
                    let address = line.split(['<', '>']).nth(1).unwrap().to_owned();
                    *(if verb == "MAIL" { &mut from } else { &mut to }) = address;
                }
            }
            "DATA" => {
                if !act(&mut wire, "DATA", "354 go on")? {
                    continue;
                }
                let mut text = String::new();
                loop {
                    let mut line = String::new();
                    if wire.read_line(&mut line)? == 0 {
                        return Ok(());
                    }
                    if line == ".\r\n" {
                        break;
                    }
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                }
                let mail = Mail {
                    from: from.clone(),
                    to: to.clone(),
                    text,
                    user: user.clone(),
                    was_encrypted,
                };
                // What is refused was not taken; what is dropped or hangs was, and the client cannot know.
                if !matches!(shared.behaviour(), Mailing::Answers(".", _)) {
                    shared.seen(mail);
                }
                act(&mut wire, ".", "250 2.0.0 queued as 4711")?;
            }
            "QUIT" => {
                act(&mut wire, "QUIT", "221 bye")?;
                return Ok(());
            }
            _ => {
                act(&mut wire, "?", "500 what?")?;
            }
        }
    }
}

fn encrypted(stream: TcpStream, config: &Arc<rustls::ServerConfig>) -> Box<dyn Wire> {
    let connection = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
    Box::new(rustls::StreamOwned::new(connection, stream))
}

/// How the webhook behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hooking {
    /// Takes the post, closes the connection, and nobody knows.
    Drops,
    /// Takes the post and says nothing.
    Hangs,
    /// Answers this status, and with these headers, each ended by CRLF.
    Status(u16, &'static str),
}

/// A post that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Post {
    pub(crate) path: String,
    /// By name in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Post {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A webhook's receiver that keeps what it gets.
pub(crate) struct Hook {
    address: SocketAddr,
    shared: Arc<Shared<Hooking, Post>>,
}

impl Hook {
    pub(crate) fn start(hooking: Hooking) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared::new(hooking);
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming() {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        let _ = exchange(stream.unwrap(), &shared);
                    });
                }
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?key=not-told", self.address)
    }

    pub(crate) fn behave(&self, hooking: Hooking) {
        self.shared.lock().0 = hooking;
        self.shared.changed.notify_all();
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.shared.lock().1.clone()
    }

    /// The first `count` posts, as soon as there are so many.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Post> {
        self.shared.wait("posts", |(_, posts)| {
            (posts.len() >= count).then(|| posts.clone())
        })
    }
}

fn exchange(stream: TcpStream, shared: &Shared<Hooking, Post>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let headers: HashMap<String, String> = lines
        .iter()
        .skip(1)
        .filter_map(|it| it.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers["content-length"].parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    shared.seen(Post {
        path: lines[0].split(' ').nth(1).unwrap().to_owned(),
        headers,
        body: String::from_utf8(body).unwrap(),
    });
    shared.hang(|it| *it == Hooking::Hangs);
    match shared.behaviour() {
        Hooking::Drops | Hooking::Hangs => Ok(()),
        Hooking::Status(status, extra) => write!(
            stream.get_mut(),
            "HTTP/1.1 {status} As told\r\n{extra}content-length: 5\r\nconnection: close\r\n\r\nnoted"
        ),
    }
}
