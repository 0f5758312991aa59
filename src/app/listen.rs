//! Listeners and the threads behind them. Each worker owns its connections from end to end: its own
//! single-threaded runtime, listening socket (SO_REUSEPORT) and upstream connections.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::StartError;
use crate::http::{Admin, Front, Peer, Router, admin_routes, routes};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// The longest a client may take over a request's head (slow loris). hyper's own limit needs a timer
/// to be in force, which it is given below.
const HEAD: Duration = Duration::from_secs(10);
/// The largest request head: OpenAI's own limit is 64 KiB.
const HEAD_BYTES: usize = 64 * 1024;
/// The pause after a failed accept: out of file descriptors, the next one fails as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What streams are given to write their last frame once they are told to stop.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The data plane while it serves.
pub(super) struct Data {
    pub(super) address: SocketAddr,
    workers: Vec<JoinHandle<()>>,
    shutdown: CancellationToken,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Data {
    /// Starts one worker thread for each front.
    pub(super) fn start(
        address: SocketAddr,
        fronts: Vec<Front>,
        shutdown: CancellationToken,
        stop: CancellationToken,
    ) -> Result<Data, StartError> {
        let first = bind(address)?;
        // Port 0 was given a number, which the other workers share.
        let address = first.local_addr()?;
        let connections = TaskTracker::new();
        let mut workers = Vec::with_capacity(fronts.len());
        let mut listener = Some(first);
        for (at, front) in fronts.into_iter().enumerate() {
            let listener = match listener.take() {
                Some(first) => first,
                None => bind(address)?,
            };
            let (shutdown, stop) = (shutdown.clone(), stop.clone());
            let connections = connections.clone();
            let runtime = runtime()?;
            let serve = move || {
                runtime.block_on(accept(listener, routes(front), shutdown, stop, connections));
                // Ends what is left: drained replies, connections in the middle of something.
                runtime.shutdown_timeout(LAST_WORDS);
            };
            workers.push(std::thread::Builder::new().name(format!("worker-{at}")).spawn(serve)?);
        }
        Ok(Data { address, workers, shutdown, stop, connections })
    }

    /// Serves until shutdown, then lets calls in flight and drained replies end for so long.
    pub(super) fn run(self, drain: Duration, drains: &TaskTracker) {
        let Ok(runtime) = runtime() else { return };
        runtime.block_on(async {
            self.shutdown.cancelled().await;
            self.connections.close();
            drains.close();
            let ended = async {
                self.connections.wait().await;
                drains.wait().await;
            };
            tracing::info!(seconds = drain.as_secs(), "shutting down: calls in flight may end");
            if tokio::time::timeout(drain, ended).await.is_err() {
                tracing::warn!("calls in flight did not end in time and are stopped");
            }
            // Streams write an error as their last frame; the rest is dropped, and settled by that.
            self.stop.cancel();
            let _ = tokio::time::timeout(LAST_WORDS, self.connections.wait()).await;
        });
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
    }
}

async fn accept(
    listener: StdListener,
    app: Router,
    shutdown: CancellationToken,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a worker cannot listen");
            return;
        }
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let app = TowerToHyperService::new(app.clone());
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(Peer(from.ip()));
            app.call(request)
        });
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A client that breaks off is no event of ours; its call is settled by being dropped.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    let closed = graceful.shutdown();
    tokio::pin!(closed);
    // Drained replies run here as well, and may outlast the connections: `stop` waits for both.
    tokio::select! {
        () = &mut closed => stop.cancelled().await,
        () = stop.cancelled() => {
            let _ = tokio::time::timeout(LAST_WORDS, closed).await;
        }
    }
}

/// The admin plane while it serves.
pub(super) struct Plane {
    pub(super) address: SocketAddr,
    thread: JoinHandle<()>,
    end: CancellationToken,
}

impl Plane {
    pub(super) fn stop(self) {
        self.end.cancel();
        let _ = self.thread.join();
    }
}

/// Serves the admin plane on a thread of its own, so that it answers when the workers are busy.
pub(super) fn admin(address: SocketAddr, admin: Admin) -> Result<Plane, StartError> {
    let listener = bind(address)?;
    let address = listener.local_addr()?;
    let (end, runtime) = (CancellationToken::new(), runtime()?);
    let token = end.clone();
    let connections = TaskTracker::new();
    let serve = move || {
        let app = admin_routes(admin);
        runtime.block_on(accept(listener, app, token.clone(), token, connections));
        runtime.shutdown_timeout(LAST_WORDS);
    };
    let thread = std::thread::Builder::new().name("admin".into()).spawn(serve)?;
    Ok(Plane { address, thread, end })
}

/// Runs something to its end on a thread of its own. As long as it has not ended, the token keeps a
/// shutdown patient.
pub(super) fn beside(
    name: &str,
    work: impl Future<Output = ()> + Send + 'static,
    token: TaskTrackerToken,
) -> Result<JoinHandle<()>, StartError> {
    let runtime = runtime()?;
    let run = move || {
        runtime.block_on(work);
        drop(token);
        runtime.shutdown_timeout(LAST_WORDS);
    };
    Ok(std::thread::Builder::new().name(name.to_owned()).spawn(run)?)
}

/// A thread that does something at intervals.
pub(super) struct Housekeeping {
    thread: JoinHandle<()>,
    end: Arc<AtomicBool>,
}

impl Housekeeping {
    pub(super) fn stop(self) {
        self.end.store(true, Ordering::Release);
        self.thread.thread().unpark();
        let _ = self.thread.join();
    }
}

pub(super) fn housekeeping(
    name: &str,
    every: Duration,
    work: impl Fn(u64) + Send + 'static,
) -> Result<Housekeeping, StartError> {
    let end = Arc::new(AtomicBool::new(false));
    let ended = end.clone();
    let run = move || {
        let mut ticks = 0;
        while !ended.load(Ordering::Acquire) {
            work(ticks);
            ticks += 1;
            std::thread::park_timeout(every);
        }
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
    Ok(Housekeeping { thread, end })
}

/// Watches for signals: the first SIGTERM or SIGINT shuts down, a second ends at once; SIGHUP reloads.
pub(super) fn signals(
    shutdown: CancellationToken,
    reload: impl Fn() + Send + 'static,
) -> Result<(), StartError> {
    let runtime = runtime()?;
    let (mut terminate, mut interrupt, mut hangup) = {
        let _entered = runtime.enter();
        let on = |kind| signal(kind);
        (on(SignalKind::terminate())?, on(SignalKind::interrupt())?, on(SignalKind::hangup())?)
    };
    let watch = move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    _ = hangup.recv() => {
                        reload();
                        continue;
                    }
                }
                if shutdown.is_cancelled() {
                    // Asked twice. Open calls are settled by the next start, from their journal.
                    std::process::exit(130);
                }
                shutdown.cancel();
            }
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(watch)?;
    Ok(())
}

fn runtime() -> Result<Runtime, StartError> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

fn bind(address: SocketAddr) -> Result<StdListener, StartError> {
    let listen = || -> std::io::Result<StdListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    listen().map_err(|error| StartError::Listen { address, error })
}
