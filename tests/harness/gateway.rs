//! The shipped binary as a child process: started, spoken to, killed and started again.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Client, Response};
use super::fresh_dir;

pub(crate) const ADMIN_KEY: &str = "admin-key-of-the-tests-0123456789abcdef";
pub(crate) const PROVIDER_KEY: &str = "sk-upstream-canary-5f3a9c";

/// A configured gateway and, while it runs, its process.
pub(crate) struct Gateway {
    dir: PathBuf,
    /// Fixed, for the command line finds the running gateway by its configuration.
    admin_port: u16,
    /// Of the serving process, beside what every test has.
    environment: Vec<(String, PathBuf)>,
    child: Option<Child>,
    /// `http://127.0.0.1:PORT` of each plane, as the running process printed it.
    pub(crate) data: String,
    pub(crate) admin: String,
}

impl Gateway {
    /// Writes the configuration below a new folder and starts. `tables` follows the `[server]`
    /// and `[storage]` tables, which are the same for every test.
    pub(crate) fn start(tables: &str) -> Self {
        let mut gateway = Gateway::stopped(tables);
        gateway.up();
        gateway
    }

    /// The folder and the file, and no process yet.
    pub(crate) fn stopped(tables: &str) -> Self {
        let gateway = Gateway {
            dir: fresh_dir("gateway"),
            admin_port: free_port(),
            environment: Vec::new(),
            child: None,
            data: String::new(),
            admin: String::new(),
        };
        gateway.configure(tables);
        gateway
    }

    /// Replaces the configuration; a running process goes on with its own until it is told.
    pub(crate) fn configure(&self, tables: &str) {
        let db = self.dir.join("tollgate.db");
        let admin = self.admin_port;
        let file = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:{admin}\"\n\
             admin_key = \"env:TOLLGATE_ADMIN_KEY\"\n\n[storage]\npath = \"{}\"\n\n{tables}",
            db.display()
        );
        std::fs::write(self.config(), file).unwrap();
    }

    /// Adds a line to the `[server]` table.
    pub(crate) fn set_server(&self, line: &str) {
        let file = std::fs::read_to_string(self.config()).unwrap();
        std::fs::write(
            self.config(),
            file.replacen("[server]\n", &format!("[server]\n{line}\n"), 1),
        )
        .unwrap();
    }

    /// Gives the data plane a fixed port, so that the command line finds it by the configuration.
    pub(crate) fn fix_port(&self) {
        let file = std::fs::read_to_string(self.config()).unwrap();
        let fixed = format!("listen = \"127.0.0.1:{}\"", free_port());
        std::fs::write(self.config(), file.replacen("listen = \"127.0.0.1:0\"", &fixed, 1))
            .unwrap();
    }

    /// Adds a line to the `[storage]` table.
    pub(crate) fn set_storage(&self, line: &str) {
        let file = std::fs::read_to_string(self.config()).unwrap();
        let file = file.replacen("[storage]\n", &format!("[storage]\n{line}\n"), 1);
        std::fs::write(self.config(), file).unwrap();
    }

    /// Sets a variable of the serving process's environment.
    pub(crate) fn set_env(&mut self, name: &str, value: &Path) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts the process and waits until it has printed where it listens.
    pub(crate) fn up(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path());
        let mut command = self.command(&["serve"]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdout(Stdio::piped()).stderr(log.unwrap()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        self.child = Some(child);
        self.data = self.expect_line(&mut lines, "data plane: ");
        self.admin = self.expect_line(&mut lines, "admin: ");
        std::thread::spawn(move || lines.for_each(drop));
    }

    fn expect_line(
        &mut self,
        lines: &mut impl Iterator<Item = std::io::Result<String>>,
        prefix: &str,
    ) -> String {
        for line in lines.map_while(Result::ok) {
            if let Some(rest) = line.trim().strip_prefix(prefix) {
                return rest.trim().to_owned();
            }
        }
        panic!("it ended before it printed {prefix:?}: {}", self.log());
    }

    /// SIGKILL, as a crash: nothing of the process gets to run.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends a signal by name: TERM, HUP.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if start.elapsed() > limit {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("it did not end within {limit:?}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let pid = self.child.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn command(&self, verb: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command
            .args(verb)
            .arg("--config")
            .arg(self.config())
            .env("TOLLGATE_ADMIN_KEY", ADMIN_KEY)
            .env("UP_KEY", PROVIDER_KEY)
            .env("NO_COLOR", "1")
            .current_dir(&self.dir)
            .stdin(Stdio::null());
        command
    }

    /// Runs a verb of the command line beside the running gateway.
    pub(crate) fn run(&self, verb: &[&str]) -> Output {
        self.command(verb).output().unwrap()
    }

    /// Runs a verb that must succeed and print JSON.
    pub(crate) fn run_json(&self, verb: &[&str]) -> Value {
        self.run_json_of(verb, 0)
    }

    /// Runs a verb that must end with that exit code and print JSON.
    pub(crate) fn run_json_of(&self, verb: &[&str], code: i32) -> Value {
        let output = self.run(verb);
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{verb:?}: {out}{err}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{verb:?}: {error}: {out}"))
    }

    /// A new key of the account.
    pub(crate) fn key(&self, account: &str) -> String {
        let made = self.run_json(&["key", "create", "--account", account, "--json"]);
        made["key"].as_str().unwrap().to_owned()
    }

    /// A client with a new key of the account.
    pub(crate) fn client(&self, account: &str) -> Client {
        Client::with_key(&self.data, &self.key(account))
    }

    pub(crate) fn admin_client(&self) -> Client {
        Client::with_key(&self.admin, ADMIN_KEY)
    }

    pub(crate) async fn admin_get(&self, path: &str) -> Response {
        self.admin_client().get(path).await
    }

    /// The audit of the ledger; says what it found where that is not "good".
    pub(crate) fn audit(&self) -> Result<(), String> {
        let output = self.run(&["audit"]);
        match output.status.code() {
            Some(0) => Ok(()),
            code => Err(format!(
                "audit exits {code:?}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn config(&self) -> PathBuf {
        self.dir.join("tollgate.toml")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("tollgate.log")
    }
}

/// A port that nobody listens on now, and that the system gives to no outgoing connection while the
/// gateway is down: those have numbers from 32768 on.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() as u16;
    loop {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + first.wrapping_mul(97).wrapping_add(turn) % 12_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
