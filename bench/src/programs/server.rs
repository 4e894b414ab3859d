//! The server with its load generator: two programs, of which only the server is on the allocator.

use super::catalogue::{LOAD, LOAD_KINDS, LOADER, SOCKET};
use super::job::{Figures, Job, Running, command, digest};
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use wait_timeout::ChildExt;

/// A server that cannot be reached for so long does not start.
const START: Duration = Duration::from_secs(10);
/// How long it may take to answer, and to end.
const END: Duration = Duration::from_secs(30);
/// Keys of the content that is compared.
const KEYS: usize = 1000;

/// The wall's time is that of the load; processor time and peak are the server's from its start to its end.
pub(super) fn measure(job: &Job) -> Result<Figures> {
    // What an earlier one left, if it was killed.
    let _ = std::fs::remove_file(SOCKET);
    let server = Running::start(job)?;
    match serve(Duration::from_secs(job.limit)) {
        Ok((wall, digest)) => server.end(END)?.figures(wall, digest),
        Err(error) => {
            server.kill()?;
            Err(error)
        }
    }
}

fn serve(limit: Duration) -> Result<(f64, u64)> {
    let stream = connect()?;
    let begin = Instant::now();
    let mut load =
        command(Path::new(LOADER)).args(LOAD).arg(LOAD_KINDS).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let Some(status) = load.wait_timeout(limit)? else {
        load.kill()?;
        load.wait()?;
        bail!("the load took over {} s", limit.as_secs());
    };
    let wall = begin.elapsed().as_secs_f64();
    ensure!(status.success(), "the load generator: {status}");
    Ok((wall, content(stream)?))
}

fn connect() -> Result<UnixStream> {
    let begin = Instant::now();
    loop {
        match UnixStream::connect(SOCKET) {
            Ok(stream) => return Ok(stream),
            Err(error) if begin.elapsed() > START => return Err(error).context("the server does not answer"),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// The load's keys are random, so the content that is compared is another one: its digest, as the server makes it. Then the
/// server is told to end.
fn content(mut stream: UnixStream) -> Result<u64> {
    stream.set_read_timeout(Some(END))?;
    let mut replies = BufReader::new(stream.try_clone()?).lines();
    let mut ask = |text: &str| -> Result<String> {
        stream.write_all(text.as_bytes())?;
        Ok(replies.next().context("the server has gone")??)
    };
    let keys = ask("DBSIZE\r\n")?;
    ensure!(keys.strip_prefix(':').is_some_and(|count| count != "0"), "after the load it has {keys:?} keys");
    let mut expect = |text: &str, prefix: &str| match ask(text)? {
        reply if reply.starts_with(prefix) => Ok(reply),
        reply => bail!("{text:?} is answered by {reply:?}"),
    };
    expect("FLUSHALL\r\n", "+OK")?;
    for key in 0..KEYS {
        let value = "value".repeat(1 + key * 7 % 200);
        expect(&format!("SET key:{key} {value}\r\n"), "+OK")?;
        expect(&format!("APPEND key:{} {key}\r\n", key / 2), ":")?;
        expect(&format!("RPUSH list:{} {value}\r\n", key % 10), ":")?;
        expect(&format!("HSET hash:{} field:{key} {value}\r\n", key % 30), ":")?;
    }
    let reply = expect("DEBUG DIGEST\r\n", "+")?;
    stream.write_all(b"SHUTDOWN NOSAVE\r\n")?;
    digest(reply.as_bytes())
}
