use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::accept::{Dispatch, FIRST_PAUSE, LONGEST_PAUSE, Source, Trouble, accept_all};
use super::{Acceptor, Connections, Drained, ListenError, Workers, bind};

/// Long enough that only what never happens takes longer.
const LONG: Duration = Duration::from_secs(30);

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Says which worker it is and then echoes, until the client is done or it is told to finish.
async fn echo(
    mut stream: TcpStream,
    _peer: SocketAddr,
    worker: Arc<usize>,
    finish: CancellationToken,
) {
    let index = u8::try_from(*worker).unwrap();
    let _gone = stream.write_all(&[index]).await;
    let (mut from, mut to) = stream.split();
    tokio::select! {
        () = finish.cancelled() => {}
        _ = tokio::io::copy(&mut from, &mut to) => {}
    }
}

struct Running {
    address: SocketAddr,
    connections: Arc<Connections>,
    workers: Workers,
    stop: CancellationToken,
    acceptor: JoinHandle<()>,
}

impl Running {
    fn start(workers: Workers, limit: usize) -> Self {
        let listener = bind(loopback()).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = Acceptor::new(listener, &workers, limit).unwrap();
        let connections = acceptor.connections();
        let stop = CancellationToken::new();
        let acceptor = tokio::spawn(acceptor.run(stop.clone()));
        Self {
            address,
            connections,
            workers,
            stop,
            acceptor,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn stop(self, drain: Duration) -> Drained {
        self.stop.cancel();
        self.acceptor.await.unwrap();
        self.workers.drain(drain).await
    }
}

fn echoing(count: usize) -> Workers {
    Workers::start(count, |index| index, echo).unwrap()
}

#[test]
fn taken_port_is_an_error_that_says_where_and_what_to_do() {
    let first = bind(loopback()).unwrap();
    let address = first.local_addr().unwrap();
    let error = bind(address).unwrap_err();
    assert!(matches!(error, ListenError::AddressTaken { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {address}: the port is taken; see by whom with: ss -ltnp 'sport = :{}', \
             then stop that process or choose another port",
            address.port()
        )
    );
}

#[tokio::test]
async fn port_can_be_had_again_at_once_after_connections_were_served_on_it() {
    let running = Running::start(echoing(1), 10);
    let address = running.address;
    let mut client = running.connect().await;
    client.read_u8().await.unwrap();
    running.stop(LONG).await;
    // The server closed first, so its end lingers in TIME_WAIT once the client has closed too.
    drop(client);
    bind(address).unwrap();
}

#[test]
fn address_of_another_machine_is_an_error_that_says_so() {
    // RFC 5737: an address for documentation, nobody's.
    let error = bind("192.0.2.1:0".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("no such address"), "{error}");
}

#[tokio::test]
async fn connections_go_to_the_workers_in_turn() {
    let running = Running::start(echoing(3), 10);
    let mut served = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = running.connect().await;
        served.push(client.read_u8().await.unwrap());
        clients.push(client);
    }
    assert_eq!(served, [0, 1, 2, 0, 1, 2]);
    assert_eq!(
        (running.connections.open(), running.connections.accepted()),
        (6, 6)
    );
    drop(clients);
    assert_eq!(running.stop(LONG).await, Drained { cut: 0 });
}

#[tokio::test]
async fn connection_over_the_limit_is_closed_at_once_and_its_place_is_free_again_later() {
    let running = Running::start(echoing(2), 2);
    let mut first = running.connect().await;
    first.read_u8().await.unwrap();
    let mut second = running.connect().await;
    second.read_u8().await.unwrap();

    let mut third = running.connect().await;
    assert_eq!(third.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(
        (running.connections.open(), running.connections.refused()),
        (2, 1)
    );

    drop(first);
    while running.connections.open() == 2 {
        tokio::task::yield_now().await;
    }
    let mut fourth = running.connect().await;
    fourth.read_u8().await.unwrap();
    drop((second, fourth));
    running.stop(LONG).await;
}

#[tokio::test]
async fn drain_lets_connections_finish() {
    let (started, mut has_started) = mpsc::unbounded_channel();
    let workers = Workers::start(
        2,
        |_| (),
        move |mut stream: TcpStream, _, _, finish| {
            let started = started.clone();
            async move {
                started.send(()).unwrap();
                finish.cancelled().await;
                // The call in flight, whose end the client sees.
                stream.write_all(b"done").await.unwrap();
            }
        },
    )
    .unwrap();
    let running = Running::start(workers, 10);
    let (mut one, mut two) = (running.connect().await, running.connect().await);
    has_started.recv().await.unwrap();
    has_started.recv().await.unwrap();
    let address = running.address;
    assert_eq!(running.stop(LONG).await, Drained { cut: 0 });
    for client in [&mut one, &mut two] {
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "done");
    }
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn drain_cuts_off_what_does_not_finish() {
    let (started, mut has_started) = mpsc::unbounded_channel();
    let workers = Workers::start(
        2,
        |_| (),
        move |stream: TcpStream, _, _, _| {
            let started = started.clone();
            async move {
                started.send(()).unwrap();
                std::future::pending::<()>().await;
                drop(stream);
            }
        },
    )
    .unwrap();
    let running = Running::start(workers, 10);
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(running.connect().await);
        has_started.recv().await.unwrap();
    }
    let connections = Arc::clone(&running.connections);
    let began = Instant::now();
    assert_eq!(
        running.stop(Duration::from_millis(20)).await,
        Drained { cut: 3 }
    );
    assert!(began.elapsed() < LONG);
    assert_eq!(connections.open(), 0);
    for mut client in clients {
        assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn panic_in_a_connection_costs_that_connection_only() {
    let workers = Workers::start(
        1,
        |_| (),
        |mut stream: TcpStream, _, _, _| async move {
            let byte = stream.read_u8().await.unwrap();
            assert_eq!(byte, b'a', "what this test is about");
            stream.write_all(b"ok").await.unwrap();
        },
    )
    .unwrap();
    let running = Running::start(workers, 10);
    for (sent, answer) in [("b", ""), ("a", "ok")] {
        let mut client = running.connect().await;
        client.write_all(sent.as_bytes()).await.unwrap();
        let mut got = String::new();
        client.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, answer);
    }
    while running.connections.open() > 0 {
        tokio::task::yield_now().await;
    }
    running.stop(LONG).await;
}

#[tokio::test]
async fn context_is_made_once_in_each_worker() {
    let made = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&made);
    let workers = Workers::start(
        3,
        move |index| {
            // Within the runtime, or this would panic.
            let _sleep = tokio::time::sleep(LONG);
            let thread = std::thread::current().name().unwrap().to_owned();
            seen.lock().unwrap().push((index, thread));
        },
        |_, _, _, _| async {},
    )
    .unwrap();
    assert_eq!(workers.count(), 3);
    workers.drain(LONG).await;
    let mut made = made.lock().unwrap().clone();
    made.sort();
    let expected = [0, 1, 2].map(|index| (index, format!("worker-{index}")));
    assert_eq!(made, expected);
}

/// Fails in each of these ways, the last one first, before it accepts.
struct Troubled {
    troubles: Vec<io::Error>,
    listener: TcpListener,
}

impl Source for Troubled {
    async fn next(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        match self.troubles.pop() {
            Some(trouble) => Err(trouble),
            None => self.listener.accept().await,
        }
    }
}

#[tokio::test]
async fn acceptor_survives_what_accepting_can_throw_at_it() {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let workers = echoing(1);
    let mut dispatch = Dispatch::new(&workers, 10);
    let connections = Arc::clone(&dispatch.connections);
    let troubles = vec![
        // EMFILE and ENFILE on Linux (errno(3)).
        io::Error::from_raw_os_error(24),
        io::Error::from_raw_os_error(23),
        ErrorKind::ConnectionAborted.into(),
    ];
    let accepting = accept_all(Troubled { troubles, listener }, &mut dispatch);
    let served = async {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.read_u8().await.unwrap()
    };
    tokio::select! {
        () = accepting => panic!("the acceptor gave up"),
        worker = served => assert_eq!(worker, 0),
    }
    assert_eq!(connections.failed(), 3);
    drop(dispatch);
    workers.drain(LONG).await;
}

#[test]
fn pauses_grow_to_a_bound_and_lines_come_once_a_second() {
    let mut trouble = Trouble::default();
    let start = Instant::now();
    let first = trouble.another(start);
    assert_eq!((first.length, first.worth_a_line), (FIRST_PAUSE, true));
    let second = trouble.another(start + Duration::from_millis(999));
    assert_eq!(
        (second.length, second.worth_a_line),
        (FIRST_PAUSE * 2, false)
    );
    assert!(trouble.another(start + Duration::from_secs(1)).worth_a_line);
    for _ in 0..20 {
        assert!(trouble.another(start).length <= LONGEST_PAUSE);
    }
    trouble.over();
    assert_eq!(trouble.another(start).length, FIRST_PAUSE);
}
